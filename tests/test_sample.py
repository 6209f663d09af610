"""Sampling: row C4."""

import numpy as np
import pytest

from fastlstm import Model


@pytest.fixture(scope="module")
def model():
    """Untrained, with uneven probabilities."""
    model = Model(hidden_size=8, num_layers=2, vocabulary="abcdef", dtype="float64", seed=5)
    model.network.parameters.arrays["output.weight"][...] *= 4
    model.network.parameters.arrays["output.bias"][...] = np.linspace(-1, 1, 6)
    model.network.parameters.touch()
    return model


def next_probabilities(model, prompt, temperature=1.0):
    """softmax(logits / temperature) after a prompt, computed apart from the sampling loop."""
    ids = model.vocabulary.encode(prompt)[:, None]
    y, _ = model.network.advance(ids, model.network.zero_state(1))
    logits = (model.parameters["output.weight"] @ y[-1, 0] + model.parameters["output.bias"]) / temperature
    p = np.exp(logits - logits.max())
    return p / p.sum()


def draws(model, n, prompt, **options):
    """How often each symbol comes first after the prompt, over seeds 0 to n - 1."""
    ids = [model.vocabulary.encode(model.sample(1, prompt, seed=seed, **options))[0] for seed in range(n)]
    return np.bincount(ids, minlength=len(model.vocabulary))


def chi_squared(counts, probabilities):
    expected = counts.sum() * probabilities
    return ((counts - expected) ** 2 / expected).sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_distribution_at_each_temperature(model, temperature):
    p = next_probabilities(model, "abc", temperature)
    # 20.5 is the 99.9% quantile of chi-squared with 5 degrees of freedom; the seeds are fixed.
    assert chi_squared(draws(model, 2000, "abc", temperature=temperature), p) < 20.5
    assert chi_squared(draws(model, 2000, "abc", temperature=temperature), np.roll(p, 1)) > 20.5


def test_every_place_follows_the_network(model):
    """The symbols of one long text, conditioned on the text before them, have the network's mean log probability."""
    text = model.sample(4000, "a", seed=1)
    ids = model.vocabulary.encode("a" + text)
    losses, _ = model.network.losses(ids[:-1, None], ids[1:, None], model.network.zero_state(1))
    y, _ = model.network.advance(ids[:-1, None], model.network.zero_state(1))
    logits = y[:, 0] @ model.parameters["output.weight"].T + model.parameters["output.bias"]
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    entropy = -(p * np.log(p)).sum(1)
    spread = ((p * np.log(p) ** 2).sum(1) - entropy**2).sum() ** 0.5
    assert abs(losses.sum() - entropy.sum()) < 3.3 * spread


def test_top_k_keeps_the_likeliest_renormalised(model):
    p = next_probabilities(model, "abc")
    kept = np.argsort(-p)[:3]
    counts = draws(model, 2000, "abc", top_k=3)
    assert counts.sum() == counts[kept].sum()
    assert chi_squared(counts[kept], p[kept] / p[kept].sum()) < 13.8


def test_nucleus_keeps_the_smallest_set_that_reaches_the_mass(model):
    p = next_probabilities(model, "abc")
    order = np.argsort(-p)
    mass = np.cumsum(p[order])
    counts = draws(model, 2000, "abc", top_p=(mass[1] + mass[2]) / 2)
    kept = order[:3]
    assert (counts[kept] > 0).all()
    assert counts.sum() == counts[kept].sum()
    assert chi_squared(counts[kept], p[kept] / p[kept].sum()) < 13.8
    assert draws(model, 50, "abc", top_p=mass[0] / 2)[order[0]] == 50


def test_zero_temperature_and_top_1_take_the_likeliest(model):
    greedy = model.sample(50, "ab", temperature=0)
    assert greedy == model.sample(50, "ab", top_k=1, seed=3)
    for place in (0, 1, 17):
        likeliest = int(next_probabilities(model, "ab" + greedy[:place]).argmax())
        assert greedy[place] == model.vocabulary.symbols[likeliest]


