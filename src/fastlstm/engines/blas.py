"""The engine that runs the time loop in Cython and every product through BLAS."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastlstm import _check, _core, _lstm
from fastlstm.engines import Workspace
from fastlstm.engines.packing import Packing
from fastlstm.reference import ACTIVATIONS

if TYPE_CHECKING:
    from fastlstm.layers import LSTM

_KINDS = {name: kind for kind, name in enumerate(ACTIVATIONS)}  # as the FL_ constants count them


class _ThreadCount(NamedTuple):
    """How a BLAS library tells and takes its number of threads."""

    get: Callable[[], int]
    set: Callable[[int], Any]


def _thread_count(library: Any) -> _ThreadCount:
    """Of a library found by threadpoolctl; for OpenBLAS its own functions, as threadpoolctl's heed one thread only."""
    for name in library.check_symbols if library.internal_api == "openblas" else ():
        if hasattr(library.dynlib, name):
            return _ThreadCount(getattr(library.dynlib, name), getattr(library.dynlib, name.replace("get_num", "set_num")))
    return _ThreadCount(library.get_num_threads, library.set_num_threads)


class _OneBlasThread:
    """Holds SciPy's BLAS to one thread while any block is inside, and restores it when the last one leaves.

    Its own threads would wait for each other at every step of the time loop, and fight ours.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._libraries: list[_ThreadCount] | None = None
        self._before: list[int] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A forked child has none of the threads that were inside."""
        self._lock = threading.Lock()
        if self._inside:
            self._inside = 0
            self._restore()

    def _restore(self) -> None:
        for library, threads in zip(self._libraries, self._before, strict=True):
            library.set(threads)

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                if self._libraries is None:
                    self._libraries = self._find()
                self._before = [library.get() for library in self._libraries]
                for library in self._libraries:
                    library.set(1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore()

    @staticmethod
    def _find() -> list[_ThreadCount]:
        _core.load_blas()
        from threadpoolctl import ThreadpoolController

        found = ThreadpoolController().select(user_api="blas").lib_controllers
        return [_thread_count(library) for library in found if "numpy.libs" not in library.filepath]  # NumPy has its own


one_blas_thread = _OneBlasThread()


class _LayerSaved(NamedTuple):
    rows: np.ndarray   # the layer's input: (N, I), or token ids (N,)
    gates: np.ndarray  # (N, 4H)
    h: np.ndarray      # (B + N, H)
    c: np.ndarray
    mask: np.ndarray | None  # what the layer below's output was multiplied by to give `rows`


class Saved(NamedTuple):
    """What the backward pass needs: activated gates, h and c of every layer, the packing, and where to work."""

    packing: Packing
    layers: list[_LayerSaved]
    workspace: Workspace


@np.errstate(invalid="ignore", over="ignore")
def bias_of(stack: LSTM, k: int) -> np.ndarray:
    """The sum of layer k's two biases (4H,), zeros without them."""
    if not stack.bias:
        return np.zeros(4 * stack.hidden_size, stack.dtype)
    return stack.parameters[f"bias_ih_l{k}"] + stack.parameters[f"bias_hh_l{k}"]


@np.errstate(invalid="ignore", over="ignore")
def token_table(stack: LSTM) -> np.ndarray:
    """Row v (4H,) is layer 0's pre-activation for the one-hot input v: what makes a token a row gather."""
    return np.add(stack.parameters["weight_ih_l0"].T, bias_of(stack, 0), order="C")


def affine(out: np.ndarray, rows: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    """Write rows (N, K) weight' + bias into out (N, M), for weight (M, K) and bias (M,)."""
    out[...] = bias
    _core.matmul(out, rows, weight, transpose_b=True, beta=1)


@np.errstate(invalid="ignore", over="ignore")
def _input_part(stack: LSTM, k: int, rows: np.ndarray, gates: np.ndarray) -> None:
    """What layer k's pre-activations (N, 4H) owe to its input rows."""
    if rows.ndim == 1:
        if stack.input_size <= len(rows):
            token_table(stack).take(rows, axis=0, out=gates, mode="clip")  # "clip" writes straight to out; all are valid
        else:
            np.add(stack.parameters["weight_ih_l0"].take(rows, axis=1).T, bias_of(stack, 0), out=gates)
        return
    affine(gates, rows, stack.parameters[f"weight_ih_l{k}"], bias_of(stack, k))


def _token_gradient(gradient: np.ndarray, gates: np.ndarray, tokens: np.ndarray) -> None:
    """The gradient (4H, V) of one-hot input's weights: column v is the sum of the gate gradients where the token is v."""
    V, columns, places = gradient.shape[1], slice(None), tokens
    if len(tokens) < V:  # most tokens do not occur
        columns, places = np.unique(tokens, return_inverse=True)
        V = len(columns)
        gradient.fill(0)
    table = np.zeros((V, gates.shape[1]), gates.dtype)
    _core.scatter_add(table, gates, places.astype(np.int32, copy=False))
    gradient[:, columns] = table.T


def forward(
    stack: LSTM, x: np.ndarray, h0: np.ndarray, c0: np.ndarray, lengths: np.ndarray | None,
    masks: list[np.ndarray] | None, keep: bool, workspace: Workspace | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Saved | None]:
    """See `fastlstm.engines`."""
    workspace = workspace or Workspace()
    T, B = x.shape[:2]
    H = stack.hidden_size
    _check.blas_dimensions(**{"T * B": T * B, "4 * hidden_size": 4 * H, "input_size": stack.input_size})
    packing = Packing(T, B, lengths)
    rows, mask, layers = packing.pack(x), None, []
    final_h, final_c = np.empty_like(h0), np.empty_like(c0)
    with one_blas_thread:
        for k in range(stack.num_layers):
            if k and masks:
                mask = packing.pack(masks[k - 1])
                rows = rows * mask
            gates = workspace.empty(f"gates {k}", (packing.N, 4 * H), stack.dtype)
            _input_part(stack, k, rows, gates)
            h, c = (workspace.empty(f"{name} {k}", (B + packing.N, H), stack.dtype) for name in "hc")
            h[:B], c[:B] = packing.sort(h0[k]), packing.sort(c0[k])
            _lstm.forward(
                gates, h, c, stack.parameters[f"weight_hh_l{k}"], packing.batch_sizes, _KINDS[stack.activation],
                _KINDS[stack.recurrent_activation],
            )
            final_h[k], final_c[k] = packing.final(h), packing.final(c)
            if keep:
                layers.append(_LayerSaved(rows, gates, h, c, mask))
            rows = h[B:]
    return packing.unpack(rows), final_h, final_c, Saved(packing, layers, workspace) if keep else None


def backward(
    stack: LSTM, saved: Saved, dy: np.ndarray, dh: np.ndarray, dc: np.ndarray, gradients: dict[str, np.ndarray],
    want_dx: bool,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """See `fastlstm.engines`. The saved gates are overwritten by their gradients."""
    packing = saved.packing
    d_rows = packing.pack(dy)
    dh0, dc0 = np.empty_like(dh), np.empty_like(dc)
    with one_blas_thread:
        for k in reversed(range(stack.num_layers)):
            rows, gates, h, c, mask = saved.layers[k]
            weight_ih = stack.parameters[f"weight_ih_l{k}"]
            dh_k, dc_k = packing.sort(dh[k]), packing.sort(dc[k])
            _lstm.backward(
                gates, dh_k, dc_k, c, d_rows, stack.parameters[f"weight_hh_l{k}"], packing.batch_sizes,
                _KINDS[stack.activation], _KINDS[stack.recurrent_activation],
            )
            dh0[k], dc0[k] = packing.unsort(dh_k), packing.unsort(dc_k)
            _core.matmul(gradients[f"weight_hh_l{k}"], gates, packing.previous(h), transpose_a=True)
            if stack.bias:
                gates.sum(axis=0, out=gradients[f"bias_ih_l{k}"])
                gradients[f"bias_hh_l{k}"][...] = gradients[f"bias_ih_l{k}"]
            if rows.ndim == 1:
                _token_gradient(gradients["weight_ih_l0"], gates, rows)
                return None, dh0, dc0
            _core.matmul(gradients[f"weight_ih_l{k}"], gates, rows, transpose_a=True)
            if k or want_dx:
                d_rows = saved.workspace.empty(f"d_rows {k}", rows.shape, stack.dtype)
                _core.matmul(d_rows, gates, weight_ih)
                if mask is not None:
                    d_rows *= mask
    return packing.unpack(d_rows) if want_dx else None, dh0, dc0


class Stepper:
    """One step at a time for B sequences; buffers and the derived input weights live as long as it does."""

    def __init__(self, stack: LSTM, B: int) -> None:
        self._stack = stack
        self._gates = np.empty((B, 4 * stack.hidden_size), stack.dtype)
        self._version = -1

    def _refresh(self) -> None:
        stack = self._stack
        parameters = stack.parameters
        self._version = stack.version
        self._table = None
        self._layers = [
            (parameters[f"weight_ih_l{k}"], parameters[f"weight_hh_l{k}"], bias_of(stack, k))
            for k in range(stack.num_layers)
        ]
        self._kinds = _KINDS[stack.activation], _KINDS[stack.recurrent_activation]

    def step(self, x: np.ndarray, h: np.ndarray, c: np.ndarray, out: np.ndarray) -> None:
        """Advance h and c (L, B, H) in place by the input x (B, I) or (B,); out (B, H) receives the output."""
        if self._version != self._stack.version:
            self._refresh()
        gates = self._gates
        with one_blas_thread:
            for k, (weight_ih, weight_hh, bias) in enumerate(self._layers):
                if x.ndim == 1:
                    if self._table is None:
                        self._table = token_table(self._stack)
                    self._table.take(x, axis=0, out=gates, mode="clip")
                else:
                    affine(gates, x, weight_ih, bias)
                _lstm.step(gates, h[k], c[k], weight_hh, *self._kinds)
                x = h[k]
        out[...] = x
