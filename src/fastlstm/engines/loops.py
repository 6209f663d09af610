"""One cell over all steps with products through BLAS: all cells of the BLAS engine, of the native one those without kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlstm import _core, _loops
from fastlstm.cells import Place
from fastlstm.engines import Workspace
from fastlstm.engines.one_blas_thread import one_blas_thread
from fastlstm.engines.packing import Packing
from fastlstm.engines.tokens import Tokens, input_bias
from fastlstm.reference import ACTIVATIONS

if TYPE_CHECKING:
    from fastlstm.engines.compiled import CellArrays, CompiledEngine
    from fastlstm.recurrent import Recurrent

_KINDS = {name: kind for kind, name in enumerate(ACTIVATIONS)}  # as the FL_ constants count them


def kernel_cell(stack: Recurrent, place: Place) -> _core.Cell:
    """What the kernels do after the cell's products; kept, with its diagonal peepholes."""

    def make(_: object) -> _core.Cell:
        cell, peepholes = place.cell, None
        if cell.peephole == "diagonal":
            peepholes = np.array([stack.store.arrays[place.name(f"weight_c{gate}")] for gate in cell.gates if gate != "g"])
        return _core.Cell(
            cell.kind, _KINDS[cell.activation], _KINDS[cell.recurrent_activation], cell.coupled, peepholes, cell.clip or 0
        )

    return stack.store.derived(("cell", place.index), make)


def _weights(stack: Recurrent, place: Place) -> _loops.Weights:
    """What the loops multiply with; kept."""

    def make(_: object) -> _loops.Weights:
        arrays, cell = stack.store.arrays, place.cell
        full = [arrays.get(place.name(f"weight_c{gate}")) if cell.peephole == "full" else None for gate in "ifo"]
        bias_hh = None
        if cell.apart:
            bias_hh = arrays[place.name("bias_hh")] if cell.bias else np.zeros(3 * cell.hidden_size, stack.dtype)
        weight_hr = arrays.get(place.name("weight_hr"))
        return _loops.Weights(kernel_cell(stack, place), arrays[place.name("weight_hh")], bias_hh, weight_hr, full)

    return stack.store.derived(("loops", place.index), make)


def forward(
    engine: CompiledEngine, stack: Recurrent, place: Place, arrays: CellArrays, packing: Packing, keep: bool,
    workspace: Workspace,
) -> None:
    """All steps of one cell; the engine multiplies its input."""
    cell, B, dtype = place.cell, packing.B, stack.dtype
    gates, recurrent, inner, rows = arrays.gates, arrays.recurrent, arrays.inner, arrays.rows
    H = cell.hidden_size
    if not keep:
        gates = workspace.empty("gates", (packing.N, len(cell.gates) * H), dtype)
        if cell.kind == "gru":
            recurrent = workspace.empty("recurrent", (B, 3 * H if cell.reset_after else H), dtype)
        if cell.proj_size:
            inner = workspace.empty("inner", (B, H), dtype)
    if isinstance(rows, Tokens):
        rows.table.take(rows.places, axis=0, out=gates, mode="clip")  # "clip" writes straight to out; all are valid
    else:
        engine.affine(gates, rows, stack.store, place.name("weight_ih"), input_bias(stack, place), H)
    with one_blas_thread:
        _loops.forward(
            _weights(stack, place), gates, recurrent, arrays.h, arrays.c, inner, arrays.fed, arrays.mask,
            packing.batch_sizes, keep,
        )


def backward(
    stack: Recurrent, place: Place, arrays: CellArrays, dh: np.ndarray, dc: np.ndarray | None, dy: np.ndarray,
    packing: Packing, workspace: Workspace,
) -> np.ndarray | None:
    """All steps of one cell backwards; see `CompiledEngine._cell_backward`."""
    cell = place.cell
    d_projected = workspace.empty("d_projected", dy.shape, dy.dtype) if cell.proj_size else None
    scratch, d_fed = (workspace.empty(name, (packing.B, cell.hidden_size), dy.dtype) for name in ("scratch rows", "d_fed"))
    with one_blas_thread:
        _loops.backward(
            _weights(stack, place), arrays.gates, arrays.recurrent, dh, dc, d_projected, arrays.h, arrays.c, arrays.fed,
            arrays.mask, dy, scratch, d_fed, packing.batch_sizes,
        )
    return d_projected
