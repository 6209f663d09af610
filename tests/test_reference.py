"""The reference against finite differences, PyTorch and hand computation."""

import numpy as np
import pytest

from fastlstm import reference
from fastlstm.cells import Masks
from fastlstm.engines.reference import layout
from helpers import assert_close, assert_gradients, random_case, run_reference, run_torch


def check_by_differences(case, dropout_seed=None):
    rnn = case.rnn
    stack = layout(rnn), {name: p.copy() for name, p in rnn.parameters.items()}
    masks = None if dropout_seed is None else Masks(rnn.dropout_masks(*case.x.shape[:2], dropout_seed), [])
    variables = {"x": case.x, "h0": case.state[0], "c0": case.state[1], **stack[1]}

    def forward():
        return reference.stack_forward(*stack, case.x, case.state, case.lengths, masks)

    def loss():
        y, (h, c), _ = forward()
        return np.sum(y * case.dy) + np.sum(h * case.dstate[0]) + np.sum(c * case.dstate[1])

    dx, (dh0, dc0), gradients = reference.stack_backward(*stack, forward()[-1], case.dy, case.dstate)
    assert gradients.keys() == stack[1].keys()
    assert_gradients(loss, variables, {"x": dx, "h0": np.array(dh0), "c0": np.array(dc0), **gradients})


@pytest.mark.parametrize("lengths", [None, (2, 0, 4)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("L", "dropout_seed"), [(1, None), (2, None), (2, 7), (3, None), (3, 7)])
def test_gradients_equal_central_differences(L, dropout_seed, bias, lengths):
    check_by_differences(random_case(4, 3, 2, 3, L, bias=bias, dropout=0.4, lengths=lengths), dropout_seed)


def test_gradients_of_one_step_equal_central_differences():
    check_by_differences(random_case(1, 2, 2, 3, 2))


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
@pytest.mark.parametrize("recurrent_activation", ["sigmoid", "hard_sigmoid"])
def test_gradients_of_other_activations_equal_central_differences(activation, recurrent_activation):
    check_by_differences(random_case(3, 2, 2, 2, activation=activation, recurrent_activation=recurrent_activation))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("L", [1, 2, 3])
def test_stack_equals_torch(torch, L, bias):
    case = random_case(7, 3, 4, 6, L, bias=bias)
    assert_close(run_reference(case), run_torch(torch, case), 1e-12)


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
