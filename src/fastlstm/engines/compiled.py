"""What the compiled engines share: a stack's forward and backward pass out of a few operations.

Rows are those of `Packing`: N in all, step by step; a cell of the reverse direction has every sequence's backwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastlstm import results
from fastlstm.cells import Masks, Place
from fastlstm.engines import States, Workspace, tokens
from fastlstm.engines.gradients import add_rows, of_cell
from fastlstm.engines.packing import Packing, full_packing
from fastlstm.engines.tokens import Tokens
from fastlstm.parameters import Parameters

if TYPE_CHECKING:
    from fastlstm.recurrent import Recurrent


class CellArrays(NamedTuple):
    """What one cell runs on, and what its backward pass needs; None what it does not have. R is its output_size."""

    rows: np.ndarray | Tokens  # its input (N, I)
    mask: np.ndarray | None  # (B, R) of dropout inside the recurrence
    h: np.ndarray  # (B + N, R), the initial states first
    c: np.ndarray | None  # likewise (B + N, H), or (B, H), the latest, where nothing is kept
    gates: np.ndarray | None  # (N, G*H), where they are kept: the activated gates; backwards, of their pre-activations
    recurrent: np.ndarray | None  # a GRU's: (N, 3H) its U h + b_hh, or (N, H) its r * h where the reset comes before
    inner: np.ndarray | None  # (N, H) what is projected to h
    fed: np.ndarray | None  # (N, R) h_{t-1} times `mask`


class Saved(NamedTuple):
    """What the backward pass needs: every cell's arrays, the packing, and where to work."""

    packing: Packing
    cells: list[CellArrays]
    masks: list[np.ndarray | None]  # for each layer: what the output of the one below was multiplied by
    workspace: Workspace
    own_workspace: bool  # it goes back to the stack's shelf after the backward pass
    embedding: np.ndarray | None
    tokens: np.ndarray | None  # packed ids of token input


