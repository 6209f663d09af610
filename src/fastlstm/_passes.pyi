"""A stack of layers through all its steps and back. Arrays are C-contiguous and of the stack's dtype."""

import numpy as np

from fastlstm._native import Whole

class Pass:
    def __init__(
        self, stack: Whole, x: np.ndarray, block: int, shares: tuple[int, bool, bool], ahead: bool
    ) -> None: ...
    def forward(self, states: tuple[np.ndarray, ...] | None) -> tuple[np.ndarray, tuple[np.ndarray, ...]]: ...
    def backward(
        self, dy: np.ndarray, dstates: tuple[np.ndarray, ...], gradients: list[list[np.ndarray]], W: list[np.ndarray],
        U: list[np.ndarray], shares: tuple[int, bool, bool], threads: int,
    ) -> np.ndarray: ...
