"""Every cell with every option, rows A1 to A11 and A13: the compiled engines against the reference, PyTorch and differences."""

import copy
import pickle
import re
import sys
import threading
from itertools import product

import numpy as np
import pytest

import fastlstm
from fastlstm import GRU, LSTM, RNN, _core
from fastlstm.cells import Cell, Layout
from helpers import (
    RAGGED,
    Case,
    assert_close,
    assert_equal,
    assert_forward_close,
    assert_gradients,
    gradient_bound,
    named,
    random_case,
    relative_error,
    run,
    run_reference,
)

CELLS = {
    "plain": (RNN, {}),
    "plain, ReLU": (RNN, {"nonlinearity": "relu"}),
    "plain, sigmoid, no bias": (RNN, {"nonlinearity": "sigmoid", "bias": False}),
    "LSTM": (LSTM, {}),
    "peephole": (LSTM, {"peephole": "diagonal"}),
    "full peephole": (LSTM, {"peephole": "full"}),
    "coupled": (LSTM, {"coupled": True}),
    "coupled peephole": (LSTM, {"coupled": True, "peephole": "diagonal", "bias": False}),
    "coupled full peephole": (LSTM, {"coupled": True, "peephole": "full"}),
    "projected": (LSTM, {"proj_size": 3}),
    "projected coupled peephole": (LSTM, {"proj_size": 2, "coupled": True, "peephole": "diagonal"}),
    "projected full peephole": (LSTM, {"proj_size": 4, "peephole": "full", "activation": "softsign"}),
    "GRU": (GRU, {}),
    "GRU, no bias": (GRU, {"bias": False}),
    "GRU, reset before": (GRU, {"reset_after": False}),
    "LSTM, clipped": (LSTM, {"clip": 0.3}),
    "projected full peephole, clipped": (LSTM, {"proj_size": 4, "peephole": "full", "clip": 0.3}),
    "GRU, clipped": (GRU, {"clip": 0.3}),
    "GRU, other activations": (GRU, {"activation": "softsign", "recurrent_activation": "hard_sigmoid"}),
    "GRU, reset before, other activations": (GRU, {"reset_after": False, "activation": "relu", "bias": False, "clip": 1.0}),
}
STACKS = {
    "one layer": {"L": 1},
    "two layers, ragged": {"L": 2, "lengths": RAGGED},
    "bidirectional, dropout": {"L": 2, "bidirectional": True, "dropout": 0.3, "recurrent_dropout": 0.3},
    "bidirectional sum, ragged": {"L": 3, "bidirectional": True, "merge": "sum", "lengths": RAGGED, "dropout": 0.3},
    "skip, ragged, recurrent dropout": {"L": 3, "skip": True, "lengths": RAGGED, "recurrent_dropout": 0.4},
    "skip, bidirectional": {"L": 2, "skip": True, "bidirectional": True, "dropout": 0.3},
    "widths": {"H": (5, 7, 6), "L": 3, "dropout": 0.3},
    "widths, bidirectional, skip, ragged": {
        "H": (6, 5), "L": 2, "bidirectional": True, "skip": True, "lengths": RAGGED, "recurrent_dropout": 0.3,
    },
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
every_stack = pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)


def make(cell, **options):
    kind, given = cell
    return random_case(stack=kind, **given, **options)


# ---- against the reference, differences, PyTorch -----------------------------------------------------------------


@every_cell
@every_stack
def test_float64_equals_reference(compiled, cell, stack):
    case = make(cell, **stack)
    assert_close(run(case, dropout_seed=5), run_reference(case, dropout_seed=5), 1e-12)
    y, state = case.rnn(case.x, case.state, case.lengths)
    want = run_reference(case)
    got = {"y": y, **named(case.rnn, "", "", state)}
    assert_close(got, {name: want[name] for name in got}, 1e-12)


