"""What a text has from another: its longest copied span, the passage nearest to it, and the words it made up itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastlstm.vocabulary import code_points

# Characters hashed at once.
BLOCK = 1 << 20
# Characters of the spans whose number makes two passages alike.
SPAN = 8
WORD = re.compile(r"#?[^\W\d_](?:[\w'’]*\w)?")
# What words have in them, at an end of a text; \ufffd is a character cut in its bytes.
_CUT = re.compile(r"[\w'’\ufffd]*")
# Between two texts: no character.
_GAP = 0xFFFFFFFF
_FACTOR = 0x9E3779B1  # odd, so that it has an inverse modulo 2³²


class Copy(NamedTuple):
    """A span of the sample that stands in a text."""

    length: int
    start: int    # in the sample
    source: str   # name of the text
    place: int    # in that text
    text: str


class Passage(NamedTuple):
    """The part of a text, as long as the sample, in which most spans of `SPAN` characters are the sample's too."""

    share: float  # of its spans
    source: str
    place: int
    text: str


class Corpus:
    """Texts by name, to look samples up in; it takes 4 bytes for each of their characters.

    Args:
        texts: name and text of each; no span is looked for across two of them.
    """

    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        if not any(text for _, text in texts):
            raise ValueError("there is no text to compare with")
        self._names = [name for name, _ in texts]
        self._texts = [text for _, text in texts]
        self._starts = np.cumsum([0, *(len(text) + 1 for text in self._texts)])  # and where another would
        gap = np.array([_GAP], np.uint32)
        self._sums = _sums(np.concatenate([part for text in self._texts for part in (code_points(text), gap)]))
        self.words = {word.casefold() for text in self._texts for word in WORD.findall(text)}

    def longest_copy(self, sample: str) -> Copy:
        """The longest span of the sample that stands somewhere in the texts, the first of several."""
        own = _sums(code_points(sample))
        least, most = 0, len(sample)  # lengths that do, and may, stand there
        length = min(SPAN, most)  # few places are left after this one
        start = place = 0
        places = None
        while least < most:
            hits = self._places(_hashes(own, length), length, places)
            found = next(((at, hit) for hit in hits.tolist() if (at := self._begin(sample, length, hit)) >= 0), None)
            if found is None:
                most = length - 1
            else:
                least, places, (start, place) = length, hits, found
            length = (least + most + 1) // 2
        k, offset = self._where(place)
        return Copy(least, start, self._names[k], offset, sample[start : start + least])

    def nearest(self, sample: str) -> Passage:
        """The passage most like the sample, the first of several; it begins with a span of the sample's, if there is one."""
        spans = len(sample) - SPAN + 1
        hits = self._places(_hashes(_sums(code_points(sample)), SPAN), SPAN) if spans > 0 else np.zeros(0, np.int64)
        next_text = self._starts[np.searchsorted(self._starts, hits, side="right")]
        within = np.searchsorted(hits, np.minimum(hits + spans, next_text)) - np.arange(len(hits))  # of the passage from each
        best = int(within.argmax()) if len(hits) else None
        share, place = (0.0, 0) if best is None else (float(within[best] / spans), int(hits[best]))
        k, offset = self._where(place)
        return Passage(share, self._names[k], offset, self._texts[k][offset : offset + len(sample)])

    def made_up(self, sample: str, prompt: str = "") -> Counter[str]:
        """The whole words and hashtags of the sample that none of the texts has, whatever their case, and how often."""
        return Counter(word for word in whole_words(sample, prompt) if word.casefold() not in self.words)

    def _places(self, spans: np.ndarray, length: int, among: np.ndarray | None = None) -> np.ndarray:
        """Where spans of so many characters have one of these hashes: in all texts, or `among` some places."""
        lookup, end = _Lookup(spans), len(self._sums) - length
        if among is not None:
            among = among[among < end]
            return among[lookup.holds(_hashes(self._sums, length, among))]
        parts = [slice(start, min(start + BLOCK, end)) for start in range(0, end, BLOCK)]
        found = [part.start + np.flatnonzero(lookup.holds(_hashes(self._sums, length, part))) for part in parts]
        return np.concatenate([np.zeros(0, np.int64), *found])

    def _begin(self, sample: str, length: int, place: int) -> int:
        """Where the span at a place begins in the sample; -1 where only its hash is there."""
        k, offset = self._where(place)
        text = self._texts[k][offset : offset + length]
        return sample.find(text) if len(text) == length else -1

    def _where(self, place: int) -> tuple[int, int]:
        """Which text a place is in, and the place in it."""
        k = int(np.searchsorted(self._starts, place, side="right")) - 1
        return k, place - int(self._starts[k])


def whole_words(sample: str, prompt: str = "") -> list[str]:
    """The words and hashtags of a sample but those its ends cut, or its prompt begins."""
    text = prompt + sample
    begin = max(len(prompt), _CUT.match(text).end())
    end = len(text) - _CUT.match(text[::-1]).end()
    return [word[0] for word in WORD.finditer(text) if word.start() >= begin and word.end() <= end]


class _Lookup:
    """Some hashes, to be looked up quickly."""

    def __init__(self, hashes: np.ndarray) -> None:
        self._sorted = np.unique(hashes)
        self._may_be = np.zeros(1 << 16, bool)
        self._may_be[self._sorted >> np.uint32(16)] = True

    def holds(self, hashes: np.ndarray) -> np.ndarray:
        """Which of these are among them."""
        found = self._may_be[hashes >> np.uint32(16)]
        candidates = np.flatnonzero(found)
        place = np.minimum(np.searchsorted(self._sorted, hashes[candidates]), len(self._sorted) - 1)
        found[candidates] = self._sorted[place] == hashes[candidates]
        return found


def _sums(points: np.ndarray) -> np.ndarray:
    """(n + 1,) what each beginning of the text hashes to: s_0 = 0, s_{k+1} = factor s_k + point_k + 1 modulo 2³²."""
    sums = np.zeros(len(points) + 1, np.uint32)
    powers, inverses = (_powers(factor, min(len(points), BLOCK)) for factor in (_FACTOR, pow(_FACTOR, -1, 1 << 32)))
    for start in range(0, len(points), BLOCK):
        part = points[start : start + BLOCK] + np.uint32(1)
        n = len(part)
        scaled = sums[start] + np.cumsum(part * inverses[:n], dtype=np.uint32)
        sums[start + 1 : start + 1 + n] = scaled * powers[:n]
    return sums


def _hashes(sums: np.ndarray, length: int, places: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Of the spans of so many characters that begin at these places, without them at all."""
    factor = np.array([pow(_FACTOR, length, 1 << 32)], np.uint32)
    return sums[length:][places] - sums[: len(sums) - length][places] * factor


def _powers(factor: int, size: int) -> np.ndarray:
    """Powers of `factor` from 1 on, modulo 2³²."""
    return np.cumprod(np.full(size, factor, np.uint32), dtype=np.uint32)
