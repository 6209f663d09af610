"""Initial values: row B5. Bounds, means and variances of every initializer, orthogonality, forget-gate biases, seeds."""

import copy
import pickle

import numpy as np
import pytest

from fastlstm import GRU, LSTM, RNN, init
from fastlstm.init import INITIALIZERS
from fastlstm.parameters import Parameters
from helpers import assert_equal

I, H, V = 30, 50, 70
OUTPUT = {"weight": (V, H), "bias": (V,)}


def gates(array):
    """The blocks of H rows, in the order i, f, g, o."""
    return array.reshape(4, -1, *array.shape[1:])


def output_layer(name, dtype, seed=0):
    parameters = Parameters(OUTPUT, dtype)
    init.section(parameters, H, name, np.random.default_rng(seed))
    return parameters.arrays


def assert_uniform(values, bound):
    """Within ±bound and filling it, with the mean 0 and variance bound²/3 of the uniform distribution, to 4.5 sigma."""
    assert 0.98 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
    n, variance = values.size, bound**2 / 3
    assert abs(values.mean(dtype=float)) < 4.5 * (variance / n) ** 0.5
    # The fourth moment bound⁴/5 makes the variance of a square bound⁴ (1/5 - 1/9).
    assert abs((values.astype(float) ** 2).mean() - variance) < 4.5 * bound**2 * (4 / 45 / n) ** 0.5


def test_uniform_is_the_distribution_on_one_over_root_h(dtype):
    rnn = LSTM(I, H, 2, dtype=dtype, seed=0)
    for name, array in rnn.parameters.items():
        if name.startswith("weight"):
            assert_uniform(array, H**-0.5)
        else:
            assert_uniform(gates(array)[[0, 2, 3]], H**-0.5)
    layer = output_layer("uniform", dtype)
    assert_uniform(layer["weight"], H**-0.5)
    assert_uniform(layer["bias"], H**-0.5)


def test_uniform_is_the_default_and_takes_numbers_in_the_order_of_the_names(dtype):
    """Bit by bit: recorded results depend on it."""
    rnn, rng = LSTM(3, 16, 2, dtype=dtype, seed=5), np.random.default_rng(5)
    assert rnn.initializer == "uniform"
    for name, array in rnn.parameters.items():
        want = rng.uniform(-0.25, 0.25, array.shape).astype(dtype)
        if name.startswith("bias"):
            want[16:32] = array[16:32]  # the forget gate's
        np.testing.assert_array_equal(array, want, err_msg=name)


@pytest.mark.parametrize("name", ["xavier", "orthogonal"])
def test_xavier_bounds_are_those_of_each_block(dtype, name):
    parameters = LSTM(I, H, 2, dtype=dtype, initializer=name, seed=0).parameters
    for k, width in enumerate((I, H)):
        for gate in gates(parameters[f"weight_ih_l{k}"]):
            assert_uniform(gate, (6 / (width + H)) ** 0.5)
        if name == "xavier":
            for gate in gates(parameters[f"weight_hh_l{k}"]):
                assert_uniform(gate, (6 / (H + H)) ** 0.5)
        for bias in ("bias_ih", "bias_hh"):
            assert not gates(parameters[f"{bias}_l{k}"])[[0, 2, 3]].any()
    layer = output_layer(name, dtype)
    assert_uniform(layer["weight"], (6 / (H + V)) ** 0.5)
    assert not layer["bias"].any()


@pytest.mark.parametrize("size", [1, 2, 17, 64])
def test_recurrent_matrices_are_orthogonal_gate_by_gate(dtype, size):
    parameters = LSTM(3, size, 2, dtype=dtype, initializer="orthogonal", seed=0).parameters
    blocks = [gate.astype(float) for k in range(2) for gate in gates(parameters[f"weight_hh_l{k}"])]
    for Q in blocks:
        np.testing.assert_allclose(Q @ Q.T, np.eye(size), rtol=0, atol=1e-6 if dtype == np.float32 else 1e-13)
    if size > 2:  # of two rows there are few, and near ones
        assert all(np.abs(a - b).max() > 0.1 for n, a in enumerate(blocks) for b in blocks[:n])