@every_cell
@pytest.mark.parametrize("sizes", [(1, 3, 1), (30, 3, 34), (20, 23, 65)], ids=str)
def test_float32_is_within_bounds(compiled, isa, cell, sizes):
    T, B, H = sizes
    kind, options = cell
    options = {**options, "proj_size": H // 2} if "proj_size" in options else options
    if H == 1 and "proj_size" in options:
        H, options = 2, {**options, "proj_size": 1}  # fewer numbers than units
    lengths = np.random.default_rng(T).integers(0, T + 1, B) if B == 23 else None
    case = random_case(T, B, 5, H, 2, stack=kind, dtype="float32", lengths=lengths, **options)
    got, want = run(case), run_reference(case)
    for name in ("y", *named(case.rnn, "", "", case.state)):
        assert_forward_close(got[name], want[name])
    assert_close(got, want, gradient_bound(T, B, H))


@every_cell
@pytest.mark.parametrize("stack", [
    {"T": 1, "L": 1}, {"L": 2, "lengths": (2, 0, 4), "recurrent_dropout": 0.4},
    {"L": 2, "bidirectional": True, "skip": True, "dropout": 0.4, "lengths": (1, 3, 4)},
], ids=["one step", "ragged", "bidirectional, skip"])
def test_gradients_equal_central_differences(compiled, cell, stack):
    kind, options = cell
    options = {**options, "proj_size": 2} if "proj_size" in options else options
    case = random_case(**{"T": 4, "B": 3, "I": 2, "H": 3, **options, **stack}, stack=kind)
    rnn, parameters = case.rnn, case.rnn.state_dict()

    def loss():
        rnn.load_state_dict(parameters)
        y, state, _ = rnn.forward(case.x, case.state, case.lengths, dropout_seed=3)
        ends, weights = named(rnn, "", "", state), named(rnn, "", "", case.dstate)
        return np.sum(y * case.dy) + sum(np.sum(ends[name] * weights[name]) for name in ends)

    # Public states are copies of one array: perturb that.
    assert_gradients(loss, {"dx": case.x, **named(rnn, "d", "0", case.state), **parameters}, run(case, dropout_seed=3))


TORCH = {
    "RNN": (RNN, {}, {}), "RNN, ReLU": (RNN, {"nonlinearity": "relu"}, {"nonlinearity": "relu"}), "LSTM": (LSTM, {}, {}),
    "projected": (LSTM, {"proj_size": 3}, {"proj_size": 3}), "GRU": (GRU, {}, {}),
}


@pytest.mark.parametrize("cell", TORCH.values(), ids=TORCH)
@pytest.mark.parametrize("lengths", [None, (4, 2, 6, 1)])
@pytest.mark.parametrize(("L", "bidirectional", "bias"), [(1, False, True), (2, True, True), (2, False, False)])
def test_equals_torch(compiled, torch, cell, lengths, L, bidirectional, bias):
    kind, ours, theirs = cell
    case = random_case(L=L, stack=kind, bidirectional=bidirectional, bias=bias, lengths=lengths, **ours)
    rnn = case.rnn
    module = getattr(torch.nn, kind.__name__)(
        3, 5, L, bidirectional=bidirectional, bias=bias, dtype=torch.float64, **theirs
    )
    module.load_state_dict({name: torch.from_numpy(p) for name, p in rnn.state_dict().items()})
    parts, dparts = (named(rnn, "", "", state).values() for state in (case.state, case.dstate))
    x, *initial = (torch.tensor(a, requires_grad=True) for a in (case.x, *parts))
    packed = x
    if lengths:
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    y, state = module(packed, tuple(initial) if len(initial) > 1 else initial[0])
    if lengths:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=6)
    final = state if isinstance(state, tuple) else (state,)
    torch.autograd.backward([y, *final], [torch.tensor(a) for a in (case.dy, *dparts)])
    names = list(named(rnn, "", "", case.state))
    want = {"y": y, "dx": x.grad, **dict(zip(names, final, strict=True))}
    want |= {f"d{name}0": a.grad for name, a in zip(names, initial, strict=True)}
    want |= {name: p.grad for name, p in module.named_parameters()}
    assert_close(run(case), {name: a.detach().numpy() for name, a in want.items()}, 1e-12)


def test_full_peepholes_that_are_diagonal_equal_diagonal_ones(compiled):
    case = make(CELLS["peephole"], L=2)
    full = LSTM(3, 5, 2, peephole="full", dtype="float64")
    full.load_state_dict({
        name: np.diag(p) if name.startswith("weight_c") else p for name, p in case.rnn.parameters.items()
    })
    got, want = run(case._replace(rnn=full)), run(case)
    assert_close(
        {name: np.diagonal(a) if name.startswith("weight_c") else a for name, a in got.items()}, want, 1e-12
    )


