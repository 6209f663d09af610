"""Which neurons follow a target, and whether the states of all of them together know it.

What counts as chance: the same measure with the target moved against the states by circular shifts, which leave the text's
own order, and so how alike neighbouring steps are, as it is; shuffled steps would call anything slow a discovery. (What
drifts from one end of the text to the other, or turns only a few times on the way, is still found too often: two such things
easily look alike. And in a text that only repeats itself nothing stands out: every shift can be told from the states as well.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from fastlstm import _check

# Steps multiplied at once.
BLOCK = 4096
# Columns that vary less than this, against their mean, are taken as constant: it is rounding.
LEAST_SPREAD = 1e-6
# Steps that a target must have.
LEAST_STEPS = 30
# Share of the text, at its end, that a probe is judged on.
HELD_OUT = 1 / 3
# Ridge penalty of a probe on columns of variance 1, for each step of the training part.
PENALTY = 1e-3


class Found(NamedTuple):
    """A neuron and how it follows the target."""

    layer: int
    neuron: int
    quantity: str
    correlation: float  # Pearson's, over all steps that count
    p_value: float      # that the best of all neurons and quantities looked at follows the target so well by chance


class Probe(NamedTuple):
    """How well the states tell the target on text held out."""

    score: float
    measure: str    # "balanced accuracy" of a target of two values, "R²" of any other
    chance: float   # mean score of the shifted targets
    p_value: float  # that chance scores so well


def find(arrays: Iterable[tuple[int, str, np.ndarray]], target: np.ndarray, top: int, shifts: int, seed: int) -> list[Found]:
    """The `top` columns of all (layer, quantity, (T, H) array) with the largest |correlation|, the largest first.

    Steps where the target (T,) is NaN are left out.
    """
    _check.count("top", top)
    rows, values, offsets = _prepared(target, shifts, seed)
    scores = [(k, name, correlations(array, rows, values, offsets)) for k, name, array in arrays]
    if not scores:
        raise ValueError("there is nothing to look through: no such layer or quantity was kept")
    for k, name, r in scores:
        bad = np.flatnonzero(np.isnan(r).any(axis=1))
        if len(bad):
            raise ValueError(f"{name} of layer {k} must be finite, got NaN or infinity in neuron {bad[0]}")
    chance = np.max([np.abs(r[:, 1:]).max(axis=0) for *_, r in scores], axis=0)  # the best of all, for each shift
    found = [
        Found(k, neuron, name, float(r[0]), _p_value(abs(r[0]), chance))
        for k, name, of_all in scores for neuron, r in enumerate(of_all)
    ]
    return sorted(found, key=lambda one: -abs(one.correlation))[:top]


def correlations(array: np.ndarray, rows: np.ndarray, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Pearson's r (H, S) of each column of array (T, H), in these rows (n,) of it, with the values (n,) moved by offsets (S,).

    The values have mean 0 and standard deviation 1. A constant column has r = 0.
    """
    n = len(rows)
    parts = [slice(start, start + BLOCK) for start in range(0, n, BLOCK)]
    means = sum(array[rows[part]].sum(axis=0, dtype=np.float64) for part in parts) / n
    squares, products = np.zeros(len(means)), np.zeros((len(means), len(offsets)))
    for part in parts:
        x = array[rows[part]] - means
        squares += (x * x).sum(axis=0)
        products += x.T @ _moved(values, offsets, part)
    deviations = _or_infinite(np.sqrt(squares / n), means)
    return np.clip(products / n / deviations[:, None], -1, 1)


def probe(states: np.ndarray, target: np.ndarray, shifts: int, seed: int) -> Probe:
    """Ridge regression of the target (T,) on the states (T, D), judged on the last third; with two values, a classifier.

    Least squares in closed form, on columns of mean 0 and variance 1. It is fitted to each shift of the target anew.
    """
    rows, values, offsets = _prepared(target, shifts, seed)
    moved = _moved(values, offsets, slice(0, len(rows)))
    cut = round(len(rows) * (1 - HELD_OUT))
    x = states[rows].astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError("the states must be finite to be probed, got NaN or infinity")
    means = x[:cut].mean(axis=0)
    x = (x - means) / _or_infinite(x[:cut].std(axis=0), means)
    weights = np.linalg.solve(x[:cut].T @ x[:cut] + PENALTY * cut * np.eye(x.shape[1]), x[:cut].T @ moved[:cut])
    offset = moved[:cut].mean(axis=0)  # the columns have mean 0 here
    predicted, truth = x[cut:] @ weights + offset, moved[cut:]
    if len(np.unique(values)) == 2:
        measure, scores = "balanced accuracy", _balanced_accuracy(predicted, truth, x[:cut] @ weights + offset, moved[:cut])
    else:
        measure, scores = "R²", 1 - ((predicted - truth) ** 2).sum(axis=0) / ((truth - offset) ** 2).sum(axis=0)
    return Probe(float(scores[0]), measure, float(scores[1:].mean()), _p_value(scores[0], scores[1:]))


def _prepared(target: np.ndarray, shifts: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The steps that count (n,), the target there with mean 0 and variance 1, and by how much to move it: first not at all.

    The other offsets, all different, are drawn between a tenth of n and nine tenths; where n is small, fewer than `shifts`.
    """
    _check.count("shifts", shifts)
    rows = np.flatnonzero(np.isfinite(target))
    if len(rows) < LEAST_STEPS:
        raise ValueError(f"the target must count at {LEAST_STEPS} steps at least, got {len(rows)}")
    values = target[rows]
    if values.min() == values.max():
        raise ValueError(f"the target must vary over the text, got {values[0]:g} at every step that counts")
    n, rng = len(rows), np.random.default_rng(_check.count("seed", seed, 0))
    least, others = n // 10, n - 2 * (n // 10) + 1
    offsets = np.concatenate([[0], least + rng.choice(others, min(shifts, others), replace=False)])
    return rows, (values - values.mean()) / values.std(), offsets


def _moved(values: np.ndarray, offsets: np.ndarray, part: slice) -> np.ndarray:
    """A part of the values (n,), moved around the end by each offset (S,): (·, S)."""
    return values[(np.arange(len(values))[part, None] - offsets) % len(values)]


def _or_infinite(deviations: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The standard deviations, infinite for columns that are constant but for rounding."""
    return np.where(deviations > LEAST_SPREAD * np.abs(means), deviations, np.inf)


def _balanced_accuracy(predicted: np.ndarray, truth: np.ndarray, fitted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(S,) mean of the shares of both classes told right, halfway between the classes' means in training."""
    high = known > 0
    threshold = sum((fitted * part).sum(axis=0) / np.maximum(part.sum(axis=0), 1) for part in (high, ~high)) / 2
    right = (predicted > threshold) == (truth > 0)
    shares = [  # of a class that does not occur, one half
        np.where(part.any(axis=0), (right & part).sum(axis=0) / np.maximum(part.sum(axis=0), 1), 0.5)
        for part in (truth > 0, truth <= 0)
    ]
    return sum(shares) / 2


def _p_value(found: float, chance: np.ndarray) -> float:
    """How often chance is at least as good as what was found, itself counted among it."""
    return float((1 + (chance >= found).sum()) / (1 + len(chance)))
