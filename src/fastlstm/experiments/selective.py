"""The selective counter: N a's with X's among them, Y, then N b's. How are the X's left uncounted?"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from fastlstm import measure, targets
from fastlstm.experiments.common import NEEDED, Report, Say, cells, costs, first_right, levels, only, told_levels, train, wrong
from fastlstm.model import Model
from fastlstm.trace import Trace

HIDDEN_SIZE, ROUNDS, LEARNING_RATE = 20, 5, 3.0
# Large steps in proportion to the gradient saturate gates and candidates soon, and then leave alone what is saturated. Adam's
# are as large for a candidate that is nearly saturated as for a gate, so that it shrinks the candidate at X first.
FITTING = {"optimizer": "momentum", "clip_norm": 1.0}
# Such steps spoil half of the networks for good. One that gets lines wrong is given up for another.
ATTEMPTS = 16
SYMBOLS = "aXYb\n"
MOST = 10              # the most a's, and the most X's among them
LINES = 300            # that it is tested on; as many others tell whether an attempt is given up
SHUT, WIDE = 0.1, 0.9  # the input gate at X, the size of its candidate there
OPEN = 0.5             # the input gate at a of one that lets the a's in
COUNTS = 0.9           # |r| of a cell that counts
GATES = ("input_gate", "forget_gate", "candidate", "output_gate")


def prompt(n: int, others: int, rng: random.Random) -> str:
    """So many a's with so many X's anywhere among them, and Y."""
    symbols = ["a"] * n + ["X"] * others
    rng.shuffle(symbols)
    return "".join(symbols) + "Y"


def line(rng: random.Random) -> str:
    """One of 1 … `MOST` a's and 0 … `MOST` X's."""
    n = rng.randint(1, MOST)
    return f"{prompt(n, rng.randint(0, MOST), rng)}{'b' * n}\n"


def asked(seed: int) -> dict[str, str]:
    """`LINES` prompts, less those that come twice, with their answers."""
    rng = random.Random(seed)
    prompts = [prompt(1 + k % MOST, rng.randint(0, MOST), rng) for k in range(LINES)]
    return {text: "b" * text.count("a") + "\n" for text in prompts}


def run(seed: int, say: Say, **options: Any) -> Report:
    """Train until it gets other lines right, then test and find the selective counter."""
    options = {"initializer": "orthogonal", **options}

    def trained(seed: int) -> Model:
        return train([line] * ROUNDS, SYMBOLS, HIDDEN_SIZE, 1, LEARNING_RATE, seed, say, FITTING, **options)

    return first_right(trained, asked(seed=2), examine, ATTEMPTS, seed, say)


def examine(model: Model) -> Report:
    """What a model of such lines does, which cell counts, and what keeps the X's out of it."""
    answers = asked(seed=1)
    failed, lines = wrong(model, answers), [prompt + answer for prompt, answer in answers.items()]
    text = "".join(lines)
    trace = model.trace(text)
    cost = costs(model, text)
    counters = _counters(trace)
    neuron, r = max(counters, key=lambda counter: cost[counter[0]])
    by_symbol = levels(trace, 0, neuron, "aXYb\n")
    gates, sizes = _size_at(trace, "X", "input_gate"), _size_at(trace, "X", "candidate")
    shut = (gates < SHUT) & (sizes >= WIDE)
    open_at_a = _size_at(trace, "a", "input_gate") > OPEN
    keepers = sorted(cell for cell, own in counters if abs(own) >= COUNTS and shut[cell] and open_at_a[cell])
    at_x, keeps_out = (float(gates[neuron]), float(sizes[neuron])), bool(shut[neuron])
    monotone, spread = _at_y(trace)
    figures = {
        "experiment": "selective", "perfect_in_range": not failed, "wrong": len(failed), "tested": len(answers),
        "neuron": neuron, "correlation": r, "cost": float(cost[neuron]), "input_gate_at_X": at_x[0],
        "candidate_size_at_X": at_x[1], "input_gate_keeps_X_out": keeps_out, "keepers": keepers,
        "monotone_neuron": monotone, "spread_at_equal_n": spread, "levels": by_symbol,
    }
    right = f"{len(answers) - len(failed)} of {len(answers)}"
    words = [
        f"After N a's with X's among them and Y it writes N b's: {right} right.",
        f"Cell {neuron} counts the a's: r = {r:+.3f} with their number. {NEEDED.format(cost[neuron])}",
        f"At the X's {_reason(*at_x)}: the input gate is {at_x[0]:.2f}, the candidate {at_x[1]:.2f} in size.",
        f"Cells that count and keep the X's out by their input gates alone: {', '.join(map(str, keepers)) or 'none'}.",
        "At Y no cell is monotone in N." if monotone is None else
        f"At Y, cell {monotone} is monotone in N; at equal N it differs by {spread:.2f} of the mean step between two N.",
        f"What the gates of cell {neuron} do on average:", *told_levels(by_symbol, GATES),
    ]
    shown = model.trace("".join(lines[2:10:3]))
    return Report(figures, words, [shown.view(0, neuron, "cell_state"), shown.view(0, neuron, None)], model)


def _counters(trace: Trace) -> list[tuple[int, float]]:
    """The cells that count a's until Y, or all if none does; each with its r."""
    before = trace.target(targets.count("Y", reset="\n")) == 0
    before &= trace.target(targets.one_of("\n")) == 0
    found = cells(trace, only(trace.target(targets.count("a", reset="\n")), before))
    found = [one for one in found if abs(one.correlation) >= COUNTS] or found
    return [(one.neuron, one.correlation) for one in found]


def _reason(gate: float, candidate: float) -> str:
    if gate < SHUT:
        return "its input gate keeps them out" + (", though their candidate is large" if candidate >= WIDE else "")
    return "its candidate is small" if candidate < SHUT else "it is gate and candidate together that keep them out"


def _size_at(trace: Trace, symbol: str, quantity: str) -> np.ndarray:
    """Mean size (H,) of a quantity at a symbol."""
    return np.abs(trace.quantity(0, quantity)[np.array(trace.symbols) == symbol]).mean(axis=0, dtype=np.float64)


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
