"""Initial values of parameters.

An initializer fills one section of a model's parameters from a generator: a recurrent stack (`weight_ih_l0`, `weight_hh_l0`,
`bias_ih_l0`, …), whose matrices are blocks of H rows, one for each gate, or an output layer (`weight`, `bias`), whose matrix
is one block.
"""

from collections.abc import Callable

import numpy as np

from fastlstm.parameters import Parameters

Initializer = Callable[[Parameters, int, np.random.Generator], None]


def uniform(parameters: Parameters, hidden_size: int, rng: np.random.Generator) -> None:
    """Weights and biases from the uniform distribution on ±1/√H, H = `hidden_size`, as `torch.nn.LSTM` has them."""
    bound = hidden_size**-0.5
    for _, array in parameters:
        array[...] = rng.uniform(-bound, bound, array.shape)
    parameters.touch()


def xavier(parameters: Parameters, hidden_size: int, rng: np.random.Generator) -> None:
    """Each block uniform on ±√(6 / (fan in + fan out)), its columns and rows (Glorot & Bengio 2010, eq. 16); biases 0.

    A block's elements have the variance 2 / (fan in + fan out), so that activations and gradients keep their size.
    """
    for name, array in parameters:
        array[...] = _glorot(name, array.shape, hidden_size, rng)
    parameters.touch()


def orthogonal(parameters: Parameters, hidden_size: int, rng: np.random.Generator) -> None:
    """Each gate's recurrent matrix (H, H) random orthogonal (Saxe, McClelland & Ganguli 2014); all else as in `xavier`.

    An orthogonal matrix keeps the length of every vector, so that a product of many neither vanishes nor explodes.
    """
    for name, array in parameters:
        if name.startswith("weight_hh"):
            for start in range(0, len(array), hidden_size):
                array[start : start + hidden_size] = _haar(hidden_size, rng)
        else:
            array[...] = _glorot(name, array.shape, hidden_size, rng)
    parameters.touch()


def forget_bias(parameters: Parameters, hidden_size: int, value: float = 1.0) -> None:
    """Set the LSTM's forget-gate biases to sum to `value` (Jozefowicz, Zaremba & Sutskever 2015): it starts by remembering."""
    for name, array in parameters:
        if name.startswith("bias"):
            array[hidden_size : 2 * hidden_size] = value if name.startswith("bias_ih") else 0
    parameters.touch()


def _glorot(name: str, shape: tuple[int, ...], hidden_size: int, rng: np.random.Generator) -> np.ndarray:
    """Zeros for a vector; for a matrix, `xavier`'s draw."""
    if len(shape) == 1:
        return np.zeros(shape)
    rows, fan_in = shape
    fan_out = hidden_size if name.startswith(("weight_ih_", "weight_hh_")) else rows
    bound = (6 / (fan_in + fan_out)) ** 0.5
    return rng.uniform(-bound, bound, shape)


def _haar(n: int, rng: np.random.Generator) -> np.ndarray:
    """An (n, n) orthogonal matrix, all equally likely (Haar measure): Mezzadri 2007, section 5.

    The Q of a Gaussian matrix is that only once each column has the sign that makes R's diagonal positive; LAPACK's own
    choice of signs favours some matrices.
    """
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.copysign(1, np.diagonal(r))


INITIALIZERS: dict[str, Initializer] = {"uniform": uniform, "xavier": xavier, "orthogonal": orthogonal}
