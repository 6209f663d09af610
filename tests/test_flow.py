"""How gradients flow back through time: row B6, and quantities of cells, row E1."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import fastlstm
from fastlstm import GRU, LSTM, RNN, gradient_flow, plot_gradient_flow

T = 100


def remembering(rnn, steps):
    """With the forget-gate biases of Tallec & Ollivier (2018): units that forget within up to `steps` steps."""
    H, state = rnn.hidden_size, rnn.state_dict()
    for name in state:
        if name.startswith("bias_ih"):
            state[name][H : 2 * H] = np.log(np.linspace(1, steps - 1, H))
    rnn.load_state_dict(state)
    return rnn


def signal(size):
    return np.random.default_rng(0).standard_normal((T, 4, size))


def test_the_plain_cells_gradient_vanishes_and_the_lstms_does_not():
    x = signal(3)
    plain, skipping = gradient_flow(RNN(3, 20, seed=0), x)[0], gradient_flow(RNN(3, 20, 2, skip=True, seed=0), x)
    lstm = gradient_flow(remembering(LSTM(3, 20, seed=0), T), x)[0]
    assert plain[0] < 1e-12 * plain[-1]
    assert (skipping[:, 0] < 1e-9 * skipping[:, -1]).all()  # skips are short cuts up the layers, not through time
    assert lstm[0] > 1e-2 * lstm[-1]


def test_the_flow_is_the_gradient_of_the_loss():
    """∂L/∂h_t is the gradient of the state in which the rest of the sequence begins."""
    for stack, options in [(RNN, {}), (GRU, {}), (LSTM, {"proj_size": 3}), (GRU, {"bidirectional": True, "num_layers": 2})]:
        rnn = stack(3, 5, dtype="float64", seed=0, **options)
        x, dy = signal(3)[:6], np.random.default_rng(1).standard_normal((6, 4, rnn.layout.output_size))
        flow = gradient_flow(rnn, x, dy=dy)
        assert flow.shape == (len(rnn.places), 6)
        if not rnn.bidirectional:
            _, state = rnn(x[:3])
            _, _, tape = rnn.forward(x[3:], state)
            _, dstate, _ = rnn.backward(tape, dy[3:])
            dh = dstate[0] if isinstance(dstate, tuple) else dstate
            assert np.isclose(flow[0, 2], np.linalg.norm(dh + dy[2]), rtol=1e-12)


def test_a_large_recurrent_matrix_explodes_and_clipping_tames_it():
    """A linear cell of spectral radius 1.3 that is to tell what it read three steps before the end."""
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "gradient_flow.py"))
    flow = gradient_flow(example["exploding"](), signal(1))[0]
    assert flow[0] > 1e10 * flow[-1]
    clipped = example["train"](1.0)
    assert clipped[0] > 1000
    assert np.mean(clipped[-20:]) < 0.05
    with np.errstate(all="ignore"):
        assert not np.isfinite(example["train"](None)[-1])


def test_the_picture_has_a_curve_for_every_flow():
    x = signal(3)
    flows = {"plain": gradient_flow(RNN(3, 8, seed=0), x), "LSTM": gradient_flow(LSTM(3, 8, seed=0), x)[0]}
    figure = plot_gradient_flow(flows)
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["plain", "LSTM"]
    for line, flow in zip(axes.lines, flows.values(), strict=True):
        assert len(line.get_ydata()) == T
        assert line.get_ydata()[-1] == 1
        assert np.isclose(line.get_ydata()[-2], np.atleast_2d(flow)[0, -2] / np.atleast_2d(flow)[0, -1])
    assert axes.get_yscale() == "log"


def test_a_flow_is_drawn_as_it_is():
    (axes,) = plot_gradient_flow(gradient_flow(LSTM(3, 8, 2, seed=0), signal(3))).axes
    assert [line.get_label() for line in axes.lines] == ["cell 0", "cell 1"]


def test_only_stacks_have_a_flow():
    with pytest.raises(TypeError, match="rnn must be an LSTM, GRU or RNN, got ndarray"):
        gradient_flow(np.zeros((5, 2, 3)), RNN(3, 5))


@pytest.mark.parametrize(("x", "message"), [
    (np.zeros((5, 2, 4)), r"x must have shape \(T, B, 3\), got \(5, 2, 4\)"),
    (np.zeros((0, 2, 3)), r"x must not be empty, got shape \(0, 2, 3\)"),
])
def test_wrong_input_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        gradient_flow(RNN(3, 5), x)


@pytest.mark.parametrize("stack", [
    (LSTM, {}), (LSTM, {"coupled": True, "peephole": "diagonal", "bidirectional": True}), (GRU, {"num_layers": 2}),
    (RNN, {"bidirectional": True}), (LSTM, {"proj_size": 2}),
])
@pytest.mark.parametrize("lengths", [None, (3, 6, 0, 5)])
def test_quantities_equal_the_references(compiled, stack, lengths):
    kind, options = stack
    rnn, x = kind(3, 5, dtype="float64", seed=0, **options), signal(3)[:6]
    found = [layer.quantities for layer in rnn.trace(x, lengths=lengths)]
    with fastlstm.engine("reference"):
        references = [layer.quantities for layer in rnn.trace(x, lengths=lengths)]
    assert [list(quantities) for quantities in found] == [list(place.cell.quantities) for place in rnn.places]
    for got, want in zip(found, references, strict=True):
        for name in want:
            np.testing.assert_allclose(got[name], want[name], rtol=0, atol=1e-13)
