"""The LSTM's variants against hand computation: peepholes, coupled and held gates; and numbers of weights."""

from math import prod

import numpy as np
import pytest

from fastlstm import reference
from fastlstm.cells import Cell, Layout
from helpers import assert_close
from reference_cases import forward, problem, run

sigmoid = reference.sigmoid


def single(cell, x, c, held=None, **parameters):
    """What one step of a cell without recurrence computes for one sequence; parameters not given are 0."""
    layout = Layout.stacked(cell, (cell.hidden_size,))
    weights = {name: np.zeros(shape) for name, shape in layout.shapes().items()}
    weights |= {f"{name}_l0": np.array(value, float) for name, value in parameters.items()}
    h, c = np.zeros((1, cell.output_size)), np.array([c], float)
    *_, tape = reference.stack_forward(layout, weights, np.array([[x]], float), ([h], [c]), held={0: held or {}})
    (found,) = reference.quantities(tape)
    return {name: a[0, 0] for name, a in found.items()}


def test_output_gate_sees_the_new_cell_state():
    cell = Cell("lstm", 1, 1, bias=False, peephole="diagonal")
    found = single(cell, [2], [1], weight_ih=[[0], [0], [1], [0]], weight_co=[3])
    c = 0.5 * 1 + 0.5 * np.tanh(2)
    np.testing.assert_allclose(found["cell_state"], c, rtol=1e-15)
    np.testing.assert_allclose(found["output_gate"], sigmoid(3 * c), rtol=1e-15)  # were it c_{t-1}, of 3 * 1


def test_input_and_forget_gates_see_the_old_cell_state():
    cell = Cell("lstm", 1, 1, bias=False, peephole="diagonal")
    found = single(cell, [2], [0.5], weight_ih=[[0], [0], [1], [0]], weight_ci=[3], weight_cf=[-2])
    np.testing.assert_allclose(found["input_gate"], sigmoid(1.5), rtol=1e-15)
    np.testing.assert_allclose(found["forget_gate"], sigmoid(-1.0), rtol=1e-15)
    np.testing.assert_allclose(found["candidate"], np.tanh(2), rtol=1e-15)


def test_full_peephole_multiplies_from_the_left():
    cell = Cell("lstm", 1, 2, bias=False, peephole="full")
    found = single(cell, [0], [1, 2], weight_ci=[[0, 5], [0, 0]])  # unit 0 sees c of unit 1
    np.testing.assert_allclose(found["input_gate"], sigmoid(np.array([10.0, 0])), rtol=1e-15)


@pytest.mark.parametrize("options", [{}, {"coupled": True}, {"proj_size": 2}])
def test_full_peepholes_of_diagonal_matrices_equal_diagonal_ones(options):
    stack = {"T": 6, "widths": (4, 3), "bidirectional": True, "lengths": (4, 0, 6), "dropout": True, **options}
    diagonal, full = (problem("lstm", peephole=peephole, **stack) for peephole in ("diagonal", "full"))
    peepholes = {name for name in diagonal.parameters if name.startswith("weight_c")}
    matrices = {name: np.diag(a) if name in peepholes else a for name, a in diagonal.parameters.items()}
    got, want = run(diagonal._replace(layout=full.layout, parameters=matrices)), run(diagonal)
    assert_close(got | {name: np.diagonal(got[name]) for name in peepholes}, want, 1e-14)


def test_coupled_input_gate_is_what_is_forgotten():
    found = single(Cell("lstm", 1, 1, coupled=True, bias=False), [1], [4], weight_ih=[[-1], [2], [0]])  # f, g, o
    f = sigmoid(-1.0)
    np.testing.assert_allclose(found["forget_gate"], f, rtol=1e-15)
    np.testing.assert_allclose(found["input_gate"], 1 - f, rtol=1e-15)
    np.testing.assert_allclose(found["cell_state"], 4 * f + (1 - f) * np.tanh(2), rtol=1e-15)


