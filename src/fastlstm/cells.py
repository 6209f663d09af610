"""What a layer is: its cell with its sizes and parameters; and how layers make a stack."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np

PEEPHOLES = ("diagonal", "full")
MERGES = ("concat", "sum")
DIRECTIONS = ("", "_reverse")  # what parameter names end with

# The blocks of a cell's pre-activations, in PyTorch's order, and what they become.
_GATES = {
    "lstm": {"i": "input_gate", "f": "forget_gate", "g": "candidate", "o": "output_gate"},
    "gru": {"r": "reset_gate", "z": "update_gate", "n": "candidate"},
    "rnn": {"h": "hidden_state"},
}
_QUANTITIES = {
    "lstm": ("input_gate", "forget_gate", "candidate", "cell_state", "output_gate", "hidden_state"),
    "gru": ("reset_gate", "update_gate", "candidate", "hidden_state"),
    "rnn": ("hidden_state",),
}


@dataclass(frozen=True)
class Cell:
    """One layer in one direction.

    kind: "lstm", "gru" or "rnn", whose equations are those of `fastlstm.reference`.
    input_size, hidden_size: I and H.
    bias: whether there are `bias_ih` and `bias_hh`.
    activation, recurrent_activation: φ of candidates (and of c, in the LSTM) and σ of gates.
    clip: pre-activations of gates and candidates are clipped to ±clip; None leaves them.
    peephole, coupled, proj_size: of the LSTM; see `fastlstm.LSTM`.
    reset_after: of the GRU; see `fastlstm.GRU`.
    """

    kind: str
    input_size: int
    hidden_size: int
    bias: bool = True
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    clip: float | None = None
    peephole: str | None = None
    coupled: bool = False
    proj_size: int = 0
    reset_after: bool = True

    @cached_property
    def gates(self) -> dict[str, str]:
        """The blocks of H pre-activations in their order, each with the name of what it becomes."""
        return {gate: name for gate, name in _GATES[self.kind].items() if not (self.coupled and gate == "i")}

    @cached_property
    def apart(self) -> bool:
        """Whether W x + b_ih and U h + b_hh are kept apart, because the cell does not simply add them."""
        return self.kind == "gru" and self.reset_after

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """Names of all that a step computes, in its order."""
        return _QUANTITIES[self.kind]

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Names of what is carried from step to step: the output h, and c in the LSTM."""
        return ("h", "c") if self.kind == "lstm" else ("h",)

    @cached_property
    def output_size(self) -> int:
        """Numbers in h."""
        return self.proj_size or self.hidden_size

    def state_size(self, state: str) -> int:
        """Numbers in the state of this name."""
        return self.output_size if state == "h" else self.hidden_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name, without the layer, and shape of every parameter."""
        H, rows = self.hidden_size, len(self.gates) * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, self.input_size), "weight_hh": (rows, self.output_size),
        }
        if self.bias:
            shapes["bias_ih"] = shapes["bias_hh"] = (rows,)
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, H)
        if self.peephole:
            shape = (H,) if self.peephole == "diagonal" else (H, H)
            shapes |= {f"weight_c{gate}": shape for gate in self.gates if gate in "ifo"}
        return shapes


# What a cell has beside its kind and its sizes.
CELL_OPTIONS = tuple(f.name for f in fields(Cell) if f.name not in ("kind", "input_size", "hidden_size"))


class Place(NamedTuple):
    """A cell of a stack: layer `layer` in direction `direction`, the `index`-th of the states.

    ending: of its parameters' names.
    """

    cell: Cell
    layer: int
    direction: int
    index: int
    ending: str

    def name(self, parameter: str) -> str:
        """What a parameter of this cell is called in the stack."""
        return parameter + self.ending


@dataclass(frozen=True)
class Layout:
    """A stack: its layers from the input up, each a cell for every direction.

    Each layer reads the outputs of the one below, those of two directions one after the other (merge "concat") or added up
    ("sum"). With `skip` (Graves 2013, section 2) it reads the stack's input after them, and the stack's output is that of all
    layers one after another.
    """

    layers: tuple[tuple[Cell, ...], ...]
    merge: str = "concat"
    skip: bool = False

    @classmethod
    def stacked(
        cls, cell: Cell, widths: tuple[int, ...], *, bidirectional: bool = False, merge: str = "concat", skip: bool = False
    ) -> "Layout":
        """Layers of `cell` with these hidden sizes, the first of its input size."""
        layers: list[tuple[Cell, ...]] = []
        below = cell.input_size
        for width in widths:
            one = replace(cell, input_size=below, hidden_size=width)
            layers.append((one,) * (2 if bidirectional else 1))
            below = one.output_size * (len(layers[-1]) if merge == "concat" else 1) + (cell.input_size if skip else 0)
        return cls(tuple(layers), merge, skip)

    @cached_property
    def input_size(self) -> int:
        """I of the first layer."""
        return self.layers[0][0].input_size

    def layer_size(self, k: int) -> int:
        """Numbers in the output of layer k."""
        sizes = [cell.output_size for cell in self.layers[k]]
        return sum(sizes) if self.merge == "concat" else sizes[0]

    @cached_property
    def output_size(self) -> int:
        """Numbers in the output of the stack."""
        if self.skip:
            return sum(map(self.layer_size, range(len(self.layers))))
        return self.layer_size(len(self.layers) - 1)

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Names of what is carried from step to step."""
        return self.layers[0][0].states

    @cached_property
    def state_sizes(self) -> dict[str, int | None]:
        """Numbers in each of these states of every cell; None where they differ."""
        sizes = {name: {cell.state_size(name) for layer in self.layers for cell in layer} for name in self.states}
        return {name: found.pop() if len(found) == 1 else None for name, found in sizes.items()}

    @cached_property
    def places_by_layer(self) -> list[list[Place]]:
        """The cells of each layer, forwards before backwards."""
        D = len(self.layers[0])
        return [
            [Place(cell, k, d, k * D + d, f"_l{k}{DIRECTIONS[d]}") for d, cell in enumerate(layer)]
            for k, layer in enumerate(self.layers)
        ]

    def places(self) -> Iterator[Place]:
        """All cells, in the order of their states: layer by layer."""
        return chain.from_iterable(self.places_by_layer)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter."""
        return {place.name(name): shape for place in self.places() for name, shape in place.cell.shapes().items()}


class Masks(NamedTuple):
    """Dropout masks, already scaled; a list may be empty, where nothing is dropped.

    outputs: for each layer but the last (T, B, ·): what the next layer reads is the layer's output times this.
    recurrent: for each cell (B, ·): what `weight_hh` multiplies is h_{t-1} times this, at every step (Gal & Ghahramani 2016).
    """

    outputs: list[np.ndarray]
    recurrent: list[np.ndarray]
