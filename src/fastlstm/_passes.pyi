"""A stack of layers through all its steps and back. Arrays are C-contiguous and of the stack's dtype."""

import numpy as np

from fastlstm._native import Stack

class Pass:
    def __init__(
        self, stack: Stack, x: np.ndarray, block: int, shares: list[tuple[int, bool]], ahead: bool
    ) -> None: ...
    def forward(self, states: tuple[np.ndarray, ...] | None) -> tuple[np.ndarray, tuple[np.ndarray, ...]]: ...
    def backward(
        self, dy: np.ndarray, dstates: tuple[np.ndarray, ...], gradients: list[list[np.ndarray]], W: list[np.ndarray],
        U: list[np.ndarray], share: tuple[int, bool], threads: int,
    ) -> np.ndarray: ...
