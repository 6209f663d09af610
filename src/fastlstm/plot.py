"""Learning curves of training logs, drawn with matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import log as ln
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastlstm.log import Record, read
from fastlstm.training import bits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = (".png", ".svg", ".pdf")
# Okabe and Ito's colours, which the colour-blind tell apart, without the yellow that white paper swallows. Their number and
# that of the marks have no common factor: 35 logs all differ, and the first five in black and white too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
MARKS = ("o", "s", "^", "D", "v")
# Marks along a curve, at most.
MOST_MARKS = 12
TRAINING_DASHES = (0, (4, 2))


class Run(NamedTuple):
    """A log's curves in nats, NaN where there is no figure."""

    path: Path
    records: list[Record]
    epochs: np.ndarray      # (N,)
    training: np.ndarray    # (N,)
    validation: np.ndarray  # (N,)

    @property
    def judge(self) -> str:
        """Which losses decide: "validation" if there are any, else "training"."""
        return "training" if np.isnan(self.validation).all() else "validation"

    @property
    def judged(self) -> np.ndarray:
        """Those losses."""
        return getattr(self, self.judge)

    @property
    def best(self) -> int:
        """Index of the smallest of them, the first one."""
        return int(np.nanargmin(self.judged))

    @property
    def point(self) -> tuple[float, float]:
        """Epoch and loss there."""
        return float(self.epochs[self.best]), float(self.judged[self.best])


def load(path: Path) -> Run:
    """The curves of a log."""
    records = read(path)
    epochs = np.array([record["epoch"] for record in records], np.float64)
    training, validation = (
        np.array([record.get(name) for record in records], np.float64) for name in ("loss", "validation_loss")
    )
    run = Run(path, records, epochs, training, validation)
    if np.isnan(run.judged).all():
        raise ValueError(f"{path}: no epoch has a finite loss")
    return run


def names(paths: Sequence[Path]) -> list[str]:
    """What to call each log: its stem, or its whole path where another has the same stem."""
    stems = [path.stem for path in paths]
    return [stem if stems.count(stem) == 1 else str(path) for stem, path in zip(stems, paths, strict=True)]


def check_picture(path: Path, logs: Sequence[Path]) -> None:
    """Refuse a picture of an unknown kind, or in the place of a log."""
    if path.suffix.lower() not in PICTURES:
        raise ValueError(f"the picture must end in {', '.join(PICTURES[:-1])} or {PICTURES[-1]}, got {str(path)!r}")
    if path.resolve() in [log.resolve() for log in logs]:
        raise ValueError(f"{path} is one of the logs; choose another name for the picture")


def empty(width: float, height: float) -> Figure:
    """A figure to draw in, of a size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise RuntimeError('drawing needs matplotlib: pip install "fastlstm[plot]"') from None
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def draw(runs: Sequence[Run]) -> Figure:
    """Nats and bits per symbol by epoch: training dashed, validation solid, the best epoch marked with its value."""
    figure = empty(8, 5)
    from matplotlib.ticker import MaxNLocator

    axes = figure.add_subplot()
    for k, run in enumerate(runs):
        _draw(axes, run, *style(k))
    if len(runs) == 1:  # the values of several are in the legend, where they do not lie on each other
        axes.annotate(
            f"{runs[0].point[1]:.3f}", runs[0].point, (0, -10), textcoords="offset points", ha="center", va="top", zorder=5,
            fontweight="bold", bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )
    axes.set(xlabel="epoch", ylabel="loss (nats per symbol)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    first, last = min(run.epochs[0] for run in runs), max(run.epochs[-1] for run in runs)
    axes.set_xlim(first - 0.5, last + 0.5 + 0.01 * (last - first))
    right = axes.secondary_yaxis("right", functions=(bits, lambda bits: bits * ln(2)))
    right.set_ylabel("bits per symbol")
    axes.spines["top"].set_visible(False)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    _add_legend(axes, runs)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the picture; letters that the font lacks become boxes, which one can see without being told of each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(path)


def style(k: int) -> tuple[str, str]:
    """Colour and mark of curve k."""
    return COLOURS[k % len(COLOURS)], MARKS[k % len(MARKS)]


def _draw(axes: Axes, run: Run, colour: str, mark: str) -> None:
    """Both curves, and the best epoch."""
    every = -(-len(run.epochs) // MOST_MARKS)
    style = {"color": colour, "marker": mark, "markevery": every, "markersize": 4}
    axes.plot(run.epochs, run.training, linestyle=TRAINING_DASHES, linewidth=1, markerfacecolor="white", **style)
    axes.plot(run.epochs, run.validation, linewidth=1.8, **style)
    axes.plot(*run.point, mark, color=colour, markersize=9, markeredgecolor="black", zorder=4)


def _add_legend(axes: Axes, runs: Sequence[Run]) -> None:
    """What marks, colours and kinds of line mean."""
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=colour, marker=mark, linestyle="none") for colour, mark in map(style, range(len(runs)))]
    dashed = Line2D([], [], color="0.3", linestyle=TRAINING_DASHES, linewidth=1)
    labels = names([run.path for run in runs])
    if len(runs) > 1:
        labels = [f"{label}: best {run.point[1]:.3f}" for label, run in zip(labels, runs, strict=True)]
    entries = [*zip(marks, labels, strict=True), (dashed, "training")]
    if not all(np.isnan(run.validation).all() for run in runs):
        entries.append((Line2D([], [], color="0.3", linewidth=1.8), "validation"))
    handles, texts = zip(*entries, strict=True)
    legend = axes.legend(handles, " " * len(texts), loc="upper right", frameon=False, ncols=1 + len(runs) // 12)
    for shown, text in zip(legend.get_texts(), texts, strict=True):
        shown.set_parse_math(False)  # a file's name is no formula
        shown.set_text(text)  # only here: a label that begins with _ would be left out
