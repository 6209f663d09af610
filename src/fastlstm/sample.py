"""Writing texts with a trained model, symbol by symbol."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastlstm import _check
from fastlstm.engines import of_some, set_some
from fastlstm.network import NOT_FINITE
from fastlstm.text import as_text

if TYPE_CHECKING:
    from fastlstm.engines import States
    from fastlstm.network import LanguageNetwork
    from fastlstm.vocabulary import Vocabulary

# Symbols between two looks at signals, and steps of a prompt read at once.
PIECE = 256
# Symbols between two looks for the stop text, after which the rest of them is thrown away.
STOP_PIECE = 32


def read(network: "LanguageNetwork", prompts: Sequence[np.ndarray]) -> tuple[np.ndarray, "States"]:
    """The last outputs (B, H) and the state after the ids of each prompt; zeros after an empty one."""
    lengths, state = np.array([len(ids) for ids in prompts], np.int64), network.zero_state(len(prompts))
    tokens = np.zeros((lengths.max(initial=0), len(prompts)), np.int32)
    for b, ids in enumerate(prompts):
        tokens[: len(ids), b] = ids
    for start in range(0, len(tokens), PIECE):
        part = tokens[start : start + PIECE]
        _, state = network.advance(part, state, np.clip(lengths - start, 0, len(part)))
    return network.last_output(state), state


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
        self._stop = None if stop is None else as_text(vocabulary.kind, "stop", stop)
        # A stop text may begin or end inside a word, but all its characters must be ones that can be written.
        if self._stop and vocabulary.kind == "characters" and vocabulary.unknown in vocabulary.encode(self._stop):
            raise ValueError(f"stop holds a character the model does not know: {stop!r}")
        self._fresh = np.array([not prompt for prompt in prompts], bool)
        texts = [as_text(vocabulary.kind, "prompt", prompt) for prompt in prompts]
        _, self._state = read(network, [vocabulary.encode(text) for text in texts])

    def texts(self, length: int) -> list[str] | list[bytes]:
        """`length` symbols of each text, or fewer where `stop` comes first."""
        pieces = list(self.pieces(length, STOP_PIECE if self._stop else PIECE))
        return [self._vocabulary.join(piece[b] for piece in pieces) for b in range(len(self._fresh))]

    def pieces(self, length: int, piece: int) -> Iterator[list[str | bytes]]:
        """`length` symbols of each text, `piece` at a time, or fewer where `stop` comes first: the text ends with it."""
        B, nothing = len(self._fresh), self._vocabulary.join([])
        running, tails = np.ones(B, bool), [nothing] * B  # the end of each text, which `stop` may begin in
        for start in range(0, length, piece):
            n, begin = min(piece, length - start), 0
            symbols, uniforms = np.zeros((B, n), np.int32), self._rng.random((n, B))
            if start == 0 and self._fresh.any():
                begin = self._begin(symbols, uniforms)
            self._write(symbols[:, begin:], uniforms[begin:], running, start + begin)
            texts = [self._vocabulary.decode(row) if running[b] else nothing for b, row in enumerate(symbols)]
            if self._stop:
                for b in np.flatnonzero(running):
                    whole = tails[b] + texts[b]
                    end = whole.find(self._stop)
                    if end >= 0:
                        running[b] = False
                        texts[b] = whole[len(tails[b]) : end + len(self._stop)]
                    tails[b] = whole[max(0, len(whole) - len(self._stop) + 1) :]
            yield texts
            if not running.any():
                return

    def _begin(self, symbols: np.ndarray, uniforms: np.ndarray) -> int:
        """The first symbol of each text; returns how many that are."""
        fresh = self._fresh
        self._write(symbols[:, :1], uniforms[:1], ~fresh, 0)
        frequencies = np.cumsum(known_frequencies(self._vocabulary))
        symbols[fresh, 0] = np.searchsorted(frequencies, uniforms[0, fresh] * frequencies[-1], side="right")
        _, state = read(self._network, symbols[fresh, :1])
        set_some(self._state, fresh, state)
        return 1

    def _write(self, symbols: np.ndarray, uniforms: np.ndarray, rows: np.ndarray, before: int) -> None:
        """Go on with the texts of `rows`, which have `before` symbols, into `symbols` (B, n)."""
        every = rows.all()
        part = symbols if every else symbols[rows]
        state = self._state if every else of_some(self._state, rows)
        unknown = self._vocabulary.unknown
        done, state = self._network.write(
            part, uniforms if every else uniforms[:, rows], state, never=-1 if unknown is None else unknown,
            temperature=self._temperature, top_k=self._top_k, top_p=self._top_p,
        )
        if done < part.shape[1]:
            raise FloatingPointError(f"{NOT_FINITE} after {before + done} symbols")
        if every:
            self._state = state
            return
        symbols[rows] = part
        set_some(self._state, rows, state)


def known_frequencies(vocabulary: "Vocabulary") -> np.ndarray:
    """(V,) how often each symbol but `<unk>` occurred in the training text; once each where only `<unk>` did."""
    known = np.ones(len(vocabulary), np.int64)
    if vocabulary.unknown is not None:
        known[vocabulary.unknown] = 0
    counts = vocabulary.counts * known
    return counts if counts.any() else known
