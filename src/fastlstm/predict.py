"""What comes next: distributions over the next symbol, after every symbol of a text or one step at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastlstm import _check
from fastlstm.network import LOGIT_BLOCK, NOT_FINITE
from fastlstm.training import EVALUATION_WINDOW

if TYPE_CHECKING:
    from fastlstm.network import LanguageNetwork
    from fastlstm.states import State
    from fastlstm.vocabulary import Vocabulary


def _following(network: LanguageNetwork, ids: np.ndarray) -> Iterator[np.ndarray]:
    """P (·, V) of the tokens that may follow each of `ids` (N,), read from the zero state, some at a time."""
    state = network.zero_state(1)
    for start in range(0, len(ids), EVALUATION_WINDOW):
        part = np.ascontiguousarray(ids[start : start + EVALUATION_WINDOW], np.int32)[:, None]
        y, state = network.advance(part, state)
        rows = max(1, LOGIT_BLOCK // network.V)
        for row in range(0, len(y), rows):
            yield _finite(network.probabilities(y[row : row + rows, 0]))


def _finite(found: np.ndarray) -> np.ndarray:
    """The probabilities; FloatingPointError where they are NaN, in whole rows, as of weights that are NaN or infinite."""
    if isnan(found[:, 0].sum()):
        raise FloatingPointError(NOT_FINITE)
    return found


def probabilities(network: LanguageNetwork, ids: np.ndarray) -> np.ndarray:
    """See `Model.predict_proba`."""
    _check.memory("the probabilities", len(ids) * network.V, network.dtype)
    found = np.empty((len(ids), network.V), network.dtype)
    start = 0
    for part in _following(network, ids):
        found[start : start + len(part)] = part
        start += len(part)
    return found


def likeliest(network: LanguageNetwork, ids: np.ndarray) -> list[int]:
    """The likeliest token after each of `ids`."""
    return [token for part in _following(network, ids) for token in part.argmax(axis=1).tolist()]


class SymbolStream:
    """Texts read one symbol at a time, the state carried from call to call. Made by `Model.stream`."""

    def __init__(self, network: LanguageNetwork, vocabulary: Vocabulary, batch_size: int) -> None:
        self._network, self._vocabulary, self._B = network, vocabulary, batch_size
        self._stream = network.stack.stream(batch_size)

    def __repr__(self) -> str:
        """What it reads."""
        texts = "a text" if self._B == 1 else f"{self._B} texts"
        return f"<SymbolStream of {texts} in {len(self._vocabulary)} {self._vocabulary.kind}>"

    def __reduce__(self) -> tuple[type[SymbolStream], tuple[Any, ...], State]:
        """Pickle and copy by the network and the state: copies go on from there, each by itself."""
        return SymbolStream, (self._network, self._vocabulary, self._B), self.state

    def __setstate__(self, state: State) -> None:
        """The other half of `__reduce__`."""
        self.state = state

    def step(self, symbols: str | bytes | Sequence[str | bytes] | ArrayLike) -> np.ndarray:
        """Read one symbol of each text.

        Args:
            symbols: one, or a list of B, one for each text; or their integer ids (B,).

        Returns:
            (B, V) of the model's dtype: the probability of each symbol to be the next one, in the order of the vocabulary.

        Raises:
            ValueError: a symbol is not in the vocabulary, or there is not one for each text.
            TypeError, IndexError: what came is neither, or an id is outside [0, V).
            FloatingPointError: the network's weights are NaN or infinite.
        """
        ids = self._ids(symbols)
        vectors = self._network.vectors
        outputs = self._stream.step(ids if vectors is None else vectors[ids])
        return _finite(self._network.probabilities(outputs))

    def _ids(self, symbols: Any) -> np.ndarray:
        if isinstance(symbols, str | bytes):
            symbols = [symbols]
        if isinstance(symbols, list | tuple) and any(isinstance(symbol, str | bytes) for symbol in symbols):
            ids = np.array([self._vocabulary.id_of(symbol) for symbol in symbols], np.int32)
        else:
            ids = _check.tokens("symbols", symbols, 1, self._network.V)
        if len(ids) != self._B:
            raise ValueError(f"symbols must be one for each of {self._B} texts, got {len(ids)}")
        return ids

    @property
    def state(self) -> State:
        """A copy of the state, (h, c) or h, each (L, B, H), as a call of the layers returns it; assign one to go on from it."""
        return self._stream.state

    @state.setter
    def state(self, state: State | None) -> None:
        self._stream.state = state

    def reset(self) -> None:
        """Back to the zero state."""
        self._stream.reset()
