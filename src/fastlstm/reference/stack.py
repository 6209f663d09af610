"""Stacks of cells over all steps, forward and backward."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastlstm.cells import Layout, Masks, Place
from fastlstm.reference.activations import Array
from fastlstm.reference.equations import Equations
from fastlstm.reference.gru import GRU
from fastlstm.reference.lstm import LSTM
from fastlstm.reference.rnn import RNN

CELLS: dict[str, type[Equations]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
State = tuple[list[Array], ...]  # for each of `Cell.states` a list over the cells, (B, ·) each


class StackTape(NamedTuple):
    """What the backward pass needs."""

    cells: list[Equations]  # in the order of `Layout.places`
    steps: list[list[Any]]  # for each of them, by t, the tape of the sequences running
    running: Array  # (T, B), true while t < lengths[b]
    masks: Masks  # ones where nothing is dropped


def quantities(tape: StackTape) -> list[dict[str, Array]]:
    """What every cell computed: by name (T, B, ·), by t in both directions, 0 in padding."""
    found = []
    for cell, steps in zip(tape.cells, tape.steps, strict=True):
        found.append({})
        for name in cell.cell.quantities:
            size = cell.cell.output_size if name == "hidden_state" else cell.cell.hidden_size
            found[-1][name] = np.zeros((*tape.running.shape, size))
            for quantity, rows, step in zip(found[-1][name], tape.running, steps, strict=True):
                quantity[rows] = getattr(step, name)
    return found


def _order(T: int, direction: int) -> range:
    """The steps as a cell of this direction takes them."""
    return range(T - 1, -1, -1) if direction else range(T)


def _local(place: Place, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of one cell, by the names without its place: themselves where they are float64."""
    return {name: np.asarray(arrays[place.name(name)], np.float64) for name in place.cell.shapes()}


def _all_masks(layout: Layout, masks: Masks | None, T: int, B: int) -> Masks:
    outputs, recurrent = masks or ([], [])
    sizes = [layout.layer_size(k) for k in range(len(layout.layers) - 1)]
    return Masks(
        outputs or [np.ones((T, B, size)) for size in sizes],
        recurrent or [np.ones((B, place.cell.output_size)) for place in layout.places()],
    )


def _cell_forward(
    cell: Equations, p: Mapping[str, Array], x: Array, state: list[Array], running: Array, order: range, mask: Array
) -> tuple[Array, list[Any]]:
    """One cell over all steps: its outputs and tapes, `state` becoming the final one.

    Each step is taken by the sequences that have it: another keeps its state, and its output is 0. So backwards a
    sequence starts at its own last step.
    """
    y, tapes = np.zeros((*running.shape, cell.cell.output_size)), [None] * len(x)
    for t in order:
        rows = running[t]
        before = [array[rows] for array in state]
        after, tapes[t] = cell.step(p, x[t, rows], before, before[0] * mask[rows])
        for array, new in zip(state, after, strict=True):
            array[rows] = new
        y[t, rows] = after[0]
    return y, tapes


def _cell_backward(
    cell: Equations, p: Mapping[str, Array], tapes: list[Any], dy: Array, dstate: list[Array], running: Array,
    order: range, mask: Array, gradients: dict[str, Array],
) -> tuple[Array, Array]:
    """The gradients at x and at every h_t, `dstate` becoming that at the initial state; adds the parameters' to `gradients`."""
    dx, dh = np.zeros((*running.shape, cell.cell.input_size)), np.zeros((*running.shape, cell.cell.output_size))
    for t in reversed(order):
        rows = running[t]
        after = [array[rows] for array in dstate]
        after[0] += dy[t, rows]
        dh[t, rows] = after[0]
        dx[t, rows], before, dfed = cell.step_back(p, tapes[t], after, gradients)
        for array, new in zip(dstate, before, strict=True):
            array[rows] = new
        dstate[0][rows] += dfed * mask[rows]
    return dx, dh


