"""The engine that computes with `fastlstm.reference`, in float64, whatever the dtype of the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlstm import reference
from fastlstm.cells import Cell, Layout, Masks
from fastlstm.engines import Workspace
from fastlstm.parameters import Parameters

if TYPE_CHECKING:
    from fastlstm.layers import LSTM


def _double(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(array.astype(np.float64) for array in arrays)


def layout(stack: LSTM) -> Layout:
    """What the layers of this stack are."""
    cell = Cell(
        "lstm", stack.input_size, stack.hidden_size, stack.bias, stack.activation, stack.recurrent_activation
    )
    return Layout.stacked(cell, (stack.hidden_size,) * stack.num_layers)


class ReferenceEngine:
    """See `fastlstm.engines`; the operations are those of `CompiledEngine`."""

    def affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, bias: np.ndarray | None = None
    ) -> None:
        """Compute out = rows weight' + bias."""
        rows, weight = _double(rows, parameters.arrays[name])
        out[...] = rows @ weight.T + (0 if bias is None else bias)

    def back_affine(self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str) -> None:
        """Compute out = rows weight."""
        rows, weight = _double(rows, parameters.arrays[name])
        out[...] = rows @ weight

    def outer(self, out: np.ndarray, a: np.ndarray, b: np.ndarray, workspace: Workspace, *, add: bool = False) -> None:
        """Compute out = a' b, plus out itself with `add`."""
        a, b = _double(a, b)
        out[...] = a.T @ b + (out if add else 0)

    def forward(
        self, stack: LSTM, x: np.ndarray, h0: np.ndarray, c0: np.ndarray, lengths: np.ndarray | None,
        masks: list[np.ndarray] | None, keep: bool, workspace: Workspace | None = None,
        embedding: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[reference.StackTape, np.ndarray]]:
        """See `fastlstm.engines`."""
        tokens = x
        if x.ndim == 2:
            x = (np.eye(stack.input_size) if embedding is None else embedding)[x]
        y, state, tape = reference.stack_forward(
            layout(stack), stack.parameters, x, (h0, c0), lengths, masks and Masks(masks, [])
        )
        h, c = (np.array(arrays, stack.dtype) for arrays in state)
        return y.astype(stack.dtype), h, c, (tape, tokens)

    def backward(
        self, stack: LSTM, saved: tuple[reference.StackTape, np.ndarray], dy: np.ndarray, dh: np.ndarray, dc: np.ndarray,
        gradients: dict[str, np.ndarray], want_dx: bool, d_embedding: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """See `fastlstm.engines`."""
        tape, tokens = saved
        dx, dstate, found = reference.stack_backward(layout(stack), stack.parameters, tape, dy, (dh, dc))
        dh0, dc0 = (np.array(arrays, stack.dtype) for arrays in dstate)
        for name, gradient in found.items():
            gradients[name][...] = gradient
        if d_embedding is not None:
            np.add.at(d_embedding, tokens, dx)
        return dx.astype(stack.dtype) if want_dx else None, dh0, dc0

    def stepper(self, stack: LSTM, B: int) -> ReferenceStepper:
        """See `fastlstm.engines`."""
        return ReferenceStepper(self, stack, B)


class ReferenceStepper:
    """One step at a time for B sequences."""

    def __init__(self, engine: ReferenceEngine, stack: LSTM, B: int) -> None:
        self._engine, self._stack = engine, stack
        self.state = tuple(np.zeros((stack.num_layers, B, stack.hidden_size), stack.dtype) for _ in "hc")

    def try_step(self, x: object, out: np.ndarray | None) -> None:
        """See `NativeStepper`; this engine has no faster way for arrays that fit."""

    def step(self, x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Advance by the checked input x (B, I) or (B,); returns the output (B, H), in `out` or fresh."""
        y, h, c, _ = self._engine.forward(self._stack, x[None], *self.state, None, None, keep=False)
        self.state = h, c
        if out is None:
            return y[0]
        out[...] = y[0]
        return out


ENGINE = ReferenceEngine()