def test_orthogonal_matrices_are_equally_likely():
    """Moments of the Haar measure on O(n): elements of mean 0 and variance 1/n, traces of mean 0 and variance 1, both signs
    of the determinant. Without the sign fix the first element would always be negative.
    """
    n = 4
    stacks = (LSTM(1, n, dtype="float64", initializer="orthogonal", seed=seed) for seed in range(1500))
    Q = np.concatenate([gates(rnn.parameters["weight_hh_l0"]) for rnn in stacks])
    traces, N = np.trace(Q, axis1=1, axis2=2), len(Q)
    assert np.abs(Q.mean(axis=0)).max() < 4.5 * (1 / n / N) ** 0.5
    # An element's fourth moment is 3/(n (n + 2)).
    assert np.abs((Q**2).mean(axis=0) - 1 / n).max() < 4.5 * ((3 / (n * (n + 2)) - 1 / n**2) / N) ** 0.5
    assert abs(traces.mean()) < 4.5 * N**-0.5
    assert abs((traces**2).mean() - 1) < 4.5 * (2 / N) ** 0.5  # the trace's fourth moment is 3 for n >= 4
    assert abs(np.sign(np.linalg.det(Q)).mean()) < 4.5 * N**-0.5


@pytest.mark.parametrize("name", INITIALIZERS)
def test_forget_biases_sum_to_1(dtype, name):
    for size in (1, 16):
        parameters = LSTM(3, size, 2, dtype=dtype, initializer=name, seed=0).parameters
        for k in range(2):
            assert (gates(parameters[f"bias_ih_l{k}"])[1] + gates(parameters[f"bias_hh_l{k}"])[1] == 1).all()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_seed_decides_everything_and_global_state_nothing(name):
    def make(seed):
        return LSTM(3, 8, 2, initializer=name, seed=seed).parameters

    np.random.seed(0)
    first = make(0)
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    assert_equal(make(0), first)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    for matrix in ("weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"):
        assert not np.array_equal(make(1)[matrix], first[matrix])
    assert not np.array_equal(make(None)["weight_ih_l0"], make(None)["weight_ih_l0"])


@pytest.mark.parametrize("name", INITIALIZERS)
def test_stacks_without_biases(name):
    rnn = LSTM(3, 8, bias=False, initializer=name, seed=0)
    assert list(rnn.parameters) == ["weight_ih_l0", "weight_hh_l0"]
    assert all(array.any() for array in rnn.parameters.values())


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializer_fills_its_section_only_and_says_so(name):
    parameters = Parameters({"before": (3,), **{f"output.{n}": shape for n, shape in OUTPUT.items()}, "after": (3,)}, "float32")
    parameters.flat.fill(7)
    init.section(parameters.section("output."), H, name, np.random.default_rng(0))
    assert (np.abs(parameters.flat[3:-3]) < 1).all()
    assert (parameters.flat[[0, 1, 2, -3, -2, -1]] == 7).all()
    assert parameters.version == 1
    for key, array in output_layer(name, "float32").items():
        np.testing.assert_array_equal(parameters.arrays[f"output.{key}"], array)


@pytest.mark.parametrize("make", [copy.deepcopy, lambda rnn: pickle.loads(pickle.dumps(rnn))])
@pytest.mark.parametrize("name", INITIALIZERS)
def test_copies_and_pickles_know_their_initializer(make, name):
    rnn = LSTM(3, 4, initializer=name)
    other = make(rnn)
    assert other.initializer == name
    assert_equal(other.parameters, rnn.parameters)


def test_unknown_initializer_is_refused_with_a_suggestion():
    message = r"^initializer must be one of 'uniform', 'xavier', 'orthogonal', got 'orthogonl'; did you mean 'orthogonal'\?$"
    with pytest.raises(ValueError, match=message):
        LSTM(3, 4, initializer="orthogonl")


@pytest.mark.parametrize("stack", [GRU, RNN])
def test_cells_without_forget_gates_have_no_bias_set(stack, dtype):
    for name, array in stack(3, 50, dtype=dtype, seed=0).parameters.items():
        if name.startswith("weight"):
            assert_uniform(array, 50**-0.5)
        assert 0.8 * 50**-0.5 < np.abs(array).max() <= 50**-0.5 * (1 + 1e-6)


def test_orthogonal_projections_are_parts_of_orthogonal_matrices():
    rnn = LSTM(3, 8, proj_size=5, initializer="orthogonal", dtype="float64", seed=0)
    for gate in gates(rnn.parameters["weight_hh_l0"]):
        np.testing.assert_allclose(gate.T @ gate, np.eye(5), rtol=0, atol=1e-13)
