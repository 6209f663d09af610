"""The libraries that are compared, and how each is reached: a module with the same few functions.

    set_threads(n): compute on n threads
    streaming(work), inference(work), layer_training(work), language_training(work), sampling(work): prepare the work, of
        the classes of these names in `work.py`, and return the call that is timed

A module has those functions that some scenario asks of it. Each peer is used in the fastest way found; the top of its
module says what was tried. All are time-major, in float32, on the same numbers, and all but fastlstm are optional.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # threads are fixed before it is loaded
    from fastlstm.cells import Layout


@dataclass(frozen=True)
class Library:
    """A library by its name in words, the package it is imported and installed as, and the module here that calls it."""

    name: str
    package: str
    module: str

    def load(self, threads: int) -> ModuleType:
        """The module, computing on so many threads; ImportError where something it needs is not installed."""
        module = import_module(self.module)
        module.set_threads(threads)
        return module

    def version(self) -> str:
        """Of the installed package."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "not installed"


OURS = Library("fastlstm", "fastlstm", "ours")
PYTORCH = Library("PyTorch", "torch", "peers.pytorch")
PYTORCH_PACKED = Library("PyTorch packed", "torch", "peers.pytorch_packed")
ONNX_RUNTIME = Library("ONNX Runtime", "onnxruntime", "peers.onnxruntime_")
OPENVINO = Library("OpenVINO", "openvino", "peers.openvino_")
JAX = Library("JAX", "jax", "peers.jax_")
PEERS = (PYTORCH, PYTORCH_PACKED, ONNX_RUNTIME, OPENVINO, JAX)


def directions(
    layout: Layout, parameters: Mapping[str, np.ndarray], k: int, name: str, orders: Mapping[str, str]
) -> np.ndarray:
    """A parameter of layer k in all directions (D, G*H, …), its blocks in the order that `orders` has for the cell."""
    arrays = []
    for place in layout.places():
        if place.layer == k:
            gates = place.cell.gates
            blocks = dict(zip(gates, np.split(parameters[place.name(name)], len(gates)), strict=True))
            arrays.append(np.concatenate([blocks[gate] for gate in orders[place.cell.kind]]))
    return np.stack(arrays)


@dataclass(frozen=True)
class Later:
    """An array that a library has in an arrangement of its own: rearranged when it is looked at, outside the timing."""

    arranged: Callable[[], np.ndarray]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """See `numpy.asarray`."""
        return self.arranged()
