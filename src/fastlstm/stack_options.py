"""What a stack of layers is made with: its widths and its cell, checked."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from fastlstm import _check
from fastlstm.cells import PEEPHOLES, Cell
from fastlstm.reference import ACTIVATIONS


def one_or_all(widths: tuple[int, ...]) -> int | tuple[int, ...]:
    """The hidden size of all layers, or of each where they differ."""
    return widths[0] if len(set(widths)) == 1 else widths


def checked_cell(cell: Cell, widths: tuple[int, ...]) -> Cell:
    """A cell of a stack of these hidden sizes, each of its options in its range."""
    return replace(
        cell,
        input_size=_check.count("input_size", cell.input_size),
        bias=_check.flag("bias", cell.bias),
        activation=_check.choice("activation", cell.activation, ACTIVATIONS),
        recurrent_activation=_check.choice("recurrent_activation", cell.recurrent_activation, ACTIVATIONS),
        clip=_check.optional(partial(_check.number, open_ends="("), "clip", cell.clip, 0),
        peephole=_check.optional(_check.choice, "peephole", cell.peephole, PEEPHOLES),
        coupled=_check.flag("coupled", cell.coupled),
        proj_size=_check.projection(cell.proj_size, widths),
        reset_after=_check.flag("reset_after", cell.reset_after),
    )


def layer_widths(
    hidden_size: int | Sequence[int], num_layers: int, dtype: np.dtype, *, default: int | None = None
) -> tuple[int, ...]:
    """The hidden size of each layer. With a list of sizes, num_layers equal to `default` counts as not given."""
    L = _check.count("num_layers", num_layers)
    if isinstance(hidden_size, Sequence) and not isinstance(hidden_size, str):
        widths = tuple(_check.count(f"hidden_size[{k}]", width) for k, width in enumerate(hidden_size))
        if not widths:
            raise ValueError("hidden_size must have a width for each layer, got none")
        if L not in (default, len(widths)):
            raise ValueError(f"hidden_size must have one width for each of {L} layers, got {', '.join(map(str, widths))}")
        return widths
    H = _check.count("hidden_size", hidden_size)
    _check.memory("the parameters", L, dtype)  # before there is anything for each layer
    return (H,) * L


def warn_of_dropout(dropout: float, num_layers: int, stacklevel: int) -> None:
    """Say, to the caller so many levels above, that dropout between layers does nothing where there is one."""
    if dropout and num_layers == 1:
        what = f"dropout={dropout:g} drops nothing between layers: there is one layer"
        warnings.warn(what, stacklevel=stacklevel + 1)