class CompiledEngine(ABC):
    """See `fastlstm.engines`."""

    # ---- the operations ------------------------------------------------------------------------------------------

    @abstractmethod
    def affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, bias: np.ndarray | None = None,
        group: int = 0, workspace: Workspace | None = None,
    ) -> None:
        """Compute out (N, M) = rows (N, K) weight' + bias, for the parameter `name`, a weight (M, K).

        group: H, where the rows of the weight are blocks of H, one for each gate of a cell; else 0.
        workspace: where there are few products with the weight in this direction until it changes; without a group.
        """

    @abstractmethod
    def back_affine(
        self, out: np.ndarray, rows: np.ndarray, parameters: Parameters, name: str, workspace: Workspace | None = None
    ) -> None:
        """Compute out (N, K) = rows (N, M) weight, for the parameter `name`, a weight (M, K); see `affine`."""

    @abstractmethod
    def outer(
        self, out: np.ndarray, a: np.ndarray, b: np.ndarray, workspace: Workspace, *, add: bool = False,
        sums: np.ndarray | None = None,
    ) -> None:
        """Compute out (M, K) = a' b, for a (N, M) and b (N, K), and sums (M,) of a's rows; plus either itself with `add`."""

    @abstractmethod
    def _cell_forward(
        self, stack: Recurrent, place: Place, arrays: CellArrays, packing: Packing, keep: bool, workspace: Workspace
    ) -> None:
        """All steps of one cell."""

    @abstractmethod
    def _cell_backward(
        self, stack: Recurrent, place: Place, arrays: CellArrays, dh: np.ndarray, dc: np.ndarray | None, dy: np.ndarray,
        packing: Packing, workspace: Workspace,
    ) -> np.ndarray | None:
        """All steps of one cell backwards: gates (and a GRU's `recurrent`) become gradients, dh and dc those of the initial
        state. Returns those of the outputs (N, R), from later steps too, where they are projected.
        """

    # ---- the stack forwards --------------------------------------------------------------------------------------

    def try_call(self, stack: Recurrent, x: object) -> tuple[np.ndarray, States] | None:
        """Y and the final states of all steps of x from zeros, where x, any object, is an array (T, B, I) that needs no checks.

        None, and nothing done, where it is not, or where the engine has no faster way for it than `forward`.
        """
        return None

    def forward(
        self, stack: Recurrent, x: np.ndarray, states: States | None, lengths: np.ndarray | None, masks: Masks | None,
        keep: bool, workspace: Workspace | None = None, embedding: np.ndarray | None = None,
    ) -> tuple[np.ndarray, States, Saved | None]:
        """See `fastlstm.engines`."""
        own_workspace = workspace is None
        if own_workspace:
            workspace = stack.shelf.take()
        (T, B), layout = x.shape[:2], stack.layout
        if states is None:
            states = stack.zero_states(B)
        packing = full_packing(T, B) if lengths is None else Packing(T, B, lengths)
        ids = packing.pack(x) if x.ndim == 2 else None
        x_rows = packing.pack(x) if ids is None else None
        if ids is not None and layout.skip:
            x_rows = tokens.vectors(stack, ids, embedding, workspace)
        found: list[CellArrays] = []
        layer_masks: list[np.ndarray | None] = []
        outputs: list[np.ndarray] = []
        for k, places in enumerate(layout.places_by_layer):
            mask = packing.pack(masks.outputs[k - 1]) if k and masks and masks.outputs else None
            rows = x_rows
            if k:
                rows = outputs[-1] if mask is None else outputs[-1] * mask
                if layout.skip:
                    rows = np.concatenate([rows, x_rows], axis=1)
            for_caller = own_workspace and not keep and k == stack.num_layers - 1 and not layout.skip
            for place in places:
                cell_input = packing.reverse(rows) if place.direction and (k or ids is None) else rows
                if k == 0 and ids is not None:
                    cell_ids = packing.reverse(ids) if place.direction else ids
                    cell_input = tokens.rows(self, stack, place, cell_ids, embedding, workspace)
                initial = [packing.sort(state[place.index]) for state in states]
                recurrent_mask = None
                if masks and masks.recurrent:
                    recurrent_mask = np.ascontiguousarray(packing.sort(masks.recurrent[place.index]))
                arrays = self._arrays(place, cell_input, initial, recurrent_mask, packing, keep, workspace, for_caller)
                self._cell_forward(stack, place, arrays, packing, keep, workspace)
                found.append(arrays)
            outputs.append(self._layer_output(stack, k, found, packing, workspace, for_caller))
            layer_masks.append(mask)
        final = self._final(stack, found, packing, keep)
        saved = Saved(packing, found, layer_masks, workspace, own_workspace, embedding, ids) if keep else None
        y = np.concatenate(outputs, axis=1) if layout.skip else outputs[-1]
        if own_workspace and not keep:
            stack.shelf.give_back(workspace)
        elif own_workspace and packing.full and not layout.skip:
            y = results.copy(y)
        return packing.unpack(y), final, saved

    @staticmethod
    def _final(stack: Recurrent, found: list[CellArrays], packing: Packing, keep: bool) -> States:
        """The states after the last valid step, in memory of their own."""
        final: list[np.ndarray | list[np.ndarray]] = []
        for name, size in stack.layout.state_sizes.items():
            if name == "h":
                last = [packing.final(arrays.h) for arrays in found]
            else:
                last = [packing.final(arrays.c) if keep else packing.unsort(arrays.c) for arrays in found]
            final.append([part.copy() for part in last] if size is None else np.array(last))
        return tuple(final)

    @staticmethod
    def _arrays(
        place: Place, rows: np.ndarray | Tokens, initial: list[np.ndarray], mask: np.ndarray | None, packing: Packing,
        keep: bool, workspace: Workspace, for_caller: bool,
    ) -> CellArrays:
        """The arrays of a cell, with its initial states; `for_caller`: its outputs may become the caller's own."""
        B, N, dtype = packing.B, packing.N, initial[0].dtype
        h, c, *others = workspace.kept(
            ("cell", place.index), _memory, place, B, N, dtype, keep, mask is not None, for_caller
        )
        if for_caller:
            h = results.empty((B + N, place.cell.output_size), dtype)
        for buffer, state in zip((h, c), initial, strict=False):
            buffer[:B] = state
        return CellArrays(rows, mask, h, c, *others)

    @staticmethod
    def _layer_output(
        stack: Recurrent, k: int, found: list[CellArrays], packing: Packing, workspace: Workspace, for_caller: bool
    ) -> np.ndarray:
        """(N, ·) the output of layer k, the last one of whose cells have just run."""
        B = packing.B
        forwards = found[-len(stack.layout.layers[k])].h[B:]
        if not stack.bidirectional:
            return forwards
        backwards = packing.reverse(found[-1].h[B:])
        if stack.merge == "sum":
            backwards += forwards
            return backwards
        shape = (packing.N, stack.layout.layer_size(k))
        out = results.empty(shape, stack.dtype) if for_caller else workspace.empty(f"output {k}", shape, stack.dtype)
        return np.concatenate([forwards, backwards], axis=1, out=out)

    # ---- and backwards -------------------------------------------------------------------------------------------

    def backward(
        self, stack: Recurrent, saved: Saved, dy: np.ndarray, dstates: States | None, gradients: dict[str, np.ndarray],
        want_dx: bool, d_embedding: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, States | None]:
        """See `fastlstm.engines`. The saved gates are overwritten by their gradients."""
        packing, layout, workspace = saved.packing, stack.layout, saved.workspace
        d_outputs = self._by_layer(stack, packing.pack(dy))
        want_x = want_dx or d_embedding is not None
        d_x: np.ndarray | None = None
        for k in reversed(range(stack.num_layers)):
            d_input = self._layer_backward(
                stack, k, saved, d_outputs[k], dstates, gradients, want_x or k > 0, want_dx, d_embedding
            )
            if k:
                below = layout.layer_size(k - 1)
                if layout.skip:
                    d_x = _sum(d_x, d_input[:, below:].copy())  # its memory is used again
                    d_input = d_input[:, :below]
                if saved.masks[k] is not None:
                    d_input *= saved.masks[k]
                d_outputs[k - 1] = _sum(d_outputs[k - 1], d_input)
            elif d_input is not None:
                d_x = _sum(d_x, d_input)
        if d_embedding is not None and d_x is not None:
            d_x = np.ascontiguousarray(d_x)
            add_rows(d_embedding, d_x, saved.tokens)
        if saved.own_workspace:
            stack.shelf.give_back(workspace)
        return packing.unpack(d_x) if want_dx else None, dstates

    def _layer_backward(
        self, stack: Recurrent, k: int, saved: Saved, d_output: np.ndarray, dstates: States | None,
        gradients: dict[str, np.ndarray], want_input: bool, want_dx: bool, d_embedding: np.ndarray | None,
    ) -> np.ndarray | None:
        """Layer k from the gradient of its output (N, ·), with all its parameters'; returns that of its input.

        dstates: gradients of the final states, which become those of the initial ones; None: zeros, and nobody asks for these.
        """
        packing, workspace, dtype = saved.packing, saved.workspace, stack.dtype
        places, d_input = stack.layout.places_by_layer[k], None
        D = len(places)
        for place in places:
            arrays, dy = saved.cells[place.index], d_output
            if D > 1 and stack.merge == "concat":
                R = place.cell.output_size
                dy = np.ascontiguousarray(dy[:, place.direction * R : (place.direction + 1) * R])
            if place.direction:
                dy = packing.reverse(dy)
            if dstates is None:
                dh = workspace.empty("dh", (packing.B, place.cell.output_size), dtype)
                dc = [workspace.empty("dc", (packing.B, place.cell.hidden_size), dtype)] if arrays.c is not None else []
                for array in (dh, *dc):
                    array.fill(0)
            else:
                dh, *dc = [packing.sort(part[place.index]) for part in dstates]
            d_projected = self._cell_backward(stack, place, arrays, dh, dc[0] if dc else None, dy, packing, workspace)
            if dstates is not None and not packing.full:
                for part, state in zip(dstates, (dh, *dc), strict=True):
                    part[place.index] = packing.unsort(state)
            of_cell(self, place, arrays, d_projected, packing, gradients, workspace)
            if isinstance(arrays.rows, Tokens):
                tokens.gradient(
                    self, stack, place, arrays, gradients[place.name("weight_ih")], saved.embedding, d_embedding, workspace
                )
                continue
            self.outer(gradients[place.name("weight_ih")], arrays.gates, arrays.rows, workspace)
            if want_input:
                if k == 0 and want_dx:
                    d_rows = results.empty(arrays.rows.shape, dtype)  # the caller's
                else:
                    name = "d_rows" if D == 1 else f"d_rows {k % 2} {place.direction}"
                    d_rows = workspace.empty(name, arrays.rows.shape, dtype)
                self.back_affine(d_rows, arrays.gates, stack.store, place.name("weight_ih"), workspace)
                d_input = _sum(d_input, packing.reverse(d_rows) if place.direction else d_rows)
        return d_input

    def quantities(self, stack: Recurrent, saved: Saved) -> list[dict[str, np.ndarray]]:
        """What every cell computed at every step: (T, B, ·) by the names of `Cell.quantities`, 0 in the padding.

        In the order of t in both directions; views of what is saved where they can be. Before the backward pass.
        """
        packing, result = saved.packing, []
        for place, arrays in zip(stack.places, saved.cells, strict=True):
            gates = np.split(arrays.gates, len(place.cell.gates), axis=1)
            found = dict(zip(place.cell.gates.values(), gates, strict=True))
            found["hidden_state"] = arrays.h[packing.B :]
            if arrays.c is not None:
                found["cell_state"] = arrays.c[packing.B :]
            if place.cell.coupled:
                found["input_gate"] = 1 - found["forget_gate"]
            if place.direction:
                found = {name: packing.reverse(rows) for name, rows in found.items()}
            result.append({name: packing.unpack(found[name]) for name in place.cell.quantities})
        return result

    @staticmethod
    def _by_layer(stack: Recurrent, d_y: np.ndarray) -> list[np.ndarray | None]:
        """The gradient of each layer's output that comes from that of the stack, (N, ·) or None."""
        L = stack.num_layers
        if not stack.layout.skip:
            return [None] * (L - 1) + [d_y]
        ends = np.cumsum([stack.layout.layer_size(k) for k in range(L)])
        return [part.copy() for part in np.split(d_y, ends[:-1], axis=1)]  # which become sums


def _memory(
    workspace: Workspace, place: Place, B: int, N: int, dtype: np.dtype, keep: bool, masked: bool, for_caller: bool
) -> tuple[np.ndarray | None, ...]:
    """A cell's `CellArrays` from h on, without h where that is the caller's."""
    cell = place.cell
    H, R, G = cell.hidden_size, cell.output_size, len(cell.gates)

    def empty(name: str, rows: int, width: int) -> np.ndarray:
        return workspace.empty(f"{name} {place.index}", (rows, width), dtype)

    h = None if for_caller else empty("h", B + N, R)
    c = empty("c", B + N if keep else B, H) if "c" in cell.states else None
    gates = empty("gates", N, G * H) if keep else None
    recurrent = None
    if cell.kind == "gru" and keep:
        recurrent = empty("recurrent", N, 3 * H if cell.reset_after else H)
    inner = empty("inner", N, H) if cell.proj_size and keep else None
    fed = empty("fed", N, R) if masked else None
    return h, c, gates, recurrent, inner, fed


def _sum(total: np.ndarray | None, part: np.ndarray) -> np.ndarray:
    """Total + part, in the memory of total; part itself where there is no total yet."""
    if total is None:
        return part
    total += part
    return total
