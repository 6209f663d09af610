"""One step of each optimiser on one array."""

import numpy as np

from fastlstm.reference.activations import Array


def sgd(
    parameters: Array, first_moment: Array, gradients: Array, *, learning_rate: float, beta1: float = 0.0
) -> tuple[Array, Array]:
    """The parameters and the moment after one step of gradient descent with momentum beta1 (Polyak 1964)."""
    first_moment = beta1 * first_moment + gradients
    return parameters - learning_rate * first_moment, first_moment


def rmsprop(
    parameters: Array, second_moment: Array, gradients: Array, *, learning_rate: float, beta2: float = 0.99,
    epsilon: float = 1e-8,
) -> tuple[Array, Array]:
    """The parameters and the moment after one RMSProp step (Tieleman & Hinton 2012)."""
    second_moment = beta2 * second_moment + (1 - beta2) * gradients**2
    return parameters - learning_rate * gradients / (np.sqrt(second_moment) + epsilon), second_moment


def adam(
    parameters: Array, first_moment: Array, second_moment: Array, gradients: Array, *, step: int, learning_rate: float,
    beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """The parameters and moments after one Adam step, the first step being 1 (Kingma & Ba 2015, algorithm 1).

    With weight_decay, the parameters first shrink by learning_rate * weight_decay (Loshchilov & Hutter 2019).
    """
    parameters = parameters * (1 - learning_rate * weight_decay)
    first_moment = beta1 * first_moment + (1 - beta1) * gradients
    second_moment = beta2 * second_moment + (1 - beta2) * gradients**2
    corrected1, corrected2 = first_moment / (1 - beta1**step), second_moment / (1 - beta2**step)
    return parameters - learning_rate * corrected1 / (np.sqrt(corrected2) + epsilon), first_moment, second_moment
