"""Memory for large results of calls, which serves again once the caller has let go of them.

An allocator would give it back to the operating system, which clears every page for the next call.
"""

from collections import deque
from math import prod

import numpy as np

from fastlstm.engines import aligned_empty

# Smaller results are left to the allocator, which keeps their memory itself; larger ones are rare.
LEAST_BYTES, MOST_BYTES = 1 << 17, 1 << 25
# Pieces that wait to serve again, at most.
MOST = 8

_idle: deque[np.ndarray] = deque(maxlen=MOST)


class _Lease:
    """Memory that arrays are made in; when the last of them is gone, it waits for the next."""

    def __init__(self, memory: np.ndarray) -> None:
        self._memory, self.__array_interface__ = memory, memory.__array_interface__

    def __del__(self) -> None:
        _idle.append(self._memory)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of that shape, whose first number begins a cache line; its values are whatever was there."""
    size = prod(shape)
    if not LEAST_BYTES <= size * dtype.itemsize <= MOST_BYTES:
        return aligned_empty(size, dtype).reshape(shape)
    unit = 1 << ((size * dtype.itemsize).bit_length() - 4)  # pieces of few different sizes, up to an eighth too large
    memory = _taken(-(-size * dtype.itemsize // unit) * unit)
    return np.asarray(_Lease(memory)).view(dtype)[:size].reshape(shape)


def copy(array: np.ndarray) -> np.ndarray:
    """A copy in such memory, in C order."""
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made


def _taken(size: int) -> np.ndarray:
    """A piece of so many bytes, idle or new."""
    for _ in range(len(_idle)):
        try:
            memory = _idle.pop()
        except IndexError:  # another thread was faster
            break
        if len(memory) == size:
            return memory
        _idle.appendleft(memory)
    return aligned_empty(size, np.dtype(np.uint8))
