"""The kinds of work that are timed: their sizes, their numbers, and what they cost at the least.

FLOPs are those of the textbook, whatever is saved by cleverness: 2·T·B·G·H·(I + H) for each layer and direction
forward, G being 4 (LSTM), 3 (GRU) or 1 (plain cell), of a ragged batch the sum of its lengths in place of T·B; a one-hot
input counted as I = V, 2·T·B·H·V for the output layer, and three times the sum for a training step.
"""

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from typing import Any, ClassVar

import numpy as np

import fastlstm
from fastlstm.cells import Cell, Layout
from fastlstm.recurrent import Recurrent
from peers import Library

Call = Callable[[], Any]
FLOAT_BYTES = 4


def stack(cell: str, I: int, H: int, L: int = 1, bidirectional: bool = False) -> Layout:
    """L layers of H units that read I numbers: what every library builds its own from."""
    return Layout.stacked(Cell(cell, I, 0), (H,) * L, bidirectional=bidirectional)


def stack_flops(steps: int, layout: Layout) -> float:
    """Of so many steps of one sequence forward: a multiplication and an addition for each element of a matrix."""
    return 2.0 * steps * sum(prod(shape) for shape in layout.shapes().values() if len(shape) == 2)


def even_lengths(T: int, B: int) -> tuple[int, ...]:
    """B lengths evenly from 1 to T, in a random order, always the same."""
    lengths = np.linspace(1, T, B).round().astype(int)
    return tuple(np.random.default_rng(0).permutation(lengths).tolist())


def normal(*shape: int) -> np.ndarray:
    """The same numbers for all."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


class Work(ABC):
    """One kind of work at some sizes.

    `kind` is the function in each library's module (`ours`, `peers.*`) that takes the work, prepares it and returns the
    call that is timed; the call's result is an array, a loss or a tuple of arrays, to be compared.
    """

    kind: ClassVar[str]
    per_second: ClassVar[bool] = False  # speed is told as symbols per second, else as the time of a call
    flops: float = 0.0  # of one call, counted whatever is saved
    needed: float = 0.0  # of these what cannot be saved: products with one-hot vectors need not be made
    symbols: int = 1    # written or learnt in one call
    weights: int = 0    # bytes of the weights that are read again at every step, as each step depends on the one before
    reads: int = 0      # how often a call reads them

    @property
    @abstractmethod
    def name(self) -> str:
        """The kind and the sizes."""

    def call(self, library: Library, threads: int) -> Call:
        """What is timed. ImportError where the library is not installed."""
        return getattr(library.load(threads), self.kind)(self)


# ---- layers ---------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class LayerWork(Work):
    """With one layer of H units that reads T x B vectors of H numbers.

    lengths: of the B sequences, where they differ; what is beyond a sequence's end is padding.
    """

    T: int
    B: int
    H: int
    cell: str = "lstm"
    bidirectional: bool = False
    lengths: tuple[int, ...] | None = None

    @property
    def sizes(self) -> str:
        """In the words of the name, before them what is not a plain LSTM."""
        about = [word for word, said in (("ragged", self.lengths), ("bidirectional", self.bidirectional)) if said]
        if about or self.cell != "lstm":
            about.append(self.cell.upper())
        return " ".join([*about, f"T={self.T} B={self.B} H={self.H}"])

    @property
    def layout(self) -> Layout:
        """The layer."""
        return stack(self.cell, self.H, self.H, bidirectional=self.bidirectional)

    @property
    def flops(self) -> float:
        return stack_flops(sum(self.lengths) if self.lengths else self.T * self.B, self.layout)

    @property
    def needed(self) -> float:
        return self.flops

    @property
    def weights(self) -> int:
        return FLOAT_BYTES * prod(self.layout.shapes()["weight_hh_l0"])  # one direction after the other

    @property
    def reads(self) -> int:
        return len(self.layout.layers[0]) * (max(self.lengths) if self.lengths else self.T)

    def layer(self) -> Recurrent:
        """Always with the same parameters."""
        return getattr(fastlstm, self.cell.upper())(self.H, self.H, bidirectional=self.bidirectional, seed=0)

    def parameters(self) -> Mapping[str, np.ndarray]:
        """Of `layer`, by PyTorch's names."""
        return self.layer().parameters

    def input(self) -> np.ndarray:
        """(T, B, H)."""
        return normal(self.T, self.B, self.H)

    def output_gradient(self) -> np.ndarray:
        """(T, B, ·), zeros in the padding; without a second direction or padding the input's numbers."""
        dy = normal(self.T, self.B, self.layout.output_size)
        return dy if self.lengths is None else dy * self.valid()

    def valid(self) -> np.ndarray:
        """(T, B, 1): 1 in the sequences, 0 in the padding."""
        return (np.arange(self.T)[:, None] < np.array(self.lengths))[:, :, None].astype(np.float32)


