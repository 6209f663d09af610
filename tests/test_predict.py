"""Distributions over the next symbol: of a whole text, and step by step."""

import copy
import pickle

import numpy as np
import pytest

from fastlstm import Model, predict

TEXT = "abracadabra, and again abracadabra"
KINDS = [
    {}, {"cell": "gru", "embedding": 5}, {"cell": "rnn", "skip": True, "num_layers": 2}, {"tied": True, "dtype": "float64"},
    {"symbols": "bytes", "peephole": "full"}, {"symbols": "words", "coupled": True},
    {"hidden_size": (8, 5), "num_layers": 2, "proj_size": 3},
]


def model(**options):
    made = Model(**{"hidden_size": 8, "num_layers": 1, "seed": 1, **options})
    made.fit(TEXT * 30, epochs=1, batch_size=4, seq_length=10, validation=None, learning_rate=0.02, threads=1, progress=False)
    return made


@pytest.mark.parametrize("options", KINDS)
def test_probabilities_are_what_surprisal_and_traces_say(options):
    m = model(**options)
    ids = m.vocabulary.encode(TEXT)
    found, V = m.predict_proba(TEXT), len(m.vocabulary)
    assert found.shape == (len(ids), V)
    assert found.dtype == m.config["dtype"]
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found[np.arange(len(ids) - 1), ids[1:]], np.exp(-m.surprisal(TEXT)[1:]), rtol=2e-5)
    np.testing.assert_allclose(found, m.trace(TEXT).probabilities, rtol=2e-5)
    np.testing.assert_array_equal(m.predict_proba(ids), found)
    names = m.vocabulary.symbols or [bytes([value]) for value in range(256)]
    assert m.predict(TEXT) == [names[token] for token in found.argmax(axis=1)]


def test_long_texts_are_read_in_one_stream(monkeypatch):
    m = model()
    text = TEXT * 60
    found = m.predict_proba(text)
    monkeypatch.setattr(predict, "LOGIT_BLOCK", 50 * len(m.vocabulary))
    np.testing.assert_allclose(m.predict_proba(text), found, rtol=1e-6)
    np.testing.assert_allclose(m.predict_proba(text)[-1], m.trace(text).probabilities_at([len(text) - 1])[0], rtol=2e-5)


@pytest.mark.parametrize("options", KINDS)
def test_streams_say_the_same_step_by_step(options):
    m = model(**options)
    texts = [m.vocabulary.split(TEXT), m.vocabulary.split("again and again abracadabra, abracadabra, abracadabra")]
    expected = [m.predict_proba(m.vocabulary.join(symbols)) for symbols in texts]
    steps = min(map(len, texts))
    stream, alone = m.stream(2), m.stream()
    for t in range(steps):
        found = stream.step([symbols[t] for symbols in texts])
        np.testing.assert_allclose(found, [each[t] for each in expected], rtol=2e-5, atol=1e-9)
        np.testing.assert_allclose(alone.step(texts[0][t])[0], expected[0][t], rtol=2e-5, atol=1e-9)
    alone.reset()
    np.testing.assert_allclose(alone.step(texts[0][0])[0], expected[0][0], rtol=2e-5, atol=1e-9)
    kept = alone.state
    alone.step(texts[1][0])
    alone.state = kept
    np.testing.assert_allclose(alone.step(m.vocabulary.encode(texts[0][1]))[0], expected[0][1], rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize(("symbols", "error", "message"), [
    ("ab", ValueError, "symbols must be single characters, got 'ab'"),
    (["a", ""], ValueError, "symbols must be single characters, got ''"),
    ("Z", ValueError, r"character 'Z' \(U\+005A\) at position 0 is not among"),
    (["a"], ValueError, "symbols must be one for each of 2 texts, got 1"),
    ([0, 99], IndexError, r"token id 99 at position 1 is outside \[0, "),
    ([0.5, 1.0], TypeError, "symbols must be an integer array, got float64"),
    (["a", 1], TypeError, "text must be a str or bytes, got int"),
])
def test_wrong_symbols_are_refused(symbols, error, message):
    stream = model().stream(2)
    with pytest.raises(error, match=message):
        stream.step(symbols)
    assert not stream.state[0].any()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))])
def test_copies_of_a_stream_go_on_by_themselves(copied):
    stream = model().stream()
    stream.step("a")
    kept, other = stream.state, copied(stream)
    expected = other.step("b")
    assert all((now == before).all() for now, before in zip(stream.state, kept, strict=True))
    np.testing.assert_array_equal(stream.step("b"), expected)
    assert repr(other) == "<SymbolStream of a text in 10 characters>"


def test_networks_that_are_not_finite_predict_nothing():
    m = model()
    m.network.parameters.arrays["output.bias"][0] = np.nan
    for call in (m.predict, m.predict_proba, m.stream().step):
        with pytest.raises(FloatingPointError, match="the network's output is NaN or infinite"):
            call("a")
    m = model(embedding=3)
    m.network.parameters.arrays["embedding.weight"][m.vocabulary.id_of("b")] = np.inf
    m.network.parameters.touch()
    assert m.predict("a")
    for call, texts in ((m.predict, "ab"), (m.predict_proba, "aab"), (m.stream(2).step, ["a", "b"])):
        with pytest.raises(FloatingPointError, match="the network's output is NaN or infinite"):  # of the last
            call(texts)


def test_models_without_a_vocabulary_predict_nothing():
    for call in (Model().predict_proba, Model().predict):
        with pytest.raises(ValueError, match="the model has no vocabulary yet"):
            call("a")
    with pytest.raises(ValueError, match="the model has no vocabulary yet"):
        Model().stream()
