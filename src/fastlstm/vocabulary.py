"""Vocabularies: the symbols of a text - characters, bytes or words - and their ids."""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Set

import numpy as np
from numpy.typing import ArrayLike

from fastlstm import _check
from fastlstm.text import TextSource, as_text, pieces, read

SYMBOLS = ("characters", "bytes", "words")
# Stands for every symbol that is not in the vocabulary, where the vocabulary has it.
UNKNOWN = "<unk>"
TRAIN_ANEW = "; train a new one"  # in the words of an error, before what helps against it
# Words in a vocabulary taken from a text, unless told otherwise; `<unk>` is one of them.
MOST_WORDS = 10_000
# Chinese characters and Japanese syllables, which stand without spaces, are words of their own.
_LETTER = "[^\\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"


@functools.cache
def _marks() -> str:
    """A pattern of what is written on or between letters: accents, vowel signs, joiners. To `re` these are no letters."""
    points = [0xAD, *(p for p in range(0x300, 0x20000) if unicodedata.category(chr(p))[0] == "M"), 0x200C, 0x200D]
    edges = np.flatnonzero(np.diff(points) != 1) + 1
    ranges = [f"{chr(part[0])}-{chr(part[-1])}" for part in np.split(points, edges)]
    return f"(?![\\x00-\\xac])[{''.join(ranges)}]"  # what comes first is quick to tell in most texts


@functools.cache
def word_pattern() -> re.Pattern[str]:
    """White space without the space before a word; a word or a mark with that space. Joined, the matches are the text."""
    word = f"{_LETTER}+(?:['’]{_LETTER}+|(?:{_marks()})+{_LETTER}*)*"
    return re.compile(rf"\s+(?!\S)| ?{word}| ?\S|\s")


def is_in_words(character: str) -> bool:
    """Whether words go on with this character."""
    return re.fullmatch(f"{_LETTER}|{_marks()}", character) is not None


