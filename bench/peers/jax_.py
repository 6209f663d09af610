"""The work as JAX does it: `lax.scan` under `jit`, the input projection of all steps before it.

Tried on one thread, and dropped for being slower or no faster:
- unrolling the scan by 2, 5 or 10; a matrix by a vector where B = 1;
- gradients of the weights by differentiating the whole, which adds up dU step by step: 1.1 to 1.3 times the time at
  H = 512, about the same at 128. So the scan is differentiated with respect to the gates' sums only, and each weight's
  gradient is one product;
- Eigen's thread pool with a single thread in it: 1.5 to 2 times the time of no pool.
"""

import os

import jax
from jax import numpy as jnp

from work import Call, Inference, LayerTraining, LayerWork


def set_threads(n: int) -> None:
    """Compute on n threads. Heeded before the first computation: later is too late."""
    os.environ["NPROC"] = str(n)
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={str(n > 1).lower()}"


def _sums(W: jax.Array, b_ih: jax.Array, b_hh: jax.Array, x: jax.Array) -> jax.Array:
    """What the gates get from the inputs: (T, B, 4H)."""
    return x @ W.T + (b_ih + b_hh)


def _scan(sums: jax.Array, U: jax.Array) -> jax.Array:
    """Outputs (T, B, H)."""

    def step(state: tuple[jax.Array, jax.Array], a: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        h, c = state
        i, f, g, o = jnp.split(a + h @ U.T, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((sums.shape[1], U.shape[1]), sums.dtype)
    return jax.lax.scan(step, (zeros, zeros), sums)[1]


@jax.jit
def _run(parameters: list[jax.Array], x: jax.Array) -> jax.Array:
    W, U, b_ih, b_hh = parameters
    return _scan(_sums(W, b_ih, b_hh, x), U)


@jax.jit
def _gradients(parameters: list[jax.Array], x: jax.Array, dy: jax.Array) -> tuple[jax.Array, ...]:
    """With respect to x and every parameter."""
    W, U, b_ih, b_hh = parameters
    y, back = jax.vjp(lambda sums: _scan(sums, U), _sums(W, b_ih, b_hh, x))
    d_sums, = back(dy)
    before = jnp.concatenate([jnp.zeros_like(y[:1]), y[:-1]])
    rows = d_sums.reshape(-1, len(U)).T
    db = rows.sum(1)
    return d_sums @ W, rows @ x.reshape(-1, x.shape[2]), rows @ before.reshape(-1, y.shape[2]), db, db


def _arrays(work: LayerWork) -> tuple[list[jax.Array], jax.Array]:
    p = work.parameters()
    names = "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"
    return [jnp.asarray(p[name]) for name in names], jnp.asarray(work.input())


def inference(work: Inference) -> Call:
    """A sequence."""
    parameters, x = _arrays(work)
    return lambda: _run(parameters, x).block_until_ready()


def layer_training(work: LayerTraining) -> Call:
    """Forward and back."""
    parameters, x = _arrays(work)
    return lambda: jax.block_until_ready(_gradients(parameters, x, x))
