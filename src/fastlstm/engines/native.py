"""The engine with its own products: weights packed once, gates computed where their products end, threads of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastlstm import _core, _native, results
from fastlstm._passes import Pass
from fastlstm.aligned import aligned_empty
from fastlstm.cells import Cell, Masks, Place
from fastlstm.engines import States, Workspace, loops, tokens
from fastlstm.engines.compiled import CellArrays, CompiledEngine, Saved
from fastlstm.engines.packing import Packing
from fastlstm.engines.stepper import ForwardStepper
from fastlstm.engines.tokens import Tokens, input_bias
from fastlstm.parameters import Parameters
from fastlstm.threads import get_threads, threads_for

if TYPE_CHECKING:
    from fastlstm.recurrent import Recurrent

# Rows of input that are multiplied at a time: their pre-activations stay in the cache until their steps come.
BLOCK = 192
ROW = np.dtype(np.int64)
# Floating-point operations that packing a number is worth, for choosing threads.
PACK_WORK = 32
# Sequences below which a thread's tiles of rows would be too thin: fewer are not divided, the units are.
LEAST_SEQUENCES = 6
# Bytes of recurrent weights from which dividing the units, with a meeting at every step, is faster than one thread.
DIVIDED_BYTES = 1 << 19
# Instruction sets on which the steps of a sequence alone make the input's part of later ones, or backwards the gradient of
# their input, while they wait for their weights. AVX2 has too few registers for it; on NEON it was not measured.
AHEAD = frozenset({"avx512"})
# Bytes of weights from which threads divide the units of single steps, each of which they have to be called for.
DIVIDED_STEP_BYTES = 1 << 21


def packed(
    parameters: Parameters, name: str, group: int = 0, *, backward: bool = False, workspace: Workspace | None = None
) -> np.ndarray:
    """The weight `name` (M, K), packed for products that give M numbers a row, or `backward` K; kept until it changes.

    group: H, where the M rows are blocks of H, one for each gate, whose numbers of the same unit belong together.
    workspace: of few uses; in training the copy is in its scratch, until that is used again.
    """

    def pack(before: np.ndarray | None) -> np.ndarray:
        weight = parameters.arrays[name]
        matrix = weight if backward else weight.T
        size = _core.packed_size(*matrix.shape, group, weight.itemsize)
        if in_scratch:
            array = workspace.scratch(size, weight.dtype)
        else:
            array = before if before is not None and len(before) == size else aligned_empty(size, weight.dtype)
        _core.pack(array, matrix, group, threads_for(PACK_WORK * weight.size))
        return array

    in_scratch = workspace is not None and workspace.training
    return pack(None) if in_scratch else parameters.derived((name, group, backward, _core.isa()), pack)


def _multiply_once(
    out: np.ndarray, rows: np.ndarray, matrix: np.ndarray, bias: np.ndarray | None, workspace: Workspace
) -> None:
    """Out = rows matrix + bias, the matrix packed part by part on the way."""
    (M, K), N = rows.shape, out.shape[1]
    threads = threads_for(2 * M * K * N)
    strips, depth, size = _core.parts(M, K, N, threads, out.itemsize)
    _core.product_plain(out, rows, matrix, workspace.scratch(size, out.dtype), strips, depth, bias, threads)


def division(B: int, H: int, flops: float) -> tuple[int, bool]:
    """How many threads run a layer's steps, and whether they divide the units rather than the B sequences."""
    threads = threads_for(flops)
    if threads == 1 or threads * LEAST_SEQUENCES <= B:
        return threads, False
    if 4 * 4 * H * H >= DIVIDED_BYTES:  # of an LSTM's U in float32, whatever the cell and its numbers
        return threads, True
    return max(1, B // LEAST_SEQUENCES), False


class _Weights(NamedTuple):
    """What a cell's forward pass multiplies with and adds, W and U packed."""

    cell: _core.Cell
    W: np.ndarray | None
    U: np.ndarray
    bias: np.ndarray  # (1, G*H), or with tokens instead of W their table (·, G*H)
    own_bias: np.ndarray | None  # what a GRU adds to U h (3H,)


def has_kernels(cell: Cell) -> bool:
    """Whether kernels run the cell's steps whole; the others multiply through BLAS between theirs."""
    return cell.reset_after and not cell.proj_size and cell.peephole != "full"


class NativeEngine(CompiledEngine):
    """Products by the kernels of `csrc/`."""

    def affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, bias: np.ndarray | None = None,
        group: int = 0, workspace: Workspace | None = None,
    ) -> None:
        """See `CompiledEngine`."""
        if workspace is not None and workspace.training:
            _multiply_once(out, rows, parameters.arrays[name].T, bias, workspace)
            return
        weight = packed(parameters, name, group)
        _core.product(out, rows, weight, bias, group, threads=threads_for(2 * out.size * rows.shape[1]))

    def back_affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, workspace: Workspace | None = None
    ) -> None:
        """See `CompiledEngine`."""
        if workspace is not None and workspace.training:
            _multiply_once(out, rows, parameters.arrays[name], None, workspace)
            return
        weight = packed(parameters, name, backward=True)
        _core.product(out, rows, weight, threads=threads_for(2 * out.size * rows.shape[1]))

    def outer(
        self, out: np.ndarray, a: np.ndarray, b: np.ndarray, workspace: Workspace, *, add: bool = False,
        sums: np.ndarray | None = None,
    ) -> None:
        """See `CompiledEngine`."""
        threads = threads_for(2 * out.size * len(a))
        size = threads * _core.scratch_size(len(a), b.shape[1], out.itemsize)
        _core.product_transposed(out, a, b, workspace.scratch(size, out.dtype), add, threads, sums)

    @staticmethod
    def _weights(stack: Recurrent, place: Place, table: np.ndarray | None) -> _Weights:
        """Of a cell that reads vectors, or tokens by their `table`; the former are kept."""
        store, H = stack.store, place.cell.hidden_size

        def make(_: object) -> _Weights:
            U = packed(store, place.name("weight_hh"), H)
            W = packed(store, place.name("weight_ih"), H) if table is None else None
            bias = input_bias(stack, place)[None] if table is None else table
            own_bias = store.arrays.get(place.name("bias_hh")) if place.cell.apart else None
            return _Weights(loops.kernel_cell(stack, place), W, U, bias, own_bias)

        return make(None) if table is not None else store.derived(("layer", place.index, _core.isa()), make)

    def _cell_forward(
        self, stack: Recurrent, place: Place, arrays: CellArrays, packing: Packing, keep: bool, workspace: Workspace
    ) -> None:
        cell = place.cell
        if not has_kernels(cell) or arrays.mask is not None:
            loops.forward(self, stack, place, arrays, packing, keep, workspace)
            return
        rows, B, H, G = arrays.rows, packing.B, cell.hidden_size, len(cell.gates)
        x, ids, table = (None, rows.places, rows.table) if isinstance(rows, Tokens) else (rows, None, None)
        weights = self._weights(stack, place, table)
        flops = 2 * packing.N * G * H * (H if x is None else x.shape[1] + H)
        threads, divide_units = division(B, H, flops)
        block = max(BLOCK, B)
        scratch, recurrent = None, arrays.recurrent
        if not keep:
            scratch = workspace.empty("block", (threads * block * G * H,), stack.dtype)
            recurrent = workspace.empty("recurrent", (B, 3 * H), stack.dtype) if cell.apart else None
        _native.forward(
            weights.cell, arrays.h, arrays.c, arrays.gates, recurrent, x, ids, weights.W, weights.bias, weights.U,
            weights.own_bias, packing.batch_sizes, keep, workspace.empty("listed rows", (threads, block), ROW), scratch,
            divide_units, _core.isa() in AHEAD, threads,
        )

    def _cell_backward(
        self, stack: Recurrent, place: Place, arrays: CellArrays, dh: np.ndarray, dc: np.ndarray | None, dy: np.ndarray,
        packing: Packing, workspace: Workspace,
    ) -> np.ndarray | None:
        cell, H = place.cell, place.cell.hidden_size
        if not has_kernels(cell) or arrays.mask is not None:
            return loops.backward(stack, place, arrays, dh, dc, dy, packing, workspace)
        threads, divide_units = division(packing.B, H, 2 * packing.N * len(cell.gates) * H * H)
        U = packed(stack.store, place.name("weight_hh"), backward=True, workspace=workspace)
        _native.backward(
            loops.kernel_cell(stack, place), arrays.gates, arrays.recurrent, dh, dc, arrays.h, arrays.c, dy, U,
            packing.batch_sizes, divide_units, threads,
        )
        return None

    def forward(
        self, stack: Recurrent, x: np.ndarray, states: States | None, lengths: np.ndarray | None, masks: Masks | None,
        keep: bool, workspace: Workspace | None = None, embedding: np.ndarray | None = None,
    ) -> tuple[np.ndarray, States, Saved | Pass | None]:
        """See `fastlstm.engines`. Vectors through a stack of like cells take a single call, there and back."""
        whole = None
        if lengths is None and workspace is None and masks is None and x.ndim == 3 and (not keep or self._has_pass(stack)):
            whole = self._whole(stack)
        if whole is not None and not keep:
            return *self._run(stack, whole, x, states), None
        (T, B), H, cells, D = x.shape[:2], stack.hidden_size, len(stack.places), 1 + stack.bidirectional
        # At most gates, h, c or what a GRU adds to the gates, and the gradient that goes from layer to layer; of two directions
        # what they read and put out together, too.
        if whole is None or T * B * cells * (whole.wide + 5 * D * H) * stack.dtype.itemsize > results.MOST_BYTES:
            return super().forward(stack, x, states, lengths, masks, keep, workspace, embedding)
        shares = self._division(stack, B, 2 * T * B * whole.wide * (stack.input_size + H), keep=True)
        saved = Pass(whole, x, max(BLOCK, B), shares, _core.isa() in AHEAD)
        return *saved.forward(states), saved

    @staticmethod
    def _has_pass(stack: Recurrent) -> bool:
        """Whether stacks of this kind of cell go there and back as a `Pass`, where their cells are alike."""
        return stack.places[0].cell.peephole is None

    def backward(
        self, stack: Recurrent, saved: Saved | Pass, dy: np.ndarray, dstates: States | None, gradients: dict[str, np.ndarray],
        want_dx: bool, d_embedding: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, States | None]:
        """See `CompiledEngine`."""
        if not isinstance(saved, Pass):
            return super().backward(stack, saved, dy, dstates, gradients, want_dx, d_embedding)

        def make(_: object) -> tuple[list[list[str]], list[np.ndarray], list[np.ndarray]]:
            kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if stack.bias else 2]
            names = [[place.name(kind) for kind in kinds] for place in stack.places]
            return names, *([packed(stack.store, cell[k], backward=True) for cell in names] for k in (0, 1))

        names, W, U = stack.store.derived(("stack backward", stack.num_layers, _core.isa()), make)
        ordered = [[gradients[name] for name in cell] for cell in names]
        (T, B), H, wide = dy.shape[:2], stack.hidden_size, len(ordered[0][0])
        shares = self._division(stack, B, 2 * T * B * wide * H, keep=True)
        threads = threads_for(2 * T * B * wide * max(stack.input_size, H))
        states = stack.zero_states(B) if dstates is None else dstates
        dx = saved.backward(dy, states, ordered, W, U, shares, threads)
        return dx if want_dx else None, dstates

    def try_call(self, stack: Recurrent, x: object) -> tuple[np.ndarray, States] | None:
        """See `CompiledEngine`."""
        if getattr(x, "shape", ())[2:] != (stack.input_size,):  # nothing is packed for tokens, or for an error
            return None
        whole = self._whole(stack)
        return self._run(stack, whole, x, None) if whole is not None and whole.reads(x) else None

    def _run(
        self, stack: Recurrent, whole: _native.Whole, x: np.ndarray, states: States | None
    ) -> tuple[np.ndarray, States]:
        T, B, I = x.shape
        threads, divide_units, apart = self._division(stack, B, 2 * T * B * whole.wide * (I + stack.hidden_size))
        return whole.run(x, states, max(BLOCK, B), threads, divide_units, apart)

    @staticmethod
    def _division(stack: Recurrent, B: int, flops: float, *, keep: bool = False) -> tuple[int, bool, bool]:
        """How a stack's cells of so many operations each use threads: see `_native.Whole.run` and, with `keep`, `Pass`."""
        threads, divide_units = division(B, stack.hidden_size, flops)
        if keep and not stack.bidirectional:
            return threads, divide_units, False
        together = min(len(stack.places), threads_for(len(stack.places) * flops))
        if together > 1 and (threads == 1 or (stack.bidirectional and threads == 2)):
            return together, False, True
        return threads, divide_units, False

    def _whole(self, stack: Recurrent) -> _native.Whole | None:
        """The stack that reads vectors, with the present parameters; None where its cells are not alike. Kept."""

        def make(_: object) -> _native.Whole | None:
            if not self._alike(stack):
                return None
            weights = [self._weights(stack, place, None) for place in stack.places]
            cells, W, U, bias, own_bias = map(list, zip(*weights, strict=True))
            directions, joined = 1 + stack.bidirectional, stack.layout.layer_size(0)
            ahead = _core.isa() in AHEAD
            return _native.Whole(cells, W, bias, U, own_bias, stack.input_size, stack.hidden_size, directions, joined, ahead)

        return stack.store.derived(("stack", stack.num_layers, _core.isa()), make)

    def steps(self, stack: Recurrent, B: int, table: np.ndarray | None) -> _native.Steps:
        """The stack step by step, reading vectors, or tokens by their `table` (·, G*H); with the present parameters."""
        weights = [self._weights(stack, place, None if place.index else table) for place in stack.places]
        cells, W, U, bias, own_bias = map(list, zip(*weights, strict=True))
        weight_bytes = sum(array.nbytes for array in (*W, *U) if array is not None)
        threads = get_threads() if weight_bytes >= DIVIDED_STEP_BYTES else 1
        return _native.Steps(cells, W, bias, U, own_bias, B, stack.input_size, stack.hidden_size, threads)

    @staticmethod
    def _alike(stack: Recurrent) -> bool:
        """Whether kernels run all the stack's cells, of one size, each layer reading the one before and nothing else."""
        cells = [place.cell for place in stack.places]
        return all(map(has_kernels, cells)) and len({cell.hidden_size for cell in cells}) == 1 and not stack.skip

    def has_steps(self, stack: Recurrent) -> bool:
        """Whether the stack has `steps`: its cells are alike, one layer after another."""
        return self._alike(stack) and not stack.bidirectional

    def stepper(self, stack: Recurrent, B: int) -> NativeStepper | ForwardStepper:
        """See `fastlstm.engines`."""
        return NativeStepper(self, stack, B) if self.has_steps(stack) else ForwardStepper(self, stack, B)


class NativeStepper:
    """One step at a time for B sequences, with the parameters as they are at each step."""

    def __init__(self, engine: NativeEngine, stack: Recurrent, B: int) -> None:
        self._engine, self._stack, self._B = engine, stack, B
        self._changes = stack.store.changes
        self._refresh(reads_tokens=False)

    def _refresh(self, *, reads_tokens: bool) -> None:
        """Take the parameters as they are, for this kind of input."""
        engine, stack = self._engine, self._stack
        before = getattr(self, "_steps", None)
        read = tokens.table(engine, stack, stack.places[0]) if reads_tokens else None
        self._steps = engine.steps(stack, self._B, read)
        self._version, self._reads_tokens = self._changes[0], reads_tokens
        if before is not None:
            self.state = before.state

    @property
    def state(self) -> States:
        """Of every cell (B, H), views until the next step; assign to continue from others."""
        return self._steps.state

    @state.setter
    def state(self, state: States) -> None:
        self._steps.state = state

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
        return self._steps.step(x, out)


ENGINE = NativeEngine()
