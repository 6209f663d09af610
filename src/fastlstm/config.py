"""What a model is made with: the options of `Model`, checked, as its file keeps them."""

from collections.abc import Mapping
from functools import cache, partial
from inspect import Parameter, signature
from typing import Any

from fastlstm import _check
from fastlstm.cells import CELL_OPTIONS, Cell
from fastlstm.init import INITIALIZERS
from fastlstm.network import STACK_OPTIONS, STACKS, output_size
from fastlstm.reference import ACTIVATIONS
from fastlstm.stack_options import checked_cell, layer_widths, one_or_all
from fastlstm.vocabulary import SYMBOLS

TASKS = ("language",)
CELLS = tuple(STACKS)
NUM_LAYERS = 2  # the default


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as plain values, each in its range and of use to the cell.

    Raises:
        ValueError, TypeError: naming the option, what was expected and what came.
    """
    dtype = _check.float_dtype(given["dtype"])
    widths = layer_widths(given["hidden_size"], given["num_layers"], dtype, default=NUM_LAYERS)
    hidden_size = one_or_all(widths)
    share = partial(_check.number, least=0, most=1, open_ends=")")
    kind = _check.choice("cell", given["cell"], CELLS)
    own = _options_of(kind, given)
    cell = checked_cell(Cell(kind, 1, 0, **{name: own[name] for name in CELL_OPTIONS if name in own}), widths)
    if "nonlinearity" in own:
        _check.choice("nonlinearity", own["nonlinearity"], ACTIVATIONS)
    config: dict[str, Any] = {
        "task": _check.choice("task", given["task"], TASKS),
        "cell": kind,
        "hidden_size": hidden_size if isinstance(hidden_size, int) else list(hidden_size),
        "num_layers": len(widths),
        "embedding": _check.optional(_check.count, "embedding", given["embedding"]),
        "tied": _check.flag("tied", given["tied"]),
        "dropout": share("dropout", given["dropout"]),
        "recurrent_dropout": share("recurrent_dropout", given["recurrent_dropout"]),
        "skip": _check.flag("skip", given["skip"]),
        **{name: getattr(cell, name, value) for name, value in own.items() if name in (*CELL_OPTIONS, "nonlinearity")},
        "initializer": _check.choice("initializer", given["initializer"], INITIALIZERS),
        "symbols": _check.choice("symbols", given["symbols"], SYMBOLS),
        "max_symbols": _check.optional(partial(_check.count, least=2), "max_symbols", given["max_symbols"]),
        "min_count": _check.count("min_count", given["min_count"]),
        "dtype": dtype.name,
    }
    if config["symbols"] == "bytes" and (config["max_symbols"] is not None or config["min_count"] != 1):
        raise ValueError("max_symbols and min_count are for characters and words; of bytes there are always 256")
    if config["tied"]:
        width = output_size(config)
        if config["embedding"] not in (None, width):
            raise ValueError(f"tied weights need embedding = {width}, the width of the output, got {config['embedding']}")
        config["embedding"] = width
    return config


def stack_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the layers of the model take."""
    return {name: config[name] for name in STACK_OPTIONS if name in config}


@cache
def _taken(cell: str) -> Mapping[str, Parameter]:
    """The options of a cell's layers."""
    return signature(STACKS[cell]).parameters


def _options_of(cell: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the cell's layers; those of others must be as these have them by default."""
    own: dict[str, Any] = {}
    for name in STACK_OPTIONS:
        having, value = [other for other in CELLS if name in _taken(other)], given[name]
        if cell in having:
            own[name] = value
        elif value != _taken(having[0])[name].default:
            raise ValueError(f"{name} is for cell {' or '.join(map(repr, having))}, got {name}={value!r} with cell {cell!r}")
    return own
