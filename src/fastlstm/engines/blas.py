"""The engine that runs the time loop in Cython and every product through BLAS."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastlstm import _core, _lstm
from fastlstm.engines import Workspace
from fastlstm.engines.compiled import CompiledEngine, Tokens, _LayerSaved, activations
from fastlstm.engines.packing import Packing
from fastlstm.parameters import Parameters

if TYPE_CHECKING:
    from fastlstm.layers import LSTM


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


class BlasEngine(CompiledEngine):
    """Products through BLAS, on one thread."""

    def affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, bias: np.ndarray | None = None
    ) -> None:
        """See `CompiledEngine`."""
        if bias is not None:
            out[...] = bias
        with one_blas_thread:
            _core.matmul(out, rows, parameters.arrays[name], transpose_b=True, beta=0 if bias is None else 1)

    def back_affine(self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str) -> None:
        """See `CompiledEngine`."""
        with one_blas_thread:
            _core.matmul(out, rows, parameters.arrays[name])

    def outer(self, out: np.ndarray, a: np.ndarray, b: np.ndarray, workspace: Workspace, *, add: bool = False) -> None:
        """See `CompiledEngine`."""
        with one_blas_thread:
            _core.matmul(out, a, b, transpose_a=True, beta=1 if add else 0)

    def _layer_forward(
        self, stack: LSTM, k: int, rows: np.ndarray | Tokens, h: np.ndarray, c: np.ndarray, packing: Packing, keep: bool,
        workspace: Workspace, gates: np.ndarray | None,
    ) -> None:
        if gates is None:
            gates = workspace.empty("gates", (packing.N, 4 * h.shape[1]), h.dtype)
        if isinstance(rows, Tokens):
            rows.table.take(rows.places, axis=0, out=gates, mode="clip")  # "clip" writes straight to out; all are valid
        else:
            self.affine(gates, rows, stack.store, f"weight_ih_l{k}", self.bias(stack, k))
        weight_hh = stack.store.arrays[f"weight_hh_l{k}"]
        with one_blas_thread:
            _lstm.forward(gates, h, c, weight_hh, packing.batch_sizes, keep, *activations(stack))

    def _layer_backward(
        self, stack: LSTM, k: int, saved: _LayerSaved, dh: np.ndarray, dc: np.ndarray, dy: np.ndarray, packing: Packing
    ) -> None:
        weight_hh = stack.store.arrays[f"weight_hh_l{k}"]
        with one_blas_thread:
            _lstm.backward(saved.gates, dh, dc, saved.c, dy, weight_hh, packing.batch_sizes, *activations(stack))

    def stepper(self, stack: LSTM, B: int) -> BlasStepper:
        """See `fastlstm.engines`."""
        return BlasStepper(self, stack, B)


class BlasStepper:
    """One step at a time for B sequences; buffers and the derived input weights live as long as it does."""

    def __init__(self, engine: BlasEngine, stack: LSTM, B: int) -> None:
        self._engine, self._stack = engine, stack
        H = stack.hidden_size
        self._gates = np.empty((B, 4 * H), stack.dtype)
        self.state = tuple(np.zeros((stack.num_layers, B, H), stack.dtype) for _ in "hc")

    def try_step(self, x: object, out: np.ndarray | None) -> None:
        """See `NativeStepper`; this engine has no faster way for arrays that fit."""

    def step(self, x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Advance by the checked input x (B, I) or (B,); returns the output (B, H), in `out` or fresh."""
        engine, stack, (h, c) = self._engine, self._stack, self.state
        for k in range(stack.num_layers):
            if x.ndim == 1:
                engine.table(stack).take(x, axis=0, out=self._gates, mode="clip")
            else:
                engine.affine(self._gates, x, stack.store, f"weight_ih_l{k}", engine.bias(stack, k))
            with one_blas_thread:
                _lstm.step(self._gates, h[k], c[k], stack.store.arrays[f"weight_hh_l{k}"], *activations(stack))
            x = h[k]
        if out is None:
            return x.copy()
        out[...] = x
        return out


ENGINE = BlasEngine()
