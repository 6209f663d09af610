"""A corpus as ids, in memory or in a mapped file, and cut into the windows of training."""

import mmap
import tempfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike

from fastlstm import _check
from fastlstm.text import TextSource, is_text, pieces
from fastlstm.vocabulary import Vocabulary

Data = TextSource | ArrayLike

# Bytes of ids that are kept in memory; more go to a temporary file.
IN_MEMORY = 1 << 26
# Ids looked at at once.
PART = 1 << 22


def encode(vocabulary: Vocabulary, x: Data) -> np.ndarray:
    """Ids (N,) of x, of the smallest type that holds them: of a text of any size, or integer ids, checked and as they are.

    Many ids are in a file of the system's temporary folder that goes with the array.
    """
    if not is_text(x):
        ids = _check.any_array("tokens", x)
        in_range = ids.ndim == 1 and ids.dtype.kind in "iu" and all(
            part.min() >= 0 and part.max() < len(vocabulary) for part in _parts(ids)
        )
        return ids if in_range else _check.tokens("tokens", x, 1, len(vocabulary))  # which says what is wrong
    dtype, symbols = np.min_scalar_type(len(vocabulary) - 1), 0
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        for piece in pieces(vocabulary.kind, x):
            ids = vocabulary.encode(piece, symbols).astype(dtype)
            try:
                file.write(ids.data)
            except OSError as error:
                error.filename = tempfile.gettempdir()
                raise
            symbols += len(ids)
        return np.frombuffer(_content(file, symbols * dtype.itemsize), dtype)


def _content(file: BinaryIO, size: int) -> bytes | mmap.mmap:
    if size > IN_MEMORY:
        file.flush()
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)  # outlives the file's own handle
    file.seek(0)
    return file.read()


def count(ids: np.ndarray, V: int) -> np.ndarray:
    """(V,) int64: how often each id occurs."""
    counts = np.zeros(V, np.int64)
    for part in _parts(ids):
        counts += np.bincount(part.astype(np.intp, copy=False), minlength=V)
    return counts


def fingerprint(ids: np.ndarray) -> int:
    """A number that tells a text's ids (N,) from others, whatever their type: CRC-32."""
    found = 0
    for part in _parts(ids):
        found = zlib.crc32(np.ascontiguousarray(part, np.int32), found)
    return found


def _parts(ids: np.ndarray) -> Iterator[np.ndarray]:
    return (ids[start : start + PART] for start in range(0, len(ids), PART))


class Windows:
    """A text cut into B parallel streams, and these into windows of at most T steps, as equal as they can be.

    Each stream continues from window to window, so that the state can be carried; fewer than B symbols are left over.

    Args:
        ids: (N,) integers; only the parts in use are read.
        T, B: steps and streams of a window.
    """

    def __init__(self, ids: np.ndarray, T: int, B: int) -> None:
        if len(ids) < T * B + 1:
            raise ValueError(
                f"the training text has {len(ids)} symbols, fewer than the {T * B + 1} of one training window "
                f"(seq_length {T} x batch_size {B} + 1); make one of them smaller"
            )
        steps, (stride,) = (len(ids) - 1) // B, ids.strides
        # Each stream with the symbol after it, which is the first of the next one.
        self._streams = as_strided(ids, (B, steps + 1), (steps * stride, stride), writeable=False)
        self.fingerprint = fingerprint(ids)
        self._edges = np.linspace(0, steps, -(-steps // T) + 1).astype(np.int64)

    def __len__(self) -> int:
        return len(self._edges) - 1

    def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and targets (T, B) int32 of window k."""
        symbols = np.ascontiguousarray(self._streams[:, self._edges[k] : self._edges[k + 1] + 1].T, np.int32)
        return symbols[:-1], symbols[1:]

    @property
    def symbols(self) -> int:
        """Symbols predicted in one epoch."""
        return self._streams.size - len(self._streams)
