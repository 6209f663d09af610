"""The likeliest continuations: row C5."""

from itertools import product

import numpy as np
import pytest

from fastlstm import Model


@pytest.fixture(scope="module")
def model():
    """Untrained, with uneven probabilities; letters, marks and white space."""
    model = Model(hidden_size=8, num_layers=2, vocabulary="ab_ .", dtype="float64", seed=5)
    model.network.parameters.arrays["output.weight"][...] *= 6
    model.network.parameters.arrays["output.bias"][...] = [1, 0, -1, 0.5, 0]
    model.network.parameters.touch()
    return model


def probability(model, prefix, text):
    """Of `text` coming next, by the network's losses."""
    ids = model.vocabulary.encode(prefix + text)[:, None]
    losses, _ = model.network.losses(ids[:-1], ids[1:], model.network.zero_state(1))
    return float(np.exp(-losses[len(prefix) - 1 :].sum()))


@pytest.mark.parametrize("length", [1, 2, 4])
def test_continuations_of_a_length_equal_trying_all(model, length):
    everything = {"".join(text): probability(model, "ab.", "".join(text)) for text in product("ab_ .", repeat=length)}
    best = sorted(everything, key=everything.get, reverse=True)[:7]
    found = model.complete("ab.", 7, length=length)
    assert [text for text, _ in found] == best[: len(found)]
    np.testing.assert_allclose([p for _, p in found], [everything[text] for text in best[: len(found)]], rtol=1e-10)
    assert len(found) == min(7, 5**length)


def test_ends_of_words_equal_trying_all(model):
    """A run of word characters and then none, or one other character."""
    words = ["".join(text) for length in range(1, 7) for text in product("ab_", repeat=length)]
    everything = {word: sum(probability(model, "a b", word + end) for end in " .") for word in words}
    everything |= {end: probability(model, "a b", end) for end in " ."}
    best = sorted(everything, key=everything.get, reverse=True)[:8]
    found = model.complete("a b", 8)
    assert [text for text, _ in found] == best
    np.testing.assert_allclose([p for _, p in found], [everything[text] for text in best], rtol=1e-10)


def test_all_continuations_of_one_symbol_have_probability_one(model):
    assert sum(p for _, p in model.complete("ab", 100, length=1)) == pytest.approx(1)


def test_a_learnt_word_is_completed():
    model = Model(hidden_size=24, num_layers=1, seed=0)
    model.fit("the import of it\n" * 150, epochs=12, batch_size=4, seq_length=17, learning_rate=0.01, progress=False)
    [(text, p), *_] = model.complete("the imp")
    assert text == "ort"
    assert p > 0.9
    [(text, p), *_] = model.complete("", 3)
    assert p < 0.5


def test_words_are_completed_by_a_word_and_never_by_unknown():
    model = Model(symbols="words", max_symbols=5, hidden_size=16, num_layers=1, seed=0)
    model.fit("a cat sat. a dog ran. " * 80, epochs=8, batch_size=4, seq_length=12, learning_rate=0.02, progress=False)
    found = model.complete("a cat", 10)
    assert len(found) == 4
    assert "<unk>" not in dict(found)
    assert sum(p for _, p in found) == pytest.approx(1)  # the others have its probability


def test_bytes_are_completed_by_bytes():
    model = Model(hidden_size=2, num_layers=1, symbols="bytes", seed=0)
    found = model.complete("é", 3)
    assert len(found) == 3
    assert all(isinstance(text, bytes) for text, _ in found)


@pytest.mark.parametrize("name", ["n", "length"])
def test_wrong_arguments(model, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        model.complete("a", **{name: 0})


def test_a_beam_that_is_too_narrow_gives_up_the_least_likely(model, monkeypatch):
    """Down to a beam of one, which follows the likeliest symbols only."""
    exact = model.complete("ab.", 1, length=4)
    monkeypatch.setattr("fastlstm.complete.BEAM", 1)
    [(text, p)] = model.complete("ab.", 1, length=4)
    assert text == model.sample(4, "ab.", temperature=0)
    assert p == pytest.approx(probability(model, "ab.", text))
    assert p <= exact[0][1]


def test_words_longer_than_the_longest_are_taken_as_complete(model, monkeypatch):
    monkeypatch.setattr("fastlstm.complete.LONGEST_WORD", 2)
    assert max(len(text) for text, _ in model.complete("a b", 20)) == 2
