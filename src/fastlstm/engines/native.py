"""The engine with its own products: weights packed once, gates computed where their products end, threads of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlstm import _core, _native
from fastlstm.engines import Workspace, aligned_empty
from fastlstm.engines.compiled import CompiledEngine, Tokens, _LayerSaved, activations
from fastlstm.engines.packing import Packing
from fastlstm.parameters import Parameters
from fastlstm.threads import get_threads, threads_for

if TYPE_CHECKING:
    from fastlstm.layers import LSTM

# Rows of input that are multiplied at a time: their pre-activations stay in the cache until their steps come.
BLOCK = 192
ROW = np.dtype(np.int64)
# Sequences below which a thread's tiles of rows would be too thin: fewer are not divided, the units are.
LEAST_SEQUENCES = 6
# Bytes of recurrent weights from which dividing the units, with a meeting at every step, is faster than one thread.
DIVIDED_BYTES = 1 << 19
# Bytes of weights from which threads divide the units of single steps, each of which they have to be called for.
DIVIDED_STEP_BYTES = 1 << 21


def packed(parameters: Parameters, name: str, *, backward: bool = False) -> np.ndarray:
    """The weight `name` (M, K), packed for products that give M numbers a row, or `backward` K; kept until it changes."""

    def pack(before: np.ndarray | None) -> np.ndarray:
        weight = parameters.arrays[name]
        matrix = weight if backward else weight.T
        group = len(weight) // 4 if name.startswith("weight_") and not backward else 0
        size = _core.packed_size(*matrix.shape, group, weight.dtype == np.float64)
        array = before if before is not None and len(before) == size else aligned_empty(size, weight.dtype)
        _core.pack(array, matrix, group, threads_for(8 * weight.size))
        return array

    return parameters.derived((name, backward, _core.isa()), pack)


def division(B: int, H: int, flops: float) -> tuple[int, bool]:
    """How many threads run a layer's steps, and whether they divide the units rather than the B sequences."""
    threads = threads_for(flops)
    if threads * LEAST_SEQUENCES <= B:
        return threads, False
    if 4 * 4 * H * H >= DIVIDED_BYTES:
        return threads, True
    return max(1, min(threads, B // LEAST_SEQUENCES)), False


class NativeEngine(CompiledEngine):
    """Products by the kernels of `csrc/`."""

    def affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, bias: np.ndarray | None = None
    ) -> None:
        """See `CompiledEngine`."""
        group = out.shape[1] // 4 if name.startswith("weight_") else 0
        _core.product(out, rows, packed(parameters, name), bias, group, threads=threads_for(2 * out.size * rows.shape[1]))

    def back_affine(self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str) -> None:
        """See `CompiledEngine`."""
        weight = packed(parameters, name, backward=True)
        _core.product(out, rows, weight, threads=threads_for(2 * out.size * rows.shape[1]))

    def outer(self, out: np.ndarray, a: np.ndarray, b: np.ndarray, workspace: Workspace, *, add: bool = False) -> None:
        """See `CompiledEngine`."""
        threads = threads_for(2 * out.size * len(a))
        size = threads * _core.scratch_size(len(a), b.shape[1], out.dtype == np.float64)
        scratch = workspace.empty("scratch", (size,), out.dtype)
        _core.product_transposed(out, a, b, scratch, add, threads)

    def _weights(self, stack: LSTM, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of layer k: W and U packed for the forward pass, and the bias (1, 4H)."""
        store = stack.store

        def make(_: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return packed(store, f"weight_ih_l{k}"), packed(store, f"weight_hh_l{k}"), self.bias(stack, k)[None]

        return store.derived(("layer", k, _core.isa()), make)

    def _layer_forward(
        self, stack: LSTM, k: int, rows: np.ndarray | Tokens, h: np.ndarray, c: np.ndarray, packing: Packing, keep: bool,
        workspace: Workspace, gates: np.ndarray | None,
    ) -> None:
        B, H = packing.B, h.shape[1]
        if isinstance(rows, Tokens):
            x, tokens, W, bias = None, rows.places, None, rows.table
            U = packed(stack.store, f"weight_hh_l{k}")
            flops = 8 * packing.N * H * H
        else:
            x, tokens, (W, U, bias) = rows, None, self._weights(stack, k)
            flops = 8 * packing.N * H * (x.shape[1] + H)
        threads, divide_units = division(B, H, flops)
        block = max(BLOCK, B)
        scratch = None if keep else workspace.empty("block", (threads * block * 4 * H,), h.dtype)
        _native.forward(
            _core.Cell("lstm", *activations(stack)), h, c, gates, None, x, tokens, W, bias, U, None, packing.batch_sizes, keep,
            workspace.empty("listed rows", (threads, block), ROW), scratch, divide_units, threads,
        )

    def _layer_backward(
        self, stack: LSTM, k: int, saved: _LayerSaved, dh: np.ndarray, dc: np.ndarray, dy: np.ndarray, packing: Packing
    ) -> None:
        H = dh.shape[1]
        threads, divide_units = division(packing.B, H, 8 * packing.N * H * H)
        U = packed(stack.store, f"weight_hh_l{k}", backward=True)
        _native.backward(
            _core.Cell("lstm", *activations(stack)), saved.gates, None, dh, dc, saved.h, saved.c, dy, U, packing.batch_sizes,
            divide_units, threads,
        )

    def steps(self, stack: LSTM, B: int, table: np.ndarray | None) -> _native.Steps:
        """The stack step by step, reading vectors, or tokens by their `table` (·, 4H); with the present parameters."""
        store, layers = stack.store, range(stack.num_layers)
        W = [None if k == 0 and table is not None else packed(store, f"weight_ih_l{k}") for k in layers]
        bias = [table if W[k] is None else self.bias(stack, k)[None] for k in layers]
        U = [packed(store, f"weight_hh_l{k}") for k in layers]
        weight_bytes = sum(array.nbytes for array in (*W, *U) if array is not None)
        threads = get_threads() if weight_bytes >= DIVIDED_STEP_BYTES else 1
        cells = [_core.Cell("lstm", *activations(stack)) for _ in layers]
        return _native.Steps(cells, W, bias, U, [None for _ in layers], B, stack.input_size, stack.hidden_size, threads)

    def stepper(self, stack: LSTM, B: int) -> NativeStepper:
        """See `fastlstm.engines`."""
        return NativeStepper(self, stack, B)


class NativeStepper:
    """One step at a time for B sequences, with the parameters as they are at each step."""

    def __init__(self, engine: NativeEngine, stack: LSTM, B: int) -> None:
        self._engine, self._stack, self._B = engine, stack, B
        self._changes = stack.store.changes
        self._refresh(reads_tokens=False)

    def _refresh(self, *, reads_tokens: bool) -> None:
        """Take the parameters as they are, for this kind of input."""
        engine, stack = self._engine, self._stack
        before = getattr(self, "_steps", None)
        table = engine.table(stack) if reads_tokens else None
        self._steps = engine.steps(stack, self._B, table)
        self._version, self._reads_tokens = self._changes[0], reads_tokens
        if before is not None:
            self.state = before.state

    @property
    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """(h, c), each (L, B, H), views until the next step; assign to continue from others."""
        return self._steps.state

    @state.setter
    def state(self, state: tuple[np.ndarray, np.ndarray]) -> None:
        for own, given in zip(self._steps.state, state, strict=True):
            own[...] = given

    def try_step(self, x: object, out: np.ndarray | None) -> np.ndarray | None:
        """As `step` for any object x; None, and nothing done, where it is not an array that fits as it is."""
        if self._changes[0] != self._version:
            self._refresh(reads_tokens=self._reads_tokens)
        return self._steps.step(x, out)

    def step(self, x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Advance by the checked input x (B, I) or (B,); returns the output (B, H), in `out` or fresh."""
        reads_tokens = x.ndim == 1
        if reads_tokens != self._reads_tokens or self._changes[0] != self._version:
            self._refresh(reads_tokens=reads_tokens)
        return self._steps.step_tokens(x, out) if reads_tokens else self._steps.step(x, out)


ENGINE = NativeEngine()
