"""The language network as a whole: its gradients by finite differences, and against PyTorch."""

import numpy as np
import pytest

from fastlstm import _sample
from fastlstm.network import LanguageNetwork
from fastlstm.threads import held_threads

T, B, V, H = 5, 3, 6, 4
SCALE = 0.7  # of the loss the gradients are taken of


def make(embedding=None, num_layers=2, dtype="float64", V=V, **options):
    rng = np.random.default_rng(3)
    options = {"hidden_size": H, "num_layers": num_layers, "embedding": embedding, "dtype": dtype, **options}
    network = LanguageNetwork(V, rng, **options)
    tokens, state = rng.integers(0, V, (T + 1, B)).astype(np.int32), network.zero_state(B)
    for part in state:
        for cell in part:
            cell[...] = 0.3 * rng.standard_normal(cell.shape)
    return network, tokens[:-1].copy(), tokens[1:].copy(), state


def loss_and_gradients(network, tokens, targets, state, seed=0):
    gradients = network.parameters.zeros_like()
    gradients.flat.fill(np.nan)  # what an earlier window left must not matter
    loss, _ = network.gradients(tokens, targets, state, SCALE, gradients, (seed, 0))
    return loss, gradients


NETWORKS = {
    "one-hot": {},
    "embedding": {"embedding": 3},
    "dropout": {"dropout": 0.5},
    "embedding and dropout": {"embedding": 3, "dropout": 0.5},
    "tied": {"embedding": H, "tied": True},
    "one-hot, more tokens than places": {"V": T * B + 5},  # the engine takes another way
    "embedding, more tokens than places": {"embedding": 3, "V": T * B + 5},
    "plain": {"cell": "rnn"},
    "GRU, embedding": {"cell": "gru", "embedding": 3, "recurrent_dropout": 0.3},
    "GRU, tied": {"cell": "gru", "embedding": H, "tied": True},
    "peephole, coupled": {"peephole": "diagonal", "coupled": True},
    "full peephole, skip": {"peephole": "full", "skip": True},
    "skip, embedding, more tokens than places": {"embedding": 3, "skip": True, "V": T * B + 5},
    "skip, tied": {"embedding": 2 * H, "skip": True, "tied": True},
    "widths, tied": {"hidden_size": (5, 3, 4), "num_layers": 3, "embedding": 4, "tied": True, "bias": False},
    "widths, skip": {"hidden_size": [5, 3], "skip": True, "cell": "gru", "reset_after": False, "embedding": 3},
    "projected, tied": {"proj_size": 2, "embedding": 2, "tied": True, "activation": "softsign", "clip": 2.0},
    "plain, sigmoid": {"cell": "rnn", "nonlinearity": "sigmoid", "dropout": 0.5},
}


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_every_gradient_by_finite_differences(engine, options):
    network, *window = make(**options)
    flat, epsilon = network.parameters.flat, 1e-5
    _, gradients = loss_and_gradients(network, *window)
    numeric = np.empty_like(flat)
    for k in range(len(flat)):
        old, sides = flat[k], []
        for shift in (epsilon, -epsilon):
            flat[k] = old + shift
            network.parameters.touch()
            sides.append(loss_and_gradients(network, *window)[0])
        flat[k] = old
        numeric[k] = SCALE * (sides[0] - sides[1]) / (2 * epsilon)
    scale = np.maximum(np.maximum(abs(numeric), abs(gradients.flat)), 1e-2)
    assert (abs(numeric - gradients.flat) / scale).max() <= 1e-6


