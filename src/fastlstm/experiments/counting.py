"""The counting experiment: lines aᴺ X bᴺ. How does a network know when to stop?"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from fastlstm import measure, targets
from fastlstm.experiments.common import Report, Say, cells, correlation, first_right, levels, only, told_levels, train, wrong
from fastlstm.model import Model
from fastlstm.trace import Trace

HIDDEN_SIZE, ROUNDS, LEARNING_RATE = 10, 25, 2e-2
# What is dropped of h inside the recurrence: gates that cannot rely on it learn to follow the symbols alone, and the counter's
# steps stay the same beyond the lines that it has seen.
RECURRENT_DROPOUT = 0.1
# Full peepholes show every gate all cells, which are not bounded as h is: half of such networks are stuck for good.
ATTEMPTS = 8
SYMBOLS = "aXb\n"
MOST = 10        # the largest N in training
FURTHEST = 200   # the largest N tried
FOLLOWS = 0.9    # |r| of a cell that is said to follow a count
GATES = ("input_gate", "forget_gate", "candidate", "output_gate")


def written(n: int) -> str:
    """The line of n."""
    return "a" * n + "X" + "b" * n + "\n"


def line(rng: random.Random) -> str:
    """One of 1 … `MOST`."""
    return written(rng.randint(1, MOST))


def largest(model: Model) -> int:
    """The largest N such that after every aⁿX, n ≤ N, exactly n b's and the line end are written."""
    n = 0
    while n < FURTHEST and not wrong(model, {"a" * (n + 1) + "X": "b" * (n + 1) + "\n"}):
        n += 1
    return n


def run(seed: int, say: Say, **options: Any) -> Report:
    """Train until it counts as far as in training, then test and find the counter."""
    options = {"recurrent_dropout": RECURRENT_DROPOUT, **options}

    def trained(seed: int) -> Model:
        return train([line] * ROUNDS, SYMBOLS, HIDDEN_SIZE, 1, LEARNING_RATE, seed, say, **options)

    answers = {"a" * n + "X": "b" * n + "\n" for n in range(1, MOST + 1)}
    return first_right(trained, answers, examine, ATTEMPTS, seed, say)


def examine(model: Model) -> Report:
    """What a model of such lines does, and which cell counts."""
    furthest = largest(model)
    order = random.Random(0).sample(range(1, MOST + 1), MOST)
    trace = model.trace("".join(written(n) for n in order * 3))
    symbols = np.array(trace.symbols)
    _, neuron, _, r, _ = cells(trace, only(trace.target(targets.count("a", reset="\n")), symbols == "a"))[0]
    left = only(trace.target(targets.countdown("\n")), symbols == "b")
    over_b, down = correlation(trace.layers[0].cell_state[:, neuron], left), cells(trace, left)[0]
    flatness = _deviations(trace, neuron, symbols)
    by_symbol = levels(trace, 0, neuron, "aXb\n")
    perfect = furthest >= MOST
    figures = {
        "experiment": "counting", "perfect_in_range": perfect, "max_n": furthest, "neuron": neuron, "correlation": r,
        "correlation_with_b_left": over_b, "countdown_neuron": down.neuron, "countdown_correlation": down.correlation,
        "gate_deviations": flatness, "levels": by_symbol,
    }
    words = [
        f"After aᴺX it writes N b's for every N from 1 to {furthest}, of {FURTHEST} at most; it was trained on 1 to {MOST}.",
        f"Cell {neuron} counts the a's: r = {r:+.3f} with their number. Over the b's {_behaviour(r, over_b)}: "
        f"r = {over_b:+.3f} with the number of those that are left.",
        f"Cell {down.neuron} follows the b's that are left most closely: r = {down.correlation:+.3f}.",
        f"What the gates of cell {neuron} do on average (at the a's its forget gate varies by "
        f"±{flatness['forget_gate']['a']:.3f}):",
        *told_levels(by_symbol, GATES),
    ]
    shown = model.trace("".join(written(n) for n in (3, 6, MOST)))
    views = [shown.view(0, neuron, "cell_state"), shown.view(0, neuron, None), shown.view(0, None, "cell_state")]
    return Report(figures, words, views, model)


def _deviations(trace: Trace, neuron: int, symbols: np.ndarray) -> dict[str, dict[str, float]]:
    """Standard deviation of each gate of a neuron in each half of the lines: a counter's are flat."""
    halves = only(trace.target(targets.count("X", reset="\n")), np.isin(symbols, ["a", "b"]))
    return {
        gate: {
            half: float(variance[neuron] ** 0.5)
            for half, variance in zip("ab", measure.variance(array, halves).values(), strict=True)
        }
        for gate, array in trace.layers[0].quantities.items() if gate.endswith("_gate")
    }


def _behaviour(r: float, over_b: float) -> str:
    if abs(over_b) < FOLLOWS:
        return "it does something else"
    return "it counts back" if r * over_b > 0 else "it goes on the same way"
