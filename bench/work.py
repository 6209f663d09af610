"""The kinds of work that are timed: their sizes, their numbers, and what they cost at the least.

FLOPs are those of the textbook, whatever is saved by cleverness: 2·T·B·4H·(I + H) for each layer forward, a one-hot
input counted as I = V, 2·T·B·H·V for the output layer, and three times the sum for a training step.
"""

import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

import fastlstm
from peers import Library

Call = Callable[[], Any]
FLOAT_BYTES = 4


def stack_flops(T: int, B: int, I: int, H: int, L: int = 1) -> float:
    """Of L layers forward."""
    return sum(2.0 * T * B * 4 * H * ((H if k else I) + H) for k in range(L))


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
    flops: float = 0.0  # of one call
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
    """With one layer of H units that reads T x B vectors of H numbers."""

    T: int
    B: int
    H: int

    @property
    def flops(self) -> float:
        return stack_flops(self.T, self.B, self.H, self.H)

    @property
    def weights(self) -> int:
        return FLOAT_BYTES * 4 * self.H * self.H

    @property
    def reads(self) -> int:
        return self.T

    def layer(self) -> fastlstm.LSTM:
        """Always with the same parameters."""
        return fastlstm.LSTM(self.H, self.H, seed=0)

    def parameters(self) -> Mapping[str, np.ndarray]:
        """Of `layer`, by PyTorch's names."""
        return self.layer().parameters

    def input(self) -> np.ndarray:
        """(T, B, H), standing for the gradient with respect to the outputs too."""
        return normal(self.T, self.B, self.H)


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
        return f"inference T={self.T} B={self.B} H={self.H}"


class LayerTraining(LayerWork):
    """Forward and back: gradients of the input and of every parameter, from that of the outputs."""

    kind = "layer_training"

    @property
    def name(self) -> str:
        return f"forward and back T={self.T} B={self.B} H={self.H}"

    @property
    def flops(self) -> float:
        return 3 * super().flops

    @property
    def reads(self) -> int:
        return 2 * self.T


# ---- language models ------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class LanguageWork(Work):
    """With a model of L layers of H units over V symbols, one-hot or with learnt vectors of E numbers."""

    L: int
    H: int
    V: int
    E: int | None = None
    per_second = True

    @property
    def sizes(self) -> str:
        """In the words of the name."""
        return f"{self.L}x{self.H} V={self.V}" + (f" E={self.E}" if self.E else "")

    @property
    def flops(self) -> float:
        return stack_flops(self.symbols, 1, self.E or self.V, self.H, self.L) + 2.0 * self.symbols * self.H * self.V

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

    @property
    def name(self) -> str:
        return f"training {self.sizes} T={self.T} B={self.B}"

    @property
    def symbols(self) -> int:
        return self.windows * self.T * self.B

    @property
    def flops(self) -> float:
        return 3 * super().flops

    @property
    def weights(self) -> int:
        return FLOAT_BYTES * 4 * self.H * self.H

    @property
    def reads(self) -> int:
        return 2 * self.L * self.windows * self.T

    def text(self) -> np.ndarray:
        """Ids, one more than there are symbols to predict."""
        return np.random.default_rng(0).integers(self.V, size=self.symbols + 1).astype(np.int32)

    def streams(self) -> tuple[np.ndarray, np.ndarray]:
        """The text as inputs and targets (windows * T, B), int64, as peers take them."""
        text = self.text().astype(np.int64)
        inputs, targets = (part.reshape(self.B, -1).T for part in (text[:-1], text[1:]))
        return inputs, targets


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
        """A process, which has the threads' environment variables."""
        if find_spec(library.package) is None:
            raise ModuleNotFoundError(f"No module named '{library.package}'")
        command = [sys.executable, "-c", f"import {library.package}"]
        return lambda: subprocess.run(command, check=True)
