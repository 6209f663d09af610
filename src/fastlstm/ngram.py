"""The interpolated Witten–Bell n-gram: what counting alone can predict, the bar a network has to clear."""

import numpy as np


def held_out_nats(train: np.ndarray, held_out: np.ndarray, V: int, context: int = 5) -> float:
    """Mean nats of each symbol of `held_out` but the first, given up to `context` symbols before it.

        P_k(s | c) = (n(c s) + t(c) P_{k-1}(s | c')) / (n(c) + t(c))

    for a context c of k symbols: n counts occurrences in `train`, t(c) is how many different symbols followed c there,
    c' is c without its oldest symbol, and P_{-1} = 1/V. A context never seen leaves P_{k-1}. Source: Witten & Bell 1991,
    interpolated as in Chen & Goodman 1999, section 2.4.

    Args:
        train, held_out: ids (N,) in [0, V).
        V: symbols.
        context: the longest context, at least 0.
    """
    ids = np.concatenate([train, held_out]).astype(np.int64)
    scored = np.arange(len(train) + 1, len(ids))  # the places of held_out's symbols but the first
    probability = np.full(len(scored), 1 / V)
    contexts = np.zeros(len(ids), np.int64)       # a number for the k symbols before each place
    for k in range(context + 1):
        if k:
            # The k symbols before a place are the k - 1 before the place ahead of it, and the one there.
            longer = np.zeros_like(contexts)
            longer[1:] = contexts[:-1] * V + ids[:-1] + 1
            contexts = _renumber(longer)
        events = _renumber(contexts * V + ids)
        seen = slice(k, len(train))
        event_counts = np.bincount(events[seen], minlength=events.max() + 1)
        context_counts = np.bincount(contexts[seen], minlength=contexts.max() + 1)
        first = np.zeros(len(event_counts), np.int64)
        first[events[seen]] = contexts[seen]
        types = np.bincount(first[event_counts > 0], minlength=len(context_counts))
        usable = scored - len(train) >= k         # a context reaches back into held_out only
        before = contexts[scored]
        n, t = context_counts[before], types[before]
        mixed = (event_counts[events[scored]] + t * probability) / np.maximum(n + t, 1)
        probability = np.where(usable & (n > 0), mixed, probability)
    return float(-np.log(probability).mean())


def _renumber(keys: np.ndarray) -> np.ndarray:
    """The same partition with numbers from 0 up, so that they stay small."""
    return np.unique(keys, return_inverse=True)[1]
