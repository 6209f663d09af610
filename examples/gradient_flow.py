"""Why plain recurrent networks forget: gradients on their way back through time, and what clipping does to one that explodes.

python examples/gradient_flow.py [PICTURE]
"""

import sys
from pathlib import Path

import numpy as np

import fastlstm

T, H = 100, 20


def scaled(rnn: fastlstm.RNN, radius: float) -> fastlstm.RNN:
    """The same cell, its recurrent matrix times `radius`."""
    rnn.load_state_dict({name: radius * p if name == "weight_hh_l0" else p for name, p in rnn.parameters.items()})
    return rnn


def remembering(rnn: fastlstm.LSTM) -> fastlstm.LSTM:
    """The same LSTM with forget-gate biases for times of 2 to T steps (Tallec & Ollivier 2018)."""
    state = rnn.state_dict()
    state["bias_ih_l0"][H : 2 * H] = np.log(np.linspace(1, T - 1, H))
    rnn.load_state_dict(state)
    return rnn


def exploding() -> fastlstm.RNN:
    """A linear cell of spectral radius 1.3."""
    return scaled(fastlstm.RNN(1, H, nonlinearity="linear", initializer="orthogonal", dtype="float64", seed=0), 1.3)


def train(clip_norm: float | None) -> list[float]:
    """The losses of an exploding cell that learns to tell what it read three steps before the end."""
    rnn, rng, losses = exploding(), np.random.default_rng(1), []
    optimizer = fastlstm.optim.SGD(rnn)
    for step in range(400):
        x = rng.standard_normal((30, 8, 1))
        y, _, tape = rnn.forward(x)
        error = y[-1].mean(axis=1) - x[-3, :, 0]
        losses.append(float((error**2).mean()))
        if not np.isfinite(losses[-1]):
            break
        dy = np.zeros_like(y)
        dy[-1] = 2 * error[:, None] / error.size / H
        optimizer.step(rnn.backward(tape, dy)[2], 0.1 * 0.995**step, clip_norm=clip_norm)
    return losses


def main() -> None:
    """Draw both."""
    rng = np.random.default_rng(0)
    x, one = rng.standard_normal((T, 4, 3)), rng.standard_normal((T, 4, 1))
    flows = {
        "plain cell": fastlstm.gradient_flow(fastlstm.RNN(3, H, seed=0), x)[0],
        "plain cells, 2 layers with skips: the first": fastlstm.gradient_flow(fastlstm.RNN(3, H, 2, skip=True, seed=0), x)[0],
        "plain cell, spectral radius 1.3": fastlstm.gradient_flow(exploding(), one)[0],
        "LSTM, forget-gate bias 1": fastlstm.gradient_flow(fastlstm.LSTM(3, H, seed=0), x)[0],
        "LSTM, forget-gate biases for up to 100 steps": fastlstm.gradient_flow(remembering(fastlstm.LSTM(3, H, seed=0)), x)[0],
    }
    for name, flow in flows.items():
        print(f"{name:45} {flow[0] / flow[-1]:8.1e} of the gradient reaches the first step")
    with np.errstate(all="ignore"):
        clipped, free = train(1.0), train(None)
    print(f"the exploding cell's loss: {clipped[0]:.3g} at first, {np.mean(clipped[-20:]):.3g} after {len(clipped)} steps with "
          f"clipping, {free[-1]} after {len(free)} without")
    figure = fastlstm.plot_gradient_flow(flows)
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "gradient-flow.png")
    figure.savefig(path, dpi=150)
    print(path)


if __name__ == "__main__":
    main()
