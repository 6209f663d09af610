"""What a model file holds: a `Model` as arrays and JSON sections, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm import _check
from fastlstm.network import STACKS, network_shapes
from fastlstm.optim import OPTIMIZERS
from fastlstm.session import VECTORS, Options, Position
from fastlstm.stack_options import layer_widths
from fastlstm.vocabulary import Vocabulary

if TYPE_CHECKING:
    from fastlstm.cells import Layout
    from fastlstm.engines import States
    from fastlstm.model import Model


def pack(model: Model) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and sections of a model whose vocabulary is known."""
    arrays = {**model.network.parameters.arrays, "vocabulary.counts": model.vocabulary.counts}
    sections: dict[str, Any] = {
        "config": model.config,
        "seed": model.seed,
        "random_state": model._rng.bit_generator.state,
        "vocabulary": model.vocabulary.symbols,
    }
    if model._optimizer:
        for moment, parameters in model._optimizer.moments.items():
            arrays |= {f"{moment}.{name}": array for name, array in parameters}
        sections["optimizer"] = {"name": model._optimizer.name, "steps": model._optimizer.steps}
    if model._position:
        sections["options"], sections["position"] = model._options.to_json(), model._position.to_json()
        if model._position.state:
            arrays |= _state_arrays(model._position.state, model.network.stack.layout)
        vectors = {name: getattr(model._position, name) for name in VECTORS}
        arrays |= {name: vector for name, vector in vectors.items() if vector is not None}
    return arrays, sections


def unpack(model_class: type[Model], arrays: dict[str, np.ndarray], sections: dict[str, Any]) -> Model:
    """The model of these arrays and sections; any error means that they do not fit together."""
    arrays, config = dict(arrays), sections["config"]
    vocabulary = Vocabulary(config["symbols"], sections["vocabulary"], _counts(arrays.pop("vocabulary.counts")))
    _check_sizes(config, len(vocabulary), arrays)
    model = model_class(**config, seed=sections["seed"], vocabulary=vocabulary.symbols or None)
    model.vocabulary = vocabulary
    parameters = model.network.parameters

    def take(prefix: str) -> dict[str, np.ndarray]:
        return {name: arrays.pop(prefix + name) for name in parameters.arrays if prefix + name in arrays}

    parameters.load(take(""))
    if "optimizer" in sections:
        optimizer = OPTIMIZERS[sections["optimizer"]["name"]](parameters)
        optimizer.steps = _check.count("steps", sections["optimizer"]["steps"], 0)
        for moment, values in optimizer.moments.items():
            values.load(take(f"{moment}."))
        model._optimizer = optimizer
    if "position" in sections:
        model._options, model._position = Options.from_json(sections["options"]), Position.from_json(sections["position"])
        if any(name.startswith("state.") for name in arrays):
            model._position.state = _take_state(arrays, model)
        for name in arrays.keys() & set(VECTORS):
            vector = _check.array(name, arrays.pop(name), parameters.flat.shape, model.network.dtype)
            setattr(model._position, name, vector)
    if arrays:
        raise ValueError(f"it holds tensors this version does not know: {', '.join(sorted(arrays))}")
    model._rng.bit_generator.state = sections["random_state"]
    return model


def _state_arrays(state: States, layout: Layout) -> dict[str, np.ndarray]:
    """The carried state by names: `state.h`, or `state.h.0`, `state.h.1`, … where layers have different sizes."""
    arrays: dict[str, np.ndarray] = {}
    for (name, size), part in zip(layout.state_sizes.items(), state, strict=True):
        arrays |= {f"state.{name}.{k}": cell for k, cell in enumerate(part)} if size is None else {f"state.{name}": part}
    return arrays


def _take_state(arrays: dict[str, np.ndarray], model: Model) -> States:
    """The inverse of `_state_arrays`, for what a model's training carries; the arrays are taken out."""
    stack, B = model.network.stack, model._options.batch_size

    def take(name: str, *shape: int) -> np.ndarray:
        return _check.array(f"state.{name}", arrays.pop(f"state.{name}"), shape, stack.dtype)

    return tuple([
        take(name, len(stack.places), B, size) if size is not None
        else [take(f"{name}.{k}", B, place.cell.state_size(name)) for k, place in enumerate(stack.places)]
        for name, size in stack.layout.state_sizes.items()
    ])


def _counts(counts: np.ndarray) -> np.ndarray:
    if counts.ndim != 1 or counts.dtype != np.dtype(np.int64) or counts.min(initial=0) < 0 or not counts.any():
        raise ValueError("vocabulary.counts must be int64 counts (V,), not all of them 0")
    return counts


def _check_sizes(config: dict[str, Any], V: int, arrays: dict[str, np.ndarray]) -> None:
    """Compare the sizes a file declares with the arrays it has, before anything of those sizes is made."""
    _check.choice("cell", config["cell"], STACKS)
    L = _check.count("num_layers", config["num_layers"])
    dtype = _check.float_dtype(config["dtype"])
    if len(arrays) < L:
        raise ValueError(f"num_layers is {L}, but there are only {len(arrays)} tensors")
    _check.projection(config.get("proj_size", 0), layer_widths(config["hidden_size"], L, dtype))
    for name, shape in network_shapes(V, config).items():
        if name not in arrays:
            raise ValueError(f"missing parameters: {name}")
        found = arrays[name]
        if found.shape != shape:
            raise ValueError(f"{name} must have shape {_check.shape_text(shape)}, got {_check.shape_text(found.shape)}")
        if found.dtype != dtype:
            raise ValueError(f"{name} must be {dtype}, got {found.dtype}")