def test_parameters_are_as_many_as_the_cells_say():
    def count(stack, **options):
        return sum(p.size for p in stack(7, 10, **options).parameters.values())

    lstm = count(LSTM)
    assert lstm == 4 * 10 * (7 + 10 + 2)
    assert count(LSTM, peephole="diagonal") == lstm + 3 * 10
    assert count(LSTM, peephole="full") == lstm + 3 * 100
    assert count(LSTM, coupled=True) == count(GRU) == lstm * 3 // 4
    assert count(LSTM, coupled=True, peephole="diagonal") == lstm * 3 // 4 + 2 * 10
    assert count(RNN) == lstm // 4
    assert count(LSTM, bidirectional=True) == 2 * lstm


# ---- streams, chunks, tokens, lengths ----------------------------------------------------------------------------


@pytest.mark.parametrize("stack", [
    {}, {"lengths": RAGGED}, {"H": (5, 7), "L": 2}, {"L": 2, "bidirectional": True},
    {"L": 3, "bidirectional": True, "merge": "sum"},
], ids=["one layer", "ragged", "widths", "bidirectional", "bidirectional sum"])
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "plain", "peephole"])
def test_a_call_without_a_state_starts_from_zeros(engine, cell, stack):
    """To the bit, though it may take another way to the kernels."""
    case = make(CELLS[cell], **stack)
    rnn, x = case.rnn, case.x
    zeros = rnn.public_state(rnn.zero_states(4))
    (y, state), (want_y, want) = rnn(x, lengths=case.lengths), rnn(x, zeros, case.lengths)
    assert_equal({"y": y, **named(rnn, "", "", state)}, {"y": want_y, **named(rnn, "", "", want)})


@every_cell
@pytest.mark.parametrize("stack", [{"L": 2}, {"L": 2, "skip": True}, {"H": (5, 7), "L": 2}], ids=["stacked", "skip", "widths"])
def test_streamed_equals_whole(engine, cell, stack):
    case = make(cell, **stack)
    y, state = case.rnn(case.x, case.state)
    stream = case.rnn.stream(4)
    stream.state = case.state
    outputs = np.array([stream.step(x) for x in case.x])
    got = {"y": outputs, **named(case.rnn, "", "", stream.state)}
    assert_close(got, {"y": y, **named(case.rnn, "", "", state)}, 1e-12)
    stream.reset()
    zeros, after = named(case.rnn, "", "", stream.state), named(case.rnn, "", "", state)
    assert {name: array.shape for name, array in zeros.items()} == {name: array.shape for name, array in after.items()}
    for array in zeros.values():
        assert not array.any()
        array += 1  # a copy: the stream goes on from 0
    assert relative_error(stream.step(case.x[0]), case.rnn(case.x[:1])[0][0]) <= 1e-12


@every_cell
def test_chunked_equals_whole(compiled, isa, dtype, cell):
    case = make(cell, T=9, L=2, H=17, dtype=dtype)
    whole, rnn = run(case), case.rnn
    y1, state, tape1 = rnn.forward(case.x[:4], case.state)
    y2, state, tape2 = rnn.forward(case.x[4:], state)
    dx2, dstate, gradients2 = rnn.backward(tape2, case.dy[4:], case.dstate)
    dx1, dstate, gradients1 = rnn.backward(tape1, case.dy[:4], dstate)
    chunked = {"y": np.concatenate([y1, y2]), "dx": np.concatenate([dx1, dx2])}
    chunked |= {**named(rnn, "", "", state), **named(rnn, "d", "0", dstate)}
    chunked |= {name: gradients1[name] + gradients2[name] for name in gradients1}
    assert_close(chunked, whole, 1e-12 if dtype == np.float64 else 5e-6)