def stack_forward(
    layout: Layout, parameters: Mapping[str, Array], x: Array, state: Sequence[Sequence[Array]],
    lengths: ArrayLike | None = None, masks: Masks | None = None, held: Mapping[int, Mapping[str, ArrayLike]] | None = None,
) -> tuple[Array, State, StackTape]:
    """All layers over all steps.

    parameters: by the names of `Layout.shapes`.
    x (T, B, I); state: (h,) or (h, c), each a sequence over the cells in the order of `Layout.places`, (B, ·) each.
    lengths (B,): steps t >= lengths[b] are padding, never looked at; None is T for all.
    masks: of dropout; None drops nothing.
    held: by the number of a layer the gates that its cells hold at a value, see `Equations`.
    Returns y (T, B, ·), 0 in padding, the final state, as `state`, and the tape.
    """
    T, B = x.shape[:2]
    lengths = np.full(B, T) if lengths is None else np.asarray(lengths)
    running = np.arange(T)[:, None] < lengths
    masks = _all_masks(layout, masks, T, B)
    final = tuple([np.array(array, np.float64) for array in arrays] for arrays in state)
    places, tape = list(layout.places()), StackTape([], [], running, masks)
    read, outputs = x, []
    for k in range(len(layout.layers)):
        if k:
            below = outputs[-1] * masks.outputs[k - 1]
            read = np.concatenate([below, x], axis=2) if layout.skip else below
        directions = []
        for place in (place for place in places if place.layer == k):
            cell = CELLS[place.cell.kind](place.cell, (held or {}).get(k))
            y, steps = _cell_forward(
                cell, _local(place, parameters), read, [arrays[place.index] for arrays in final], running,
                _order(T, place.direction), masks.recurrent[place.index],
            )
            directions.append(y)
            tape.cells.append(cell)
            tape.steps.append(steps)
        outputs.append(np.concatenate(directions, axis=2) if layout.merge == "concat" else sum(directions))
    return np.concatenate(outputs, axis=2) if layout.skip else outputs[-1], final, tape


def stack_backward(
    layout: Layout, parameters: Mapping[str, Array], tape: StackTape, dy: Array, dstate: Sequence[Sequence[Array]],
    d_hidden: dict[int, Array] | None = None,
) -> tuple[Array, State, dict[str, Array]]:
    """Gradients at x (T, B, I), at the initial state and at every parameter, from those at y and at the final state.

    d_hidden: receives those at every h_t (T, B, ·), by the index of the cell.
    """
    sizes = [layout.layer_size(k) for k in range(len(layout.layers))]
    initial = tuple([np.array(array, np.float64) for array in arrays] for arrays in dstate)
    gradients = {name: np.zeros(shape) for name, shape in layout.shapes().items()}
    places = list(layout.places())
    d_outputs = np.split(dy, np.cumsum(sizes)[:-1], axis=2) if layout.skip else [0.0] * (len(sizes) - 1) + [dy]
    dx = np.zeros((*tape.running.shape, layout.input_size))
    for k in reversed(range(len(sizes))):
        D = len(layout.layers[k])
        directions = np.split(d_outputs[k], D, axis=2) if layout.merge == "concat" else [d_outputs[k]] * D
        d_read = 0.0
        for place in (place for place in places if place.layer == k):
            d_x, d_h = _cell_backward(
                tape.cells[place.index], _local(place, parameters), tape.steps[place.index],
                directions[place.direction], [arrays[place.index] for arrays in initial], tape.running,
                _order(len(dy), place.direction), tape.masks.recurrent[place.index], _local(place, gradients),
            )
            d_read = d_read + d_x
            if d_hidden is not None:
                d_hidden[place.index] = d_h
        if k == 0:
            dx += d_read
            break
        d_below, d_x = np.split(d_read, [sizes[k - 1]], axis=2)
        d_outputs[k - 1] = d_outputs[k - 1] + d_below * tape.masks.outputs[k - 1]
        if layout.skip:
            dx += d_x
    return dx, initial, gradients
