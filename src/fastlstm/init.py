"""Initial values of parameters.

An initializer draws one array: a matrix of a cell (`weight_ih`, `weight_hh`, …), which has blocks of H rows, one for each gate,
the matrix of an output layer (`weight`), which is one block, or a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from fastlstm.cells import Place
from fastlstm.parameters import Parameters

# Of the array's name, its shape, H, and the generator.
Initializer = Callable[[str, tuple[int, ...], int, "np.random.Generator"], np.ndarray]


def uniform(name: str, shape: tuple[int, ...], hidden_size: int, rng: np.random.Generator) -> np.ndarray:
    """From the uniform distribution on ±1/√H, H = `hidden_size`, as `torch.nn.LSTM` has weights and biases."""
    bound = hidden_size**-0.5
    return rng.uniform(-bound, bound, shape)


def xavier(name: str, shape: tuple[int, ...], hidden_size: int, rng: np.random.Generator) -> np.ndarray:
    """Each block uniform on ±√(6 / (fan in + fan out)), its columns and rows (Glorot & Bengio 2010, eq. 16); vectors 0.

    A block's elements have the variance 2 / (fan in + fan out), so that activations and gradients keep their size.
    """
    if len(shape) == 1:
        return np.zeros(shape)
    rows, fan_in = shape
    fan_out = hidden_size if name in ("weight_ih", "weight_hh") else rows
    bound = (6 / (fan_in + fan_out)) ** 0.5
    return rng.uniform(-bound, bound, shape)


def orthogonal(name: str, shape: tuple[int, ...], hidden_size: int, rng: np.random.Generator) -> np.ndarray:
    """Each gate's recurrent matrix random orthogonal (Saxe, McClelland & Ganguli 2014); all else as in `xavier`.

    An orthogonal matrix keeps the length of every vector, so that a product of many neither vanishes nor explodes. One that
    is not square is a part of a larger one.
    """
    if name != "weight_hh":
        return xavier(name, shape, hidden_size, rng)
    rows, columns = shape
    blocks = [_haar(max(hidden_size, columns), rng)[:hidden_size, :columns] for _ in range(rows // hidden_size)]
    return np.concatenate(blocks)


def section(parameters: Parameters, hidden_size: int, initializer: str, rng: np.random.Generator) -> None:
    """Fill a section of a model's parameters, such as its output layer (`weight`, `bias`)."""
    for name, array in parameters:
        array[...] = INITIALIZERS[initializer](name, array.shape, hidden_size, rng)
    parameters.touch()


def stack(parameters: Parameters, places: Iterable[Place], initializer: str, rng: np.random.Generator) -> None:
    """Fill the parameters of a stack's cells.

    An LSTM's forget-gate biases sum to 1: it starts by remembering (Jozefowicz, Zaremba & Sutskever 2015).
    """
    for place in places:
        H, gates = place.cell.hidden_size, list(place.cell.gates)
        for name, shape in place.cell.shapes().items():
            array = parameters.arrays[place.name(name)]
            array[...] = INITIALIZERS[initializer](name, shape, H, rng)
            if name.startswith("bias") and "f" in gates:
                forget = gates.index("f")
                array[forget * H : (forget + 1) * H] = name == "bias_ih"
    parameters.touch()


def _haar(n: int, rng: np.random.Generator) -> np.ndarray:
    """An (n, n) orthogonal matrix, all equally likely (Haar measure): Mezzadri 2007, section 5.

    The Q of a Gaussian matrix is that only once each column has the sign that makes R's diagonal positive; LAPACK's own
    choice of signs favours some matrices.
    """
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.copysign(1, np.diagonal(r))


INITIALIZERS: dict[str, Initializer] = {"uniform": uniform, "xavier": xavier, "orthogonal": orthogonal}
