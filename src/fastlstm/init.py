"""Initial values of parameters."""

import numpy as np

from fastlstm.parameters import Parameters


def uniform(parameters: Parameters, bound: float, rng: np.random.Generator) -> None:
    """Fill all arrays from the uniform distribution on [-bound, bound), in their order."""
    for _, array in parameters:
        array[...] = rng.uniform(-bound, bound, array.shape)
    parameters.touch()


def forget_bias(parameters: Parameters, hidden_size: int, value: float = 1.0) -> None:
    """Set the LSTM's forget-gate biases to sum to `value` (Jozefowicz, Zaremba & Sutskever 2015): it starts by remembering."""
    for name, array in parameters:
        if name.startswith("bias"):
            array[hidden_size : 2 * hidden_size] = value if name.startswith("bias_ih") else 0
    parameters.touch()
