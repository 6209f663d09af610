"""The engine that runs the time loop in Cython and every product through BLAS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlstm import _core
from fastlstm.cells import Place
from fastlstm.engines import Workspace, gradients, loops
from fastlstm.engines.compiled import CellArrays, CompiledEngine
from fastlstm.engines.one_blas_thread import one_blas_thread
from fastlstm.engines.packing import Packing
from fastlstm.engines.stepper import ForwardStepper
from fastlstm.parameters import Parameters

if TYPE_CHECKING:
    from fastlstm.recurrent import Recurrent


class BlasEngine(CompiledEngine):
    """Products through BLAS, on one thread."""

    def affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, bias: np.ndarray | None = None,
        group: int = 0, workspace: Workspace | None = None,
    ) -> None:
        """See `CompiledEngine`."""
        if bias is not None:
            out[...] = bias
        with one_blas_thread:
            _core.matmul(out, rows, parameters.arrays[name], transpose_b=True, beta=0 if bias is None else 1)

    def back_affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, workspace: Workspace | None = None
    ) -> None:
        """See `CompiledEngine`."""
        with one_blas_thread:
            _core.matmul(out, rows, parameters.arrays[name])

    def outer(
        self, out: np.ndarray, a: np.ndarray, b: np.ndarray, workspace: Workspace, *, add: bool = False,
        sums: np.ndarray | None = None,
    ) -> None:
        """See `CompiledEngine`."""
        with one_blas_thread:
            _core.matmul(out, a, b, transpose_a=True, beta=1 if add else 0)
        if sums is not None:
            gradients.sum_rows(sums, a, add=add)

    def _cell_forward(
        self, stack: Recurrent, place: Place, arrays: CellArrays, packing: Packing, keep: bool, workspace: Workspace
    ) -> None:
        loops.forward(self, stack, place, arrays, packing, keep, workspace)

    def _cell_backward(
        self, stack: Recurrent, place: Place, arrays: CellArrays, dh: np.ndarray, dc: np.ndarray | None, dy: np.ndarray,
        packing: Packing, workspace: Workspace,
    ) -> np.ndarray | None:
        return loops.backward(stack, place, arrays, dh, dc, dy, packing, workspace)

    def stepper(self, stack: Recurrent, B: int) -> ForwardStepper:
        """See `fastlstm.engines`."""
        return ForwardStepper(self, stack, B)


ENGINE = BlasEngine()
