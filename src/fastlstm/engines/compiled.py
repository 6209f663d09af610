"""What the compiled engines share: a stack's forward and backward pass out of a few operations.

Rows are those of `Packing`: N in all, step by step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastlstm import _check, _core
from fastlstm.engines import Workspace, aligned_empty
from fastlstm.engines.packing import Packing, full_packing
from fastlstm.parameters import Parameters
from fastlstm.reference import ACTIVATIONS
from fastlstm.threads import threads_for

if TYPE_CHECKING:
    from fastlstm.layers import LSTM

_KINDS = {name: kind for kind, name in enumerate(ACTIVATIONS)}  # as the FL_ constants count them


class Tokens(NamedTuple):
    """Token input: row r is what token `places[r]` contributes to layer 0's pre-activations, a row of `table`."""

    table: np.ndarray   # (·, 4H)
    places: np.ndarray  # (N,) int32
    columns: np.ndarray | slice  # the tokens that the table's rows stand for


class _LayerSaved(NamedTuple):
    rows: np.ndarray | Tokens  # the layer's input (N, I)
    gates: np.ndarray  # (N, 4H)
    h: np.ndarray      # (B + N, H)
    c: np.ndarray
    mask: np.ndarray | None  # what the layer below's output was multiplied by to give `rows`


class Saved(NamedTuple):
    """What the backward pass needs: activated gates, h and c of every layer, the packing, and where to work."""

    packing: Packing
    layers: list[_LayerSaved]
    workspace: Workspace
    own_workspace: bool  # it goes back to the stack's shelf after the backward pass
    embedding: np.ndarray | None
    tokens: np.ndarray | None  # packed ids of token input


