"""Corpora as ids: in memory, in mapped files, in windows."""

import errno
import tempfile

import numpy as np
import pytest

from fastlstm import Model, corpus, text
from fastlstm.corpus import Windows
from fastlstm.vocabulary import Vocabulary


@pytest.mark.parametrize(("N", "T", "B"), [(101, 5, 4), (1000, 7, 3), (21, 20, 1), (203, 50, 4), (202, 1, 2)])
def test_windows_cover_each_stream_once_in_order(N, T, B):
    ids = np.arange(N, dtype=np.int32)
    windows = Windows(ids, T, B)
    tokens = np.concatenate([windows[k][0] for k in range(len(windows))])
    targets = np.concatenate([windows[k][1] for k in range(len(windows))])
    steps = (N - 1) // B
    assert np.array_equal(tokens, np.arange(steps * B).reshape(B, steps).T)
    assert np.array_equal(targets, tokens + 1)
    assert windows.symbols == steps * B
    sizes = {len(windows[k][0]) for k in range(len(windows))}
    assert max(sizes) <= T
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("kind", ["characters", "bytes", "words"])
@pytest.mark.parametrize("in_memory", [10, 10**6])
def test_ids_of_a_text_in_pieces(tmp_path, monkeypatch, kind, in_memory):
    """In memory or mapped, whatever the size of the pieces: the ids of the whole text."""
    source = "some words, naïve ones, and some more of the same words\n" * 5
    file = tmp_path / "text"
    file.write_text(source)
    vocabulary = Vocabulary.of(kind, source)
    expected = vocabulary.encode(source)
    monkeypatch.setattr(corpus, "IN_MEMORY", in_memory)
    monkeypatch.setattr(text, "PIECE", 7)
    ids = corpus.encode(vocabulary, [file, source])
    assert ids.dtype == np.uint8
    assert np.array_equal(ids, np.concatenate([expected, expected]))
    assert np.array_equal(corpus.count(ids, len(vocabulary)), 2 * np.bincount(expected, minlength=len(vocabulary)))


def test_ids_take_the_smallest_type():
    assert [corpus.encode(Vocabulary("characters", map(chr, range(V))), "\0").dtype for V in (256, 257, 65537)] == [
        np.uint8, np.uint16, np.uint32,
    ]


def test_position_of_an_unknown_symbol_counts_from_the_beginning(monkeypatch):
    monkeypatch.setattr(text, "PIECE", 4)
    with pytest.raises(ValueError, match=r"character 'x' \(U\+0078\) at position 10 "):
        corpus.encode(Vocabulary("characters", "ab"), ["ababab", "ababxa"])


@pytest.mark.parametrize("dtype", [">u2", "int64", "uint64"])
def test_given_ids_are_used_where_they_are(tmp_path, dtype):
    file = tmp_path / "ids"
    (np.arange(1000) % 7).astype(dtype).tofile(file)
    ids = np.memmap(file, dtype, "r")
    assert np.shares_memory(corpus.encode(Vocabulary("characters", "abcdefg"), ids), ids)
    windows = Windows(ids, 5, 4)
    assert windows.fingerprint == Windows(np.array(ids, np.int32), 5, 4).fingerprint
    assert windows[3][0].dtype == np.int32
    assert np.array_equal(corpus.count(ids, 8), np.bincount(np.arange(1000) % 7, minlength=8))


def test_every_part_of_a_text_is_in_its_fingerprint(monkeypatch):
    monkeypatch.setattr(corpus, "PART", 64)
    ids = np.arange(500, dtype=np.uint8) % 7
    for place in (0, 63, 64, 300, 499):
        other = ids.copy()
        other[place] = 7
        assert Windows(other, 5, 4).fingerprint != Windows(ids, 5, 4).fingerprint


def test_mapped_corpus_trains_to_the_same_bits(tmp_path, monkeypatch):
    file = tmp_path / "text"
    file.write_text("to be or not to be, that is the question\n" * 20)
    fit = {"epochs": 2, "batch_size": 4, "seq_length": 10, "validation": 0.1, "progress": False, "threads": 1}
    inside, mapped = (Model(hidden_size=8, seed=0) for _ in range(2))
    inside.fit(file.read_text(), **fit)
    monkeypatch.setattr(corpus, "IN_MEMORY", 100)
    monkeypatch.setattr(corpus, "PART", 64)
    monkeypatch.setattr(text, "PIECE", 50)
    mapped.fit(file, **fit)
    assert np.array_equal(inside.network.parameters.flat, mapped.network.parameters.flat)
    assert inside.evaluate(file.read_text()) == mapped.evaluate(file)


def test_full_disk_is_an_error_and_the_model_stays_as_it_was(tmp_path, monkeypatch):
    class Full(tempfile.SpooledTemporaryFile):
        def rollover(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    monkeypatch.setattr(corpus, "IN_MEMORY", 100)
    model = Model(hidden_size=8, seed=0)
    with pytest.raises(OSError, match="No space left"):
        model.fit("abcd" * 100, epochs=1, batch_size=2, seq_length=5, progress=False)
    assert model.network is None
