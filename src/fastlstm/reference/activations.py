"""The activation functions and their derivatives."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow at either end."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


class Activation(NamedTuple):
    """A function and its derivative, the latter written in terms of the function's value y."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


# In the order of the FL_ constants of csrc/fastlstm.h. hard_sigmoid is relu6(x + 3) / 6, as in PyTorch and Keras 3.
ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(np.tanh, lambda y: 1 - y * y),
    "sigmoid": Activation(sigmoid, lambda y: y * (1 - y)),
    "relu": Activation(lambda x: np.maximum(x, 0), lambda y: np.where(y > 0, 1.0, 0.0)),
    "hard_sigmoid": Activation(lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda y: np.where((y > 0) & (y < 1), 1 / 6, 0.0)),
    "softsign": Activation(lambda x: x / (1 + np.abs(x)), lambda y: (1 - np.abs(y)) ** 2),
    "linear": Activation(lambda x: x, np.ones_like),
}


def clipped(activation: Activation, clip: float) -> Activation:
    """The activation of min(max(x, -clip), clip), whose derivative is 0 from there on."""
    lowest, highest = activation.value(np.array([-clip, clip]))
    return Activation(
        lambda x: activation.value(np.clip(x, -clip, clip)),
        lambda y: np.where((y > lowest) & (y < highest), activation.slope(y), 0.0),
    )
