"""What several test modules share: random problems, their answers by the engine and the reference, and comparisons."""

from typing import NamedTuple

import numpy as np

from fastlstm import LSTM, reference
from fastlstm.cells import Masks
from fastlstm.engines.reference import layout

RAGGED = (4, 0, 6, 1)  # lengths of T = 6: unsorted, one empty, one full


class Case(NamedTuple):
    """A stack with random parameters, its input, a nonzero state, and the gradients of a loss at its outputs."""

    rnn: LSTM
    x: np.ndarray
    state: tuple[np.ndarray, np.ndarray]
    lengths: np.ndarray | None
    dy: np.ndarray
    dstate: tuple[np.ndarray, np.ndarray]


def random_case(T=6, B=4, I=3, H=5, L=1, *, lengths=None, dtype="float64", seed=0, **options):
    rng = np.random.default_rng(seed)
    rnn = LSTM(I, H, L, dtype=dtype, seed=seed, **options)
    bound = H**-0.5
    rnn.load_state_dict({name: rng.uniform(-bound, bound, p.shape) for name, p in rnn.parameters.items()})
    x, h, c, dy, dh, dc = (
        rng.standard_normal(shape).astype(dtype) for shape in [(T, B, I), *[(L, B, H)] * 2, (T, B, H), *[(L, B, H)] * 2]
    )
    return Case(rnn, x, (h, c), None if lengths is None else np.array(lengths), dy, (dh, dc))


def run(case, dropout_seed=None):
    """All results of forward and backward, by name."""
    y, (h, c), tape = case.rnn.forward(case.x, case.state, case.lengths, dropout_seed=dropout_seed)
    dx, (dh0, dc0), gradients = case.rnn.backward(tape, case.dy, case.dstate)
    return {"y": y, "h": h, "c": c, "dx": dx, "dh0": dh0, "dc0": dc0, **gradients}


def run_reference(case, dropout_seed=None):
    """As `run`, by `fastlstm.reference` in float64, with the same masks (None: the stack must not drop)."""
    rnn = case.rnn
    masks = None if dropout_seed is None else Masks(rnn.dropout_masks(*case.x.shape[:2], dropout_seed), [])
    stack = layout(rnn), rnn.parameters
    y, state, tape = reference.stack_forward(*stack, case.x, case.state, case.lengths, masks)
    dx, dstate, gradients = reference.stack_backward(*stack, tape, case.dy, case.dstate)
    (h, c), (dh0, dc0) = map(np.array, state), map(np.array, dstate)
    return {"y": y, "h": h, "c": c, "dx": dx, "dh0": dh0, "dc0": dc0, **gradients}


def run_torch(torch, case):
    """As `run`, by `torch.nn.LSTM` in the dtype of the case."""
    rnn = case.rnn
    dtype = getattr(torch, rnn.dtype.name)
    module = torch.nn.LSTM(rnn.input_size, rnn.hidden_size, rnn.num_layers, bias=rnn.bias, dtype=dtype)
    module.load_state_dict({name: torch.from_numpy(p) for name, p in rnn.state_dict().items()})
    x, h0, c0 = (torch.tensor(a, requires_grad=True) for a in (case.x, *case.state))
    y, (h, c) = module(x, (h0, c0))
    torch.autograd.backward([y, h, c], [torch.from_numpy(a) for a in (case.dy, *case.dstate)])
    results = {"y": y, "h": h, "c": c, "dx": x.grad, "dh0": h0.grad, "dc0": c0.grad}
    results |= {name: p.grad for name, p in module.named_parameters()}
    return {name: a.detach().numpy() for name, a in results.items()}


def relative_error(got, want):
    """‖got - want‖ / ‖want‖; where `want` is 0, 0 if `got` is too and else infinity."""
    difference, size = (np.linalg.norm(np.asarray(a, np.float64).ravel()) for a in (np.subtract(got, want), want))
    return difference / size if size else (np.inf if difference else 0.0)


def assert_close(got, want, bound):
    """Every named array within `bound` in norm."""
    assert got.keys() == want.keys()
    errors = {name: relative_error(got[name], want[name]) for name in got}
    assert all(error <= bound for error in errors.values()), errors


def assert_forward_close(got, want):
    """Every element within TESTING.md's bound of float32: 2e-6 · max(1, |want|)."""
    error = np.abs(got - want.astype(np.float64)) / np.maximum(1, np.abs(want))
    assert error.max(initial=0) <= 2e-6, error.max()


def gradient_bound(T, B, H):
    """Of float32 gradients, per tensor."""
    return 2e-5 if T * B * H < 64 else 5e-6


def assert_equal(got, want):
    """The same names and the same bits."""
    assert got.keys() == want.keys()
    for name in got:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


def assert_gradients(loss, variables, gradients):
    """`gradients` of `loss()` against central differences in every element of the float64 arrays `variables`.

    The relative error may be 1e-6; differences below 1e-8 count as none.
    """
    epsilon = 1e-5
    for name, variable in variables.items():
        numeric = np.empty_like(variable)
        for index in np.ndindex(variable.shape):
            kept = variable[index]
            variable[index] = kept + epsilon
            above = loss()
            variable[index] = kept - epsilon
            below = loss()
            variable[index] = kept
            numeric[index] = (above - below) / (2 * epsilon)
        error, size = np.abs(numeric - gradients[name]), np.maximum(np.abs(numeric), np.abs(gradients[name]))
        worst = (error - np.maximum(1e-6 * size, 1e-8)).max(initial=-np.inf)
        assert worst <= 0, f"{name}: {error.max()} off, of {size.max()}"
