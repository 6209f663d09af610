"""What the cells share: affine maps and gates, forward and backward."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlstm import _check
from fastlstm.cells import Cell
from fastlstm.reference.activations import ACTIVATIONS, Activation, Array, clipped

ALL = slice(None)


def affine(p: Mapping[str, Array], of: str, x: Array, rows: slice = ALL) -> Array:
    """W x + b with `rows` of `weight_{of}` and of `bias_{of}`, if there is one; x (B, ·)."""
    product = x @ p[f"weight_{of}"][rows].T
    return product + p[f"bias_{of}"][rows] if f"bias_{of}" in p else product


def affine_back(
    p: Mapping[str, Array], of: str, x: Array, da: Array, gradients: dict[str, Array], rows: slice = ALL
) -> Array:
    """The gradient at x, from da at W x + b; adds those at W and b to `gradients`."""
    gradients[f"weight_{of}"][rows] += da.T @ x
    if f"bias_{of}" in p:
        gradients[f"bias_{of}"][rows] += da.sum(axis=0)
    return da @ p[f"weight_{of}"][rows]


class Equations(ABC):
    """The equations of one cell, for B sequences: a step in time, and the step back with gradients.

    cell: its sizes and options.
    held: names among the values of `Cell.gates`, each with the number or (H,) array which that gate is, whatever its
        pre-activation, whose gradient is then 0.
    """

    def __init__(self, cell: Cell, held: Mapping[str, ArrayLike] | None = None) -> None:
        self.cell, self.held = cell, held or {}
        for name in self.held:
            _check.choice("a held gate", name, cell.gates.values())

    @abstractmethod
    def step(
        self, p: Mapping[str, Array], x: Array, state: Sequence[Array], fed: Array
    ) -> tuple[tuple[Array, ...], Any]:
        """The state after a step and its tape.

        p: the parameters by their names in `Cell.shapes`.
        x (B, I); state: (B, ·) each, in the order of `Cell.states`.
        fed (B, ·): h_{t-1} times the recurrent dropout mask.
        """

    @abstractmethod
    def step_back(
        self, p: Mapping[str, Array], tape: Any, dstate: Sequence[Array], gradients: dict[str, Array]
    ) -> tuple[Array, tuple[Array, ...], Array]:
        """Gradients at x, at the state before and at `fed`, from those at the state after.

        Adds the parameters' to `gradients`. What goes through `fed` is not in the gradient at the state before.
        """

    @property
    def phi(self) -> Activation:
        """Of candidates."""
        return ACTIVATIONS[self.cell.activation]

    def activation(self, name: str) -> Activation:
        """φ or σ, whichever this gate has, of pre-activations that are clipped where the cell clips them."""
        found = self.phi if name in ("candidate", "hidden_state") else ACTIVATIONS[self.cell.recurrent_activation]
        return found if self.cell.clip is None else clipped(found, self.cell.clip)

    def gate(self, name: str, a: Array) -> Array:
        """The gate's value (B, H) from its pre-activation a."""
        return np.full(a.shape, self.held[name], np.float64) if name in self.held else self.activation(name).value(a)

    def gate_back(self, name: str, value: Array, d_value: Array) -> Array:
        """The gradient at the gate's pre-activation, from that at its value."""
        return np.zeros_like(value) if name in self.held else d_value * self.activation(name).slope(value)
