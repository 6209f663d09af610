"""The state memoriser: A or B, some x's, Y, then a or b. Where is it kept meanwhile?"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from fastlstm import targets
from fastlstm.experiments.common import NEEDED, Report, Say, cells, correlation, costs, levels, only, told_levels, train, wrong
from fastlstm.model import Model

HIDDEN_SIZE, ROUNDS, LEARNING_RATE = 20, 40, 3e-2
SYMBOLS = "ABxYab\n"
MOST = 10  # the most x's
SHUT, OPEN = 0.1, 0.9  # on x, the gates of a cell that keeps what it has
GATES = ("input_gate", "forget_gate", "candidate", "cell_state", "output_gate")


def written(first: str, n: int) -> str:
    """The line of A or B and n x's."""
    return f"{first}{'x' * n}Y{first.lower()}\n"


def line(rng: random.Random) -> str:
    """A or B and 1 … `MOST` x's."""
    return written(rng.choice("AB"), rng.randint(1, MOST))


def run(seed: int, say: Say, **options: Any) -> Report:
    """Train, test, and find the memory."""
    options = {"initializer": "orthogonal", **options}
    return examine(train([line] * ROUNDS, SYMBOLS, HIDDEN_SIZE, 1, LEARNING_RATE, seed, say, **options))


def examine(model: Model) -> Report:
    """What a model of such lines does, which cell remembers the letter, and which counts the x's beside it."""
    every = [written(first, n) for first in "AB" for n in range(1, MOST + 1)]
    failed = wrong(model, {text[:-2]: text[-2:] for text in every})
    lines = "".join(text for k in range(3) for text in random.Random(k).sample(every, len(every)))
    trace, cost = model.trace(lines), costs(model, lines)
    symbols = np.array(trace.symbols)
    is_b = trace.target(targets.count("B", reset="\n"))
    layer, is_x = trace.layers[0], symbols == "x"
    margins = _margins(layer.cell_state, is_x, is_b > 0)
    # The one that is needed most of those that keep A and B apart; if none does, that which comes closest to it.
    neuron = int(np.where(margins > 0, cost, -np.inf).argmax() if (margins > 0).any() else margins.argmax())
    margin = float(margins[neuron])
    shut = (layer.input_gate[is_x].mean(axis=0) < SHUT) & (layer.forget_gate[is_x].mean(axis=0) > OPEN)
    keepers = np.flatnonzero((margins > 0) & shut).tolist()
    by_symbol = levels(trace, 0, neuron, "ABxYab\n")
    on_x, forget_after = by_symbol["x"], min(by_symbol[symbol]["forget_gate"] for symbol in ("a", "b", "newline"))
    counter = cells(trace, only(trace.target(targets.count("x", reset="\n")), is_x))[0]
    figures = {
        "experiment": "state", "perfect_in_range": not failed, "wrong": len(failed), "neuron": neuron, "margin": margin,
        "correlation": correlation(layer.cell_state[:, neuron], only(is_b, is_x)),
        "input_gate_on_x": on_x["input_gate"], "forget_gate_on_x": on_x["forget_gate"],
        "kept_by_gates": neuron in keepers, "keepers": keepers,
        "least_forget_gate_after": forget_after, "cost": float(cost[neuron]),
        "counting_neuron": counter.neuron, "counting_correlation": counter.correlation, "levels": by_symbol,
    }
    words = [
        f"After A or B, 1 to {MOST} x's and Y it writes the same letter: {len(every) - len(failed)} of {len(every)} right.",
        f"Cell {neuron} remembers: through all the x's its values after A and after B are {margin:.0%} of their range apart. "
        f"{NEEDED.format(cost[neuron])}" if margin > 0 else "No cell keeps A and B apart through all the x's.",
        f"On x its input gate is {on_x['input_gate']:.2f} and its forget gate {on_x['forget_gate']:.2f}: "
        + ("it is kept by its gates." if neuron in keepers
           else f"not the gates alone keep it (its candidate is {on_x['candidate']:+.2f}).")
        + f" After Y, where it has been used, the forget gate goes down to {forget_after:.2f}.",
        f"Cells that keep the letter by their gates alone: {', '.join(map(str, keepers)) or 'none'}.",
        f"Beside it, cell {counter.neuron} counts the x's: r = {counter.correlation:+.3f}.",
        f"What cell {neuron} does on average:", *told_levels(by_symbol, GATES),
    ]
    shown = model.trace("".join(written(first, n) for first, n in (("A", 4), ("B", 4), ("A", MOST), ("B", MOST))))
    return Report(figures, words, [shown.view(0, neuron, "cell_state"), shown.view(0, neuron, None)], model)


def _margins(cell: np.ndarray, counts: np.ndarray, is_b: np.ndarray) -> np.ndarray:
    """How far above its values in one class all those of a cell in the other are, as a share of its range; for every cell."""
    of_a, of_b = cell[counts & ~is_b], cell[counts & is_b]
    gaps = np.maximum(of_a.min(axis=0) - of_b.max(axis=0), of_b.min(axis=0) - of_a.max(axis=0))
    return gaps / np.maximum(np.ptp(cell[counts], axis=0), 1e-6)
