"""The engines: interchangeable implementations of the layer stack, behind one seam.

An engine is a module's ENGINE, an object with

    forward(stack, x, states, lengths, masks, keep, workspace=None, embedding=None) -> y, states, saved
    backward(stack, saved, dy, dstates, gradients, want_dx, d_embedding=None) -> dx, dstates
    quantities(stack, saved) -> what every cell computed in a forward pass with a workspace, before one backwards
    try_call(stack, x) -> y, states, or None: a forward pass of any object x, if that is an array that needs no checks
    stepper(stack, B), whose step(x, out) and try_step(x, out) advance its `state`
    affine, back_affine, outer: products with a parameter and of gradients (see `compiled.CompiledEngine`)

whose arguments have been checked by `fastlstm.recurrent`: `stack` is the `Recurrent`, x (T, B, I) or token ids (T, B), which
stand for one-hot vectors or for the rows of `embedding` (V, I); `masks` are those of dropout. `gradients` is a dict of arrays
that `backward` fills; to `d_embedding` it adds; dstates may be written over. None for states or dstates is zeros, and where
dstates is None, None is returned for those of the initial states.
With a `workspace`, y, dx and what is saved may live in its arrays, until it is used again; without one, what is returned is
the caller's, and the states always are.

native and blas are `compiled.CompiledEngine`s, with products of their own. Texts are written by the native kernels under
every engine (`network.LanguageNetwork.writer`).
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm import _check, _core
from fastlstm.aligned import aligned_empty

if TYPE_CHECKING:
    from fastlstm.engines.compiled import CompiledEngine
    from fastlstm.engines.reference import ReferenceEngine

# h, or h and c: of each a (B, ·) for every cell, in the order of `Layout.places`: one array, or a list where sizes differ.
States = tuple[np.ndarray | list[np.ndarray], ...]

NAMES = ("native", "blas", "reference")
# The faster engine for each instruction set, as measured: without vector instructions of our own, BLAS has better ones.
FASTEST = {"avx512": "native", "avx2": "native", "neon": "native", "scalar": "blas"}

_chosen: str | None = None
_override: ContextVar[str | None] = ContextVar("fastlstm_engine", default=None)


def copies(states: States) -> States:
    """States in arrays of their own, each, be they one and the same before."""
    return tuple([part.copy() if isinstance(part, np.ndarray) else [array.copy() for array in part] for part in states])


def of_some(states: States, rows: np.ndarray) -> States:
    """Copies of the states of some sequences: of these places, or of those that are marked."""
    parts = [[cell[rows] for cell in part] for part in states]
    return tuple([np.array(part) if isinstance(of, np.ndarray) else part for part, of in zip(parts, states, strict=True)])


def set_some(states: States, rows: np.ndarray, found: States) -> None:
    """Write the states of some sequences, as `of_some` gives them."""
    for part, values in zip(states, found, strict=True):
        for cell, value in zip(part, values, strict=True):
            cell[rows] = value


class Workspace:
    """Arrays by name that are used again in every call, so that the operating system need not find memory each time.

    It belongs to one caller at a time. The arrays hold whatever was last written to them. `size` is their bytes.

    training: the parameters change after every backward pass, so that what is packed of them for a single product is made in
        the workspace, and not kept.
    """

    def __init__(self, *, training: bool = False) -> None:
        self.size, self.training = 0, training
        self._memory: dict[tuple[str, np.dtype], np.ndarray] = {}
        self._shaped: dict[tuple[str, np.dtype], np.ndarray] = {}  # as they were asked for last: shapes come without end
        self._kept: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}  # likewise

    def empty(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The array called `name`, in this shape."""
        key = name, dtype
        array = self._shaped.get(key)
        if array is None or array.shape != shape:
            size, room = prod(shape), len(self._memory.get(key, ()))
            if array is None or room < size:
                array = None  # the old memory goes before there is new
                self._shaped.pop(key, None)
                self._memory.pop(key, None)
                self.size -= room * dtype.itemsize
                self._memory[key] = aligned_empty(size, dtype)
                self.size += size * dtype.itemsize
            array = self._shaped[key] = self._memory[key][:size].reshape(shape)
        return array

    def kept(self, name: Hashable, make: Callable[..., Any], *arguments: Any) -> Any:
        """What `make(workspace, *arguments)` makes of the workspace's arrays, kept under `name` for the same arguments."""
        found = self._kept.get(name)
        if found is None or found[0] != arguments:
            found = None  # the old arrays go before there are new
            self._kept.pop(name, None)
            found = self._kept[name] = arguments, make(self, *arguments)
        return found[1]

    def scratch(self, size: int, dtype: np.dtype) -> np.ndarray:
        """At least `size` numbers for a single computation; the next one is given the same."""
        key = "scratch", dtype
        if key not in self._memory or len(self._memory[key]) < size:
            self.empty("scratch", (size,), dtype)
        return self._memory[key]


class Shelf:
    """Workspaces that wait for the next caller. Each is taken by one; at most `MOST` are kept, of up to `MOST_BYTES`."""

    MOST = 4
    MOST_BYTES = 1 << 28

    def __init__(self) -> None:
        self._idle: list[Workspace] = []

    def take(self) -> Workspace:
        """A workspace for the caller alone."""
        try:
            return self._idle.pop()
        except IndexError:
            return Workspace()

    def give_back(self, workspace: Workspace) -> None:
        """Nobody uses its arrays any more."""
        if workspace.size <= self.MOST_BYTES and len(self._idle) < self.MOST:
            self._idle.append(workspace)


def set_engine(name: str | None) -> None:
    """Choose the engine for the whole process.

    name: "native" (packed weights, products and threads of its own), "blas" (the time loop in Cython, products through
        SciPy's BLAS on one thread) or "reference" (float64 NumPy, slow); None is the faster of the first two on this
        processor.
    """
    global _chosen
    _chosen = None if name is None else _check.choice("engine", name, NAMES)


@contextmanager
def engine(name: str) -> Iterator[None]:
    """Choose the engine for a `with` block, in this thread or task only."""
    token = _override.set(_check.choice("engine", name, NAMES))
    try:
        yield
    finally:
        _override.reset(token)


def current_name() -> str:
    """Name of the engine in use."""
    return _override.get() or _chosen or FASTEST[_core.isa()]


def current_engine() -> "CompiledEngine | ReferenceEngine":
    """The engine in use."""
    return engine_called(current_name())


@cache
def engine_called(name: str) -> "CompiledEngine | ReferenceEngine":
    """The engine of this name."""
    return import_module(f"fastlstm.engines.{name}").ENGINE