@every_stack
@pytest.mark.parametrize("cell", ["LSTM", "GRU, reset before"])
def test_tapes_at_the_same_time_share_nothing(engine, stack, cell):
    """Nor do they with the outputs, which are the caller's."""
    case = make(CELLS[cell], **stack)
    rnn, seed = case.rnn, 3
    want = run(case, dropout_seed=seed)
    y, state, tape = rnn.forward(case.x, case.state, case.lengths, dropout_seed=seed)
    _, _, other = rnn.forward(-case.x, case.state, case.lengths, dropout_seed=seed)
    assert_equal({"y": y, **named(rnn, "", "", state)}, {name: want[name] for name in ("y", *named(rnn, "", "", state))})
    y.fill(np.nan)
    dx, d_state, gradients = rnn.backward(tape, case.dy, case.dstate)
    rnn.backward(other, case.dy, case.dstate)
    got = {"dx": dx, **named(rnn, "d", "0", d_state), **gradients}
    assert_equal(got, {name: want[name] for name in got})


@every_cell
@pytest.mark.parametrize("stack", [
    {"L": 2}, {"L": 2, "bidirectional": True, "lengths": RAGGED}, {"L": 2, "skip": True, "bidirectional": True},
], ids=["stacked", "bidirectional, ragged", "skip, bidirectional"])
@pytest.mark.parametrize("I", [5, 30])  # of more tokens than rows of input most do not occur
def test_tokens_equal_one_hot_vectors(engine, cell, stack, I):
    case = make(cell, I=I, **stack)
    tokens = np.random.default_rng(1).integers(0, I, (6, 4))
    by_vectors, by_tokens = run(case._replace(x=np.eye(I)[tokens])), run(case._replace(x=tokens))
    assert by_tokens.pop("dx") is None
    del by_vectors["dx"]
    assert_close(by_tokens, by_vectors, 1e-12)


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_no_bit(compiled, isa, dtype, cell, bidirectional):
    case = make(cell, L=2, lengths=RAGGED, bidirectional=bidirectional, dtype=dtype)
    clean = run(case)
    padding = np.arange(6)[:, None] >= case.lengths
    for poison in (np.nan, np.inf, 1e30):
        case.x[padding] = case.dy[padding] = poison
        assert_equal(run(case), clean)
    assert not clean["y"][padding].any()
    assert not clean["dx"][padding].any()
    y, state = case.rnn(case.x, case.state, case.lengths)
    called = {"y": y, **named(case.rnn, "", "", state)}
    assert_equal(called, {name: clean[name] for name in called})


@every_cell
def test_ragged_equals_one_by_one(compiled, cell):
    case = make(cell, L=2, lengths=RAGGED, bidirectional=True)
    together = run(case)
    for b, length in enumerate(case.lengths):
        part = [a[:, b : b + 1] for a in named(case.rnn, "", "", case.state).values()]
        y, state = case.rnn(case.x[:length, b : b + 1], part if len(part) > 1 else part[0])
        assert relative_error(together["y"][:length, b : b + 1], y) <= 1e-12
        for name, got in named(case.rnn, "", "", state).items():
            assert relative_error(together[name][:, b : b + 1], got) <= 1e-12


@every_cell
def test_no_gradient_gives_exactly_none(compiled, isa, dtype, cell):
    case = make(cell, L=2, bidirectional=True, dropout=0.5, recurrent_dropout=0.5, lengths=RAGGED, dtype=dtype)
    dstate = [np.zeros_like(a) for a in case.dstate] if isinstance(case.dstate, tuple) else np.zeros_like(case.dstate)
    results = run(case._replace(dy=np.zeros_like(case.dy), dstate=dstate), dropout_seed=1)
    forward = {"y", *named(case.rnn, "", "", case.state)}
    assert all(not results[name].any() for name in results.keys() - forward)


COPIES = {"copy": copy.copy, "deep copy": copy.deepcopy, "pickle": lambda original: pickle.loads(pickle.dumps(original))}
every_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@every_cell
@every_copy
def test_copies_and_pickles_are_whole_and_apart(cell, copied):
    case = make(cell, H=(5, 6), L=2, bidirectional=True, merge="sum", skip=True, dropout=0.5, recurrent_dropout=0.5)
    other = case._replace(rnn=copied(case.rnn))
    assert_equal(run(other), run(case))  # dropout is drawn from the same state, by each
    other.rnn.load_state_dict({name: 0 * p for name, p in other.rnn.parameters.items()})
    assert case.rnn.parameters["weight_hh_l0"].any()


