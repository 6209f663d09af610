"""Writing texts with a trained model, symbol by symbol."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastlstm import _check, _sample
from fastlstm.engines.blas import one_blas_thread

if TYPE_CHECKING:
    from fastlstm.layers import State
    from fastlstm.network import LanguageNetwork
    from fastlstm.vocabulary import Vocabulary

# Symbols between two looks at signals, and steps of a prompt read at once.
PIECE = 256
# The logit of a symbol that must not be written.
NEVER = -1e30


def read(network: "LanguageNetwork", prompts: Sequence[np.ndarray]) -> tuple[np.ndarray, "State"]:
    """The last outputs (B, H) and the state after the ids of each prompt; zeros after an empty one."""
    lengths, state = np.array([len(ids) for ids in prompts], np.int64), network.zero_state(len(prompts))
    tokens = np.zeros((lengths.max(initial=0), len(prompts)), np.int32)
    for b, ids in enumerate(prompts):
        tokens[: len(ids), b] = ids
    for start in range(0, len(tokens), PIECE):
        part = tokens[start : start + PIECE]
        _, state = network.advance(part, state, np.clip(lengths - start, 0, len(part)))
    return state[0][-1], state


class Generator:
    """The state of several texts being written side by side.

    Args:
        network, vocabulary: of the model.
        prompts: for each text, what is read before its first symbol is drawn; with an empty one that is drawn by the
            training frequencies.
        temperature: divides the logits: below 1 safer, above 1 wilder; 0 always takes the likeliest.
        top_k: keep only this many of the likeliest symbols; None keeps all.
        top_p: keep only the likeliest symbols that together reach this probability (Holtzman et al. 2020); None keeps all.
        stop: the writing of a text ends when this has been written; None never.
        rng: draws one number for each text and place.

    `<unk>` is never written: the others have its probability.
    """

    def __init__(
        self, network: "LanguageNetwork", vocabulary: "Vocabulary", prompts: Sequence[str | bytes], temperature: float,
        top_k: int | None, top_p: float | None, stop: str | bytes | None, rng: np.random.Generator,
    ) -> None:
        self._network, self._vocabulary, self._rng = network, vocabulary, rng
        self._temperature = _check.number("temperature", temperature, 0)
        self._top_k = 0 if top_k is None else min(_check.count("top_k", top_k), network.V)
        self._top_p = 1.0 if top_p is None else _check.number("top_p", top_p, 0, 1, open_ends="(")
        if stop is not None and not stop:
            raise ValueError("stop must not be empty; leave it out to go on to the full length")
        self._stop = np.zeros(0, np.int32) if stop is None else vocabulary.encode(stop)
        self._weights = dict(network.generator_weights())
        if vocabulary.unknown is not None:
            if vocabulary.unknown in self._stop:
                raise ValueError(f"stop holds a symbol the model does not know, so it cannot be written: {stop!r}")
            self._weights["output_bias"] = self._weights["output_bias"].copy()
            self._weights["output_bias"][vocabulary.unknown] = NEVER
        self._fresh = np.array([not prompt for prompt in prompts], bool)
        _, (self._h, self._c) = read(network, [vocabulary.encode(prompt) for prompt in prompts])

    def texts(self, length: int) -> list[str] | list[bytes]:
        """`length` symbols of each text, or fewer where `stop` comes first."""
        pieces = list(self.pieces(length))
        return [self._vocabulary.join(piece[b] for piece in pieces) for b in range(len(self._fresh))]

    def pieces(self, length: int, piece: int = PIECE) -> Iterator[list[str | bytes]]:
        """`length` symbols of each text, `piece` at a time, or fewer where `stop` comes first."""
        B, S = len(self._fresh), len(self._stop)
        before = np.full((B, S), -1, np.int32)  # the last symbols of each text, which `stop` may begin in
        running = np.ones(B, bool)
        for start in range(0, length, piece):
            n = min(piece, length - start)
            symbols, ends = np.concatenate([before, np.empty((B, n), np.int32)], axis=1), np.full(B, S)
            uniforms, begin = self._rng.random((B, n)), S
            if start == 0:
                begin = self._begin(symbols, ends, uniforms[:, :1])
                running &= ~self._stopped(symbols, ends)
            self._write(symbols, ends, running, begin, uniforms[:, begin - S :])
            running &= ~self._stopped(symbols, ends)
            yield [self._vocabulary.decode(row[S:end]) for row, end in zip(symbols, ends, strict=True)]
            if not running.any():
                return
            before = symbols[:, n:]

    def _begin(self, symbols: np.ndarray, ends: np.ndarray, uniforms: np.ndarray) -> int:
        """The first symbol of each text; returns the place after it."""
        fresh, S = self._fresh, len(self._stop)
        self._write(symbols, ends, ~fresh, S, uniforms)
        if fresh.any():
            frequencies = np.cumsum(known_frequencies(self._vocabulary))
            symbols[fresh, S] = np.searchsorted(frequencies, uniforms[fresh, 0] * frequencies[-1], side="right")
            ends[fresh] = S + 1
            _, (self._h[:, fresh], self._c[:, fresh]) = read(self._network, symbols[fresh, S : S + 1])
        return S + 1

    def _write(self, symbols: np.ndarray, ends: np.ndarray, rows: np.ndarray, begin: int, uniforms: np.ndarray) -> None:
        """Go on with the texts of `rows` from place `begin`, a symbol for each of `uniforms` (B, n)."""
        part, part_ends = symbols[rows], ends[rows]
        h, c = self._h.compress(rows, axis=1), self._c.compress(rows, axis=1)
        with one_blas_thread:
            _sample.generate(
                part, part_ends, begin, uniforms[rows], h, c, **self._weights,
                temperature=self._temperature, top_k=self._top_k, top_p=self._top_p, stop=self._stop,
            )
        symbols[rows], ends[rows] = part, part_ends
        self._h[:, rows], self._c[:, rows] = h, c

    def _stopped(self, symbols: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(B,) whether the symbols of a text end with `stop`."""
        S = len(self._stop)
        last = np.take_along_axis(symbols, ends[:, None] + np.arange(-S, 0), axis=1)
        return (last == self._stop).all(axis=1) if S else np.zeros(len(ends), bool)


def known_frequencies(vocabulary: "Vocabulary") -> np.ndarray:
    """(V,) how often each symbol but `<unk>` occurred in the training text; once each where only `<unk>` did."""
    known = np.ones(len(vocabulary), np.int64)
    if vocabulary.unknown is not None:
        known[vocabulary.unknown] = 0
    counts = vocabulary.counts * known
    return counts if counts.any() else known
