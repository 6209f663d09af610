"""Memory of large results, and of what a forward pass keeps for backward, which serves again once no array refers to it.

An allocator would give it back to the operating system, which clears every page for the next call.
"""

from collections import deque
from math import prod
from typing import Any
from weakref import ref

import numpy as np

from fastlstm.aligned import aligned_empty

# Smaller results are left to the allocator, which keeps their memory itself; larger ones are rare.
LEAST_BYTES, MOST_BYTES = 1 << 17, 1 << 25
# What may wait to serve again, all together; of more, what has waited longest goes when the next result is made.
MOST_WAITING = 1 << 26


class _Piece(ref):
    """Some memory, by way of the lease that it is given out with: when that is gone, `_idle` receives the piece.

    No line of Python runs then: between a long computation and the end of its operands, it would be the one that a Ctrl-C is
    raised in, and what is raised there is lost.
    """

    __slots__ = ("interface", "memory")


class _Lease:
    """What the arrays in a piece of memory keep alive."""

    __slots__ = ("__array_interface__", "__weakref__", "_piece")

    def __init__(self, memory: np.ndarray, interface: dict[str, Any]) -> None:
        self._piece = _Piece(self, _idle.append)
        self._piece.memory, self._piece.interface = memory, interface
        self.__array_interface__ = interface


_idle: deque[_Piece] = deque()  # the newest last


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of that shape, of whatever values were there; where it is large, its first number begins a cache line."""
    size = prod(shape)
    if not LEAST_BYTES <= size * dtype.itemsize <= MOST_BYTES:
        return np.empty(shape, dtype)
    unit = 1 << ((size * dtype.itemsize).bit_length() - 4)  # pieces of few different sizes, up to an eighth too large
    lease = _Lease(*_taken(-(-size * dtype.itemsize // unit) * unit))
    return np.asarray(lease).view(dtype)[:size].reshape(shape)


def copy(array: np.ndarray) -> np.ndarray:
    """A copy in such memory, in C order."""
    if array.nbytes < LEAST_BYTES:
        return array.copy()
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made


def _taken(size: int) -> tuple[np.ndarray, dict[str, Any]]:
    """A piece of so many bytes, idle or new, and its array interface, which NumPy takes a microsecond to write."""
    try:
        while sum(len(piece.memory) for piece in _idle.copy()) > MOST_WAITING:
            _idle.popleft()
        for _ in range(len(_idle)):
            piece = _idle.pop()
            if len(piece.memory) == size:
                return piece.memory, piece.interface
            _idle.appendleft(piece)
    except IndexError:  # another thread has taken the last
        pass
    memory = aligned_empty(size, np.dtype(np.uint8))
    return memory, memory.__array_interface__
