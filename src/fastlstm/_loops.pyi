"""The time loops of every cell over packed rows. Arrays are C-contiguous and of one dtype; batch_sizes is int64."""

import numpy as np

class Weights:
    def __init__(
        self, kind: str, coupled: bool, activation: int, recurrent_activation: int, weight_hh: np.ndarray,
        bias_hh: np.ndarray | None = None, weight_hr: np.ndarray | None = None,
        peepholes: np.ndarray | list[np.ndarray] | None = None,
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
