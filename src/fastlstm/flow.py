"""How the gradient of a loss gets weaker, or stronger, on its way back through time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fastlstm import _check, reference
from fastlstm.recurrent import Recurrent
from fastlstm.states import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST = 1e-20  # of a picture's scale


def gradient_flow(rnn: Recurrent, x: ArrayLike, state: State | None = None, dy: ArrayLike | None = None) -> np.ndarray:
    """‖∂L/∂h_t‖ of every cell at every step: how much of what a stack should learn at the end reaches step t.

    A plain cell multiplies it at every step by its recurrent matrix and the slope of its activation, so that it vanishes or
    explodes exponentially; along an LSTM's c it is multiplied by the forget gate alone (Hochreiter 1991; Bengio, Simard &
    Frasconi 1994). Computed by the reference, in float64.

    Args:
        rnn: an LSTM, GRU or RNN.
        x, state: as in a call of it; vectors only.
        dy: (T, B, ·) the gradient of the loss L at the outputs; None is that of the sum of the last step's outputs.

    Returns:
        (L*D, T): for each cell the norm over all sequences and units.

    Raises:
        TypeError: rnn is none of them.
        ValueError: x is empty or of another shape.

    >>> import fastlstm
    >>> rnn = fastlstm.RNN(1, 10, seed=0)
    >>> flow = gradient_flow(rnn, np.ones((100, 1, 1)))
    >>> bool(flow[0, 0] < 1e-12 * flow[0, -1])
    True
    """
    if not isinstance(rnn, Recurrent):
        raise TypeError(f"rnn must be an LSTM, GRU or RNN, got {type(rnn).__name__}")
    x = _check.array("x", x, ("T", "B", rnn.input_size), np.dtype(np.float64))
    T, B = x.shape[:2]
    if T == 0 or B == 0:
        raise ValueError(f"x must not be empty, got shape {_check.shape_text(x.shape)}")
    shape = (T, B, rnn.layout.output_size)
    if dy is None:
        dy = np.zeros(shape)
        dy[-1] = 1
    dy = _check.array("dy", dy, shape, np.dtype(np.float64))
    parameters = {name: array.astype(np.float64) for name, array in rnn.parameters.items()}
    states = rnn.checked_state("", "0", state, B)
    _, _, tape = reference.stack_forward(rnn.layout, parameters, x, states, held=rnn.held)
    found: dict[int, np.ndarray] = {}
    reference.stack_backward(rnn.layout, parameters, tape, dy, rnn.zero_states(B), found)
    return np.array([np.linalg.norm(found[k], axis=(1, 2)) for k in range(len(found))])


def plot_gradient_flow(flows: np.ndarray | Mapping[str, np.ndarray]) -> Figure:
    """A picture of how gradients fade: flows relative to their last step, on a logarithmic scale.

    Needs matplotlib (`pip install 'fastlstm[plot]'`).

    Args:
        flows: a flow (cells, T) of `gradient_flow`, whose cells are all drawn, or one cell's (T,); or several by the name that
            stands at their curve, each (T,), or (cells, T) of which the first cell is drawn.

    Returns:
        A matplotlib figure: `figure.savefig(path)` writes it.

    Raises:
        RuntimeError: there is no matplotlib.
    """
    from fastlstm.plot import empty, style

    if not isinstance(flows, Mapping):
        flows = {f"cell {k}": flow for k, flow in enumerate(np.atleast_2d(flows))}
    figure = empty(7, 4.6)
    axes = figure.add_subplot()
    for k, (name, flow) in enumerate(flows.items()):
        flow = np.atleast_2d(flow)[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = flow / flow[-1]
        colour, mark = style(k)
        axes.plot(
            np.maximum(relative, SMALLEST), color=colour, marker=mark, markevery=max(1, len(flow) // 8), label=name,
        )
    axes.set_yscale("log")
    axes.set_xlabel("step t (the loss is at the last one)")
    axes.set_ylabel("‖∂L/∂h$_t$‖, of the last step's")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
