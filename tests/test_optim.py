"""Row B4 and the optimiser: clipping and Adam as in PyTorch, non-finite gradients, the schedule."""

import numpy as np
import pytest

from fastlstm.optim import Adam, Exponential, clip, gradient_norm
from fastlstm.parameters import Parameters

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


def test_adam_equals_torch(isa, torch, dtype):
    ours = random_parameters(dtype, 0)
    theirs = torch_parameters(torch, ours)
    optimizer, adam = torch.optim.Adam(theirs, lr=2e-3), Adam(ours)
    for step in range(1, 11):
        gradients = random_parameters(dtype, step, scale=10.0 ** -(step % 4))
        set_gradients(torch, theirs, gradients)
        norm = float(torch.nn.utils.clip_grad_norm_(theirs, 1.0))
        optimizer.step()
        adam.step(gradients, 2e-3, clip(gradients, 1.0, None))
        assert norm == pytest.approx(gradient_norm(gradients), rel=1e-6)
        np.testing.assert_allclose(ours.flat, flat(theirs), rtol=1e-6, atol=1e-6)
    assert adam.steps == ours.version == 10


def test_adam_of_a_zero_gradient_moves_nothing(dtype):
    parameters = random_parameters(dtype, 0)
    before = parameters.flat.copy()
    Adam(parameters).step(parameters.zeros_like(), 1.0)
    np.testing.assert_array_equal(parameters.flat, before)


def test_exponential_decays_after_its_first_epochs():
    assert [Exponential(0.5, after=2)(epoch) for epoch in range(5)] == [1, 1, 0.5, 0.25, 0.125]
    assert [Exponential(1.0, after=1)(epoch) for epoch in (0, 1, 100)] == [1, 1, 1]


@pytest.mark.parametrize(("rate", "after", "error", "message"), [
    (0, 1, ValueError, "rate must be in (0, 1], got 0"),
    (1.5, 1, ValueError, "rate must be in (0, 1], got 1.5"),
    (float("nan"), 1, ValueError, "rate must be in (0, 1], got nan"),
    ("fast", 1, TypeError, "rate must be a number, got 'fast'"),
    (0.5, -1, ValueError, "after must be at least"),
    (0.5, 1.5, TypeError, "after must be a whole number, got 1.5"),
])
def test_exponential_refuses_other_values(rate, after, error, message):
    with pytest.raises(error) as raised:
        Exponential(rate, after)
    assert message in str(raised.value)
