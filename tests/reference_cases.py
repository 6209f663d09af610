"""Random problems for `fastlstm.reference`, of any layout, and their gradients against finite differences."""

from typing import NamedTuple

import numpy as np

from fastlstm import reference
from fastlstm.cells import Cell, Layout, Masks
from helpers import assert_gradients


class Problem(NamedTuple):
    """A layout with parameters, an input, nonzero states, and the gradients of a loss at the outputs."""

    layout: Layout
    parameters: dict[str, np.ndarray]
    x: np.ndarray
    state: tuple[list[np.ndarray], ...]
    lengths: np.ndarray | None
    masks: Masks | None
    dy: np.ndarray
    dstate: tuple[list[np.ndarray], ...]


def problem(
    kind, T=4, B=3, I=2, widths=(3,), *, lengths=None, dropout=False, seed=0, bidirectional=False, merge="concat",
    skip=False, **options,
):
    """`options` are the cell's; with `dropout` there are masks of both kinds."""
    rng = np.random.default_rng(seed)
    layout = Layout.stacked(Cell(kind, I, 0, **options), widths, bidirectional=bidirectional, merge=merge, skip=skip)
    parameters = {name: rng.uniform(-0.8, 0.8, shape) for name, shape in layout.shapes().items()}

    def states():
        cells = [place.cell for place in layout.places()]
        return tuple([rng.standard_normal((B, cell.state_size(name))) for cell in cells] for name in layout.states)

    def mask(*shape):
        return (rng.random(shape) < 0.6) / 0.6

    masks = dropout and Masks(
        [mask(T, B, layout.layer_size(k)) for k in range(len(widths) - 1)],
        [mask(B, place.cell.output_size) for place in layout.places()],
    )
    return Problem(
        layout, parameters, rng.standard_normal((T, B, I)), states(), None if lengths is None else np.array(lengths),
        masks or None, rng.standard_normal((T, B, layout.output_size)), states(),
    )


def forward(case, held=None):
    """The outputs, the final state and the tape; every layer holds the same gates."""
    held = dict.fromkeys(range(len(case.layout.layers)), held or {})
    return reference.stack_forward(case.layout, case.parameters, case.x, case.state, case.lengths, case.masks, held)


def named(case, prefix, state):
    """The arrays of a state by names that say whose they are: dh0, dh1, …"""
    states = zip(case.layout.states, state, strict=True)
    return {f"{prefix}{name}{k}": a for name, arrays in states for k, a in enumerate(arrays)}


def run(case, held=None):
    """All results of forward and backward, by name."""
    y, state, tape = forward(case, held)
    dx, dstate, gradients = reference.stack_backward(case.layout, case.parameters, tape, case.dy, case.dstate)
    return {"y": y, "dx": dx, **named(case, "", state), **named(case, "d", dstate), **gradients}


def check_gradients(case, held=None):
    """Every gradient against central differences."""

    def loss():
        y, state, _ = forward(case, held)
        ends, weights = named(case, "", state), named(case, "", case.dstate)
        return np.sum(y * case.dy) + sum(np.sum(ends[name] * weights[name]) for name in ends)

    found = run(case, held)
    variables = {"dx": case.x, **named(case, "d", case.state), **case.parameters}
    assert_gradients(loss, variables, {name: found[name] for name in variables})
