"""The time loops of every cell over packed rows. Arrays are C-contiguous and of one dtype; batch_sizes is int64."""

from collections.abc import Sequence

import numpy as np

from fastlstm._core import Cell

class Weights:
    def __init__(
        self, cell: Cell, weight_hh: np.ndarray, bias_hh: np.ndarray | None = None, weight_hr: np.ndarray | None = None,
        peepholes: Sequence[np.ndarray | None] = (None, None, None),
    ) -> None: ...

def forward(
    w: Weights, gates: np.ndarray, recurrent: np.ndarray | None, h: np.ndarray, c: np.ndarray | None,
    inner: np.ndarray | None, fed: np.ndarray | None, mask: np.ndarray | None, batch_sizes: np.ndarray, keep: bool,
) -> None: ...
def backward(
    w: Weights, gates: np.ndarray, recurrent: np.ndarray | None, dh: np.ndarray, dc: np.ndarray | None,
    d_projected: np.ndarray | None, h: np.ndarray, c: np.ndarray | None, fed: np.ndarray | None, mask: np.ndarray | None,
    dy: np.ndarray, scratch: np.ndarray, d_fed: np.ndarray, batch_sizes: np.ndarray,
) -> None: ...