@pytest.mark.parametrize(("embedding", "tied"), [(None, False), (3, False), (H, True)])
def test_equals_pytorch(compiled, embedding, tied):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    network, tokens, targets, state = make(embedding, tied=tied)
    parameters = {name: torch.tensor(array) for name, array in network.parameters.arrays.items()}
    lstm = torch.nn.LSTM(embedding or V, H, 2, dtype=torch.float64)
    lstm.load_state_dict({name.removeprefix("lstm."): p for name, p in parameters.items() if name.startswith("lstm.")})
    table = parameters["embedding.weight"] if embedding else torch.eye(V, dtype=torch.float64)
    table.requires_grad_(embedding is not None)
    weight, bias = table if tied else parameters["output.weight"].requires_grad_(), parameters["output.bias"].requires_grad_()
    y, _ = lstm(table[torch.tensor(tokens).long()], tuple(torch.tensor(s) for s in state))
    loss = torch.nn.functional.cross_entropy((y @ weight.T + bias).reshape(-1, V), torch.tensor(targets).long().ravel())
    (loss * T * B * SCALE).backward()
    ours, gradients = loss_and_gradients(network, tokens, targets, state)
    assert ours == pytest.approx(float(loss.detach()) * T * B, rel=1e-12)
    expected = {f"lstm.{name}": p.grad for name, p in lstm.named_parameters()}
    expected |= {network.output: weight.grad, "output.bias": bias.grad}
    if embedding:
        expected["embedding.weight"] = table.grad
    assert expected.keys() == gradients.arrays.keys()
    for name, gradient in expected.items():
        np.testing.assert_allclose(gradients.arrays[name], gradient.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)


def test_blocks_of_logits_change_nothing_but_rounding(compiled, monkeypatch):
    network, *window = make()
    loss, gradients = loss_and_gradients(network, *window)
    monkeypatch.setattr("fastlstm.network.LOGIT_BLOCK", 4 * V)
    blocked_loss, blocked = loss_and_gradients(network, *window)
    assert blocked_loss == pytest.approx(loss, rel=1e-14)
    np.testing.assert_allclose(blocked.flat, gradients.flat, rtol=1e-12, atol=1e-14)


def test_a_window_of_one_token_with_more_words_than_fit(compiled):
    """Half of its logits would fit where the stack's gradients will be."""
    network, tokens, targets, state = make(H, tied=True, V=400)
    window = tokens[:1, :1], targets[:1, :1], tuple(part[:, :1] for part in state)
    assert 200 < network.parameters.section("lstm.").flat.size < 400
    loss, gradients = loss_and_gradients(network, *window)
    assert np.isfinite(loss)
    assert np.isfinite(gradients.flat).all()