class Vocabulary:
    """The symbols a model knows, in the order of their ids.

    A word is a run of letters, digits and underscores with the space before it (" and", "don't"); words of their own are
    marks (",", " ("), Chinese characters, and white space that is not one space before a word. `<unk>` among the symbols
    stands for all that are not.

    Args:
        kind: "characters" (Unicode code points), "bytes" (all 256 of them) or "words".
        symbols: each one once, in id order; none for bytes.
        counts: (V,) how often each occurred in the training text; None is once each.
    """

    def __init__(self, kind: str, symbols: Iterable[str] = (), counts: ArrayLike | None = None) -> None:
        self.kind = _check.choice("symbols", kind, SYMBOLS)
        if not isinstance(symbols, Iterable) or isinstance(symbols, Set | Mapping):
            given = type(symbols).__name__
            raise TypeError(f"vocabulary must hold symbols in the order of their ids, as a list does, got {given}")
        self.symbols: list[str] = list(symbols)
        if kind == "bytes" and self.symbols:
            raise ValueError("a model of bytes knows all 256 of them; leave vocabulary out")
        for place, symbol in enumerate(self.symbols):
            if not isinstance(symbol, str) or (symbol != UNKNOWN and _parts(kind, symbol) != [symbol]):
                raise ValueError(f"vocabulary must hold single {kind}, got {symbol!r} at index {place}")
        self._ids = {symbol: id_ for id_, symbol in enumerate(self.symbols)}
        if self.symbols == [UNKNOWN]:
            raise ValueError(f"the vocabulary holds nothing but {UNKNOWN!r}")
        if len(self._ids) < len(self.symbols):
            repeated = next(symbol for symbol, n in Counter(self.symbols).items() if n > 1)
            raise ValueError(f"vocabulary holds {_name(kind, repeated)} more than once")
        if kind != "words":
            self._table = _id_of_code_point(self._ids if kind == "characters" else {chr(b): b for b in range(256)})
        self.counts = np.ones(len(self), np.int64) if counts is None else np.asarray(counts, np.int64)
        if self.counts.shape != (len(self),):
            raise ValueError(f"counts must have shape ({len(self)},), got {_check.shape_text(self.counts.shape)}")

    @classmethod
    def of(cls, kind: str, source: TextSource, max_symbols: int | None = None, min_count: int = 1) -> "Vocabulary":
        """The vocabulary of a text: its characters by code point, its words by how often they occur, or all bytes.

        Args:
            kind: as in `Vocabulary`.
            source: see `fastlstm.text.pieces`.
            max_symbols: keep only so many of the most frequent symbols, `<unk>` included; None is all characters, and
                10,000 words.
            min_count: keep only symbols that occur so often.

        `<unk>` comes first in a vocabulary of words, and in one of characters where `max_symbols` or `min_count` is given.
        """
        if max_symbols is not None:
            _check.count("max_symbols", max_symbols, 2)
        found = _COUNTERS[_check.choice("symbols", kind, SYMBOLS)](pieces(kind, source))
        if not found:
            raise ValueError("the text is empty")
        if kind == "bytes":
            return cls(kind, counts=[found.get(chr(b), 0) for b in range(256)])
        by_count = sorted(found, key=lambda symbol: (-found[symbol], symbol))
        has_unknown = kind == "words" or max_symbols is not None or min_count > 1
        if has_unknown:
            by_count = [symbol for symbol in by_count if found[symbol] >= min_count]
            if kind == "words" and max_symbols is None:
                max_symbols = MOST_WORDS
            if max_symbols is not None:
                by_count = by_count[: max_symbols - 1]
            if not by_count:
                raise ValueError(f"no symbol occurs {min_count} times in the text; make min_count smaller")
        kept = sorted(by_count) if kind == "characters" else by_count
        counts = [found[symbol] for symbol in kept]
        if has_unknown:
            kept, counts = [UNKNOWN, *kept], [sum(found.values()) - sum(counts), *counts]
        return cls(kind, kept, counts)

    def __repr__(self) -> str:
        """The number and kind of the symbols."""
        return f"<Vocabulary of {len(self):,} {self.kind}>"

    def __len__(self) -> int:
        """V, the number of symbols."""
        return 256 if self.kind == "bytes" else len(self.symbols)

    @property
    def unknown(self) -> int | None:
        """The id of `<unk>`, if the vocabulary has it."""
        return self._ids.get(UNKNOWN)

    def each(self) -> list[str] | list[bytes]:
        """Every symbol, in id order."""
        return [bytes([value]) for value in range(256)] if self.kind == "bytes" else self.symbols

    def split(self, text: str | bytes) -> list[str] | list[bytes]:
        """The symbols of `text`, in the vocabulary or not; joined, they are the text."""
        return _parts(self.kind, read(self.kind, text))

    def encode(self, text: str | bytes, first: int = 0) -> np.ndarray:
        """Ids (N,) int32 of the symbols of `text`, whose first one is symbol `first` of all the text.

        Raises:
            ValueError: naming the first symbol that is not in the vocabulary, where that has no `<unk>`.
        """
        text = as_text(self.kind, "text", text)
        if not len(self):
            raise ValueError("the vocabulary is empty")
        if self.kind == "words":
            ids = np.array([self._ids.get(word, -1) for word in word_pattern().findall(text)], np.int32)
        else:
            ids = self._table.take(code_points(text), mode="clip")
        if self.kind == "bytes":
            return ids
        missing = ids < 0
        if self.unknown is not None:
            ids[missing] = self.unknown
        elif missing.any():
            place = int(np.argmax(missing))
            hint = f"{UNKNOWN!r} in its vocabulary"
            if self.kind == "characters":
                hint = "symbols='bytes' (--symbols bytes), or with min_count=2 (--min-count 2), which makes rare ones unknown"
            raise ValueError(
                f"{_name(self.kind, _parts(self.kind, text)[place])} at position {first + place} is not among the "
                f"{len(self)} symbols the model knows{TRAIN_ANEW} on text that has it, or with {hint}"
            )
        return ids

    def id_of(self, symbol: str | bytes) -> int:
        """The id of one symbol; ValueError where it is several or not in the vocabulary, as in `encode`."""
        known = self._ids.get(symbol)
        if known is not None:
            return known
        ids = self.encode(symbol)
        if len(ids) != 1:
            raise ValueError(f"symbols must be single {self.kind}, got {symbol!r}")
        return int(ids[0])

    def decode(self, ids: ArrayLike) -> str | bytes:
        """The text of ids (N,): str, or bytes for a vocabulary of bytes."""
        ids = _check.tokens("ids", ids, 1, len(self))
        if self.kind == "bytes":
            return ids.astype(np.uint8).tobytes()
        return "".join([self.symbols[id_] for id_ in ids.tolist()])

    def join(self, pieces: Iterable[str | bytes]) -> str | bytes:
        """Decoded pieces as one text."""
        return (b"" if self.kind == "bytes" else "").join(pieces)


def _parts(kind: str, text: str | bytes) -> list[str] | list[bytes]:
    if isinstance(text, bytes):
        return [bytes([value]) for value in text]
    return word_pattern().findall(text) if kind == "words" else list(text)


def _name(kind: str, symbol: str) -> str:
    return f"word {symbol!r}" if kind == "words" or len(symbol) > 1 else f"character {symbol!r} (U+{ord(symbol):04X})"


def code_points(text: str | bytes) -> np.ndarray:
    """(N,) of characters or bytes."""
    if isinstance(text, bytes):
        return np.frombuffer(text, np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _id_of_code_point(ids: Mapping[str, int]) -> np.ndarray:
    """Row p is the id of the character p, -1 for none; so is the last row, which stands for all points beyond."""
    points = {ord(symbol): id_ for symbol, id_ in ids.items() if symbol != UNKNOWN}
    table = np.full(max(points, default=0) + 2, -1, np.int32)
    table[list(points)] = list(points.values())
    return table


def _count_characters(pieces: Iterable[str | bytes]) -> dict[str, int]:
    counts = np.zeros(0x110000, np.int64)
    for piece in pieces:
        found = np.bincount(code_points(piece))
        counts[: len(found)] += found
    return {chr(point): int(counts[point]) for point in np.flatnonzero(counts)}


def _count_words(pieces: Iterable[str]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for piece in pieces:
        counts.update(word_pattern().findall(piece))
    return counts


_COUNTERS = {"characters": _count_characters, "bytes": _count_characters, "words": _count_words}
