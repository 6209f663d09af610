"""Clipping and the optimisers, over parameters kept in one vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fastlstm import _check, _core
from fastlstm.parameters import Parameters
from fastlstm.threads import threads_for

if TYPE_CHECKING:
    from fastlstm.recurrent import Recurrent

    Trained: TypeAlias = Recurrent | Parameters | Mapping[str, np.ndarray]

# Floating-point operations that reading and writing a number is worth, for choosing threads.
NUMBER_WORK = 20


class Optimizer(ABC):
    """Moves parameters θ against the gradients g of a loss, step by step, at the learning rate η.

    What it keeps between steps is in `moments`, `Parameters` under the names of `moment_names`, zero at first; `steps` counts.
    The options have PyTorch's names and defaults. Pickled or copied together with its LSTM, GRU or RNN it goes on with that.

    Args:
        parameters: an LSTM, GRU or RNN; or writable arrays by name, float32 or float64 all of them, which are changed in place.

    Raises:
        TypeError, ValueError: naming what came instead, or the array that cannot be trained.

    >>> import fastlstm, numpy as np
    >>> rnn = fastlstm.LSTM(3, 4, seed=0)
    >>> optimizer = fastlstm.optim.Adam(rnn)
    >>> y, _, tape = rnn.forward(np.ones((5, 2, 3)))
    >>> optimizer.step(rnn.backward(tape, y)[2], 1e-3, clip_norm=5.0)  # makes y smaller: y is the gradient of ‖y‖²/2
    >>> bool(np.linalg.norm(rnn(np.ones((5, 2, 3)))[0]) < np.linalg.norm(y))
    True
    """

    name: str
    moment_names: tuple[str, ...] = ()

    def __init__(self, parameters: Trained) -> None:
        self.options: dict[str, Any] = {}  # by the names of the arguments
        self._trained, self._arrays = parameters, dict(parameters) if isinstance(parameters, Mapping) else {}
        store = _vector_of(self._arrays) if self._arrays else getattr(parameters, "store", parameters)
        if not isinstance(store, Parameters):
            came = "no array" if isinstance(parameters, Mapping) else type(parameters).__name__
            raise TypeError(f"parameters must be an LSTM, GRU or RNN, or arrays by name, got {came}")
        self._parameters = store
        self._gradients: Parameters | None = None  # what `step` copies them to
        self.moments = {name: store.zeros_like() for name in self.moment_names}
        self.steps = 0

    def step(
        self, gradients: Mapping[str, ArrayLike], learning_rate: float, *, clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        """Move the parameters by one step.

        Args:
            gradients: of exactly the parameters, by name and of their shapes, as `backward` returns them.
            learning_rate: η, at least 0.
            clip_norm: largest norm of all gradients together, more than 0; None for no limit.
            clip_value: largest size of each gradient, more than 0, applied before `clip_norm`; None for no limit.

        Raises:
            FloatingPointError: a gradient is NaN or infinite.
            TypeError, ValueError: an argument is not as above. Nothing has changed then, as after a FloatingPointError.
        """
        _check.number("learning_rate", learning_rate, 0)
        clip_norm = _check.optional(_check.number, "clip_norm", clip_norm, 0, open_ends="(")
        clip_value = _check.optional(_check.number, "clip_value", clip_value, 0, open_ends="(")
        _check_trainable(self._arrays)
        checked = self._parameters.checked(gradients, "gradients")
        self._gradients = self._gradients or self._parameters.zeros_like()
        for name, array in checked.items():
            self._gradients.arrays[name][...] = array
        for name, array in self._arrays.items():
            self._parameters.arrays[name][...] = array
        self.advance(self._gradients, learning_rate, clip_norm, clip_value)
        for name, array in self._arrays.items():
            array[...] = self._parameters.arrays[name]

    def advance(self, gradients: Parameters, learning_rate: float, clip_norm: float | None, clip_value: float | None) -> None:
        """`step` for the library's own code: gradients laid out as the parameters are, which `clip_value` changes, and checked
        numbers.
        """
        gradient_scale = clip(gradients, clip_norm, clip_value)
        self.steps += 1
        moments = [moment.flat for moment in self.moments.values()]
        threads = threads_for(NUMBER_WORK * gradients.flat.size)
        self._update(self._parameters.flat, moments, gradients.flat, learning_rate, gradient_scale, threads)
        self._parameters.touch()

    def __repr__(self) -> str:
        """The kind, the options and the number of steps."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"<{type(self).__name__}({options}) after {self.steps:,} steps>"

    def __reduce__(self) -> tuple[Callable[..., Optimizer], tuple[Any], tuple[int, list[np.ndarray]]]:
        """Pickle and copy with what is trained, by the options, the moments and the number of steps."""
        moments = [moment.flat.copy() for moment in self.moments.values()]
        return partial(type(self), **self.options), (self._arrays or self._trained,), (self.steps, moments)

    def __setstate__(self, state: tuple[int, list[np.ndarray]]) -> None:
        """The other half of `__reduce__`."""
        self.steps, flats = state
        for moment, flat in zip(self.moments.values(), flats, strict=True):
            moment.flat[...] = flat

    @abstractmethod
    def _update(
        self, parameters: np.ndarray, moments: list[np.ndarray], gradients: np.ndarray, learning_rate: float, scale: float,
        threads: int,
    ) -> None:
        """One step over the vectors, in place."""


class SGD(Optimizer):
    """θ -= η g."""

    name = "sgd"

    def _update(self, parameters, moments, gradients, learning_rate, scale, threads) -> None:
        _core.optimise("sgd", parameters, None, None, gradients, learning_rate, scale, self.steps, threads=threads)


