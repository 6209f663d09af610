"""Ragged batches as packed rows: what the time loops run over."""

from functools import lru_cache

import numpy as np

from fastlstm import _check


class Packing:
    """The order of rows when B sequences, longest first, are laid out step by step without their padding.

    T, B      steps and sequences of the padded array
    N         rows in all: the sum of the lengths
    batch_sizes (T,)  how many sequences are still running at each step

    State buffers hold B rows of initial state, then the N rows of states (see `_loops.pyx`).
    """

    def __init__(self, T: int, B: int, lengths: np.ndarray | None) -> None:
        _check.blas_dimension("T * B", T * B)
        self.T, self.B = T, B
        self.full = lengths is None or bool((lengths == T).all())
        if self.full:
            self.N = T * B
            self.batch_sizes = np.full(T, B, np.int64)
            return
        self._order = np.argsort(-lengths, kind="stable")
        lengths = lengths[self._order]
        running = np.arange(T)[:, None] < lengths
        self.N = int(lengths.sum())
        self.batch_sizes = running.sum(axis=1)
        start = np.cumsum(self.batch_sizes) - self.batch_sizes
        step, rank = np.nonzero(running)
        self._source = step * B + self._order[rank]  # row of the padded array that each packed row comes from
        # Buffer rows of the state before each packed row, and of the last valid state of each sequence.
        self._previous = np.where(step == 0, rank, B + start[step - 1] + rank)
        last = np.maximum(lengths - 1, 0)
        self._last = np.where(lengths == 0, np.arange(B), B + (start[last] if T else 0) + np.arange(B))
        self._mirror = start[lengths[rank] - 1 - step] + rank

    def pack(self, padded: np.ndarray) -> np.ndarray:
        """(T, B, ·) or (T, B) to packed rows; a view where nothing is padded."""
        rows = padded.reshape(self.T * self.B, *padded.shape[2:])
        return rows if self.full else rows[self._source]

    def unpack(self, rows: np.ndarray) -> np.ndarray:
        """Packed rows to (T, B, ·), zeros in the padding; a view where nothing is padded."""
        padded = rows
        if not self.full:
            padded = np.zeros((self.T * self.B, *rows.shape[1:]), rows.dtype)
            padded[self._source] = rows
        return padded.reshape(self.T, self.B, *rows.shape[1:])

    def reverse(self, rows: np.ndarray) -> np.ndarray:
        """A copy of packed rows with every sequence backwards."""
        if not self.full:
            return rows[self._mirror]
        return rows.reshape(self.T, self.B, *rows.shape[1:])[::-1].copy().reshape(rows.shape)

    def sort(self, states: np.ndarray) -> np.ndarray:
        """States (B, H) in packed order; themselves where nothing is padded."""
        return states if self.full else states[self._order]

    def unsort(self, states: np.ndarray) -> np.ndarray:
        """States (B, H) from packed order to the caller's."""
        if self.full:
            return states
        unsorted = np.empty_like(states)
        unsorted[self._order] = states
        return unsorted

    def final(self, buffer: np.ndarray) -> np.ndarray:
        """The last valid state of every sequence, in the caller's order, of a state buffer (B + N, H); a view where nothing is
        padded.
        """
        return buffer[self.N :] if self.full else self.unsort(buffer[self._last])

    def previous(self, buffer: np.ndarray) -> np.ndarray:
        """The state before each packed row, from a state buffer (B + N, H)."""
        return buffer[: self.N] if self.full else buffer[self._previous]


@lru_cache(maxsize=4)
def full_packing(T: int, B: int) -> Packing:
    """The packing without padding; it holds nothing that changes."""
    packing = Packing(T, B, None)
    packing.batch_sizes.flags.writeable = False
    return packing
