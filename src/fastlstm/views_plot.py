"""Views of states, drawn with matplotlib."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from fastlstm import colours
from fastlstm.plot import empty

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from fastlstm.views import Row, View

# Columns of a line of text in a picture.
LINE = 80
# Inches of a line of text, and of a row of a map.
LINE_HEIGHT, ROW_HEIGHT = 0.24, 0.14
# Of the longest symbol that is written; of longer ones this is the beginning.
MOST_LETTERS = 6


def draw(view: View) -> Figure:
    """The view as a figure: see `View.plot`."""
    return _draw_text(view) if len(view.rows) == 1 else _draw_map(view)


def _draw_text(view: View) -> Figure:
    """The symbols on their colours in the text's lines, broken after `LINE` columns, above the curve of the values."""
    (row,) = view.rows
    n = len(view.symbols)
    lines = list(view.lines(LINE))
    height = 0.5 + max(len(lines), 1) * LINE_HEIGHT
    figure = empty(11, height + 2.2)
    text, curve = figure.subplots(2, 1, height_ratios=[height, 2.2])
    grid = np.full((max(len(lines), 1), LINE), np.nan)
    for y, part in enumerate(lines):
        grid[y, : len(part)] = row.values[part]
    image = _image(text, grid, row)
    text.set(xticks=[], yticks=[])
    palette = colours.ramp(row.quantity)
    inks = [np.array(colours.ink(tuple(palette[place]))) / 255 for place in colours.level(row.values, row.ends, len(palette))]
    for y, part in enumerate(lines):
        for x, t in enumerate(part):
            _write(text, x, y, view.symbols[t], inks[t])
    curve.axhline(0, color="0.8", linewidth=0.8)
    curve.plot(np.arange(n), row.values, color="0.25", linewidth=1.2, marker="o" if n <= LINE else "", markersize=3)
    margin = 0.05 * (row.ends[1] - row.ends[0])
    curve.set(xlim=(-0.5, max(n, 1) - 0.5), ylim=(row.ends[0] - margin, row.ends[1] + margin))
    curve.set(xlabel="step", ylabel=_words(row.quantity))
    curve.spines[["top", "right"]].set_visible(False)
    _finish(figure, view, [(image, [text], _words(row.quantity))])
    return figure


def _draw_map(view: View) -> Figure:
    """A line of colours for each row, those of one quantity together, the symbols along the lowest."""
    groups = [list(rows) for _, rows in groupby(view.rows, key=lambda row: row.quantity)]
    n = len(view.symbols)
    heights = [max(len(rows) * ROW_HEIGHT, 0.45) for rows in groups]
    figure = empty(min(max(0.13 * n + 2, 6), 40), sum(heights) * 1.15 + 1.4)
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    images = []
    for axes, rows in zip(panels, groups, strict=True):
        alike = len({row.ends for row in rows}) == 1
        values = np.array([row.values if alike else row.values / row.ends[1] for row in rows]).reshape(len(rows), n)
        image = _image(axes, values, rows[0] if alike else rows[0]._replace(ends=(-1.0, 1.0)))
        every = -(-len(rows) // 32)
        axes.set_yticks(range(0, len(rows), every), [_words(row.label) for row in rows[::every]])
        axes.tick_params(length=0, labelsize=8)
        images.append((image, [axes], "" if alike else "of each one's largest"))
    panels[-1].set_xticks(range(n), [""] * n)
    for t, symbol in enumerate(view.symbols):
        panels[-1].annotate(
            _short(symbol), (t, 0), (0, -4), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center",
            va="top", fontsize=8, family="monospace", parse_math=False, annotation_clip=False,
        )
    _finish(figure, view, images)
    return figure


def _image(axes: Axes, values: np.ndarray, row: Row) -> AxesImage:
    """Values (rows, steps) in the colours of a row's scale."""
    from matplotlib.colors import ListedColormap

    colour_map = ListedColormap(colours.ramp(row.quantity) / 255, name=row.quantity).with_extremes(bad="white")
    return axes.imshow(values, colour_map, vmin=row.ends[0], vmax=row.ends[1], aspect="auto", interpolation="none")


def _write(axes: Axes, x: float, y: float, symbol: str, ink: np.ndarray) -> None:
    axes.text(
        x, y, _short(symbol), color=ink, ha="center", va="center", fontsize=10 if len(symbol) < 3 else 5, family="monospace",
        parse_math=False,
    )


def _finish(figure: Figure, view: View, images: list[tuple[AxesImage, list[Axes], str]]) -> None:
    """The title and a scale beside each image."""
    more = f", {view.more:,} more symbols" if view.more else ""
    figure.suptitle(view.title + more, fontsize=10, parse_math=False)
    for image, axes, label in images:
        figure.colorbar(image, ax=axes, label=label, pad=0.01, fraction=0.05, aspect=12)


def _short(symbol: str) -> str:
    return symbol if len(symbol) <= MOST_LETTERS else symbol[: MOST_LETTERS - 1] + "…"


def _words(name: str) -> str:
    return name.replace("_", " ")