class Momentum(Optimizer):
    """u = μ u + g,  θ -= η u  (Polyak 1964).

    Args:
        parameters: see `Optimizer`.
        momentum: μ, in [0, 1).
    """

    name = "momentum"
    moment_names = ("first_moment",)

    def __init__(self, parameters: Trained, *, momentum: float = 0.9) -> None:
        super().__init__(parameters)
        self.options = {"momentum": _share("momentum", momentum)}

    def _update(self, parameters, moments, gradients, learning_rate, scale, threads) -> None:
        _core.optimise(
            "sgd", parameters, *moments, None, gradients, learning_rate, scale, self.steps, beta1=self.options["momentum"],
            threads=threads,
        )


class RMSProp(Optimizer):
    """v = α v + (1 - α) g²,  θ -= η g / (√v + ε)  (Tieleman & Hinton 2012).

    Args:
        parameters: see `Optimizer`.
        alpha: α, in [0, 1).
        eps: ε, at least 0.
    """

    name = "rmsprop"
    moment_names = ("second_moment",)

    def __init__(self, parameters: Trained, *, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(parameters)
        self.options = {"alpha": _share("alpha", alpha), "eps": _check.number("eps", eps, 0)}

    def _update(self, parameters, moments, gradients, learning_rate, scale, threads) -> None:
        _core.optimise(
            "rmsprop", parameters, None, *moments, gradients, learning_rate, scale, self.steps, beta2=self.options["alpha"],
            epsilon=self.options["eps"], threads=threads,
        )


class Adam(Optimizer):
    """m = β₁ m + (1 - β₁) g,  v = β₂ v + (1 - β₂) g²,  θ -= η m̂ / (√v̂ + ε)  (Kingma & Ba 2015, algorithm 1).

    m̂ and v̂ are m / (1 - β₁ᵗ) and v / (1 - β₂ᵗ) at step t, counted from 1.

    Args:
        parameters: see `Optimizer`.
        betas: β₁ and β₂, in [0, 1).
        eps: ε, at least 0.
    """

    name = "adam"
    moment_names = ("first_moment", "second_moment")

    def __init__(
        self, parameters: Trained, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"betas must be two numbers, got {betas!r}")
        super().__init__(parameters)
        shares = tuple(_share(f"betas[{k}]", beta) for k, beta in enumerate(betas))
        self.options = {"betas": shares, "eps": _check.number("eps", eps, 0)}

    def _update(self, parameters, moments, gradients, learning_rate, scale, threads) -> None:
        beta1, beta2 = self.options["betas"]
        _core.optimise(
            "adam", parameters, *moments, gradients, learning_rate, scale, self.steps, beta1=beta1, beta2=beta2,
            epsilon=self.options["eps"], weight_decay=self.options.get("weight_decay", 0.0), threads=threads,
        )


class AdamW(Adam):
    """Adam after θ *= 1 - η λ  (Loshchilov & Hutter 2019).

    Args:
        parameters, betas, eps: as in `Adam`.
        weight_decay: λ, at least 0.
    """

    name = "adamw"

    def __init__(
        self, parameters: Trained, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01
    ) -> None:
        super().__init__(parameters, betas=betas, eps=eps)
        self.options["weight_decay"] = _check.number("weight_decay", weight_decay, 0)


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.name: kind for kind in (SGD, Momentum, RMSProp, Adam, AdamW)}


def _share(name: str, value: float) -> float:
    """A number in [0, 1)."""
    return _check.number(name, value, 0, 1, open_ends=")")


def _check_trainable(arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if not array.flags.writeable:
            raise ValueError(f"{name} must be writable; those of an LSTM, GRU or RNN are not: pass the stack itself")


def _vector_of(arrays: Mapping[str, np.ndarray]) -> Parameters:
    """Parameters of the names, shapes and dtype of a caller's arrays."""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
            came = f"one of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{name} must be a float32 or float64 array, got {came}")
    _check_trainable(arrays)
    dtypes = {array.dtype.name for array in arrays.values()}
    if len(dtypes) > 1:
        raise TypeError(f"arrays must be float32 or float64 all of them, got {' and '.join(sorted(dtypes))}")
    for (name, one), (other, two) in combinations(arrays.items(), 2):
        if np.shares_memory(one, two):
            raise ValueError(f"{name} and {other} must not share memory")
    return Parameters({name: array.shape for name, array in arrays.items()}, np.dtype(*dtypes))


def gradient_norm(gradients: Parameters) -> float:
    """Euclidean norm of all gradients together; FloatingPointError names the first array that is not finite."""
    norm = sqrt(_core.sum_of_squares(gradients.flat, threads_for(NUMBER_WORK * gradients.flat.size)))
    if isfinite(norm):
        return norm
    for name, array in gradients:
        if not np.isfinite(array).all():
            raise FloatingPointError(f"the gradient of {name} holds NaN or Inf")
    largest = float(abs(gradients.flat).max())  # only the squares overflow
    return largest * sqrt(np.square(gradients.flat / largest, dtype=np.float64).sum())


def clip(gradients: Parameters, clip_norm: float | None, clip_value: float | None) -> float:
    """Clip in PyTorch's way, values first, then the norm.

    Args:
        gradients: changed in place by `clip_value` only.
        clip_norm: the norm is scaled down to this if larger; None leaves it.
        clip_value: every element is held to [-clip_value, clip_value]; None leaves them.

    Returns:
        The factor clip_norm / (norm + 1e-6), at most 1, which the optimiser applies.

    Raises:
        FloatingPointError: a gradient is NaN or infinite.
    """
    norm = gradient_norm(gradients)
    if clip_value is not None:
        np.clip(gradients.flat, -clip_value, clip_value, out=gradients.flat)
        norm = gradient_norm(gradients)
    return 1.0 if clip_norm is None else min(1.0, clip_norm / (norm + 1e-6))
