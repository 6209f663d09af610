"""Novelty: planted copies are found. Row C6."""

import random
import string

import numpy as np
import pytest

from fastlstm import novelty
from fastlstm.novelty import Corpus, whole_words
from fastlstm.vocabulary import code_points


def letters(n, seed):
    return "".join(random.Random(seed).choices(string.ascii_lowercase + " ", k=n))


@pytest.fixture(params=[64, 1 << 20])
def block(request, monkeypatch):
    monkeypatch.setattr(novelty, "BLOCK", request.param)


def brute_force(sample, texts):
    """The length of the longest common span."""
    return max(j - i for i in range(len(sample)) for j in range(i, len(sample) + 1) if any(sample[i:j] in t for t in texts))


@pytest.mark.parametrize("seed", range(8))
def test_longest_copy_is_brute_forces(seed, block):
    rng = random.Random(seed)
    texts = ["".join(rng.choices("abü日", k=rng.randint(0, 150))) for _ in range(4)] + ["a"]
    sample = "".join(rng.choices("abü日", k=40))
    copy = Corpus(list(zip("ABCDE", texts, strict=True))).longest_copy(sample)
    assert copy.length == brute_force(sample, texts)
    assert copy.text == sample[copy.start : copy.start + copy.length]
    assert texts["ABCDE".index(copy.source)][copy.place :].startswith(copy.text)


def test_equal_hashes_do_not_deceive(monkeypatch):
    monkeypatch.setattr(novelty, "_FACTOR", 1)  # so that a span hashes like all its anagrams
    copy = Corpus([("a", "cba cab abc bca"), ("b", "cbaabcd abcdef")]).longest_copy("fedcb abcde")
    assert copy == (6, 5, "b", 7, " abcde")


def test_planted_copy_is_found(block):
    texts = [(f"text {k}", letters(3000, k)) for k in range(5)]
    planted = texts[3][1][1234 : 1234 + 77]
    sample = letters(200, 9) + "Q" + planted + "Q" + letters(300, 10)
    assert Corpus(texts).longest_copy(sample) == (77, 201, "text 3", 1234, planted)
    nearest = Corpus(texts).nearest(planted)
    assert nearest == (1.0, "text 3", 1234, planted)


def test_nearest_passage_survives_changes(block):
    texts = [(f"text {k}", letters(2000, k)) for k in range(3)]
    planted = list(texts[1][1][500:700])
    for k in range(10, 200, 25):
        planted[k] = "Q"
    nearest = Corpus(texts).nearest("".join(planted))
    assert (nearest.source, nearest.place, len(nearest.text)) == ("text 1", 500, 200)
    assert 0.6 < nearest.share < 0.75  # 8 changes break 8 spans each, of 193
    assert Corpus(texts).nearest(letters(200, 99)).share < 0.1
    assert Corpus([("short", "abcdefghij")]).nearest("xxabcdefghijxx" * 3).source == "short"


def test_no_span_crosses_two_texts(block):
    assert Corpus([("a", "hello "), ("b", "world")]).longest_copy("hello world").text == "hello "
    assert Corpus([("a", "xyz")]).longest_copy("abc").length == 0
    assert Corpus([("a", "xyz")]).longest_copy("").length == 0


def test_hashes_are_those_of_equal_spans(block):
    sums = novelty._sums(code_points(letters(500, 0) * 2))
    hashes = novelty._hashes(sums, 7)
    assert len(hashes) == 994
    np.testing.assert_array_equal(novelty._hashes(sums, 7, np.array([0, 80, 993])), hashes[[0, 80, 993]])
    np.testing.assert_array_equal(hashes[:494], hashes[500:])
    assert len(np.unique(hashes[:500])) == 500


def test_made_up_words():
    corpus = Corpus([("a", "The cat's whiskers, #tag and Über")])
    found = corpus.made_up("the Cat's über-cat #tag #new #new cats don't 12 x_1.")
    assert found == {"cat": 1, "#new": 2, "cats": 1, "don't": 1, "x_1": 1}


@pytest.mark.parametrize(("sample", "prompt", "words"), [
    ("hello wor", "", []),
    ("hello world", "", []),
    (" hello world\n", "", ["hello", "world"]),
    ("ello, the cat's whis", "", ["the", "cat's"]),
    ("9ab_c, 't is #new", "", ["t", "is"]),
    ("'s a don'", "", ["a"]),
    ("\ufffdb a b\ufffd", "", ["a"]),
    ("", "", []),
    ("ort os ", "imp", ["os"]),
    ("'t be ", "don", ["be"]),
    ("os.path ", "import ", ["os", "path"]),
])
def test_words_cut_by_the_ends_are_not_counted(sample, prompt, words):
    assert whole_words(sample, prompt) == words


@pytest.mark.parametrize("start", range(20))
def test_copies_make_up_no_words(start):
    text = "print(don't_stop, x_1) #tag the cat's whiskers"
    corpus = Corpus([("a", text)])
    for end in range(start, len(text) + 1):
        assert not corpus.made_up(text[start:end])
        assert not corpus.made_up(text[start:end], text[:start])


def test_nearest_passage_ends_with_its_text(block):
    texts = [("a", "abcdefgh"), ("b", "ijklmnopq"), ("c", "rstuvwxy")]
    assert Corpus(texts).nearest("abcdefghijklmnopqrstuvwxy") == (2 / 18, "b", 0, "ijklmnopq")
    assert Corpus(texts).nearest("xxxrstuvwxy") == (1 / 4, "c", 0, "rstuvwxy")


@pytest.mark.parametrize("length", range(8))
def test_too_short_for_a_span(length):
    assert Corpus([("a", "abcdefghijk")]).nearest("abcdefg"[:length]) == (0, "a", 0, "abcdefg"[:length])


def test_errors():
    with pytest.raises(ValueError, match="no text to compare with"):
        Corpus([("a", "")])
