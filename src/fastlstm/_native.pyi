"""The native engine's time loops. Arrays are C-contiguous and of one dtype; batch_sizes and rows are int64, tokens int32."""

import numpy as np

def forward(
    h: np.ndarray, c: np.ndarray, gates: np.ndarray | None, x: np.ndarray | None, tokens: np.ndarray | None,
    W: np.ndarray | None, bias: np.ndarray, U: np.ndarray, batch_sizes: np.ndarray, keep: bool, rows: np.ndarray,
    scratch: np.ndarray | None, activation: int, recurrent: int, divide_units: bool, threads: int,
) -> None: ...
def backward(
    gates: np.ndarray, dh: np.ndarray, dc: np.ndarray, c: np.ndarray, dy: np.ndarray, U: np.ndarray,
    batch_sizes: np.ndarray, activation: int, recurrent: int, divide_units: bool, threads: int,
) -> None: ...

class Steps:
    h: np.ndarray
    c: np.ndarray
    threads: int
    def __init__(
        self, W: list[np.ndarray | None], bias: list[np.ndarray], U: list[np.ndarray], B: int, I: int, activation: int,
        recurrent: int, threads: int,
    ) -> None: ...
    @property
    def state(self) -> tuple[np.ndarray, np.ndarray]: ...
    def step(self, x: object, out: np.ndarray | None = None) -> np.ndarray | None: ...
    def step_tokens(self, tokens: np.ndarray, out: np.ndarray | None = None) -> np.ndarray: ...
