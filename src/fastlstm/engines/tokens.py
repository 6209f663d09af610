"""Token input of layer 0: rows of a table instead of products with one-hot vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastlstm import _core
from fastlstm.cells import Place
from fastlstm.engines import Workspace
from fastlstm.engines.gradients import add_rows

if TYPE_CHECKING:
    from fastlstm.engines.compiled import CellArrays, CompiledEngine
    from fastlstm.recurrent import Recurrent


class Tokens(NamedTuple):
    """Row r of a cell's input is what token `places[r]` contributes to its pre-activations, a row of `table`."""

    table: np.ndarray   # (·, G*H)
    places: np.ndarray  # (N,) int32
    columns: np.ndarray | slice  # the tokens that the table's rows stand for


def input_bias(stack: Recurrent, place: Place) -> np.ndarray:
    """What is added to W x (G*H,): the sum of both biases, or `bias_ih` alone where U h has one of its own; kept."""

    def make(_: object) -> np.ndarray:
        bias, *other = _biases(stack, place)
        return _plus(bias[None], *other)[0] if other else bias

    return stack.store.derived(("bias", place.index), make)


def _biases(stack: Recurrent, place: Place) -> list[np.ndarray]:
    """What `input_bias` is the sum of."""
    arrays, cell = stack.store.arrays, place.cell
    if not cell.bias:
        return [np.zeros(len(cell.gates) * cell.hidden_size, stack.dtype)]
    names = ["bias_ih"] if cell.apart else ["bias_ih", "bias_hh"]
    return [arrays[place.name(name)] for name in names]


def table(engine: CompiledEngine, stack: Recurrent, place: Place, embedding: np.ndarray | None = None) -> np.ndarray:
    """Row v (G*H,) is W x + bias of a cell of layer 0 for token v, with its vector of `embedding` (V, E) or one-hot; kept."""

    def make(_: object) -> np.ndarray:
        name = place.name("weight_ih")
        if embedding is None:
            return _plus(stack.store.arrays[name].T, *_biases(stack, place))
        bias = input_bias(stack, place)
        made = np.empty((len(embedding), len(bias)), stack.dtype)
        engine.affine(made, embedding, stack.store, name, bias, place.cell.hidden_size)
        return made

    key = "table", place.index, type(engine), _core.isa(), embedding is None
    return stack.store.derived(key, make)


def _plus(matrix: np.ndarray, *biases: np.ndarray) -> np.ndarray:
    """A matrix of any strides, plus the sum of one or two biases in every row; without warnings, as products are."""
    out = np.empty(matrix.shape, matrix.dtype)
    _core.add_bias(out, matrix, *biases)
    return out


def vectors(
    stack: Recurrent, ids: np.ndarray, embedding: np.ndarray | None, workspace: Workspace, name: str = "vectors"
) -> np.ndarray:
    """(N, E) the tokens' rows of the embedding, or (N, I) one-hot vectors, in the workspace's array `name`."""
    rows = workspace.empty(name, (len(ids), stack.input_size), stack.dtype)
    if embedding is None:
        rows.fill(0)
        rows[np.arange(len(ids)), ids] = 1
        return rows
    return embedding.take(ids, axis=0, out=rows, mode="clip")  # "clip" writes straight to out; all are valid


def rows(
    engine: CompiledEngine, stack: Recurrent, place: Place, ids: np.ndarray, embedding: np.ndarray | None,
    workspace: Workspace,
) -> np.ndarray | Tokens:
    """The input of a cell of layer 0 for these tokens (N,)."""
    V = stack.input_size if embedding is None else len(embedding)
    if len(ids) >= V:
        return Tokens(table(engine, stack, place, embedding), ids, slice(None))
    if embedding is not None:
        return vectors(stack, ids, embedding, workspace, f"vectors {place.index}")
    found, places = np.unique(ids, return_inverse=True)  # most tokens do not occur
    weight = stack.store.arrays[place.name("weight_ih")]
    return Tokens(_plus(weight[:, found].T, input_bias(stack, place)), places.astype(np.int32), found)


def gradient(
    engine: CompiledEngine, stack: Recurrent, place: Place, arrays: CellArrays, d_weight: np.ndarray,
    embedding: np.ndarray | None, d_embedding: np.ndarray | None, workspace: Workspace,
) -> None:
    """From the sums of the gate gradients over equal tokens: of the weights, and added to those of the embedding."""
    given, gates = arrays.rows, arrays.gates
    sums = workspace.empty("d_table", given.table.shape, gates.dtype)
    sums.fill(0)
    add_rows(sums, gates, given.places)
    if embedding is not None:
        engine.outer(d_weight, sums, embedding, workspace)
        found = workspace.empty("d_vectors", d_embedding.shape, gates.dtype)
        engine.back_affine(found, sums, stack.store, place.name("weight_ih"), workspace)
        d_embedding += found
        return
    if not isinstance(given.columns, slice):
        d_weight.fill(0)
    d_weight[:, given.columns] = sums.T