@pytest.mark.parametrize("part", [0.4, 0.6, 2.0])
@pytest.mark.parametrize("tied", [False, True])
def test_logits_are_where_gradients_will_be_if_they_nearly_fit(compiled, monkeypatch, part, tied):
    """In blocks that fit, where half of them does; with the gradients that logits in memory of their own give."""
    network, *window = make(H if tied else 3, tied=tied, V=300)
    gradients = network.parameters.zeros_like()
    free = network.parameters.section("lstm.").flat.size
    if not tied:
        free += network.parameters.arrays["embedding.weight"].size
    size = int(free / part) // 300
    monkeypatch.setattr("fastlstm.network.LOGIT_BLOCK", size * 300)
    monkeypatch.setattr("fastlstm.network.MOST_PACKINGS", 1 + T * B)
    network.gradients(*window, SCALE, gradients, (0, 0))
    assert any(name == "logits" for name, _ in network.workspace._memory) == (2 * (free // 300) < size)
    monkeypatch.setattr(network, "_place", lambda *_: None)
    want = loss_and_gradients(network, *window)[1]
    np.testing.assert_allclose(gradients.flat, want.flat, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("embedding", "V"), [(3, T * B - 3), (None, T * B - 3), (3, 300)])
def test_kept_gradients_are_those_of_the_window_alone(compiled, embedding, V):
    """Whatever the windows before wrote there, with few tokens, with more than there are, and in other memory between.

    With 300 tokens, logits as well.
    """
    network, tokens, targets, state = make(embedding, V=V)
    for turn, steps in enumerate((T, 2, 1, T, 3)):
        window = (tokens[:steps] + turn) % network.V, targets[:steps], state, SCALE
        fresh = network.parameters.zeros_like()
        fresh.flat.fill(np.nan)
        network.gradients(*window, network.training_gradients, (0, 0))
        network.gradients(*window, fresh, (0, 0))
        np.testing.assert_array_equal(network.training_gradients.flat, fresh.flat)


def test_losses_are_those_of_training_without_dropout(compiled):
    network, tokens, targets, state = make(dropout=0.0)
    losses, (h, c) = network.losses(tokens, targets, state)
    total, (h2, c2) = network.gradients(
        tokens, targets, state, 1.0, network.parameters.zeros_like(), (0, 0)
    )
    assert losses.shape == (T, B)
    assert losses.sum() == pytest.approx(total, rel=1e-14)
    assert np.array_equal(h, h2)
    assert np.array_equal(c, c2)


def test_dropout_is_only_for_training():
    network, tokens, targets, state = make(dropout=0.5)
    assert loss_and_gradients(network, tokens, targets, state, seed=1)[0] != network.losses(tokens, targets, state)[0].sum()
    assert np.array_equal(network.losses(tokens, targets, state)[0], network.losses(tokens, targets, state)[0])


@pytest.mark.parametrize("options", [{}, {"embedding": H, "tied": True}])
def test_log_probabilities_are_those_of_the_losses(compiled, options):
    network, tokens, targets, state = make(**options)
    losses, _ = network.losses(tokens, targets, state)
    y, _ = network.advance(tokens, state)
    found = network.log_probabilities(y.reshape(-1, H))
    np.testing.assert_allclose(-found[np.arange(T * B), targets.ravel()], losses.ravel(), rtol=1e-13)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, rtol=1e-13)


def test_tied_weights_are_one_array_and_small():
    network = make(H, tied=True, num_layers=1)[0]
    assert network.output == "embedding.weight"
    assert set(network.parameters.arrays) == {
        "embedding.weight", "output.bias", *(f"lstm.{part}_l0" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
    }
    assert abs(network.parameters.arrays["embedding.weight"]).max() <= H**-0.5


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_writing_step_by_step_equals_the_sampling_loop(options, monkeypatch):
    """Cells without kernels are run from symbol to symbol by the engine."""
    network, _, _, state = make(**options)
    uniforms, choice = np.random.default_rng(1).random((30, B)), {"never": 2, "temperature": 0.8, "top_k": 4, "top_p": 0.9}
    found = []
    for fast in (True, False):
        if not fast:
            monkeypatch.setattr("fastlstm.engines.native.NativeEngine.has_steps", staticmethod(lambda stack: False))
        symbols = np.zeros((B, 30), np.int32)
        done, after = network.write(symbols, uniforms, state, **choice)
        assert done == 30
        found.append((symbols, after))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert not (symbols == 2).any()
    for parts in zip(found[0][1], found[1][1], strict=True):
        for one, other in zip(*parts, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
    network.parameters.arrays["output.bias"][0] = np.nan
    network.parameters.touch()
    assert network.write(symbols, uniforms, state, **choice)[0] == 0


def test_writing_follows_the_parameters():
    network, states = make(3)[0], []
    for factor in (1, 1, 2):
        network.parameters.arrays["lstm.weight_ih_l0"][...] *= factor
        network.parameters.touch()
        steps, *output = network.writer(network.zero_state(1))
        _sample.generate(np.zeros((1, 20), np.int32), np.full((20, 1), 0.5), steps, *output, -1, 1.0, 0, 1.0)
        states.append(steps.state[0])
    assert np.array_equal(states[0], states[1])
    assert not np.array_equal(states[0], states[2])


@pytest.mark.parametrize("texts", [1, 3])
def test_writing_is_the_same_to_the_bit_with_any_number_of_threads(isa, divided, texts):
    network = LanguageNetwork(70, np.random.default_rng(0), hidden_size=65)
    symbols, states = np.zeros((3, texts, 200), np.int32), []
    for threads in (1, 2, 3):
        with held_threads(threads):
            steps, *output = network.writer(network.zero_state(texts))
            uniforms = np.random.default_rng(1).random((200, texts))
            assert _sample.generate(symbols[threads - 1], uniforms, steps, *output, -1, 1.0, 0, 1.0) == 200
            states.append([state.copy() for state in steps.state])
    for other in (1, 2):
        np.testing.assert_array_equal(symbols[other], symbols[0])
        np.testing.assert_array_equal(states[other], states[0])
    state, want = network.zero_state(texts), []
    for k in range(200):
        want.append(network.log_probabilities(state[0][-1]))
        _, state = network.advance(symbols[0, :, k][None].copy(), state)
    np.testing.assert_allclose(states[0], state, rtol=0, atol=2e-6)
    chosen = np.cumsum(np.exp(want), axis=2) > np.random.default_rng(1).random((200, texts))[..., None]
    np.testing.assert_array_equal(chosen.argmax(axis=2).T, symbols[0])