@every_cell
@every_copy
def test_copies_and_pickles_of_streams_go_on_by_themselves(engine, cell, copied):
    case, x = make(cell, H=(5, 6), L=2), np.random.default_rng(1).standard_normal((2, 6, 4, 3))
    stream = case.rnn.stream(4)
    stream.state = case.state
    for x_t in case.x:
        stream.step(x_t)
    branches = [copied(stream), stream]
    with fastlstm.engine("reference"):  # a stream's engine is the one it was made with
        branches.append(copied(stream))
    outputs = [np.array([branch.step(x_t) for x_t in x[k % 2]]) for k, branch in enumerate(branches)]
    np.testing.assert_array_equal(outputs[0], outputs[2])
    for k, branch in enumerate(branches):
        y, state = case.rnn(np.concatenate([case.x, x[k % 2]]), case.state)
        got, want = named(case.rnn, "", "", branch.state), named(case.rnn, "", "", state)
        assert_close({"y": outputs[k], **got}, {"y": y[6:], **want}, 1e-12)


@every_copy
def test_only_plain_copies_of_streams_share_their_layers(engine, copied):
    rnn, x = LSTM(3, 4, seed=0), np.ones((1, 3), np.float32)
    stream = copied(rnn.stream())
    before = copied(stream).step(x)
    rnn.load_state_dict({name: 0 * p for name, p in rnn.parameters.items()})
    assert np.array_equal(stream.step(x), before) == (copied is not copy.copy)


def test_stacks_with_held_gates_are_not_copied():
    rnn = LSTM(3, 4, seed=0)
    with rnn.hold(forget_gate=1.0):
        stream, x = rnn.stream(), np.ones((1, 3))
        for copied, original in [(copy.copy, rnn), *product([copy.deepcopy, pickle.dumps], [rnn, stream])]:
            with pytest.raises(TypeError, match=r"gates are held by hand: .* outside the `with` block"):
                copied(original)
        np.testing.assert_array_equal(copy.copy(stream).step(x), stream.step(x))


@every_cell
@pytest.mark.parametrize("kind", ["numbers", "tokens"])
def test_streams_go_on_after_another_instruction_set_is_chosen(engine, cell, kind):
    case, before = make(cell, L=2, H=37, dtype="float32"), _core.isa()
    x = case.x if kind == "numbers" else np.random.default_rng(1).integers(0, 3, (6, 4))
    names = _core.available_isas()
    stream = case.rnn.stream(4)
    try:
        outputs = []
        for t, x_t in enumerate(x):
            _core.use_isa(names[t % len(names)])
            outputs.append(stream.step(x_t))
    finally:
        _core.use_isa(before)
    want = run_reference(case._replace(x=x if kind == "numbers" else np.eye(3)[x], state=None))["y"]
    assert_forward_close(np.array(outputs), want)


@every_cell
def test_same_input_gives_the_same_bits(compiled, isa, dtype, cell):
    case = make(cell, L=2, H=17, bidirectional=True, dtype=dtype, dropout=0.5, recurrent_dropout=0.5)
    first = run(case, dropout_seed=3)
    for _ in range(5):
        assert_equal(run(case, dropout_seed=3), first)


# ---- gates held by hand ------------------------------------------------------------------------------------------


def test_a_shut_gate_keeps_the_state_for_ten_thousand_steps(engine, dtype):
    rnn = LSTM(3, 4, dtype=dtype, seed=0)
    rng = np.random.default_rng(0)
    x, (h, c) = rng.standard_normal((10_000, 1, 3)), rng.standard_normal((2, 1, 1, 4)).astype(dtype)
    with rnn.hold(forget_gate=1.0, input_gate=0.0):
        _, (_, kept) = rnn(x, (h, c))
    np.testing.assert_array_equal(kept, c)
    with rnn.hold(forget_gate=0.0, input_gate=0.0):
        _, (_, erased) = rnn(x[:1], (h, c))
    assert not erased.any()
    assert relative_error(rnn(x[:9], (h, c))[1][1], c) > 0.1  # free again


