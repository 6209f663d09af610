"""The libraries that are compared, and how each is reached: a module with the same few functions.

    set_threads(n): compute on n threads
    streaming(work), inference(work), layer_training(work), language_training(work), sampling(work): prepare the work, of
        the classes of these names in `work.py`, and return the call that is timed

A module has those functions that some scenario asks of it. Each peer is used in the fastest way found; the top of its
module says what was tried. All are time-major, in float32, on the same numbers, and all but fastlstm are optional.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import numpy as np


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
ONNX_RUNTIME = Library("ONNX Runtime", "onnxruntime", "peers.onnxruntime_")
OPENVINO = Library("OpenVINO", "openvino", "peers.openvino_")
JAX = Library("JAX", "jax", "peers.jax_")
PEERS = (PYTORCH, ONNX_RUNTIME, OPENVINO, JAX)


def gates(array: np.ndarray, order: str) -> np.ndarray:
    """An array (4H, …) whose blocks are in the order "ifgo", with its blocks in another order of these letters."""
    blocks = dict(zip("ifgo", np.split(array, 4), strict=True))
    return np.concatenate([blocks[gate] for gate in order])