def test_first_symbol_of_an_empty_prompt_follows_the_training_frequencies():
    model = Model(hidden_size=2, num_layers=1, seed=0)
    model.fit("aaab" * 100, epochs=1, batch_size=2, seq_length=10, progress=False, validation=None)
    counts = draws(model, 1000, "")
    assert chi_squared(counts, np.array([0.75, 0.25])) < 10.8


def test_same_seed_same_text_and_no_global_state(model):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    assert model.sample(300, "abc", seed=7) == model.sample(300, "abc", seed=7)
    assert model.sample(300, "abc", seed=7) != model.sample(300, "abc", seed=8)
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("prompt", ["", "a", "abcdef" * 200])
def test_streamed_text_is_the_same(model, prompt):
    whole = model.sample(700, prompt, seed=2, temperature=0.8)
    pieces = list(model.sample_iter(700, prompt, seed=2, temperature=0.8))
    assert len(pieces) == 700
    assert "".join(pieces) == whole


def test_long_prompt_is_read_whole(model):
    prompt = "abcdef" * 100 + "fedcba"
    assert chi_squared(draws(model, 500, prompt), next_probabilities(model, prompt)) < 20.5


@pytest.mark.parametrize("length", [1000, 5])
def test_stop_ends_the_text(model, length):
    text = model.sample(1000, "a", seed=4)
    stop = text[3:5]
    stopped = model.sample(length, "a", seed=4, stop=stop)
    assert stopped == text[: text.index(stop) + 2]
    assert "".join(model.sample_iter(length, "a", seed=4, stop=stop)) == stopped


def test_stop_across_pieces(model, monkeypatch):
    monkeypatch.setattr("fastlstm.sample.STOP_PIECE", 3)
    whole = model.sample(400, ["", "a"], seed=4)
    for start in range(2, 60, 7):
        for size in (1, 2, 4, 8):
            stop = whole[1][start : start + size]
            stopped = model.sample(400, ["", "a"], seed=4, stop=stop)
            assert stopped == [text[: text.index(stop) + size] if stop in text else text for text in whole]


def test_stop_can_be_the_first_symbol(model):
    assert len(model.sample(100, "", seed=0, stop=model.sample(1, "", seed=0))) == 1


def test_bytes_models_give_bytes():
    model = Model(hidden_size=2, num_layers=1, symbols="bytes", seed=0)
    text = model.sample(20, "é", seed=0)
    assert isinstance(text, bytes)
    assert len(text) == 20
    assert b"".join(model.sample_iter(20, b"\xc3\xa9", seed=0)) == text


def test_nothing_asked_nothing_written(model):
    assert model.sample(0) == ""
    assert model.sample(0, ["", "a"]) == ["", ""]
    assert model.sample(10, []) == []


def test_texts_at_once_each_follow_their_own_prompt(model):
    """By the mean log probability of each under the network, as for one text."""
    prompts = ["a" * 300 + "f", "b", "", "abc", "fedcba" * 50] * 20
    texts = model.sample(60, prompts, seed=3)
    assert len(texts) == 100
    assert len(set(texts)) == 100
    surplus = variance = 0.0
    for prompt, text in zip(prompts, texts, strict=True):
        ids = model.vocabulary.encode(prompt + text)
        y, _ = model.network.advance(ids[:-1, None], model.network.zero_state(1))
        log_p = model.network.log_probabilities(y[:, 0])[max(len(prompt) - 1, 0) :]
        entropies = -(np.exp(log_p) * log_p).sum(1)
        drawn = log_p[np.arange(len(log_p)), ids[-len(log_p) :]]
        surplus += drawn.sum() + entropies.sum()
        variance += ((np.exp(log_p) * log_p**2).sum(1) - entropies**2).sum()
    assert abs(surplus) < 3.3 * variance**0.5


def test_likeliest_texts_at_once_are_those_written_alone(model):
    prompts = ["abc", "f" * 600, "d", "ab" * 10]
    assert model.sample(700, prompts, temperature=0) == [model.sample(700, p, temperature=0) for p in prompts]


