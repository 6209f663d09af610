"""The engine that computes with `fastlstm.reference`, in float64, whatever the dtype of the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlstm import reference
from fastlstm.cells import Masks
from fastlstm.engines import States, Workspace
from fastlstm.engines.stepper import ForwardStepper
from fastlstm.parameters import Parameters

if TYPE_CHECKING:
    from fastlstm.recurrent import Recurrent


def _double(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(array.astype(np.float64) for array in arrays)


class ReferenceEngine:
    """See `fastlstm.engines`; the operations are those of `CompiledEngine`."""

    def affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, bias: np.ndarray | None = None,
        group: int = 0, workspace: Workspace | None = None,
    ) -> None:
        """Compute out = rows weight' + bias."""
        rows, weight = _double(rows, parameters.arrays[name])
        out[...] = rows @ weight.T + (0 if bias is None else bias)

    def back_affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, workspace: Workspace | None = None
    ) -> None:
        """Compute out = rows weight."""
        rows, weight = _double(rows, parameters.arrays[name])
        out[...] = rows @ weight

    def outer(
        self, out: np.ndarray, a: np.ndarray, b: np.ndarray, workspace: Workspace, *, add: bool = False,
        sums: np.ndarray | None = None,
    ) -> None:
        """Compute out = a' b and sums, those of a's rows; plus either itself with `add`."""
        a, b = _double(a, b)
        out[...] = a.T @ b + (out if add else 0)
        if sums is not None:
            sums[...] = a.sum(axis=0) + (sums if add else 0)

    def try_call(self, stack: Recurrent, x: object) -> None:
        """See `CompiledEngine`; here is no faster way."""

    def forward(
        self, stack: Recurrent, x: np.ndarray, states: States | None, lengths: np.ndarray | None, masks: Masks | None,
        keep: bool, workspace: Workspace | None = None, embedding: np.ndarray | None = None,
    ) -> tuple[np.ndarray, States, tuple[reference.StackTape, np.ndarray]]:
        """See `fastlstm.engines`."""
        tokens = x
        if x.ndim == 2:
            x = (np.eye(stack.input_size) if embedding is None else embedding)[x]
        states = tuple(_double(*part) for part in (stack.zero_states(x.shape[1]) if states is None else states))
        y, states, tape = reference.stack_forward(
            stack.layout, self._parameters(stack), x.astype(np.float64), states, lengths, masks, stack.held
        )
        return y.astype(stack.dtype), self._single(stack, states), (tape, tokens)

    def backward(
        self, stack: Recurrent, saved: tuple[reference.StackTape, np.ndarray], dy: np.ndarray,
        dstates: States | None, gradients: dict[str, np.ndarray], want_dx: bool, d_embedding: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, States | None]:
        """See `fastlstm.engines`."""
        tape, tokens = saved
        last = stack.zero_states(dy.shape[1]) if dstates is None else dstates
        dx, initial, found = reference.stack_backward(
            stack.layout, self._parameters(stack), tape, dy.astype(np.float64), tuple(_double(*part) for part in last)
        )
        for name, gradient in found.items():
            gradients[name][...] = gradient
        if d_embedding is not None:
            np.add.at(d_embedding, tokens, dx)
        dstates = None if dstates is None else self._single(stack, initial)
        return dx.astype(stack.dtype) if want_dx else None, dstates

    def quantities(
        self, stack: Recurrent, saved: tuple[reference.StackTape, np.ndarray]
    ) -> list[dict[str, np.ndarray]]:
        """See `CompiledEngine`."""
        return [
            {name: found[name].astype(stack.dtype) for name in place.cell.quantities}
            for place, found in zip(stack.places, reference.quantities(saved[0]), strict=True)
        ]

    @staticmethod
    def _parameters(stack: Recurrent) -> dict[str, np.ndarray]:
        return {name: array.astype(np.float64) for name, array in stack.store}

    @staticmethod
    def _single(stack: Recurrent, states: States) -> States:
        sizes = stack.layout.state_sizes.values()
        parts = [[array.astype(stack.dtype) for array in part] for part in states]
        return tuple([part if size is None else np.array(part) for size, part in zip(sizes, parts, strict=True)])

    def stepper(self, stack: Recurrent, B: int) -> ForwardStepper:
        """See `fastlstm.engines`."""
        return ForwardStepper(self, stack, B)


ENGINE = ReferenceEngine()
