"""What a text has from another: its longest copied span, the passage nearest to it, and the words it made up itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fastlstm import _check

# Characters hashed at once.
BLOCK = 1 << 20
# Characters of the spans whose number makes two passages alike.
SPAN = 8
WORD = re.compile(r"#?[^\W\d_](?:[\w'’]*\w)?")
# Between two texts: no character.
_GAP = 0xFFFFFFFF
_FACTOR = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2⁶⁴


class Copy(NamedTuple):
    """A span of the sample that stands in a text."""

    length: int
    start: int    # in the sample
    source: str   # name of the text
    place: int    # in that text
    text: str


class Passage(NamedTuple):
    """The part of a text, as long as the sample, that has most of its spans of `SPAN` characters."""

    share: float  # of the sample's spans, at most 1
    source: str
    place: int
    text: str


class Corpus:
    """Texts by name, to look samples up in.

    Args:
        texts: name and text of each; no span is looked for across two of them.
    """

    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        if not any(text for _, text in texts):
            raise ValueError("there is no text to compare with")
        self._names = [name for name, _ in texts]
        self._texts = [text for _, text in texts]
        parts = [part for text in self._texts for part in (_points(text), np.array([_GAP], np.uint32))]
        self._starts = np.cumsum([0, *(len(text) + 1 for text in self._texts)])[:-1]
        self._all = np.concatenate(parts)
        self.words = {word.casefold() for text in self._texts for word in WORD.findall(text)}

    def longest_copy(self, sample: str) -> Copy:
        """The longest span of the sample that stands somewhere in the texts, the first of several."""
        least, most = 0, len(sample)  # lengths that do, and may, stand there
        found = (0, 0)
        while least < most:
            length = (least + most + 1) // 2
            places = self._common(sample, length)
            if places is None:
                most = length - 1
            else:
                least, found = length, places
        start, place = found
        name, offset = self._where(place)
        return Copy(least, start, name, offset, sample[start : start + least])

    def nearest(self, sample: str) -> Passage:
        """The passage most like the sample, the first of several."""
        spans = len(sample) - SPAN + 1
        if spans < 1:
            raise ValueError(f"the sample must have at least {SPAN} characters, got {len(sample)}")
        wanted = _Lookup(_all_hashes(_points(sample), SPAN))
        best, place, before = -1, 0, np.zeros(0, np.int64)
        for start, hashes in _hashes(self._all, SPAN):
            hits = np.concatenate([before, wanted.holds(hashes)])  # a passage may begin in the block before
            sums = np.concatenate([[0], np.cumsum(hits)])
            within = sums[spans:] - sums[:-spans] if len(hits) >= spans else sums[-1:]
            if within.max() > best:
                best, place = int(within.max()), start - len(before) + int(within.argmax())
            before = hits[max(len(hits) - spans + 1, 0) :]
        name, offset = self._where(place)
        text = self._texts[self._names.index(name)][offset : offset + len(sample)]
        return Passage(min(best / spans, 1.0), name, offset, text)

    def made_up(self, sample: str) -> Counter[str]:
        """The words and hashtags of the sample that none of the texts has, whatever their case, and how often."""
        return Counter(word for word in WORD.findall(sample) if word.casefold() not in self.words)

    def _common(self, sample: str, length: int) -> tuple[int, int] | None:
        """Where a span of so many characters begins in the sample and in the texts, if there is one."""
        points = _points(sample)
        own = _all_hashes(points, length)
        wanted = _Lookup(own)
        for start, hashes in _hashes(self._all, length):
            for k in np.flatnonzero(wanted.holds(hashes)):
                place = start + int(k)
                first = int(np.flatnonzero(own == hashes[k])[0])
                if np.array_equal(self._all[place : place + length], points[first : first + length]):
                    return first, place
        return None

    def _where(self, place: int) -> tuple[str, int]:
        """The text and the place in it."""
        k = int(np.searchsorted(self._starts, place, side="right")) - 1
        return self._names[k], place - int(self._starts[k])


class _Lookup:
    """Some hashes, to be looked up quickly."""

    def __init__(self, hashes: np.ndarray) -> None:
        self._sorted = np.unique(hashes)
        self._may_be = np.zeros(1 << 16, bool)
        self._may_be[self._sorted >> np.uint64(48)] = True

    def holds(self, hashes: np.ndarray) -> np.ndarray:
        """Which of these are among them."""
        found = self._may_be[hashes >> np.uint64(48)]
        candidates = np.flatnonzero(found)
        place = np.minimum(np.searchsorted(self._sorted, hashes[candidates]), len(self._sorted) - 1)
        found[candidates] = self._sorted[place] == hashes[candidates]
        return found


def _points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _hashes(points: np.ndarray, length: int) -> Iterator[tuple[int, np.ndarray]]:
    """Where a block begins, and the hash of every span of `length` that begins in it: Σ_k point_k factor^k modulo 2⁶⁴."""
    _check.count("length", length)
    size = min(len(points), BLOCK + length - 1)
    powers, inverses = (_powers(factor, size + 1) for factor in (_FACTOR, pow(_FACTOR, -1, 1 << 64)))
    for start in range(0, len(points) - length + 1, BLOCK):
        part = points[start : start + BLOCK + length - 1].astype(np.uint64) + np.uint64(1)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(part * powers[: len(part)], dtype=np.uint64)])
        yield start, (sums[length:] - sums[:-length]) * inverses[: len(part) - length + 1]


def _all_hashes(points: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([hashes for _, hashes in _hashes(points, length)])


def _powers(factor: int, size: int) -> np.ndarray:
    """Powers of `factor` from 0 on, modulo 2⁶⁴."""
    powers = np.full(size, factor, np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)
