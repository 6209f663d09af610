"""Vocabularies and corpora: row C1."""

import numpy as np
import pytest

from fastlstm import text
from fastlstm.text import Vocabulary

UNICODE = "naïve café – 漢字 😀\n\tΩ\u0301 \ud800end"


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


@pytest.mark.parametrize(("symbols", "message"), [("aba", "more than once"), (["ab"], "single characters, got 'ab'")])
def test_bad_vocabularies_are_refused(symbols, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary("characters", symbols)


def test_unknown_kind_gets_a_suggestion():
    with pytest.raises(ValueError, match="did you mean 'characters'"):
        Vocabulary("character")


def test_id_outside_the_vocabulary():
    with pytest.raises(IndexError, match=r"token id 3 at position 1 is outside \[0, 3\)"):
        Vocabulary("characters", "abc").decode([0, 3])


def test_read_joins_text_bytes_and_files(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("é\r\n".encode())
    assert text.read("characters", ["x", file, "ü".encode()]) == "xé\r\nü"
    assert text.read("bytes", ["x", file]) == b"x\xc3\xa9\r\n"


def test_file_in_another_encoding_is_named_with_the_offset(tmp_path):
    file = tmp_path / "latin1.txt"
    file.write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"latin1.txt is not UTF-8: byte 0xe9 at offset 3; use symbols='bytes'"):
        text.read("characters", file)


def test_read_refuses_other_types():
    with pytest.raises(TypeError, match="text must be a str, bytes, a Path or a list of them, got int"):
        text.read("characters", 3)


def test_find_files_by_glob_sorted_without_hidden_ones(tmp_path):
    for name in ("b.py", "a.py", "c.txt", "sub/d.py", ".hidden/e.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    found = text.find_files([tmp_path / "c.txt", tmp_path], "*.py")
    assert [p.relative_to(tmp_path).as_posix() for p in found] == ["c.txt", "a.py", "b.py", "sub/d.py"]
    with pytest.raises(ValueError, match=r"no file below .* matches '\*.c'"):
        text.find_files([tmp_path], "*.c")


def test_standard_library_is_this_pythons_source():
    source = text.standard_library()
    assert len(source) > 5_000_000
    assert "class Counter(dict):" in source
    assert "def getaddrinfo(" in source
    assert source == text.standard_library()
