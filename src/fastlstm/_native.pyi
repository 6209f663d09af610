"""The native engine's time loops. Arrays are C-contiguous and of one dtype; batch_sizes and rows are int64, tokens int32."""

import numpy as np

from fastlstm._core import Cell

def forward(
    cell: Cell, h: np.ndarray, c: np.ndarray | None, gates: np.ndarray | None, recurrent: np.ndarray | None,
    x: np.ndarray | None, tokens: np.ndarray | None, W: np.ndarray | None, bias: np.ndarray, U: np.ndarray,
    recurrent_bias: np.ndarray | None, batch_sizes: np.ndarray, keep: bool, rows: np.ndarray, scratch: np.ndarray | None,
    divide_units: bool, ahead: bool, threads: int,
) -> None: ...
def backward(
    cell: Cell, gates: np.ndarray, recurrent: np.ndarray | None, dh: np.ndarray, dc: np.ndarray | None, h: np.ndarray,
    c: np.ndarray | None, dy: np.ndarray, U: np.ndarray, batch_sizes: np.ndarray, divide_units: bool, threads: int,
) -> None: ...

class Stack:
    wide: int
    def __init__(
        self, cells: list[Cell], W: list[np.ndarray | None], bias: list[np.ndarray], U: list[np.ndarray],
        recurrent_bias: list[np.ndarray | None], I: int, H: int,
    ) -> None: ...

class Whole(Stack):
    def __init__(
        self, cells: list[Cell], W: list[np.ndarray], bias: list[np.ndarray], U: list[np.ndarray],
        recurrent_bias: list[np.ndarray | None], I: int, H: int, directions: int, joined: int,
        ahead: bool,
    ) -> None: ...
    def reads(self, x: object) -> bool: ...
    def run(
        self, x: np.ndarray, states: tuple[np.ndarray, ...] | None, block: int, threads: int, divide_units: bool, apart: bool
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]: ...

class Steps(Stack):
    h: np.ndarray
    c: np.ndarray | None
    threads: int
    def __init__(
        self, cells: list[Cell], W: list[np.ndarray | None], bias: list[np.ndarray], U: list[np.ndarray],
        recurrent_bias: list[np.ndarray | None], B: int, I: int, H: int, threads: int,
    ) -> None: ...
    @property
    def state(self) -> tuple[np.ndarray, ...]: ...
    @state.setter
    def state(self, states: tuple[np.ndarray, ...]) -> None: ...
    def step(self, x: object, out: np.ndarray | None = None) -> np.ndarray | None: ...
