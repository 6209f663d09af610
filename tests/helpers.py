"""What several test modules share: random problems, their answers by the engine and the reference, and comparisons."""

from typing import NamedTuple

import numpy as np

from fastlstm import LSTM, reference
from fastlstm.recurrent import Recurrent
from fastlstm.states import State

RAGGED = (4, 0, 6, 1)  # lengths of T = 6: unsorted, one empty, one full


class Case(NamedTuple):
    """A stack with random parameters, its input, a nonzero state, and the gradients of a loss at its outputs."""

    rnn: Recurrent
    x: np.ndarray
    state: State
    lengths: np.ndarray | None
    dy: np.ndarray
    dstate: State


def random_case(T=6, B=4, I=3, H=5, L=1, *, stack=LSTM, lengths=None, dtype="float64", seed=0, **options):
    rng = np.random.default_rng(seed)
    rnn = stack(I, H, L, dtype=dtype, seed=seed, **options)
    bound = np.max(H) ** -0.5
    rnn.load_state_dict({name: rng.uniform(-bound, bound, p.shape) for name, p in rnn.parameters.items()})

    def normal(shape):
        return rng.standard_normal(shape).astype(dtype)

    def state():
        parts = rnn.zero_states(B)
        return rnn.public_state(tuple(
            normal(part.shape) if isinstance(part, np.ndarray) else [normal(array.shape) for array in part] for part in parts
        ))

    x, initial = normal((T, B, I)), state()
    return Case(
        rnn, x, initial, None if lengths is None else np.array(lengths), normal((T, B, rnn.layout.output_size)), state()
    )


def named(rnn, before, after, state):
    """The arrays of a state by name, such as dh0; with the layer's number where widths differ."""
    names, parts = rnn.layout.states, state if len(rnn.layout.states) > 1 else (state,)
    found = {}
    for name, part in zip(names, parts, strict=True):
        layers = enumerate(part) if isinstance(part, list) else [("", part)]
        found |= {f"{before}{name}{after}{k}": array for k, array in layers}
    return found


def run(case, dropout_seed=None):
    """All results of forward and backward, by name."""
    rnn = case.rnn
    y, state, tape = rnn.forward(case.x, case.state, case.lengths, dropout_seed=dropout_seed)
    dx, dstate, gradients = rnn.backward(tape, case.dy, case.dstate)
    return {"y": y, "dx": dx, **named(rnn, "", "", state), **named(rnn, "d", "0", dstate), **gradients}


def run_reference(case, dropout_seed=None):
    """As `run`, by `fastlstm.reference` in float64, with the same masks (None: the stack must not drop)."""
    rnn, (T, B) = case.rnn, case.x.shape[:2]
    masks = None if dropout_seed is None else rnn.dropout_masks(T, B, dropout_seed)
    state, dstate = (rnn.checked_state("", "", part, B) for part in (case.state, case.dstate))
    y, state, tape = reference.stack_forward(rnn.layout, rnn.parameters, case.x, state, case.lengths, masks)
    dx, dstate, gradients = reference.stack_backward(rnn.layout, rnn.parameters, tape, case.dy, dstate)
    state, dstate = (
        rnn.public_state(tuple(
            part if size is None else np.array(part) for size, part in zip(rnn.layout.state_sizes.values(), parts, strict=True)
        )) for parts in (state, dstate)
    )
    return {"y": y, "dx": dx, **named(rnn, "", "", state), **named(rnn, "d", "0", dstate), **gradients}


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
    """Every element within the bound of float32: 2e-6 · max(1, |want|)."""
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
