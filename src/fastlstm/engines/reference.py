"""The engine that computes with `fastlstm.reference`, in float64, whatever the dtype of the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlstm import reference
from fastlstm.engines import Workspace

if TYPE_CHECKING:
    from fastlstm.layers import LSTM


def _double(stack: LSTM) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float64) for name, array in stack.parameters.items()}


def forward(
    stack: LSTM, x: np.ndarray, h0: np.ndarray, c0: np.ndarray, lengths: np.ndarray | None,
    masks: list[np.ndarray] | None, keep: bool, workspace: Workspace | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, reference.StackTape]:
    """See `fastlstm.engines`."""
    x = np.eye(stack.input_size)[x] if x.ndim == 2 else x.astype(np.float64)
    y, h, c, tape = reference.stack_forward(
        _double(stack), x, h0.astype(np.float64), c0.astype(np.float64), lengths, masks, stack.activation,
        stack.recurrent_activation,
    )
    return y.astype(stack.dtype), h.astype(stack.dtype), c.astype(stack.dtype), tape


def backward(
    stack: LSTM, saved: reference.StackTape, dy: np.ndarray, dh: np.ndarray, dc: np.ndarray,
    gradients: dict[str, np.ndarray], want_dx: bool,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """See `fastlstm.engines`."""
    dx, dh0, dc0, found = reference.stack_backward(
        _double(stack), saved, dy.astype(np.float64), dh.astype(np.float64), dc.astype(np.float64)
    )
    for name, gradient in found.items():
        gradients[name][...] = gradient
    return dx.astype(stack.dtype) if want_dx else None, dh0.astype(stack.dtype), dc0.astype(stack.dtype)


class Stepper:
    """One step at a time for B sequences."""

    def __init__(self, stack: LSTM, B: int) -> None:
        self._stack = stack

    def step(self, x: np.ndarray, h: np.ndarray, c: np.ndarray, out: np.ndarray) -> None:
        """Advance h and c (L, B, H) in place by the input x (B, I) or (B,); out (B, H) receives the output."""
        y, h[...], c[...], _ = forward(self._stack, x[None], h, c, None, None, keep=False)
        out[...] = y[0]
