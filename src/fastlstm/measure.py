"""Statistics of states over a text.

Values are the (T, H) arrays of a trace, labels (T,) say which segment or group each step belongs to: any target of
`Trace.target` will do, such as how many delimiters there have been in the line. Steps whose label is NaN are left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastlstm import _check

# A gate below the first is shut, above the second open.
SHUT, OPEN = 0.1, 0.9
# A neuron is silent where its state stays within this share of its largest.
SILENT = 0.1


class Saturation(NamedTuple):
    """Shares (H,) of the steps at which a gate is shut and open."""

    shut: np.ndarray
    open: np.ndarray


class Group(NamedTuple):
    """The states of the steps of one group: mean, smallest and largest, each (H,)."""

    steps: int
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def sharpness(values: np.ndarray) -> np.ndarray:
    """(H,) 1 - mean |x| / max |x|: 0 for a neuron that is always equally large, near 1 for one that speaks up rarely.

    A hidden state that is sharper than its cell state shows what the cell holds only where the output gate lets it.
    """
    size = np.abs(values).astype(np.float64)
    largest = size.max(axis=0, initial=0)
    return np.where(largest > 0, 1 - size.sum(axis=0) / np.maximum(len(size), 1) / np.where(largest > 0, largest, 1), 0)


def saturation(gate: np.ndarray, shut: float = SHUT, opened: float = OPEN) -> Saturation:
    """How often each neuron's gate is below `shut` and above `opened`."""
    return Saturation((gate < shut).mean(axis=0), (gate > opened).mean(axis=0))


def silent(values: np.ndarray, labels: ArrayLike, share: float = SILENT) -> dict[float, np.ndarray]:
    """For each label, which neurons (H,) stay within `share` of their largest |x| of all steps at its steps."""
    size = np.abs(values)
    most = share * size.max(axis=0, initial=0)
    return {label: (size[steps] <= most).all(axis=0) for label, steps in _steps(labels, len(values)).items()}


def variance(values: np.ndarray, labels: ArrayLike) -> dict[float, np.ndarray]:
    """For each label, the variance (H,) over its steps: a counter's gates hardly have any where it counts."""
    return {label: values[steps].var(axis=0, dtype=np.float64) for label, steps in _steps(labels, len(values)).items()}


def grouped(values: np.ndarray, labels: ArrayLike) -> dict[float, Group]:
    """For each label, where the states lie at its steps, such as those at a delimiter by what came before it."""
    return {
        label: Group(len(part), part.mean(axis=0, dtype=np.float64), part.min(axis=0), part.max(axis=0))
        for label, part in ((label, values[steps]) for label, steps in _steps(labels, len(values)).items())
    }


def _steps(labels: ArrayLike, T: int) -> dict[float, np.ndarray]:
    """The steps of each label, the smallest label first."""
    labels = _check.array("labels", labels, (T,), np.dtype(np.float64))
    return {float(label): np.flatnonzero(labels == label) for label in np.unique(labels[~np.isnan(labels)])}
