"""Clipping, the Adam optimiser and learning-rate schedules, over parameters kept in one vector."""

from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np

from fastlstm import _check, _core
from fastlstm.parameters import Parameters


class Adam:
    """m = β₁ m + (1 - β₁) g,  v = β₂ v + (1 - β₂) g²,  θ -= η m̂ / (√v̂ + ε)  (Kingma & Ba 2015, algorithm 1).

    m̂ and v̂ are m / (1 - β₁ᵗ) and v / (1 - β₂ᵗ) at step t, counted from 1.
    """

    name = "adam"

    def __init__(
        self, parameters: Parameters, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        self._parameters = parameters
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.steps = 0
        self.first_moment, self.second_moment = parameters.zeros_like(), parameters.zeros_like()

    def step(self, gradients: Parameters, learning_rate: float, gradient_scale: float = 1.0) -> None:
        """Move the parameters by one step against `gradients` multiplied by `gradient_scale`."""
        self.steps += 1
        _core.adam(
            self._parameters.flat, self.first_moment.flat, self.second_moment.flat, gradients.flat, learning_rate,
            self.beta1, self.beta2, self.epsilon, gradient_scale, self.steps,
        )
        self._parameters.touch()


OPTIMIZERS = {Adam.name: Adam}


def gradient_norm(gradients: Parameters) -> float:
    """Euclidean norm of all gradients together; FloatingPointError names the first array that is not finite."""
    norm = sqrt(_core.sum_of_squares(gradients.flat))
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


@dataclass(frozen=True)
class Exponential:
    """Schedule: the full learning rate for `after` epochs, then multiplied by `rate` once more in every epoch.

    Args:
        rate: factor per epoch, in (0, 1].
        after: epochs at the full rate, at least 1.
    """

    rate: float
    after: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        _check.number("rate", self.rate, 0, 1, open_ends="(")
        _check.count("after", self.after)

    def __call__(self, epoch: int) -> float:
        """Factor of the learning rate in an epoch, the first being 0."""
        return self.rate ** max(0, epoch - self.after + 1)
