"""Stacks of the reference: lengths, directions, skips, masks, pieces, and what their tapes tell."""

import numpy as np
import pytest

from fastlstm import reference
from fastlstm.cells import Masks
from helpers import assert_close, assert_equal
from reference_cases import Problem, forward, named, problem, run

CELLS = {
    "rnn": ("rnn", {}),
    "gru": ("gru", {}),
    "gru-before": ("gru", {"reset_after": False}),
    "lstm": ("lstm", {}),
    "variants": ("lstm", {"peephole": "full", "coupled": True, "proj_size": 2}),
}
T, LENGTHS = 6, (4, 0, 6, 1)
every_cell = pytest.mark.parametrize("cell", CELLS)


def stack(cell, **options):
    kind, variant = CELLS[cell]
    return problem(kind, **{"T": T, "B": 4, "widths": (3, 2), "lengths": LENGTHS, **variant, **options})


def padded(case):
    """(T, B), true in the padding."""
    return np.arange(T)[:, None] >= np.array(LENGTHS)


@every_cell
def test_what_is_in_the_padding_changes_no_bit(cell):
    case = stack(cell, bidirectional=True, skip=True, dropout=True)
    spoilt = case._replace(x=case.x.copy(), dy=case.dy.copy())
    spoilt.x[padded(case)] = spoilt.dy[padded(case)] = np.nan
    assert_equal(run(spoilt), run(case))
    for got, want in zip(*(reference.quantities(forward(c)[2]) for c in (spoilt, case)), strict=True):
        assert_equal(got, want)
    assert not run(case)["y"][padded(case)].any()
    assert not run(case)["dx"][padded(case)].any()


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_ragged_batch_equals_its_sequences_one_by_one(cell, bidirectional):
    case = stack(cell, bidirectional=bidirectional)
    whole, gradients = run(case), []
    for b, length in enumerate(LENGTHS):
        column = [slice(0, length), slice(b, b + 1)]
        alone = run(
            case._replace(
                x=case.x[*column], dy=case.dy[*column], lengths=None,
                **{name: tuple([a[b : b + 1] for a in s] for s in getattr(case, name)) for name in ("state", "dstate")},
            )
        )
        for name in alone.keys() - case.parameters.keys():
            want = whole[name][*column] if name in ("y", "dx") else whole[name][b : b + 1]
            np.testing.assert_allclose(alone[name], want, rtol=1e-12, atol=1e-12, err_msg=name)
        gradients.append(alone)
    sums = {name: sum(alone[name] for alone in gradients) for name in case.parameters}
    assert_close(sums, {name: whole[name] for name in sums}, 1e-12)


@every_cell
def test_pieces_equal_the_whole(cell):
    case = stack(cell, lengths=None)
    whole = run(case)
    first = case._replace(x=case.x[:2], dy=case.dy[:2])
    y, middle, tape = forward(first)
    second = case._replace(x=case.x[2:], dy=case.dy[2:], state=middle)
    y2, _, tape2 = forward(second)
    dx2, d_middle, gradients2 = reference.stack_backward(case.layout, case.parameters, tape2, second.dy, case.dstate)
    dx, _, gradients = reference.stack_backward(case.layout, case.parameters, tape, first.dy, d_middle)
    pieces = {"y": np.concatenate([y, y2]), "dx": np.concatenate([dx, dx2])}
    pieces |= {name: gradients[name] + gradients2[name] for name in gradients}
    assert_close(pieces, {name: whole[name] for name in pieces}, 1e-13)


@every_cell
def test_no_steps_return_the_state_and_no_sequences_nothing(cell):
    case = stack(cell, T=0, lengths=None)
    y, state, tape = forward(case)
    assert y.shape == (0, 4, case.layout.output_size)
    for got, want in zip(state, case.state, strict=True):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)
    assert all(a.shape[:2] == (0, 4) for found in reference.quantities(tape) for a in found.values())
    assert run(stack(cell, B=0, lengths=None))["y"].shape == (T, 0, case.layout.output_size)


# ---- layers and directions ---------------------------------------------------------------------------------------


def hidden_states(case):
    return [found["hidden_state"] for found in reference.quantities(forward(case)[2])]


def test_merges_and_skips_put_outputs_together():
    joined = stack("lstm", bidirectional=True, skip=True, dropout=True)
    np.testing.assert_array_equal(run(joined)["y"], np.concatenate(hidden_states(joined), axis=2))
    summed = stack("lstm", bidirectional=True, merge="sum")
    np.testing.assert_array_equal(run(summed)["y"], sum(hidden_states(summed)[2:]))


