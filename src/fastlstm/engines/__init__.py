"""The engines: interchangeable implementations of the layer stack, behind one seam.

An engine is a module with

    forward(stack, x, h0, c0, lengths, masks, keep, workspace=None) -> y, h, c, saved
    backward(stack, saved, dy, dh, dc, gradients, want_dx) -> dx, dh0, dc0
    Stepper(stack, B).step(x, h, c, out)

whose arguments have been checked by `fastlstm.layers`: `stack` is the `LSTM`, x (T, B, I) or token ids (T, B), states
(L, B, H), masks the dropout masks between layers. `gradients` is a dict of arrays that `backward` fills. With a
`workspace`, y, dx and what is saved may live in its arrays, until it is used again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from math import prod
from types import ModuleType

import numpy as np

from fastlstm import _check

NAMES = ("blas", "reference")

_default = "blas"
_override: ContextVar[str | None] = ContextVar("fastlstm_engine", default=None)


class Workspace:
    """Arrays by name that are used again in every call, so that the operating system need not find memory each time.

    It belongs to one caller at a time. The arrays hold whatever was last written to them.
    """

    def __init__(self) -> None:
        self._memory: dict[tuple[str, np.dtype], np.ndarray] = {}

    def empty(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The array called `name`, in this shape."""
        size, memory = prod(shape), self._memory.get((name, dtype))
        if memory is None or len(memory) < size:
            memory = self._memory[name, dtype] = np.empty(size, dtype)
        return memory[:size].reshape(shape)


def set_engine(name: str) -> None:
    """Choose the engine for the whole process.

    name: "blas" (the time loop in Cython, products through BLAS) or "reference" (float64 NumPy, slow).
    """
    global _default
    _default = _check.choice("engine", name, NAMES)


@contextmanager
def engine(name: str) -> Iterator[None]:
    """Choose the engine for a `with` block, in this thread or task only."""
    token = _override.set(_check.choice("engine", name, NAMES))
    try:
        yield
    finally:
        _override.reset(token)


def current_engine() -> ModuleType:
    """The engine in use."""
    return import_module(f"fastlstm.engines.{_override.get() or _default}")
