"""The reference's activations, losses and optimisers, against finite differences, PyTorch and hand computation."""

import numpy as np
import pytest

from fastlstm import reference
from helpers import assert_gradients


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_slopes_from_the_value_equal_central_differences(name):
    activation = reference.ACTIVATIONS[name]
    x = np.random.default_rng(0).uniform(-4, 4, 200)
    numeric = (activation.value(x + 1e-5) - activation.value(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(activation.slope(activation.value(x)), numeric, rtol=1e-6, atol=1e-8)


def test_softmax_cross_entropy_gradient_equals_central_differences():
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((3, 5)), np.array([0, 4, 2])
    _, gradient = reference.softmax_cross_entropy(logits, targets)
    assert_gradients(
        lambda: reference.softmax_cross_entropy(logits, targets)[0].sum(), {"logits": logits}, {"logits": gradient}
    )


def test_softmax_cross_entropy_of_huge_logits_is_finite_and_exact():
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
    losses, gradient = reference.softmax_cross_entropy(logits, np.array([1, 2]))
    np.testing.assert_allclose(losses, [2e4, np.log(3)], rtol=1e-15)
    np.testing.assert_allclose(gradient, [[1, -1, 0], [1 / 3, 1 / 3, -2 / 3]], rtol=1e-15)


def test_adam_equals_torch(torch):
    rng = np.random.default_rng(0)
    start, first, second = rng.standard_normal(50), np.zeros(50), np.zeros(50)
    theirs = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.Adam([theirs], lr=3e-3, betas=(0.8, 0.95), eps=1e-6)
    ours = start
    for step in range(1, 6):
        gradient = rng.standard_normal(50)
        theirs.grad = torch.from_numpy(gradient)
        optimizer.step()
        ours, first, second = reference.adam(
            ours, first, second, gradient, step=step, learning_rate=3e-3, beta1=0.8, beta2=0.95, epsilon=1e-6
        )
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12)
