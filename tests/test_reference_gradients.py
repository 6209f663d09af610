"""The gradients of every cell of the reference, in stacks of every kind, against central differences."""

import numpy as np
import pytest

from fastlstm import reference
from reference_cases import check_gradients, problem, run

CELLS = {
    "rnn": ("rnn", {}),
    "rnn-relu": ("rnn", {"activation": "relu"}),
    "gru": ("gru", {}),
    "gru-before": ("gru", {"reset_after": False}),
    "lstm": ("lstm", {}),
    "diagonal": ("lstm", {"peephole": "diagonal"}),
    "full": ("lstm", {"peephole": "full"}),
    "coupled": ("lstm", {"coupled": True}),
    "coupled-diagonal": ("lstm", {"coupled": True, "peephole": "diagonal"}),
    "coupled-full": ("lstm", {"coupled": True, "peephole": "full"}),
    "projected": ("lstm", {"proj_size": 2}),
    "projected-diagonal": ("lstm", {"proj_size": 1, "peephole": "diagonal"}),
    "projected-coupled-full": ("lstm", {"proj_size": 2, "coupled": True, "peephole": "full"}),
}
RAGGED = {"T": 3, "B": 3, "lengths": (2, 0, 3)}
STACKS = {
    "one": {},
    "one-step": {"T": 1, "widths": (2, 3)},
    "no-bias": {"bias": False, **RAGGED},
    "two-ways": {"widths": (2, 1), "bidirectional": True, "dropout": True, **RAGGED},
    "summed": {"widths": (2, 2), "bidirectional": True, "merge": "sum", "skip": True, "dropout": True, "T": 2, "B": 2},
    "skips": {"widths": (2, 3, 2), "skip": True, "dropout": True, **RAGGED},
    "skips-two-ways": {"widths": (2, 1, 2), "bidirectional": True, "skip": True, "bias": False, "T": 2, "B": 2},
}
NAMES = list(reference.ACTIVATIONS)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_equal_central_differences(cell, stack):
    kind, options = CELLS[cell]
    check_gradients(problem(kind, **options, **STACKS[stack]))


@pytest.mark.parametrize(("activation", "recurrent_activation"), list(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True)))
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("lstm", {"peephole": "full"}), ("lstm", {"coupled": True, "clip": 0.5}), ("gru", {}), ("gru", {"clip": 0.5}),
        ("rnn", {}),
    ],
)
def test_gradients_of_other_activations_equal_central_differences(kind, options, activation, recurrent_activation):
    check_gradients(
        problem(kind, 3, 2, activation=activation, recurrent_activation=recurrent_activation, seed=1, **options)
    )


@pytest.mark.parametrize(
    ("kind", "options", "held"),
    [
        ("lstm", {"peephole": "full"}, {"forget_gate": 0.75}),
        ("lstm", {"peephole": "diagonal"}, {"input_gate": np.array([0.0, 0.5, 1.0]), "output_gate": 0.5}),
        ("lstm", {"coupled": True, "peephole": "full"}, {"forget_gate": 0.25}),
        ("lstm", {"proj_size": 2}, {"candidate": 0.5}),
        ("gru", {}, {"reset_gate": 0.5}),
        ("gru", {"reset_after": False}, {"update_gate": np.array([0.0, 0.5, 1.0])}),
        ("gru", {}, {"candidate": -0.5}),
    ],
)
def test_gradients_with_held_gates_equal_central_differences(kind, options, held):
    case = problem(kind, widths=(3, 3), **options)
    check_gradients(case, held)
    gradients = run(case, held)
    gates = list(case.layout.layers[0][0].gates.values())
    for name in held:
        rows = slice(3 * gates.index(name), 3 * gates.index(name) + 3)
        assert all(not gradients[f"{p}_l1"][rows].any() for p in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_a_loss_without_slope_are_zero(cell):
    kind, options = CELLS[cell]
    case = problem(kind, widths=(3, 2), bidirectional=True, **options)
    flat = case._replace(dy=0 * case.dy, dstate=tuple([0 * d for d in arrays] for arrays in case.dstate))
    results = run(flat)
    assert not any(results[name].any() for name in ["dx", "dh0", *case.parameters])
