"""The numbers of the LSTM stack: rows A2, A11 and B1, and their bounds."""

import numpy as np
import pytest

from fastlstm import reference
from helpers import (
    RAGGED,
    assert_close,
    assert_equal,
    assert_forward_close,
    assert_gradients,
    gradient_bound,
    random_case,
    relative_error,
    run,
    run_reference,
    run_torch,
)

# ---- values against the reference, differences and PyTorch -------------------------------------------------------


@pytest.mark.parametrize(
    ("T", "H"), [(1, 1), (1, 64), (7, 17), (30, 34), (100, 64), (100, 1), (300, 65), (1000, 17), (1000, 65)]
)
def test_float32_outputs_are_within_bounds(compiled, isa, T, H):
    case = random_case(T, 3, 5, H, 2, dtype="float32")
    y, (h, c) = case.rnn(case.x, case.state)
    want = run_reference(case)
    for got, name in ((y, "y"), (h, "h"), (c, "c")):
        assert_forward_close(got, want[name])


@pytest.mark.parametrize("lengths", [None, RAGGED])
@pytest.mark.parametrize(("T", "H"), [(6, 1), (6, 2), (6, 17), (6, 34), (6, 64), (6, 65)])
def test_float32_gradients_are_within_bounds(compiled, isa, T, H, lengths):
    case = random_case(T, 4, 5, H, 2, dtype="float32", lengths=lengths)
    assert_close(run(case), run_reference(case), gradient_bound(T, 4, H))


@pytest.mark.parametrize(("T", "B", "H"), [(1, 1, 1), (1, 3, 17), (200, 3, 34), (200, 1, 65)])
def test_float32_gradients_of_short_and_long_sequences_are_within_bounds(compiled, isa, T, B, H):
    case = random_case(T, B, 5, H, dtype="float32")
    assert_close(run(case), run_reference(case), gradient_bound(T, B, H))


@pytest.mark.parametrize("lengths", [None, RAGGED])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("L", [1, 2, 3])
def test_float64_equals_reference(compiled, isa, L, bias, lengths):
    for dropout in (0.0, 0.3)[:L]:  # one layer has nothing to drop
        case = random_case(L=L, bias=bias, lengths=lengths, dropout=dropout)
        assert_close(run(case, dropout_seed=5), run_reference(case, dropout_seed=5), 1e-13)


def check_by_differences(case, dropout_seed=None):
    rnn = case.rnn
    parameters = rnn.state_dict()
    variables = {"dx": case.x, "dh0": case.state[0], "dc0": case.state[1], **parameters}

    def loss():
        rnn.load_state_dict(parameters)
        y, (h, c), _ = rnn.forward(case.x, case.state, case.lengths, dropout_seed=dropout_seed)
        return np.sum(y * case.dy) + np.sum(h * case.dstate[0]) + np.sum(c * case.dstate[1])

    results = run(case, dropout_seed)
    assert_gradients(loss, variables, results)