def test_held_gates_have_their_values(dtype):
    """Write 50%, forget 25%, read 75%."""
    rnn, c = LSTM(3, 4, dtype=dtype, seed=0), np.full((1, 1, 4), 0.5, dtype)
    with rnn.hold(input_gate=0.5, forget_gate=0.75, output_gate=0.75, candidate=np.array([1, 0, -1, 0.5])):
        y, (_, after) = rnn(np.ones((1, 1, 3)), (np.zeros((1, 1, 4)), c))
        stream = rnn.stream()
        stream.state = np.zeros((1, 1, 4)), c
        np.testing.assert_array_equal(stream.step(np.ones((1, 3))), y[0])
        _, _, tape = rnn.forward(np.ones((1, 1, 3)), (np.zeros((1, 1, 4)), c))
    np.testing.assert_array_equal(after[0, 0], np.array([0.875, 0.375, -0.125, 0.625]))
    np.testing.assert_array_equal(y[0, 0], (0.75 * np.tanh(after[0, 0].astype(float))).astype(dtype))
    dx, (_, dc), gradients = rnn.backward(tape, np.ones((1, 1, 4)))
    assert dc.all()
    assert not dx.any()
    assert not any(gradient.any() for gradient in gradients.values())


def test_gates_are_held_in_one_thread_and_one_block():
    rnn, x, seen = LSTM(3, 4, seed=0), np.ones((5, 1, 3)), []
    free, value = rnn(x)[0], np.full(4, 0.5)
    with rnn.hold(output_gate=value):
        value[...] = 0  # a copy was taken
        thread = threading.Thread(target=lambda: seen.append(rnn(x)[0]))
        thread.start()
        thread.join()
        with rnn.hold(input_gate=0.5):
            assert set(rnn.held[0]) == {"output_gate", "input_gate"}
        held = rnn(x)[0]
    np.testing.assert_array_equal(seen[0], free)
    assert held.any()
    assert not np.array_equal(held, free)
    np.testing.assert_array_equal(rnn(x)[0], free)


def test_gates_are_held_in_some_layers():
    rnn, x, value = LSTM(3, (4, 6, 4), 3, bidirectional=True, seed=0), np.ones((5, 2, 3)), np.linspace(0, 1, 6)
    with rnn.hold(layers=1, forget_gate=value), rnn.hold(layers=[0, 2], input_gate=np.full(4, 0.25)):
        with rnn.hold(layers=1, candidate=0.5):
            pass
        held = rnn.trace(x)
    for k, layer in enumerate(held):  # in both directions
        assert np.array_equal(layer.forget_gate, np.broadcast_to(np.float32(value), (5, 2, 6))) == (k in (2, 3))
        assert (layer.input_gate == 0.25).all() == (k not in (2, 3))
        assert not (layer.candidate == 0.5).any()
    assert not rnn.held
    with pytest.raises(ValueError, match=r"forget_gate must have shape \(6,\), got \(4,\)"):
        rnn.hold(layers=1, forget_gate=np.ones(4))
    with pytest.raises(IndexError, match=r"layer 3 is outside \[0, 3\)"):
        rnn.hold(layers=[0, 3], forget_gate=1)


def test_held_gates_are_named_as_the_cell_has_them():
    for rnn, name, message in [
        (LSTM(3, 4), "forgetgate", "did you mean 'forget_gate'"),
        (LSTM(3, 4, coupled=True), "input_gate", "coupled gates have no input gate of their own: hold forget_gate"),
        (LSTM(3, 4, coupled=True), "reset_gate", "the gate must be one of 'forget_gate', 'candidate', 'output_gate'"),
        (GRU(3, 4), "forget_gate", "'reset_gate', 'update_gate', 'candidate'"),
    ]:
        with pytest.raises(ValueError, match=message):  # before a `with` block, which may be missing
            rnn.hold(**{name: 1.0})
    with pytest.raises(ValueError, match=r"must be a number where widths differ by layer, got shape \(4,\)"):
        LSTM(3, (4, 6), 2).hold(forget_gate=np.ones(4))
    with pytest.raises(ValueError, match=r"hold needs a gate and its value, such as input_gate=1\.0"):
        LSTM(3, 4).hold()
    for wrong in (1.0, "1", b"1", np.array(1.5), True):
        with pytest.raises(TypeError, match=f"layers must be a whole number, got {re.escape(repr(wrong))}"):
            LSTM(3, 4, 2).hold(layers=wrong, forget_gate=1)
    with pytest.raises(ValueError, match="hold needs a layer, got none"):
        LSTM(3, 4).hold(layers=[], forget_gate=np.ones(4))
    with pytest.raises(ValueError, match="a plain cell has no gates to hold"):
        RNN(3, 4).hold(forget_gate=1.0)
    with pytest.raises(ValueError, match=r"forget_gate must have shape \(4,\), got \(3,\)"):
        LSTM(3, 4).hold(forget_gate=[1, 2, 3])
    with pytest.raises(ValueError, match="forget_gate must be finite, got NaN or Inf"):
        LSTM(3, 4).hold(forget_gate=np.nan)


