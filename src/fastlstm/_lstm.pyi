"""The LSTM's time loops over packed rows. Arrays are C-contiguous and of one dtype; batch_sizes is int64."""

import numpy as np

def forward(
    gates: np.ndarray, h: np.ndarray, c: np.ndarray, weight_hh: np.ndarray, batch_sizes: np.ndarray, keep: bool,
    activation: int, recurrent: int,
) -> None: ...
def backward(
    gates: np.ndarray, dh: np.ndarray, dc: np.ndarray, c: np.ndarray, dy: np.ndarray, weight_hh: np.ndarray,
    batch_sizes: np.ndarray, activation: int, recurrent: int,
) -> None: ...
def step(
    gates: np.ndarray, h: np.ndarray, c: np.ndarray, weight_hh: np.ndarray, activation: int, recurrent: int
) -> None: ...
