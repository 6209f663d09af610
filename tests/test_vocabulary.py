"""Vocabularies of characters, bytes and words: rows C1 and C2."""

from collections import Counter

import numpy as np
import pytest

from fastlstm import text
from fastlstm.vocabulary import MOST_WORDS, UNKNOWN, Vocabulary, word_pattern

UNICODE = "naïve café – 漢字 😀\n\tΩ\u0301 \ud800end"
PROSE = "The cat, the dog and the cat's owner:\n    didn't they  sit\n\n\tthere? (The end.)  \n"


def test_characters_round_trip_with_unicode_intact():
    vocabulary = Vocabulary.of("characters", UNICODE)
    ids = vocabulary.encode(UNICODE)
    assert vocabulary.decode(ids) == UNICODE
    assert ids.dtype == np.int32
    assert len(ids) == len(UNICODE)


def test_vocabulary_and_counts_are_those_of_the_text():
    vocabulary = Vocabulary.of("characters", "abracadabra")
    assert vocabulary.symbols == ["a", "b", "c", "d", "r"]
    assert vocabulary.counts.tolist() == [5, 2, 1, 1, 2]


def test_bytes_round_trip_and_know_all_values():
    vocabulary = Vocabulary.of("bytes", b"\x00\xff\xfe")
    everything = bytes(range(256))
    assert len(vocabulary) == 256
    assert vocabulary.decode(vocabulary.encode(everything)) == everything
    assert vocabulary.counts[[0, 254, 255, 65]].tolist() == [1, 1, 1, 0]
    assert vocabulary.encode("é").tolist() == [0xC3, 0xA9]


def test_given_symbols_keep_their_order():
    vocabulary = Vocabulary("characters", "zab")
    assert vocabulary.encode("abz").tolist() == [1, 2, 0]
    assert vocabulary.decode([2, 0, 1]) == "bza"


def test_unknown_character_is_named_with_its_place():
    with pytest.raises(ValueError, match=r"character 'é' \(U\+00E9\) at position 3 is not among the 3 symbols"):
        Vocabulary("characters", "abc").encode("abcé")


@pytest.mark.parametrize(
    ("symbols", "message"), [("aba", "character 'a' .* more than once"), (["ab"], "single characters, got 'ab'")]
)
def test_bad_vocabularies_are_refused(symbols, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary("characters", symbols)


def test_a_word_of_a_vocabulary_must_be_one():
    with pytest.raises(ValueError, match="single words, got 'the cat' at index 1"):
        Vocabulary("words", ["the", "the cat"])


def test_unknown_kind_gets_a_suggestion():
    with pytest.raises(ValueError, match="did you mean 'characters'"):
        Vocabulary("character")


def test_id_outside_the_vocabulary():
    with pytest.raises(IndexError, match=r"token id 3 at position 1 is outside \[0, 3\)"):
        Vocabulary("characters", "abc").decode([0, 3])


@pytest.mark.parametrize("source", [PROSE, UNICODE, " ", "a", "\n\n", "x  y   z", "it's 'quoted' “so”…", ""])
def test_words_join_to_the_text(source):
    words = word_pattern().findall(source)
    assert "".join(words) == source
    if source:
        vocabulary = Vocabulary.of("words", source)
        assert vocabulary.decode(vocabulary.encode(source)) == source


def test_words_are_cut_as_said():
    assert word_pattern().findall("Don't go,  Ann (now)!\n    if x:") == [
        "Don't", " go", ",", " ", " Ann", " (", "now", ")", "!", "\n   ", " if", " x", ":",
    ]


def test_most_frequent_words_are_kept_and_the_rest_is_unknown():
    vocabulary = Vocabulary.of("words", "b b b a a c d", max_symbols=3)
    assert vocabulary.symbols == [UNKNOWN, " a", " b"]
    assert vocabulary.counts.tolist() == [3, 2, 2]
    ids = vocabulary.encode("b a b zebra")
    assert ids.tolist() == [0, 1, 2, 0]
    assert vocabulary.decode(ids) == "<unk> a b<unk>"
    assert Vocabulary.of("words", " b b b a a c", min_count=2).symbols == [UNKNOWN, " b", " a"]


def test_ten_thousand_words_unless_told_otherwise():
    many = " ".join(f"w{k}" for k in range(12_000))
    assert len(Vocabulary.of("words", many)) == MOST_WORDS
    assert len(Vocabulary.of("words", many, max_symbols=20_000)) == 12_001


def test_rare_characters_can_be_unknown():
    vocabulary = Vocabulary.of("characters", "aaabbz", min_count=2)
    assert vocabulary.symbols == [UNKNOWN, "a", "b"]
    assert vocabulary.encode("abyz").tolist() == [1, 2, 0, 0]
    assert vocabulary.counts.tolist() == [1, 3, 2]
    assert Vocabulary.of("characters", "aaabbz", max_symbols=2).symbols == [UNKNOWN, "a"]


def test_min_count_alone_keeps_all_characters_that_occur_so_often():
    many = "".join(map(chr, range(0x4E00, 0x4E00 + MOST_WORDS + 500)))
    assert len(Vocabulary.of("characters", 2 * many, min_count=2)) == MOST_WORDS + 501


def test_word_that_a_vocabulary_without_unknown_lacks_is_named():
    with pytest.raises(ValueError, match=r"word ' dog' at position 1 is not among the 2 symbols .* '<unk>' in its vocabulary"):
        Vocabulary("words", ["the", " cat"]).encode("the dog")


def test_counting_in_pieces_equals_counting_at_once(monkeypatch):
    monkeypatch.setattr(text, "PIECE", 5)
    assert Vocabulary.of("words", PROSE).counts[1:].tolist() == [n for _, n in sorted(
        Counter(word_pattern().findall(PROSE)).items(), key=lambda item: (-item[1], item[0])
    )]
    assert Vocabulary.of("characters", PROSE).counts.tolist() == [n for _, n in sorted(Counter(PROSE).items())]
    assert Vocabulary.of("bytes", PROSE).counts.sum() == len(PROSE)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("नमस्ते दुनिया", ["नमस्ते", " दुनिया"]),  # vowel signs between letters
        ("cafe\u0301s co\u00adop", ["cafe\u0301s", " co\u00adop"]),
        ("中文 字，a", ["中", "文", " 字", "，", "a"]),
    ],
)
def test_words_of_many_scripts(source, words):
    assert word_pattern().findall(source) == words


def test_a_vocabulary_of_nothing_known_is_refused():
    with pytest.raises(ValueError, match="no symbol occurs 3 times in the text; make min_count smaller"):
        Vocabulary.of("words", "a b c", min_count=3)
    with pytest.raises(ValueError, match="the vocabulary holds nothing but '<unk>'"):
        Vocabulary("words", [UNKNOWN])
    with pytest.raises(ValueError, match="max_symbols must be at least 2, got 1"):
        Vocabulary.of("characters", "abc", max_symbols=1)