@pytest.mark.parametrize("lengths", [None, (2, 0, 4)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("L", "dropout_seed"), [(1, None), (2, None), (2, 7), (3, 7)])
def test_gradients_equal_central_differences(compiled, L, dropout_seed, bias, lengths):
    dropout = 0.0 if dropout_seed is None else 0.4
    check_by_differences(random_case(4, 3, 2, 3, L, bias=bias, dropout=dropout, lengths=lengths), dropout_seed)


def test_gradients_of_one_step_equal_central_differences(compiled, isa):
    check_by_differences(random_case(1, 2, 2, 3, 2))


@pytest.mark.parametrize("dtype_bound", [("float64", 1e-13), ("float32", 5e-6)], ids=lambda pair: pair[0])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("L", [1, 2, 3])
def test_equals_torch(compiled, torch, L, bias, dtype_bound):
    case = random_case(12, 3, 4, 6, L, bias=bias, dtype=dtype_bound[0])
    assert_close(run(case), run_torch(torch, case), dtype_bound[1])


def written_out(torch, case):
    """As `helpers.run` for one layer, by PyTorch's own functions and autograd."""
    functions = {  # the gradient of torch's own hardsigmoid has a float32 1/6 in it, in float64 too
        "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu, "linear": lambda x: x,
        "hard_sigmoid": lambda x: torch.clamp(x + 3, 0, 6) / 6, "softsign": torch.nn.functional.softsign,
    }
    rnn = case.rnn
    phi, sigma = functions[rnn.activation], functions[rnn.recurrent_activation]
    p = {name: torch.tensor(a, requires_grad=True) for name, a in rnn.state_dict().items()}
    x, h0, c0 = (torch.tensor(a, requires_grad=True) for a in (case.x, *case.state))
    h, c, outputs = h0[0], c0[0], []
    for x_t in x:
        a = x_t @ p["weight_ih_l0"].T + p["bias_ih_l0"] + h @ p["weight_hh_l0"].T + p["bias_hh_l0"]
        a_i, a_f, a_g, a_o = a.chunk(4, dim=1)
        c = sigma(a_f) * c + sigma(a_i) * phi(a_g)
        h = sigma(a_o) * phi(c)
        outputs.append(h)
    y = torch.stack(outputs)
    torch.autograd.backward([y, h[None], c[None]], [torch.tensor(a) for a in (case.dy, *case.dstate)])
    results = {"y": y, "h": h[None], "c": c[None], "dx": x.grad, "dh0": h0.grad, "dc0": c0.grad}
    return {name: a.detach().numpy() for name, a in (results | {name: a.grad for name, a in p.items()}).items()}


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
@pytest.mark.parametrize("recurrent_activation", reference.ACTIVATIONS)
def test_other_activations_equal_torch(compiled, isa, torch, activation, recurrent_activation):
    case = random_case(activation=activation, recurrent_activation=recurrent_activation)
    assert_close(run(case), written_out(torch, case), 1e-13)


# ---- lengths, chunks, streams, tokens ----------------------------------------------------------------------------


def test_ragged_equals_one_by_one(compiled, isa, dtype):
    case = random_case(6, 4, 3, 17, 2, dtype=dtype, lengths=RAGGED)
    together = run(case)
    bound = 1e-13 if dtype == np.float64 else 5e-6
    total = {name: 0 for name in case.rnn.parameters}
    for b, length in enumerate(case.lengths):
        if length == 0:
            continue  # nothing to run alone: see the next test
        alone = run(case._replace(
            x=case.x[:length, b : b + 1], dy=case.dy[:length, b : b + 1], lengths=None,
            state=[a[:, b : b + 1] for a in case.state], dstate=[a[:, b : b + 1] for a in case.dstate],
        ))
        for name in ("y", "dx"):
            assert relative_error(together[name][:length, b : b + 1], alone[name]) <= bound
        for name in ("h", "c", "dh0", "dc0"):
            assert relative_error(together[name][:, b : b + 1], alone[name]) <= bound
        total = {name: total[name] + alone[name] for name in total}
    assert_close({name: together[name] for name in total}, total, bound)


def test_empty_sequences_keep_their_state(compiled):
    case = random_case(L=2, lengths=(0, 0, 0, 0))
    results = run(case)
    assert_equal({name: results[name] for name in "hc"}, dict(zip("hc", case.state, strict=True)))
    assert_equal({name: results[name] for name in ("dh0", "dc0")}, dict(zip(("dh0", "dc0"), case.dstate, strict=True)))
    assert all(not results[name].any() for name in ("y", "dx", *case.rnn.parameters))


@pytest.mark.parametrize("B", [1, 3])
def test_streamed_equals_whole(isa, dtype, B, engine):
    case = random_case(50, B, 4, 17, 2, dtype=dtype)
    y, (h, c) = case.rnn(case.x, case.state)
    stream = case.rnn.stream(B)
    stream.state = case.state
    outputs = np.array([stream.step(x) for x in case.x])
    for got, want in zip((outputs, *stream.state), (y, h, c), strict=True):
        if dtype == np.float32:
            assert_forward_close(got, want)
        else:
            assert relative_error(got, want) <= 1e-13


def test_streams_of_tokens_check_every_step(dtype, engine):
    """The first step of tokens finds no table of them, those after it do; vectors may come between."""
    case = random_case(I=5, L=2, dtype=dtype)
    stream, expected = case.rnn.stream(4), case.rnn.stream(4)
    for t in range(3):
        for wrong, error, message in (
            ([0, 5, 1, 2], IndexError, r"token id 5 at position 1 is outside \[0, 5\)"),
            ([0, 1, 2, -1], IndexError, r"token id -1 at position 3 is outside \[0, 5\)"),
            ([0, 1, 2], ValueError, r"x must have shape \(4,\), got \(3,\)"),
        ):
            with pytest.raises(error, match=message):
                stream.step(np.array(wrong, np.int32))
        with pytest.raises(ValueError, match=r"x must have shape \(4, 5\), got \(4,\)"):
            stream.step(np.zeros(4, np.float32))
        np.testing.assert_array_equal(stream.step(np.array([t, 4, 0, 1], np.int32)), expected.step([t, 4, 0, 1]))
    np.testing.assert_array_equal(stream.step(np.repeat(np.int32([0, 4, 0, 1]), 2)[::2]), expected.step([0, 4, 0, 1]))
    np.testing.assert_array_equal(stream.step(np.eye(5)[[1, 2, 3, 4]]), expected.step(np.eye(5)[[1, 2, 3, 4]]))
    np.testing.assert_array_equal(stream.step(np.int32([4, 3, 2, 1])), expected.step([4, 3, 2, 1]))


@pytest.mark.parametrize("lengths", [None, RAGGED])
def test_tokens_equal_one_hot_vectors(dtype, engine, lengths):
    case = random_case(I=5, L=2, dtype=dtype, lengths=lengths)
    tokens = np.random.default_rng(1).integers(0, 5, (6, 4))
    by_vectors = run(case._replace(x=np.eye(5)[tokens]))
    by_tokens = run(case._replace(x=tokens))
    stream, vector_stream = case.rnn.stream(4), case.rnn.stream(4)
    np.testing.assert_allclose(stream.step(tokens[0]), vector_stream.step(np.eye(5)[tokens[0]]), rtol=1e-5)
    assert by_tokens.pop("dx") is None
    del by_vectors["dx"]
    assert_close(by_tokens, by_vectors, 1e-13 if dtype == np.float64 else 5e-6)