class Streaming(LayerWork):
    """A step through Python, the state carried from call to call."""

    kind = "streaming"

    @property
    def name(self) -> str:
        return f"streaming step H={self.H}"

    @property
    def weights(self) -> int:
        return 2 * super().weights  # those of the input too


class Inference(LayerWork):
    """A whole sequence forward, from the zero state."""

    kind = "inference"

    @property
    def name(self) -> str:
        return f"inference {self.sizes}"


class LayerTraining(LayerWork):
    """Forward and back: gradients of the input and of every parameter, from that of the outputs."""

    kind = "layer_training"

    @property
    def name(self) -> str:
        return f"forward and back {self.sizes}"

    @property
    def flops(self) -> float:
        return 3 * super().flops

    @property
    def reads(self) -> int:
        return 2 * super().reads


# ---- language models ------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class LanguageWork(Work):
    """With a model of L layers of H units over V symbols, one-hot or with learnt vectors of E numbers."""

    L: int
    H: int
    V: int
    E: int | None = None
    passes: ClassVar[int] = 1  # through the network: a window of training counts as three
    per_second = True

    @property
    def sizes(self) -> str:
        """In the words of the name."""
        return f"{self.L}x{self.H} V={self.V}" + (f" E={self.E}" if self.E else "")

    @property
    def layout(self) -> Layout:
        """The stack."""
        return stack("lstm", self.E or self.V, self.H, self.L)

    @property
    def flops(self) -> float:
        return self.passes * (stack_flops(self.symbols, self.layout) + 2.0 * self.symbols * self.H * self.V)

    @property
    def needed(self) -> float:
        return self.flops - (0 if self.E else self.passes * 8.0 * self.symbols * self.H * self.V)

    def model(self) -> fastlstm.Model:
        """Untrained, always with the same parameters."""
        vocabulary = [chr(0x100 + v) for v in range(self.V)]
        return fastlstm.Model(hidden_size=self.H, num_layers=self.L, embedding=self.E, vocabulary=vocabulary, seed=0)

    def parameters(self) -> Mapping[str, np.ndarray]:
        """Of `model`: the stack's by PyTorch's names after "lstm.", `embedding.weight`, `output.weight`, `output.bias`."""
        return self.model().parameters


@dataclass(frozen=True)
class LanguageTraining(LanguageWork):
    """An epoch of a text of so many windows of T x B symbols: forward, loss, back, clip to norm 5, Adam."""

    T: int = 50
    B: int = 50
    windows: int = 1
    kind = "language_training"
    passes = 3

    @property
    def name(self) -> str:
        return f"training {self.sizes} T={self.T} B={self.B}"

    @property
    def symbols(self) -> int:
        return self.windows * self.T * self.B

    @property
    def weights(self) -> int:
        return FLOAT_BYTES * 4 * self.H * self.H

    @property
    def reads(self) -> int:
        return 2 * self.L * self.windows * self.T

    def text(self) -> np.ndarray:
        """Ids, one more than there are symbols to predict."""
        return np.random.default_rng(0).integers(self.V, size=self.symbols + 1).astype(np.int32)


@dataclass(frozen=True)
class Sampling(LanguageWork):
    """A text written symbol by symbol at temperature 1, the first drawn from a uniform distribution.

    `sharpness` multiplies the peers' logits: a very large one leaves nothing to chance.
    """

    length: int = 500
    sharpness: float = 1.0
    kind = "sampling"

    @property
    def name(self) -> str:
        return f"sampling {self.sizes}"

    @property
    def symbols(self) -> int:
        return self.length

    @property
    def weights(self) -> int:
        return FLOAT_BYTES * (4 * self.H * self.H * (2 * self.L - 1) + self.V * self.H)

    @property
    def reads(self) -> int:
        return self.length

    def parameters(self) -> Mapping[str, np.ndarray]:
        """Of `model`, the output's sharpened."""
        scale = np.float32(self.sharpness)
        return {name: a * scale if name.startswith("output") else a for name, a in super().parameters().items()}


# ---- the libraries themselves ---------------------------------------------------------------------------------------

class Import(Work):
    """A fresh interpreter that imports the library and ends."""

    kind = "import"

    @property
    def name(self) -> str:
        return "import"

    def call(self, library: Library, threads: int) -> Call:
        """A process, which has the threads' environment variables, and keeps compiled modules as an installation does."""
        if find_spec(library.package) is None:
            raise ModuleNotFoundError(f"No module named '{library.package}'")
        command = [sys.executable, "-c", f"import {library.package}"]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return lambda: subprocess.run(command, check=True, env=environment)
