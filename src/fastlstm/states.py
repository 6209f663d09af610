"""States of a stack: as callers see them, and as engines take them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastlstm import _check
from fastlstm.cells import Layout
from fastlstm.engines import States

# As callers see it: h, or (h, c); each (L*D, B, H), or a list of (D, B, H_k) where widths differ by layer.
State = Any


def zero_states(layout: Layout, B: int, dtype: np.dtype) -> States:
    """Of B sequences, as engines take states."""
    count = len(layout.layers) * len(layout.layers[0])
    return tuple([
        [np.zeros((B, place.cell.state_size(name)), dtype) for place in layout.places()] if size is None
        else np.zeros((count, B, size), dtype) for name, size in layout.state_sizes.items()
    ])


def public_state(layout: Layout, states: States) -> State:
    """An engine's states as callers see them."""
    if None in layout.state_sizes.values():
        D = len(layout.layers[0])
        states = tuple([
            part if isinstance(part, np.ndarray) else [np.array(part[k : k + D]) for k in range(0, len(part), D)]
            for part in states
        ])
    return states if len(states) > 1 else states[0]


def checked_state(layout: Layout, called: Mapping[str, str], state: State, B: int, dtype: np.dtype) -> States:
    """A caller's state as engines take it; `called`: what messages call each part, such as h0 for h."""
    if len(called) == 1:
        state = (state,)
    elif not isinstance(state, tuple | list) or len(state) != len(called):
        raise TypeError(f"the state must be a pair ({', '.join(called.values())}), got {_check.kind(state)}")
    return tuple(_of_cells(layout, *names, part, B, dtype) for names, part in zip(called.items(), state, strict=True))


def _of_cells(layout: Layout, name: str, called: str, part: Any, B: int, dtype: np.dtype) -> Sequence[np.ndarray]:
    """One (B, ·) for each cell of a part of the state."""
    size, L, D = layout.state_sizes[name], len(layout.layers), len(layout.layers[0])
    if size is not None:
        return _check.array(called, part, (L * D, B, size), dtype)
    if not isinstance(part, tuple | list) or len(part) != L:
        raise TypeError(f"{called} must be a list of {L} arrays, got {_check.kind(part)}")
    arrays = []
    for k, (layer, array) in enumerate(zip(layout.layers, part, strict=True)):
        arrays.extend(_check.array(f"{called}[{k}]", array, (D, B, layer[0].state_size(name)), dtype))
    return arrays
