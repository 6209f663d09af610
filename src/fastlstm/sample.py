"""Writing text with a trained model, symbol by symbol."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fastlstm import _check, _sample
from fastlstm.engines.blas import one_blas_thread

if TYPE_CHECKING:
    from fastlstm.network import LanguageNetwork
    from fastlstm.vocabulary import Vocabulary

# Symbols between two looks at signals, and steps of a prompt read at once.
PIECE = 256


class Generator:
    """The state of one text being written.

    Args:
        network, vocabulary: of the model.
        prompt: read before the first symbol is drawn; with an empty one that is drawn by the training frequencies.
        temperature: divides the logits: below 1 safer, above 1 wilder; 0 always takes the likeliest.
        top_k: keep only this many of the likeliest symbols; None keeps all.
        top_p: keep only the likeliest symbols that together reach this probability (Holtzman et al. 2020); None keeps all.
        stop: writing ends when this text has been written; None never.
        rng: draws one number a symbol.
    """

    def __init__(
        self, network: "LanguageNetwork", vocabulary: "Vocabulary", prompt: str | bytes, temperature: float,
        top_k: int | None, top_p: float | None, stop: str | bytes | None, rng: np.random.Generator,
    ) -> None:
        self._network, self._vocabulary, self._rng = network, vocabulary, rng
        self._temperature = _check.number("temperature", temperature, 0)
        self._top_k = 0 if top_k is None else min(_check.count("top_k", top_k), network.V)
        self._top_p = 1.0 if top_p is None else _check.number("top_p", top_p, 0, 1, open_ends="(")
        if stop is not None and not stop:
            raise ValueError("stop must not be empty; leave it out to go on to the full length")
        self._stop = np.zeros(0, np.int32) if stop is None else vocabulary.encode(stop)
        self._weights = network.generator_weights()
        self._h, self._c = network.zero_state(1)
        self._fresh = not prompt
        ids = vocabulary.encode(prompt)[:, None] if prompt else ()
        for start in range(0, len(ids), PIECE):
            self._read(ids[start : start + PIECE])

    def _read(self, ids: np.ndarray) -> None:
        _, (self._h, self._c) = self._network.advance(ids, (self._h, self._c))

    def pieces(self, length: int, piece: int = PIECE) -> Iterator[str | bytes]:
        """`length` symbols, `piece` at a time, or fewer if `stop` comes first."""
        symbols = np.empty(_check.count("length", length, least=0), np.int32)
        place = 0
        while place < length:
            wanted = min(piece, length - place)
            uniforms = self._rng.random(wanted)
            start = place
            if self._fresh:
                frequencies = np.cumsum(self._vocabulary.counts)
                symbols[0] = np.searchsorted(frequencies, uniforms[0] * frequencies[-1], side="right")
                self._read(symbols[:1, None])
                self._fresh, place, uniforms = False, 1, uniforms[1:]
            if not self._stopped(symbols[:place]):
                with one_blas_thread:
                    place = _sample.generate(
                        symbols, place, uniforms, self._h[:, 0], self._c[:, 0], **self._weights,
                        temperature=self._temperature, top_k=self._top_k, top_p=self._top_p, stop=self._stop,
                    )
            yield self._vocabulary.decode(symbols[start:place])
            if self._stopped(symbols[:place]):
                return

    def _stopped(self, symbols: np.ndarray) -> bool:
        size = len(self._stop)
        return 0 < size <= len(symbols) and bool((symbols[-size:] == self._stop).all())
