"""Gradients of a cell's own parameters, from those of its pre-activations and its states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlstm import _core
from fastlstm.cells import Place
from fastlstm.engines import Workspace
from fastlstm.engines.packing import Packing
from fastlstm.threads import threads_for

if TYPE_CHECKING:
    from fastlstm.engines.compiled import CellArrays, CompiledEngine


def of_cell(
    engine: CompiledEngine, place: Place, arrays: CellArrays, d_projected: np.ndarray | None, packing: Packing,
    gradients: dict[str, np.ndarray], workspace: Workspace,
) -> None:
    """Fill those of all parameters of a cell but `weight_ih`.

    arrays: after the backward pass, so that gates (and a GRU's `recurrent`) are gradients of pre-activations.
    d_projected: (N, R) of the outputs, where the cell projects them.
    """
    cell, H = place.cell, place.cell.hidden_size
    previous = packing.previous(arrays.h) if arrays.fed is None else arrays.fed
    d_gates = d_recurrent = arrays.gates
    d_weight = gradients[place.name("weight_hh")]
    d_bias_ih, d_bias_hh = (gradients[place.name(name)] if cell.bias else None for name in ("bias_ih", "bias_hh"))
    if cell.kind == "gru" and not cell.reset_after:
        engine.outer(d_weight[: 2 * H], np.ascontiguousarray(d_gates[:, : 2 * H]), previous, workspace)
        engine.outer(d_weight[2 * H :], np.ascontiguousarray(d_gates[:, 2 * H :]), arrays.recurrent, workspace)
        if cell.bias:
            sum_rows(d_bias_hh, d_gates)
    else:
        if cell.kind == "gru":
            d_recurrent = arrays.recurrent
        engine.outer(d_weight, d_recurrent, previous, workspace, sums=d_bias_hh)
    if cell.bias and d_recurrent is d_gates:
        d_bias_ih[...] = d_bias_hh
    elif cell.bias:
        sum_rows(d_bias_ih, d_gates)
    if cell.proj_size:
        engine.outer(gradients[place.name("weight_hr")], d_projected, arrays.inner, workspace)
    if cell.peephole:
        for k, gate in enumerate(cell.gates):
            if gate == "g":
                continue
            seen = arrays.c[packing.B :] if gate == "o" else packing.previous(arrays.c)
            d_gate, d_peephole = d_gates[:, k * H : (k + 1) * H], gradients[place.name(f"weight_c{gate}")]
            if cell.peephole == "full":
                engine.outer(d_peephole, np.ascontiguousarray(d_gate), seen, workspace)
            else:
                sum_rows(d_peephole, d_gate * seen)


def sum_rows(out: np.ndarray, rows: np.ndarray, *, add: bool = False) -> None:
    """Out (M,) = the sum of the rows (N, M), plus out itself with `add`."""
    # Threads sum columns of rows that others have just written: dividing smaller arrays takes longer, in add_rows too.
    _core.sum_rows(out, rows, add, threads_for(rows.size))


def add_rows(table: np.ndarray, rows: np.ndarray, places: np.ndarray) -> None:
    """Add each row (N, M) to the row of the table (V, M) whose number is in `places` (N,)."""
    _core.scatter_add(table, rows, places, threads_for(rows.size))