@pytest.mark.parametrize(("merge", "size"), [("concat", 6), ("sum", 3)])
def test_upper_layer_with_skips_reads_the_layer_below_and_then_the_input(merge, size):
    case = stack("gru", bidirectional=True, merge=merge, skip=True, dropout=True)
    forwards, backwards = hidden_states(case)[:2]
    below = np.concatenate([forwards, backwards], axis=2) if merge == "concat" else forwards + backwards
    assert below.shape[2] == size
    upper = case.layout.layers[1][0]
    alone = Problem(
        type(case.layout)(((upper,),)), {name.replace("l1", "l0"): a for name, a in case.parameters.items()},
        np.concatenate([below * case.masks.outputs[0], case.x], axis=2), ([case.state[0][2]],), case.lengths,
        Masks([], [case.masks.recurrent[2]]), case.dy, case.dstate,
    )
    np.testing.assert_array_equal(forward(alone)[0], hidden_states(case)[2])


@every_cell
def test_recurrent_mask_is_on_what_the_recurrent_weights_multiply(cell):
    """With nothing left, the state is not fed back, though a GRU still mixes it in."""
    case = stack(cell, widths=(3,), bias=True)
    nothing = case._replace(masks=Masks([], [np.zeros_like(a) for a in case.state[0]]))
    without = case._replace(parameters=case.parameters | {"weight_hh_l0": 0 * case.parameters["weight_hh_l0"]})
    np.testing.assert_array_equal(run(nothing)["y"], run(without)["y"])


# ---- what the tape tells -----------------------------------------------------------------------------------------


def neighbours(state, initial, reverse):
    """For every step the state that a cell came from, (T, B, ·)."""
    before = np.empty_like(state)
    for b, length in enumerate(LENGTHS):
        own, start = state[:length, b], initial[b : b + 1]
        before[:length, b] = np.concatenate([own[1:], start] if reverse else [start, own[:-1]])[:length]
    return np.where(padded(None)[:, :, None], 0, before)


@pytest.mark.parametrize("options", [{}, {"coupled": True, "peephole": "diagonal"}])
def test_quantities_of_the_lstm_obey_its_equations_at_every_step(options):
    case = stack("lstm", bidirectional=True, **options)
    for place, q in zip(case.layout.places(), reference.quantities(forward(case)[2]), strict=True):
        assert list(q) == ["input_gate", "forget_gate", "candidate", "cell_state", "output_gate", "hidden_state"]
        before = neighbours(q["cell_state"], case.state[1][place.index], place.direction)
        np.testing.assert_array_equal(q["cell_state"], q["forget_gate"] * before + q["input_gate"] * q["candidate"])
        np.testing.assert_array_equal(q["hidden_state"], q["output_gate"] * np.tanh(q["cell_state"]))
        if place.cell.coupled:
            sums = q["input_gate"] + q["forget_gate"]
            np.testing.assert_array_equal(sums, np.where(padded(case)[:, :, None], 0.0, np.ones_like(sums)))


def test_quantities_of_the_gru_obey_its_equations_at_every_step():
    case = stack("gru", bidirectional=True)
    for place, q in zip(case.layout.places(), reference.quantities(forward(case)[2]), strict=True):
        assert list(q) == ["reset_gate", "update_gate", "candidate", "hidden_state"]
        before = neighbours(q["hidden_state"], case.state[0][place.index], place.direction)
        mixed = (1 - q["update_gate"]) * q["candidate"] + q["update_gate"] * before
        np.testing.assert_array_equal(q["hidden_state"], mixed)


@every_cell
def test_reversed_direction_is_the_forward_one_of_each_sequence_reversed(cell):
    case = stack(cell, widths=(3,), bidirectional=True)
    flipped = case.x.copy()
    for b, length in enumerate(LENGTHS):
        flipped[:length, b] = case.x[:length, b][::-1]
    parameters = case.parameters | {
        name.removesuffix("_reverse"): a for name, a in case.parameters.items() if name.endswith("_reverse")
    }
    state = tuple(arrays[::-1] for arrays in case.state)
    forwards = reference.quantities(forward(case._replace(x=flipped, parameters=parameters, state=state))[2])[0]
    backwards = reference.quantities(forward(case)[2])[1]
    assert forwards.keys() == backwards.keys()
    for name, got in backwards.items():
        for b, length in enumerate(LENGTHS):
            np.testing.assert_allclose(got[:length, b][::-1], forwards[name][:length, b], rtol=1e-13)
            assert not got[length:, b].any()


@every_cell
def test_final_state_is_that_of_the_last_step_of_each_direction(cell):
    case = stack(cell, bidirectional=True)
    _, state, tape = forward(case)
    names = {"h": "hidden_state", "c": "cell_state"}
    for place, found in zip(case.layout.places(), reference.quantities(tape), strict=True):
        for name, initial, final in zip(case.layout.states, case.state, state, strict=True):
            for b, length in enumerate(LENGTHS):
                last = 0 if place.direction else length - 1
                want = found[names[name]][last, b] if length else initial[place.index][b]
                np.testing.assert_array_equal(final[place.index][b], want)


@every_cell
def test_arguments_are_not_written_to(cell):
    case = stack(cell, bidirectional=True, dropout=True)
    states = named(case, "", case.state) | named(case, "d", case.dstate)
    given = {"x": case.x, "dy": case.dy, **states, **case.parameters}
    copies = {name: a.copy() for name, a in given.items()}
    run(case)
    assert_equal(given, copies)
