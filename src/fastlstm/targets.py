"""What a neuron might stand for: functions that make of a text's symbols a number at each step, to look for in a trace.

A target is such a function, an array (T,) - numbers or a mask, NaN where a step does not count - or a str, a regular
expression. The step of a symbol is the one that reads it: a count includes the symbol itself.

Where symbols are asked for, a str gives its characters, a bytes its bytes, and a list the symbols in it, such as words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastlstm import _check

Text = Sequence[str] | Sequence[bytes]
Symbols = str | bytes | Iterable[str | bytes]
Function = Callable[[Text], np.ndarray]
Target = Function | ArrayLike | str | re.Pattern


def one_of(symbols: Symbols) -> Function:
    """1 at these symbols, else 0."""
    return lambda text: _at(text, symbols).astype(np.float64)


def count(symbols: Symbols, reset: Symbols = ()) -> Function:
    """How many of these symbols there have been since the last `reset` symbol, or the beginning; 0 at a `reset` symbol."""
    return lambda text: _since(_at(text, symbols), _at(text, reset))


def position(reset: Symbols) -> Function:
    """Steps since the last `reset` symbol, 0 at one; from the beginning as if one had come before it."""
    return lambda text: _since(np.ones(len(text), bool), _at(text, reset))


def depth(opening: Symbols, closing: Symbols) -> Function:
    """How many brackets are open, never below 0; a closing one is already outside. All kinds count together: "([{", ")]}"."""

    def of(text: Text) -> np.ndarray:
        steps = _at(text, opening).astype(np.int64) - _at(text, closing)
        level = np.cumsum(steps)
        return (level - np.minimum(np.minimum.accumulate(level), 0)).astype(np.float64)  # one too many closes nothing

    return of


def countdown(symbols: Symbols) -> Function:
    """Steps to the next of these symbols, 0 at one; NaN where none follows."""

    def of(text: Text) -> np.ndarray:
        steps = np.arange(len(text), dtype=np.float64)
        nexts = np.where(_at(text, symbols), steps, np.inf)
        distance = np.minimum.accumulate(nexts[::-1])[::-1] - steps
        return np.where(np.isinf(distance), np.nan, distance)

    return of


def matches(pattern: str | re.Pattern) -> Function:
    """1 at the symbols that touch a match of a regular expression, else 0. Bytes are matched as Latin-1 characters.

    Raises:
        ValueError: the pattern is none, or one of bytes.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"the target must be a regular expression, got {pattern!r}: {error}") from None

    if isinstance(compiled.pattern, bytes):
        raise ValueError(f"the target must be a regular expression of characters, got {compiled.pattern!r}")

    def of(text: Text) -> np.ndarray:
        parts = [part.decode("latin-1") if isinstance(part, bytes) else part for part in text]
        edges = np.cumsum([0, *map(len, parts)])
        inside = np.zeros(edges[-1] + 1, np.int64)
        for match in compiled.finditer("".join(parts)):
            inside[match.start()] += 1
            inside[match.end()] -= 1
        covered = np.cumsum(np.concatenate([[0], np.cumsum(inside[:-1])]))
        return (np.diff(covered[edges]) > 0).astype(np.float64)

    return of


def resolve(target: Target, text: Text) -> np.ndarray:
    """The target (T,) float64 over a text of T symbols."""
    if isinstance(target, str | re.Pattern):
        target = matches(target)
    found = _check.any_array("target", target(text) if callable(target) else target)
    return _check.array("target", found, (len(text),), np.dtype(np.float64))


def _at(text: Text, symbols: Symbols) -> np.ndarray:
    """(T,) whether each symbol is one of these; those of a text of bytes may be given as a str."""
    if len(text) and isinstance(text[0], bytes) and isinstance(symbols, str):
        if not symbols.isascii():
            raise ValueError(f"the text is one of bytes, of which {symbols!r} has several for a character: give bytes")
        symbols = symbols.encode()
    elif len(text) and isinstance(text[0], str) and isinstance(symbols, bytes):
        raise ValueError(f"the text is one of characters: give a str instead of {symbols!r}")
    wanted = {symbols[k : k + 1] for k in range(len(symbols))} if isinstance(symbols, str | bytes) else set(symbols)
    return np.fromiter((symbol in wanted for symbol in text), bool, len(text))


def _since(counted: np.ndarray, reset: np.ndarray) -> np.ndarray:
    """Running count, from 0 again at every reset."""
    total = np.cumsum(counted)
    return (total - np.maximum.accumulate(np.where(reset, total, 0))).astype(np.float64)
