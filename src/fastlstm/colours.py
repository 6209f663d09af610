"""Colours of states: red negative, white zero, blue positive; gates, which are never negative, from white to green.

Told apart by the colour-blind too: the further from zero, the darker (on dark paper: the brighter), and no scale has both red
and green.
"""

from __future__ import annotations

import os
from typing import TextIO

import numpy as np

RGB = tuple[int, int, int]

# From the lowest value to the highest. The light ones are near ColorBrewer's RdBu and Greens.
_LIGHT = (
    ("67001f", "b2182b", "d6604d", "f4a582", "fddbc7", "ffffff", "d1e5f0", "92c5de", "4393c3", "2166ac", "05275a"),
    ("ffffff", "e5f5e0", "a1d99b", "41ab5d", "006d2c", "00441b"),
)
_DARK = (
    ("ffb3a7", "ff6f5e", "d93a35", "952327", "551a20", "1c1c1c", "14145f", "1a3f9f", "2f7ad6", "6aa8ff", "b5d4ff"),
    ("1c1c1c", "183d28", "1c6b3d", "2f9e57", "66d188", "c0f5cd"),
)
# What the levels of a terminal's 256 colours are, for each of red, green and blue.
_CUBE = np.array([0, 95, 135, 175, 215, 255])


def wanted(stream: TextIO) -> bool:
    """Whether what is written there is to be coloured: in a terminal, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def is_gate(quantity: str) -> bool:
    """Whether a quantity is between 0 and 1."""
    return quantity.endswith("_gate")


def limits(quantity: str, values: np.ndarray) -> tuple[float, float]:
    """The ends of the scale: 0 and 1 for gates, ±1 for hidden states and candidates, ± the cell's own largest value.

    Candidates and hidden states that go beyond 1, as other activations let them, end at their own largest too. NaN and infinity
    do not count.
    """
    if is_gate(quantity):
        return 0.0, 1.0
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0))
    if quantity != "cell_state":
        largest = max(largest, 1.0)
    return (-largest, largest) if largest else (-1.0, 1.0)


def ramp(quantity: str, dark: bool = False, levels: int = 256) -> np.ndarray:
    """(levels, 3) uint8: the colours from one end of the scale to the other."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in (_DARK if dark else _LIGHT)[is_gate(quantity)]], float)
    places = np.linspace(0, len(anchors) - 1, levels)
    channels = [np.interp(places, np.arange(len(anchors)), channel) for channel in anchors.T]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def level(values: np.ndarray, ends: tuple[float, float], levels: int) -> np.ndarray:
    """Which of so many equal steps between the ends each value is nearest to; NaN is the middle."""
    low, high = ends
    return np.rint(np.clip(np.nan_to_num((values - low) / (high - low), nan=0.5), 0, 1) * (levels - 1)).astype(np.int64)


def luminance(colour: RGB) -> float:
    """Relative luminance in [0, 1] (WCAG 2)."""
    parts = np.asarray(colour) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def ink(paper: RGB) -> RGB:
    """Black or white, whichever is easier to read there: a contrast of 4.5 at least."""
    return (0, 0, 0) if luminance(paper) > 0.179 else (255, 255, 255)


def terminal(colour: RGB) -> tuple[int, RGB]:
    """The nearest of a terminal's 256 colours, of its cube or its greys: its number, and what it looks like."""
    wanted = np.asarray(colour, float)
    steps = np.abs(_CUBE - wanted[:, None]).argmin(axis=1)
    grey = int(np.clip(np.rint((wanted.mean() - 8) / 10), 0, 23))
    choices = {int(16 + steps @ [36, 6, 1]): _CUBE[steps], 232 + grey: np.full(3, 8 + 10 * grey)}
    number = min(choices, key=lambda number: np.square(choices[number] - wanted).sum())
    return number, tuple(map(int, choices[number]))


def palette(quantity: str, dark: bool, levels: int) -> list[RGB]:
    """`ramp` as a list of colours."""
    return [tuple(map(int, colour)) for colour in ramp(quantity, dark, levels)]
