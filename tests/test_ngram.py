"""The counting baseline against a dictionary written out."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from fastlstm.ngram import held_out_nats


def slow_witten_bell(train, held_out, V, context):
    """The same formula by dictionaries."""
    followers = [defaultdict(Counter) for _ in range(context + 1)]
    for k in range(context + 1):
        for place in range(k, len(train)):
            followers[k][tuple(train[place - k : place])][train[place]] += 1

    def probability(symbol, before, k):
        if k < 0:
            return 1 / V
        lower = probability(symbol, before[1:], k - 1)
        seen = followers[k].get(tuple(before))
        if not seen:
            return lower
        return (seen[symbol] + len(seen) * lower) / (sum(seen.values()) + len(seen))

    total = 0.0
    for place in range(1, len(held_out)):
        k = min(context, place)
        total -= math.log(probability(held_out[place], list(held_out[place - k : place]), k))
    return total / (len(held_out) - 1)


@pytest.mark.parametrize("context", [0, 1, 2, 5])
def test_equals_the_formula_written_out(context):
    rng = np.random.default_rng(0)
    text = rng.integers(0, 4, 400) * rng.integers(0, 2, 400)
    train, held_out = text[:300], text[300:]
    assert held_out_nats(train, held_out, 5, context) == pytest.approx(slow_witten_bell(train, held_out, 5, context), rel=1e-12)


def test_learns_a_period():
    train = np.tile(np.arange(7), 300)
    assert held_out_nats(train, train[:70], 7) < 0.2