# ---- layouts and errors ------------------------------------------------------------------------------------------


def test_layouts_have_the_widths_they_say():
    layout = Layout.stacked(Cell("lstm", 3, 0, proj_size=2), (5, 7), bidirectional=True, skip=True)
    assert [cell.input_size for layer in layout.layers for cell in layer] == [3, 3, 7, 7]
    assert layout.output_size == 8
    assert layout.shapes()["weight_ih_l1_reverse"] == (28, 7)
    summed = Layout.stacked(Cell("gru", 3, 0), (5, 7), bidirectional=True, merge="sum")
    assert [layer[0].input_size for layer in summed.layers] == [3, 5]
    assert summed.output_size == 7


@pytest.mark.parametrize(("stack", "options", "error", "message"), [
    (LSTM, {"peephole": "diagnal"}, ValueError, "got 'diagnal'; did you mean 'diagonal'?"),
    (LSTM, {"proj_size": 8}, ValueError, "proj_size must be less than hidden_size = 8, got 8"),
    (LSTM, {"proj_size": -1}, ValueError, "proj_size must be at least 0, got -1"),
    (RNN, {"clip": 0}, ValueError, "clip must be in (0, inf), got 0"),
    (RNN, {"clip": 10**400}, ValueError, "clip must be in (0, inf), got inf"),
    (GRU, {"clip": "1"}, TypeError, "clip must be a number, got '1'"),
    (LSTM, {"recurrent_dropout": 1}, ValueError, "recurrent_dropout must be in [0, 1), got 1"),
    (GRU, {"merge": "add"}, ValueError, "merge must be one of 'concat', 'sum', got 'add'"),
    (GRU, {"reset_after": "no"}, TypeError, "reset_after must be True or False, got 'no'"),
    (LSTM, {"bias": None}, TypeError, "bias must be True or False, got None"),
    (RNN, {"skip": 2}, TypeError, "skip must be True or False, got 2"),
    (RNN, {"num_layers": True}, TypeError, "num_layers must be a whole number, got True"),
    (RNN, {"nonlinearity": "RELU"}, ValueError, "got 'RELU'; did you mean 'relu'"),
    (GRU, {"hidden_size": (8, 9), "num_layers": 3}, ValueError, "one width for each of 3 layers, got 8, 9"),
    (GRU, {"hidden_size": (8, 0)}, ValueError, "hidden_size[1] must be at least 1, got 0"),
    (RNN, {"nonlinearity": "tahn"}, ValueError, "got 'tahn'; did you mean 'tanh'?"),
])
def test_wrong_options_are_refused(stack, options, error, message):
    with pytest.raises(error) as raised:
        stack(**{"input_size": 3, "hidden_size": 8, **options})
    assert message in str(raised.value)


def test_wrong_states_are_refused():
    x = np.zeros((2, 4, 3))
    for rnn, state, error, message in [
        (GRU(3, 5), np.zeros((1, 4, 6)), ValueError, r"h0 must have shape \(1, 4, 5\), got \(1, 4, 6\)"),
        (LSTM(3, 5, bidirectional=True), np.zeros((2, 4, 5)), TypeError, r"must be a pair \(h0, c0\), got ndarray of 2"),
        (LSTM(3, 5, proj_size=2), (np.zeros((1, 4, 5)),) * 2, ValueError, r"h0 must have shape \(1, 4, 2\)"),
        (GRU(3, (5, 6)), np.zeros((1, 4, 5)), TypeError, "h0 must be a list of 2 arrays, got ndarray of 1"),
        (GRU(3, (5, 6)), [np.zeros((1, 4, 5))] * 2, ValueError, r"h0\[1\] must have shape \(1, 4, 6\), got \(1, 4, 5\)"),
    ]:
        with pytest.raises(error, match=message):
            rnn(x, state)