def test_each_of_several_texts_stops_by_itself(model):
    prompts = ["", "a", "", "abc", "f"]
    whole = model.sample(600, prompts, seed=9)
    stop = whole[1][20:22]
    stopped = model.sample(600, prompts, seed=9, stop=stop)
    assert stopped == [text[: text.index(stop) + 2] if stop in text else text for text in whole]
    assert len({len(text) for text in stopped}) > 2


def test_unknown_words_are_never_written():
    model = Model(symbols="words", max_symbols=4, hidden_size=4, num_layers=1, seed=0)
    model.fit("a b c d e f g h " * 60, epochs=1, batch_size=2, seq_length=10, progress=False)
    probability = np.exp(model.network.log_probabilities(np.zeros((1, 4), np.float32)))[0, model.vocabulary.unknown]
    assert probability > 0.3
    for seed in range(20):
        assert "<unk>" not in model.sample(30, "", seed=seed)
    assert model.sample(5, "zebra a", seed=0)
    assert "<unk>" not in model.sample(200, "a", temperature=1e30, seed=0)


def test_words_stop_at_the_text_wherever_it_is_in_them():
    model = Model(symbols="words", hidden_size=16, num_layers=1, seed=0)
    model.fit("if x:\n    go on\n\n\nend it.\n" * 100, epochs=4, batch_size=4, seq_length=14, learning_rate=0.02,
              progress=False)
    whole = model.sample(60, "if", seed=1)
    for stop in ("\n", "on\n", "go", "d it.", "o o", "zebra"):
        stopped = model.sample(60, "if", seed=1, stop=stop)
        assert stopped == (whole[: whole.index(stop) + len(stop)] if stop in whole else whole)
        assert "".join(model.sample_iter(60, "if", seed=1, stop=stop)) == stopped


def test_a_longer_text_begins_with_the_shorter(model):
    for prompts in (["a"], ["", "ab", "f"]):
        long, short = (model.sample(length, prompts, seed=1) for length in (600, 130))
        assert [text[:130] for text in long] == short


def test_overflow_is_told_with_its_place(model):
    broken = Model(hidden_size=8, vocabulary="ab", seed=0)
    broken.network.parameters.arrays["output.bias"][...] = np.nan
    broken.network.parameters.touch()
    with pytest.raises(FloatingPointError, match="NaN or infinite after 1 symbols"):
        broken.sample(10, seed=0)
    with pytest.raises(FloatingPointError, match="NaN or infinite"):
        broken.complete("a")


@pytest.mark.parametrize("name", ["stop", "prompt"])
def test_lists_where_a_text_is_wanted(model, name):
    with pytest.raises(TypeError, match=f"{name} must be a str or bytes, got list"):
        list(model.sample_iter(5, **{name: ["a", "b"]}))


def test_a_stream_without_an_end_needs_no_memory(model):
    stream = model.sample_iter(10**15, "a", seed=0)
    assert len([next(stream) for _ in range(50)]) == 50


def test_huge_top_k_and_prompts_of_bytes(model):
    assert model.sample(50, b"abc", seed=0, top_k=10**30) == model.sample(50, "abc", seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": -1}, "length must be at least 0, got -1"),
        ({"temperature": -0.1}, r"temperature must be in \[0, inf\), got -0.1"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0}, r"top_p must be in \(0, 1\], got 0"),
        ({"top_p": 1.1}, r"top_p must be in \(0, 1\], got 1.1"),
        ({"stop": ""}, "stop must not be empty"),
        ({"prompt": "abz"}, r"character 'z' \(U\+007A\) at position 2"),
    ],
)
def test_bad_arguments(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.sample(**options)


def test_float32_and_float64_agree():
    texts = []
    for dtype in ("float32", "float64"):
        model = Model(hidden_size=16, num_layers=3, embedding=4, vocabulary="abcdef", dtype=dtype, seed=5)
        texts.append(model.sample(200, "abc", seed=0))
    assert texts[0] == texts[1]
