"""Gates that are held by hand: which of a stack's are, inside the `with` block of its `hold`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fastlstm import _check

if TYPE_CHECKING:
    from fastlstm.recurrent import Recurrent

# By the number of the layer and the gates' names.
Held = Mapping[int, Mapping[str, np.ndarray]]
_NOTHING: Held = MappingProxyType({})
# By the id of a stack those of it, in this thread or task.
_HELD: ContextVar[Mapping[int, Held]] = ContextVar("fastlstm_held", default=MappingProxyType({}))


def held_of(stack: Recurrent) -> Held:
    """The stack's gates that are held in this thread or task."""
    return _HELD.get().get(id(stack), _NOTHING)


def holding(
    stack: Recurrent, layers: int | Iterable[int] | None, gates: Mapping[str, ArrayLike]
) -> AbstractContextManager[None]:
    """What `Recurrent.hold` returns, its arguments checked."""
    cell = stack.places[0].cell
    names = [name for name in cell.gates.values() if name != "hidden_state"]
    if not names:
        raise ValueError("a plain cell has no gates to hold")
    if not gates:
        raise ValueError(f"hold needs a gate and its value, such as {names[0]}=1.0")
    chosen = _check.layers(layers, stack.num_layers)
    if not chosen:
        raise ValueError("hold needs a layer, got none")
    widths = {place.cell.hidden_size for place in stack.places if place.layer in chosen}
    values = {}
    for name, value in gates.items():
        if name == "input_gate" and cell.coupled:
            raise ValueError("coupled gates have no input gate of their own: hold forget_gate, i is 1 - f")
        _check.choice("the gate", name, names)
        values[name] = _value(name, value, widths)
    return _inside(stack, {k: values for k in chosen})


def _value(name: str, value: ArrayLike, widths: set[int]) -> np.ndarray:
    """Of a gate of layers of these widths: a finite number, or one for each unit."""
    found = _check.any_array(name, value)
    if found.ndim and len(widths) > 1:
        raise ValueError(f"{name} must be a number where widths differ by layer, got shape {found.shape}")
    found = _check.array(name, found, found.shape and tuple(widths), np.dtype(np.float64)).copy()
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got NaN or Inf")
    return found


@contextmanager
def _inside(stack: Recurrent, more: Held) -> Iterator[None]:
    before = held_of(stack)
    both = {**before, **{k: {**before.get(k, {}), **values} for k, values in more.items()}}
    token = _HELD.set({**_HELD.get(), id(stack): both})
    try:
        yield
    finally:
        _HELD.reset(token)
