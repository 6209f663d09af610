"""The selective counter: N a's with X's among them, Y, then N b's. How are the X's left uncounted?"""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import numpy as np

from fastlstm import measure, targets
from fastlstm.experiments.common import NEEDED, Report, Say, cells, costs, levels, only, told_levels, train, wrong
from fastlstm.model import Model
from fastlstm.trace import Trace

HIDDEN_SIZE, LEARNING_RATE = 20, 2e-2
# Rounds without X's, and with them. What has learnt to count all there is has candidates that nothing moves any more, and
# learns to leave the X's out by its input gates.
EASY_ROUNDS, ROUNDS = 10, 80
SYMBOLS = "aXYb\n"
MOST = 10             # the most a's, and the most X's among them
LINES = 300           # that it is tested on
SHUT, WIDE = 0.1, 0.9  # the input gate at X, the size of its candidate there
COUNTS = 0.9          # |r| of a cell that counts
GATES = ("input_gate", "forget_gate", "candidate", "output_gate")


def prompt(n: int, others: int, rng: random.Random) -> str:
    """So many a's with so many X's anywhere among them, and Y."""
    symbols = ["a"] * n + ["X"] * others
    rng.shuffle(symbols)
    return "".join(symbols) + "Y"


def line(rng: random.Random, most: int = MOST) -> str:
    """One of 1 … `MOST` a's and 0 … `most` X's."""
    n = rng.randint(1, MOST)
    return f"{prompt(n, rng.randint(0, most), rng)}{'b' * n}\n"


def run(seed: int, say: Say, **options: Any) -> Report:
    """Train, test, and find the selective counter."""
    lines = [partial(line, most=0)] * EASY_ROUNDS + [line] * ROUNDS
    options = {"initializer": "orthogonal", **options}
    return examine(train(lines, SYMBOLS, HIDDEN_SIZE, 1, LEARNING_RATE, seed, say, **options))


def examine(model: Model) -> Report:
    """What a model of such lines does, which cell counts, and what keeps the X's out of it."""
    rng = random.Random(1)
    prompts = [prompt(1 + k % MOST, rng.randint(0, MOST), rng) for k in range(LINES)]
    failed = wrong(model, {text: "b" * text.count("a") + "\n" for text in prompts})
    text = "".join(f"{text}{'b' * text.count('a')}\n" for text in prompts)
    trace = model.trace(text)
    cost = costs(model, text)
    neuron, r = _counter(trace, cost)
    by_symbol = levels(trace, 0, neuron, "aXYb\n")
    at_x = by_symbol["X"]["input_gate"], float(_size_at_x(trace, "candidate")[neuron])
    keeps_out = bool(at_x[0] < SHUT and at_x[1] >= WIDE)
    monotone, spread = _at_y(trace)
    figures = {
        "experiment": "selective", "perfect_in_range": not failed, "wrong": len(failed), "tested": len(set(prompts)),
        "neuron": neuron, "correlation": r, "cost": float(cost[neuron]), "input_gate_at_X": at_x[0],
        "candidate_size_at_X": at_x[1], "input_gate_keeps_X_out": keeps_out,
        "monotone_neuron": monotone, "spread_at_equal_n": spread, "levels": by_symbol,
    }
    right = f"{len(set(prompts)) - len(failed)} of {len(set(prompts))}"
    words = [
        f"After N a's with X's among them and Y it writes N b's: {right} right.",
        f"Cell {neuron} counts the a's: r = {r:+.3f} with their number. {NEEDED.format(cost[neuron])}",
        f"At the X's {_reason(*at_x)}: the input gate is {at_x[0]:.2f}, the candidate {at_x[1]:.2f} in size.",
        "At Y no cell is monotone in N." if monotone is None else
        f"At Y, cell {monotone} is monotone in N; at equal N it differs by {spread:.2f} of the mean step between two N.",
        f"What the gates of cell {neuron} do on average:", *told_levels(by_symbol, GATES),
    ]
    shown = model.trace("".join(f"{text}{'b' * text.count('a')}\n" for text in prompts[2:10:3]))
    return Report(figures, words, [shown.view(0, neuron, "cell_state"), shown.view(0, neuron, None)], model)


def _counter(trace: Trace, cost: np.ndarray) -> tuple[int, float]:
    """The cell that is needed most of those that count a's until Y (or of all, if none does), and its r."""
    before = trace.target(targets.count("Y", reset="\n")) == 0
    before &= trace.target(targets.one_of("\n")) == 0
    found = cells(trace, only(trace.target(targets.count("a", reset="\n")), before))
    counters = [one for one in found if abs(one.correlation) >= COUNTS] or found
    best = max(counters, key=lambda one: cost[one.neuron])
    return best.neuron, best.correlation


def _reason(gate: float, candidate: float) -> str:
    if gate < SHUT:
        return "its input gate keeps them out" + (", though their candidate is large" if candidate >= WIDE else "")
    return "its candidate is small" if candidate < SHUT else "it is gate and candidate together that keep them out"


def _size_at_x(trace: Trace, quantity: str) -> np.ndarray:
    """Mean size (H,) of a quantity at the X's."""
    return np.abs(trace.quantity(0, quantity)[np.array(trace.symbols) == "X"]).mean(axis=0, dtype=np.float64)


def _at_y(trace: Trace) -> tuple[int | None, float | None]:
    """The cell whose mean at Y is monotone in N with the least spread at equal N, in mean steps from one N to the next."""
    n = only(trace.target(targets.count("a", reset="\n")), np.array(trace.symbols) == "Y")
    groups = list(measure.grouped(trace.layers[0].cell_state, n).values())
    steps = np.diff([group.mean for group in groups], axis=0)
    monotone = np.flatnonzero((steps > 0).all(axis=0) | (steps < 0).all(axis=0))
    if not len(monotone):
        return None, None
    widths = np.mean([group.high - group.low for group in groups], axis=0) / np.abs(steps).mean(axis=0)
    best = int(monotone[widths[monotone].argmin()])
    return best, float(widths[best])