def bias_of(stack: LSTM, k: int) -> np.ndarray:
    """The sum of layer k's two biases (4H,), zeros without them."""
    if not stack.bias:
        return np.zeros(4 * stack.hidden_size, stack.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        return stack.parameters[f"bias_ih_l{k}"] + stack.parameters[f"bias_hh_l{k}"]


def activations(stack: LSTM) -> tuple[int, int]:
    """Of the stack's candidates and gates, as the kernels count them."""
    return _KINDS[stack.activation], _KINDS[stack.recurrent_activation]


class CompiledEngine(ABC):
    """See `fastlstm.engines`."""

    # ---- the operations ------------------------------------------------------------------------------------------

    @abstractmethod
    def affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, bias: np.ndarray | None = None
    ) -> None:
        """Compute out (N, M) = rows (N, K) weight' + bias, for the parameter `name`, a weight (M, K)."""

    @abstractmethod
    def back_affine(self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str) -> None:
        """Compute out (N, K) = rows (N, M) weight, for the parameter `name`, a weight (M, K)."""

    @abstractmethod
    def outer(self, out: np.ndarray, a: np.ndarray, b: np.ndarray, workspace: Workspace, *, add: bool = False) -> None:
        """Compute out (M, K) = a' b, for a (N, M) and b (N, K); plus out itself with `add`."""

    @abstractmethod
    def _layer_forward(
        self, stack: LSTM, k: int, rows: np.ndarray | Tokens, h: np.ndarray, c: np.ndarray, packing: Packing, keep: bool,
        workspace: Workspace, gates: np.ndarray | None,
    ) -> None:
        """All steps of layer k; `gates` (N, 4H) receives the activated gates with `keep`, and is else None."""

    @abstractmethod
    def _layer_backward(
        self, stack: LSTM, k: int, saved: _LayerSaved, dh: np.ndarray, dc: np.ndarray, dy: np.ndarray, packing: Packing
    ) -> None:
        """All steps of layer k backwards: saved.gates become their gradients, dh and dc those of the initial state."""

    # ---- the stack -----------------------------------------------------------------------------------------------

    def forward(
        self, stack: LSTM, x: np.ndarray, h0: np.ndarray, c0: np.ndarray, lengths: np.ndarray | None,
        masks: list[np.ndarray] | None, keep: bool, workspace: Workspace | None = None,
        embedding: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, Saved | None]:
        """See `fastlstm.engines`."""
        own_workspace = workspace is None
        if own_workspace:
            workspace = stack.shelf.take()
        (T, B), H, L, dtype = x.shape[:2], stack.hidden_size, stack.num_layers, stack.dtype
        _check.blas_dimensions(**{"T * B": T * B})
        packing = full_packing(T, B) if lengths is None else Packing(T, B, lengths)
        N = packing.N
        rows, mask, layers = packing.pack(x), None, []
        tokens = rows if rows.ndim == 1 else None
        if tokens is not None:
            rows = self._token_input(stack, tokens, embedding, workspace)
        final_h, final_c = np.empty_like(h0), np.empty_like(c0)
        for k in range(L):
            if k and masks:
                mask = packing.pack(masks[k - 1])
                rows = rows * mask
            at = k if keep else k % 2  # only the layer below is read
            if own_workspace and k == L - 1:  # the caller's
                h = aligned_empty((B + N) * H, dtype).reshape(B + N, H)
            else:
                h = workspace.empty(f"h {at}", (B + N, H), dtype)
            c = workspace.empty(f"c {at}", (B + N if keep else B, H), dtype)
            gates = workspace.empty(f"gates {at}", (N, 4 * H), dtype) if keep else None
            h[:B], c[:B] = packing.sort(h0[k]), packing.sort(c0[k])
            self._layer_forward(stack, k, rows, h, c, packing, keep, workspace, gates)
            final_h[k], final_c[k] = packing.final(h), packing.final(c) if keep else packing.unsort(c)
            if keep:
                layers.append(_LayerSaved(rows, gates, h, c, mask))
            rows = h[B:]
        saved = None
        if keep:
            saved = Saved(packing, layers, workspace, own_workspace, embedding, tokens)
        elif own_workspace:
            stack.shelf.give_back(workspace)
        return packing.unpack(rows), final_h, final_c, saved

    def backward(
        self, stack: LSTM, saved: Saved, dy: np.ndarray, dh: np.ndarray, dc: np.ndarray, gradients: dict[str, np.ndarray],
        want_dx: bool, d_embedding: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """See `fastlstm.engines`. The saved gates are overwritten by their gradients."""
        packing, workspace = saved.packing, saved.workspace
        d_rows = packing.pack(dy)
        dh0, dc0, dx = np.empty_like(dh), np.empty_like(dc), None
        for k in reversed(range(stack.num_layers)):
            kept = saved.layers[k]
            rows, gates, h, _, mask = kept
            dh_k, dc_k = packing.sort(dh[k]), packing.sort(dc[k])
            self._layer_backward(stack, k, kept, dh_k, dc_k, d_rows, packing)
            dh0[k], dc0[k] = packing.unsort(dh_k), packing.unsort(dc_k)
            self.outer(gradients[f"weight_hh_l{k}"], gates, packing.previous(h), workspace)
            if stack.bias:
                d_bias = gradients[f"bias_ih_l{k}"]
                d_bias.fill(0)
                _core.scatter_add(d_bias[None], gates, None, threads_for(gates.size))
                gradients[f"bias_hh_l{k}"][...] = d_bias
            if isinstance(rows, Tokens):
                self._token_gradient(stack, saved, gradients["weight_ih_l0"], rows, gates, d_embedding)
                break
            self.outer(gradients[f"weight_ih_l{k}"], gates, rows, workspace)
            if k or want_dx or d_embedding is not None:
                if k == 0 and want_dx:
                    d_rows = np.empty(rows.shape, stack.dtype)  # the caller's
                else:
                    d_rows = workspace.empty("d_rows", rows.shape, stack.dtype)
                self.back_affine(d_rows, gates, stack.store, f"weight_ih_l{k}")
                if mask is not None:
                    d_rows *= mask
        else:
            if d_embedding is not None:
                _core.scatter_add(d_embedding, d_rows, saved.tokens, threads_for(d_rows.size))
            dx = packing.unpack(d_rows) if want_dx else None
        if saved.own_workspace:
            stack.shelf.give_back(workspace)
        return dx, dh0, dc0

    def bias(self, stack: LSTM, k: int) -> np.ndarray:
        """The sum of layer k's biases (4H,), kept until they change."""
        return stack.store.derived(("bias", k), lambda _: bias_of(stack, k))

    # ---- token input -----------------------------------------------------------------------------------------------

    def table(self, stack: LSTM, embedding: np.ndarray | None = None) -> np.ndarray:
        """As `token_table` makes it, kept until the parameters change."""
        key = "table", type(self), _core.isa(), embedding is None
        return stack.store.derived(key, lambda _: self.token_table(stack, embedding))

    def token_table(self, stack: LSTM, embedding: np.ndarray | None = None) -> np.ndarray:
        """Row v (4H,) is layer 0's pre-activation for token v, with its vector of `embedding` (V, E) or one-hot."""
        bias = self.bias(stack, 0)
        if embedding is None:
            with np.errstate(invalid="ignore", over="ignore"):
                return np.add(stack.store.arrays["weight_ih_l0"].T, bias, order="C")
        table = np.empty((len(embedding), 4 * stack.hidden_size), stack.dtype)
        self.affine(table, embedding, stack.store, "weight_ih_l0", bias)
        return table

    def _token_input(
        self, stack: LSTM, tokens: np.ndarray, embedding: np.ndarray | None, workspace: Workspace
    ) -> np.ndarray | Tokens:
        V = stack.input_size if embedding is None else len(embedding)
        if len(tokens) >= V:
            return Tokens(self.table(stack, embedding), tokens, slice(None))
        if embedding is not None:
            rows = workspace.empty("vectors", (len(tokens), embedding.shape[1]), stack.dtype)
            return embedding.take(tokens, axis=0, out=rows, mode="clip")  # "clip" writes straight to out; all are valid
        found, places = np.unique(tokens, return_inverse=True)  # most tokens do not occur
        with np.errstate(invalid="ignore", over="ignore"):
            table = np.add(stack.store.arrays["weight_ih_l0"].take(found, axis=1).T, self.bias(stack, 0), order="C")
        return Tokens(table, places.astype(np.int32), found)

    def _token_gradient(
        self, stack: LSTM, saved: Saved, d_weight: np.ndarray, rows: Tokens, gates: np.ndarray,
        d_embedding: np.ndarray | None,
    ) -> None:
        """From the sums of the gate gradients over equal tokens: of the weights, and added to those of the embedding."""
        table = saved.workspace.empty("d_table", rows.table.shape, gates.dtype)
        table.fill(0)
        _core.scatter_add(table, gates, rows.places, threads_for(gates.size))
        if d_embedding is not None:
            self.outer(d_weight, table, saved.embedding, saved.workspace)
            vectors = saved.workspace.empty("d_vectors", d_embedding.shape, gates.dtype)
            self.back_affine(vectors, table, stack.store, "weight_ih_l0")
            d_embedding += vectors
            return
        if not isinstance(rows.columns, slice):
            d_weight.fill(0)
        d_weight[:, rows.columns] = table.T
