"""Arrays that begin a cache line."""

import numpy as np


def aligned_empty(size: int, dtype: np.dtype) -> np.ndarray:
    """`size` numbers whose first begins a cache line, so that no vector of theirs lies across two."""
    line = 64 // dtype.itemsize
    memory = np.empty(size + line, dtype)
    start = -memory.__array_interface__["data"][0] // dtype.itemsize % line
    return memory[start : start + size]