def test_projected_output():
    weights = {"weight_ih": np.ones((12, 1)), "weight_hr": [[1, 2, 3], [0, 0, -1]]}
    found = single(Cell("lstm", 1, 3, proj_size=2, bias=False), [1], [1, 2, 3], **weights)
    c = sigmoid(1.0) * (np.array([1, 2, 3]) + np.tanh(1))
    m = sigmoid(1.0) * np.tanh(c)
    np.testing.assert_allclose(found["cell_state"], c, rtol=1e-15)
    np.testing.assert_allclose(found["hidden_state"], [m[0] + 2 * m[1] + 3 * m[2], -m[2]], rtol=1e-15)


# ---- sizes -------------------------------------------------------------------------------------------------------


def weights(kind, H=5, **options):
    return sum(map(prod, Layout.stacked(Cell(kind, 3, H, **options), (H,)).shapes().values()))


@pytest.mark.parametrize("bias", [False, True])
def test_numbers_of_weights(bias):
    H, plain = 5, weights("lstm", bias=bias)
    assert plain == 4 * H * (3 + H + 2 * bias)
    assert weights("lstm", peephole="diagonal", bias=bias) == plain + 3 * H
    assert weights("lstm", peephole="full", bias=bias) == plain + 3 * H * H
    assert weights("lstm", coupled=True, bias=bias) == 3 * plain // 4
    assert weights("lstm", coupled=True, peephole="full", bias=bias) == 3 * plain // 4 + 2 * H * H
    assert weights("lstm", proj_size=2, bias=bias) == 4 * H * (3 + 2 + 2 * bias) + 2 * H
    assert weights("gru", bias=bias) == weights("gru", reset_after=False, bias=bias) == 3 * plain // 4
    assert weights("rnn", bias=bias) == plain // 4


# ---- held gates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"peephole": "full"}, {"proj_size": 2}])
def test_nothing_forgotten_and_nothing_written_keeps_the_cell_state_for_10000_steps(options):
    case = problem("lstm", 10_000, 2, 2, **options)
    _, (_, (c,)), tape = forward(case, {"forget_gate": 1, "input_gate": 0})
    (found,) = reference.quantities(tape)
    assert (found["cell_state"] == case.state[1][0]).all()
    assert (c == case.state[1][0]).all()


def test_coupled_gate_that_forgets_nothing_writes_nothing():
    case = problem("lstm", 100, coupled=True)
    _, (_, (c,)), tape = forward(case, {"forget_gate": 1})
    assert (c == case.state[1][0]).all()
    assert not reference.quantities(tape)[0]["input_gate"].any()


def test_forgetting_all_erases_the_cell_state():
    (found,) = reference.quantities(forward(problem("lstm"), {"forget_gate": 0})[2])
    assert (found["cell_state"] == found["input_gate"] * found["candidate"]).all()


def test_write_half_forget_a_quarter_read_three_quarters():
    cell = Cell("lstm", 1, 1, bias=False, activation="linear")
    held = {"input_gate": 0.5, "forget_gate": 0.75, "output_gate": 0.75}
    found = single(cell, [2], [1], held, weight_ih=[[5], [5], [1], [5]])
    assert {name: a.item() for name, a in found.items()} == held | {
        "candidate": 2.0, "cell_state": 0.75 * 1 + 0.5 * 2, "hidden_state": 0.75 * 1.75
    }


def test_held_update_gate_keeps_or_replaces_the_state():
    case = problem("gru", 50, widths=(2,))
    y, *_, tape = forward(case, {"update_gate": np.array([1.0, 0.0])})
    assert (y[..., 0] == case.state[0][0][:, 0]).all()
    assert (y[..., 1] == reference.quantities(tape)[0]["candidate"][..., 1]).all()


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [("lstm", {"coupled": True}, "input_gate"), ("gru", {}, "forget_gate"), ("lstm", {}, "i")],
)
def test_gate_that_a_cell_does_not_have_cannot_be_held(kind, options, name):
    with pytest.raises(ValueError, match=rf"^a held gate must be one of '\w+', .*, got '{name}'"):
        forward(problem(kind, **options), {name: 1})