def test_bidirectional_streams_are_refused():
    with pytest.raises(ValueError, match="a bidirectional stack cannot be streamed"):
        GRU(3, 5, bidirectional=True).stream()


def test_repr_is_the_call_that_makes_one():
    for text in ("LSTM(3, 4)", "GRU(3, (4, 5), num_layers=2, bidirectional=True)", "RNN(3, 4, nonlinearity='relu')"):
        assert repr(eval(text)) == text
    assert repr(LSTM(3, 4, dtype=np.float64)) == "LSTM(3, 4, dtype='float64')"
    assert repr(GRU(3, 4).stream(2)) == "GRU(3, 4).stream(2)"


def test_seeds_are_whole_numbers_from_0():
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        LSTM(3, 4, seed=-1)


def test_uneven_widths_have_lists_of_states():
    rnn = LSTM(3, (4, 6), 2, bidirectional=True, seed=0)
    y, (h, c) = rnn(np.zeros((5, 2, 3)))
    assert y.shape == (5, 2, 12)
    assert [a.shape for a in h] == [a.shape for a in c] == [(2, 2, 4), (2, 2, 6)]
    rnn(np.zeros((5, 2, 3)), (h, c))


# ---- memory ------------------------------------------------------------------------------------------------------


def test_a_single_step_of_two_directions_that_are_added_keeps_their_states(compiled):
    case = random_case(T=1, stack=GRU, bidirectional=True, merge="sum")
    assert_close(run(case), run_reference(case), 1e-12)


@pytest.mark.parametrize("stack", [LSTM, GRU])
def test_a_single_row_of_a_stack_with_skips_leaves_dy_as_it_is(compiled, stack):
    case = random_case(T=1, B=1, L=3, stack=stack, skip=True)
    case.dy.flags.writeable = False
    assert_close(run(case), run_reference(case), 1e-12)


@every_cell
def test_the_lowest_layers_of_a_stack_are_a_stack(compiled, cell):
    stack, options = cell
    rnn, x = stack(4, 5, 3, dtype="float64", seed=0, **options), np.random.default_rng(0).standard_normal((6, 2, 4))
    alone = stack(4, 5, 1, dtype="float64", **options)
    alone.load_state_dict({name: array for name, array in rnn.parameters.items() if name.endswith("l0")})
    whole, _ = rnn(x)
    want = np.array(alone(x)[0])
    lowest = rnn.lowest(1)
    assert np.array_equal(lowest(x)[0], want)
    assert np.array_equal(rnn(x)[0], whole)
    assert repr(lowest) == repr(alone)
    case = Case(lowest, x, None, None, np.ones_like(want), None)
    assert_equal(run(case), run(case._replace(rnn=alone)))
    for copied in COPIES.values():
        assert_equal(run(case._replace(rnn=copied(lowest))), run(case))
    lowest.load_state_dict({name: 0 * p for name, p in lowest.parameters.items()})
    assert not rnn.parameters["weight_hh_l0"].any()
    assert not np.array_equal(rnn(x)[0], whole)


def test_the_lowest_layers_have_their_own_widths(engine):
    rnn, x = LSTM(3, (4, 4, 5), seed=0), np.ones((6, 2, 3))
    alone = LSTM(3, 4, 2)
    alone.load_state_dict(rnn.lowest(2).state_dict())
    np.testing.assert_array_equal(rnn.lowest(2)(x)[0], alone(x)[0])
    assert (rnn.lowest(2).hidden_size, rnn.lowest(3).hidden_size) == (4, (4, 4, 5))


@pytest.mark.parametrize("skip", [False, True])
def test_calls_at_the_same_time_do_not_share_memory(compiled, skip):
    rnn, x = LSTM(8, 64, 2, skip=skip, seed=0), np.random.default_rng(0).standard_normal((20, 30, 2, 8)).astype("f")
    want, wrong = [rnn(one)[0] for one in x], []

    def work():
        for _ in range(10):
            wrong.extend(k for k, one in enumerate(x) if not np.allclose(rnn(one)[0], want[k], atol=1e-5))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong
