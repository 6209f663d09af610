"""Rows B3 and B4: the optimisers and clipping as in PyTorch, gradients that are not finite."""

import copy
import pickle

import numpy as np
import pytest

from fastlstm import LSTM, optim
from fastlstm.optim import OPTIMIZERS, clip, gradient_norm
from fastlstm.parameters import Parameters

SHARED = np.zeros(5)
SHAPES = {"weight": (40, 30), "bias": (30,)}


def random_parameters(dtype, seed, scale=1.0):
    parameters = Parameters(SHAPES, dtype)
    parameters.flat[...] = scale * np.random.default_rng(seed).standard_normal(parameters.flat.size)
    return parameters


def torch_parameters(torch, parameters, gradients=None):
    theirs = [torch.tensor(array, requires_grad=True) for _, array in parameters]
    if gradients is not None:
        set_gradients(torch, theirs, gradients)
    return theirs


def set_gradients(torch, theirs, gradients):
    for parameter, (_, gradient) in zip(theirs, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)


def flat(tensors):
    return np.concatenate([t.detach().numpy().ravel() for t in tensors])


@pytest.mark.parametrize("clip_norm", [1e-3, 5.0, 1e6])
def test_clip_by_norm_equals_torch(isa, torch, dtype, clip_norm):
    gradients = random_parameters(dtype, 0)
    theirs = torch_parameters(torch, gradients, gradients)
    before = gradients.flat.copy()
    torch.nn.utils.clip_grad_norm_(theirs, clip_norm)
    factor = clip(gradients, clip_norm, None)
    np.testing.assert_array_equal(gradients.flat, before)  # the optimiser applies the factor
    np.testing.assert_allclose(factor * before, flat([t.grad for t in theirs]), rtol=1e-6)


@pytest.mark.parametrize("clip_value", [1e-3, 0.5, 1e6])
def test_clip_by_value_equals_torch(torch, dtype, clip_value):
    gradients = random_parameters(dtype, 0)
    theirs = torch_parameters(torch, gradients, gradients)
    torch.nn.utils.clip_grad_value_(theirs, clip_value)
    assert clip(gradients, None, clip_value) == 1
    np.testing.assert_array_equal(gradients.flat, flat([t.grad for t in theirs]))


def test_clip_by_both_takes_the_values_first_as_torch(torch, dtype):
    gradients = random_parameters(dtype, 0)
    theirs = torch_parameters(torch, gradients, gradients)
    torch.nn.utils.clip_grad_value_(theirs, 0.5)
    torch.nn.utils.clip_grad_norm_(theirs, 2.0)
    factor = clip(gradients, 2.0, 0.5)
    np.testing.assert_allclose(factor * gradients.flat, flat([t.grad for t in theirs]), rtol=1e-6)


def test_clip_leaves_zero_gradients_alone(dtype):
    assert clip(Parameters(SHAPES, dtype), 5.0, 1.0) == 1


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("limits", [(None, None), (5.0, None), (None, 1.0), (5.0, 1.0)])
def test_not_finite_gradients_raise_and_name_the_array(isa, dtype, name, value, limits):
    gradients = random_parameters(dtype, 0)
    gradients.arrays[name].flat[-1] = value
    with pytest.raises(FloatingPointError, match=f"^the gradient of {name} holds NaN or Inf$"):
        clip(gradients, *limits)


def test_gradient_norm_equals_numpy_where_squares_overflow_too(isa, dtype):
    gradients = random_parameters(dtype, 0)
    assert gradient_norm(gradients) == pytest.approx(np.linalg.norm(gradients.flat.astype(float)), rel=1e-6)
    gradients.flat[:2] = np.finfo(dtype).max / 4
    assert gradient_norm(gradients) == pytest.approx(float(np.finfo(dtype).max) / 4 * 2**0.5, rel=1e-6)
    assert clip(gradients, None, 3.0) == 1
    assert gradients.flat[0] == 3


TORCH = {
    "sgd": lambda torch, p: torch.optim.SGD(p, lr=2e-3),
    "momentum": lambda torch, p, momentum=0.9: torch.optim.SGD(p, lr=2e-3, momentum=momentum),
    "rmsprop": lambda torch, p, **options: torch.optim.RMSprop(p, lr=2e-3, **options),
    "adam": lambda torch, p, **options: torch.optim.Adam(p, lr=2e-3, **options),
    "adamw": lambda torch, p, **options: torch.optim.AdamW(p, lr=2e-3, **options),
}
OPTIONS = {
    "momentum": {"momentum": 0.5}, "rmsprop": {"alpha": 0.8, "eps": 1e-3}, "adam": {"betas": (0.7, 0.95), "eps": 1e-3},
    "adamw": {"betas": (0.7, 0.95), "eps": 1e-3, "weight_decay": 0.5},
}


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in OPTIMIZERS), *OPTIONS.items()])
def test_steps_equal_torch(isa, torch, dtype, name, options):
    ours = random_parameters(dtype, 0)
    theirs = torch_parameters(torch, ours)
    optimizer, own = TORCH[name](torch, theirs, **options), OPTIMIZERS[name](ours, **options)
    own = copy.copy(own)  # which keeps the options
    for step in range(1, 11):
        gradients = random_parameters(dtype, step, scale=10.0 ** -(step % 4))
        set_gradients(torch, theirs, gradients)
        norm = float(torch.nn.utils.clip_grad_norm_(theirs, 1.0))
        optimizer.step()
        own.advance(gradients, 2e-3, 1.0, None)
        assert norm == pytest.approx(gradient_norm(gradients), rel=1e-6)
        np.testing.assert_allclose(ours.flat, flat(theirs), rtol=1e-6, atol=1e-6)
    assert own.steps == ours.version == 10


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "adamw"])
def test_a_zero_gradient_moves_nothing(dtype, name):
    parameters = random_parameters(dtype, 0)
    before = parameters.flat.copy()
    OPTIMIZERS[name](parameters).advance(parameters.zeros_like(), 1.0, None, None)
    np.testing.assert_array_equal(parameters.flat, before)


def test_adamw_of_a_zero_gradient_shrinks(dtype):
    parameters = random_parameters(dtype, 0)
    before = parameters.flat.copy()
    OPTIMIZERS["adamw"](parameters).advance(parameters.zeros_like(), 0.5, None, None)
    np.testing.assert_allclose(parameters.flat, before * (1 - 0.5 * 0.01), rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_layers_are_trained_as_in_torch(torch, name):
    ours, theirs = LSTM(3, 5, 2, dtype="float64", seed=0), torch.nn.LSTM(3, 5, 2, dtype=torch.float64)
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.parameters.items()})
    x, target = np.random.default_rng(0).standard_normal((2, 7, 4, 5))
    own, optimizer = OPTIMIZERS[name](ours), TORCH[name](torch, theirs.parameters())
    for _ in range(5):
        y, _, tape = ours.forward(x[..., :3])
        own.step(ours.backward(tape, y - target)[2], 2e-3, clip_norm=0.5)
        optimizer.zero_grad()
        ((theirs(torch.tensor(x[..., :3]))[0] - torch.tensor(target)) ** 2).sum().div(2).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
    for parameter, array in theirs.named_parameters():
        np.testing.assert_allclose(ours.parameters[parameter], array.detach().numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("kind", "options", "message"), [
    (optim.Momentum, {"momentum": 1}, r"momentum must be in \[0, 1\), got 1"),
    (optim.RMSProp, {"alpha": -0.1}, r"alpha must be in \[0, 1\), got -0.1"),
    (optim.Adam, {"betas": (0.9, 1.5)}, r"betas\[1\] must be in \[0, 1\), got 1.5"),
    (optim.Adam, {"betas": 0.9}, "betas must be two numbers, got 0.9"),
    (optim.Adam, {"eps": -1}, r"eps must be in \[0, inf\), got -1"),
    (optim.AdamW, {"weight_decay": -1}, r"weight_decay must be in \[0, inf\), got -1"),
])
def test_options_out_of_range(kind, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        kind({"w": np.zeros(3)}, **options)


def test_a_step_that_fails_changes_nothing():
    rnn = LSTM(3, 5, seed=0)
    adam, before, version = optim.Adam(rnn), rnn.state_dict(), rnn.version
    _, _, gradients = rnn.backward(rnn.forward(np.ones((4, 2, 3)))[2], np.ones((4, 2, 5)))
    for wrong, rate, error, message in [
        (gradients | {"bias_hh_l0": np.full(20, np.nan)}, 1e-3, FloatingPointError, "gradient of bias_hh_l0 holds NaN"),
        ({"weight_ih_l0": gradients["weight_ih_l0"]}, 1e-3, ValueError, "missing gradients: bias_hh_l0, bias_ih_l0,"),
        ((None, None, gradients), 1e-3, TypeError, "gradients must be a mapping of arrays by name, got tuple"),
        (gradients, np.inf, ValueError, r"learning_rate must be in \[0, inf\), got inf"),
        (gradients, "x", TypeError, "learning_rate must be a number, got 'x'"),
        (gradients, -1.0, ValueError, r"learning_rate must be in \[0, inf\), got -1"),
        (gradients, np.nan, ValueError, r"learning_rate must be in \[0, inf\), got nan"),
    ]:
        with pytest.raises(error, match=message):
            adam.step(wrong, rate)
    for limits, message in [
        ({"clip_norm": -1.0}, r"clip_norm must be in \(0, inf\), got -1"), ({"clip_value": np.nan}, "clip_value must be in"),
    ]:
        with pytest.raises(ValueError, match=message):
            adam.step(gradients, 1e-3, **limits)
    assert (adam.steps, rnn.version) == (0, version)
    assert all((rnn.parameters[name] == array).all() for name, array in before.items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_arrays_are_trained_in_place(dtype, name):
    parameters, gradients = random_parameters(dtype, 0), random_parameters(dtype, 1)
    arrays = {key: np.asfortranarray(array) for key, array in parameters}
    own, other = OPTIMIZERS[name](parameters), OPTIMIZERS[name](arrays)
    for _ in range(3):
        own.advance(gradients, 2e-3, 1.0, None)
        other.step(dict(gradients), 2e-3, clip_norm=1.0)
        assert all((arrays[key] == array).all() for key, array in parameters)
        for array in (parameters.flat, *arrays.values()):
            array += 1  # they are the caller's


@pytest.mark.parametrize(("parameters", "error", "message"), [
    (LSTM(3, 5).parameters, ValueError, "weight_ih_l0 must be writable; those of an LSTM, GRU or RNN are not: pass the stack"),
    ({"w": np.zeros(3, int)}, TypeError, "w must be a float32 or float64 array, got one of int64"),
    ({"w": [1.0]}, TypeError, "w must be a float32 or float64 array, got list"),
    ({"w": np.zeros(3), "b": np.zeros(3, "f4")}, TypeError, "arrays must be float32 or float64 all of them, got float32 and"),
    ({}, TypeError, "parameters must be an LSTM, GRU or RNN, or arrays by name, got no array"),
    ({"a": SHARED[:3], "b": SHARED[2:]}, ValueError, "a and b must not share memory"),
    (np.zeros(3), TypeError, "parameters must be an LSTM, GRU or RNN, or arrays by name, got ndarray"),
])
def test_what_cannot_be_trained(parameters, error, message):
    with pytest.raises(error, match=message):
        optim.Adam(parameters)


def test_arrays_that_become_read_only_are_refused_before_anything_changes():
    w = np.ones(3)
    adam = optim.Adam({"w": w})
    w.flags.writeable = False
    with pytest.raises(ValueError, match="w must be writable"):
        adam.step({"w": np.ones(3)}, 1e-3)
    assert adam.steps == 0
    assert not adam.moments["first_moment"].flat.any()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_copies_go_on_with_copies_of_what_is_trained(copied):
    rnn, x = LSTM(3, 5, seed=0), np.ones((4, 2, 3))
    both = rnn, optim.Adam(rnn)

    def step(rnn, adam):
        y, _, tape = rnn.forward(x)
        adam.step(rnn.backward(tape, y)[2], 1e-2)

    step(*both)
    other = copied(both)
    step(*both)
    assert any((rnn.parameters[name] != array).any() for name, array in other[0].parameters.items())
    step(*other)
    assert all((rnn.parameters[name] == array).all() for name, array in other[0].parameters.items())
