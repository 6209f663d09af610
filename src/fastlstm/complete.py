"""The likeliest continuations of a text, by beam search."""

from typing import TYPE_CHECKING

import numpy as np

from fastlstm.engines import of_some
from fastlstm.network import NOT_FINITE
from fastlstm.sample import known_frequencies, read
from fastlstm.vocabulary import is_in_words

if TYPE_CHECKING:
    from fastlstm.network import LanguageNetwork
    from fastlstm.vocabulary import Vocabulary

# Continuations followed side by side.
BEAM = 256
# Symbols after which a word is taken to be complete.
LONGEST_WORD = 64


@np.errstate(divide="ignore")  # log 0 = -inf is what cannot follow
def complete(
    network: "LanguageNetwork", vocabulary: "Vocabulary", prefix: str | bytes, n: int, length: int | None
) -> list[tuple[str | bytes, float]]:
    """The n likeliest continuations of `prefix` with their probabilities, likeliest first; `<unk>` is never in one.

    A continuation has `length` symbols; without one it goes to the end of the word being written: it is a run of letters,
    digits and underscores with the probability that such a run follows and ends there, or a single other symbol.

    Exact as long as no more than `BEAM` open continuations are likelier than the n-th found; beyond, the least likely of
    them are given up.
    """
    by_word = length is None and vocabulary.kind != "words"
    last = (LONGEST_WORD if by_word else length or 1) - 1
    in_word = np.array([by_word and _in_word(vocabulary, v) for v in range(len(vocabulary))])
    h, state = read(network, [vocabulary.encode(prefix)])
    if prefix:
        following = network.log_probabilities(h, vocabulary.unknown)
    else:
        frequencies = known_frequencies(vocabulary)
        following = np.log(frequencies / frequencies.sum())[None]

    found: list[tuple[float, tuple[int, ...]]] = []
    open_: list[tuple[int, ...]] = [()]
    scores = np.zeros(1)  # log probabilities of the open ones
    for place in range(last + 1):
        if np.isnan(following).any():
            raise FloatingPointError(NOT_FINITE)
        if by_word and place:  # each of the open ones may end here
            ends = scores + np.log(np.exp(following[:, ~in_word]).sum(axis=1))
            found += zip(ends.tolist(), open_, strict=True)
            following[:, ~in_word] = -np.inf
        longer = scores[:, None] + following
        finished = ~in_word if place < last and by_word else np.full(len(in_word), place == last)
        candidates = [
            (float(longer[row, v]), (*open_[row], int(v))) for row, v in zip(*_largest(longer, finished, n), strict=True)
        ]
        found = sorted(found + candidates, reverse=True)[:n]
        least = found[n - 1][0] if len(found) == n else -np.inf
        rows, symbols = _largest(longer, ~finished, BEAM)
        better = longer[rows, symbols] > least
        rows, symbols = rows[better], symbols[better]
        if not len(rows):
            break
        scores, open_ = longer[rows, symbols], [(*open_[row], int(v)) for row, v in zip(rows, symbols, strict=True)]
        y, state = network.advance(symbols[None].astype(np.int32), of_some(state, rows))
        following = network.log_probabilities(y[-1], vocabulary.unknown)
    return [(vocabulary.decode(symbols), float(np.exp(score))) for score, symbols in found if score > -np.inf]


def _in_word(vocabulary: "Vocabulary", v: int) -> bool:
    if vocabulary.kind == "bytes":
        return v >= 0x80 or chr(v).isalnum() or chr(v) == "_"
    return is_in_words(vocabulary.symbols[v])


def _largest(scores: np.ndarray, columns: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the n largest finite scores in the marked columns."""
    masked = np.where(columns, scores, -np.inf).ravel()
    order = np.argpartition(-masked, min(n, len(masked) - 1))[:n]
    return np.divmod(order[np.isfinite(masked[order])], scores.shape[1])
