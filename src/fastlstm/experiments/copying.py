"""The copier: three letters, X, and the same three letters. How is more than one thing kept, and used in order?"""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy as np

from fastlstm import measure, targets
from fastlstm.experiments.common import Report, Say, correlation, only, train, wrong
from fastlstm.model import Model
from fastlstm.trace import Trace

HIDDEN_SIZE, NUM_LAYERS, ROUNDS, LEARNING_RATE = 20, 2, 20, 1e-2
SYMBOLS = "abcX\n"
LENGTH, LETTERS = 3, "abc"
STRINGS = ["".join(letters) for letters in product(LETTERS, repeat=LENGTH)]
HOLDS = 0.3  # of its largest |c|: what a cell must reach before X to be said to hold something there
CANDIDATES = 20  # neurons looked at for each meaning
REPEATS = 5  # of each string, in other company


def line(rng: random.Random) -> str:
    """One of the 27."""
    return written(rng.choice(STRINGS))


def written(string: str) -> str:
    """The line of a string."""
    return f"{string}X{string}\n"


def run(seed: int, say: Say, **options: Any) -> Report:
    """Train, test, and find who holds what."""
    return examine(train([line] * ROUNDS, SYMBOLS, HIDDEN_SIZE, NUM_LAYERS, LEARNING_RATE, seed, say, **options))


def examine(model: Model) -> Report:
    """What a model of such lines does; what its cells hold at X, and who keeps still until then."""
    failed = wrong(model, {f"{string}X": f"{string}\n" for string in STRINGS})
    order = [string for k in range(REPEATS) for string in random.Random(k).sample(STRINGS, len(STRINGS))]
    trace = model.trace("".join(map(written, order)))
    (layer, neuron), separated, scatter = _separator(trace, order)
    silent = _silent(trace)
    next_is_b, kth_was_b = _roles(trace, order)
    figures = {
        "experiment": "copy", "perfect_in_range": not failed, "wrong": len(failed), "layer": layer, "neuron": neuron,
        "separated": separated, "at_X": scatter, "silent": silent, "next_is_b": next_is_b, "symbol_was_b": kth_was_b,
        "correlation": next_is_b["correlation"],
    }
    words = [
        f"After three letters and X it writes them again: {len(STRINGS) - len(failed)} of {len(STRINGS)} strings right.",
        f"Cell {neuron} of layer {layer} alone tells {separated} of the {len(STRINGS)} strings from all others at X:",
        *_scattered(scatter),
        "No neuron that holds something before X is silent." if silent is None else
        f"Neuron {silent['neuron']} of layer {silent['layer']} is silent in h until X (at most {silent['largest_h']:.2f}) "
        f"while its cell reaches {silent['largest_c']:.2f}.",
        _told("the next symbol is b", next_is_b),
        *(_told(f"symbol {k} was b", role) for k, role in enumerate(kth_was_b)),
    ]
    shown = model.trace("".join(map(written, ("abc", "bca", "bbb", "cab"))))
    views = [shown.view(layer, neuron, "cell_state"), shown.view(*(next_is_b[k] for k in ("layer", "neuron", "quantity")))]
    if silent:
        views.append(shown.view(silent["layer"], silent["neuron"], None))
    return Report(figures, words, views, model)


def _separator(trace: Trace, order: list[str]) -> tuple[tuple[int, int], int, dict[str, tuple[float, float]]]:
    """The cell that tells most strings from all others at X, how many, and where it is for each string, in their order."""
    at_x = trace.target(targets.one_of("X")) > 0
    number = np.array([STRINGS.index(string) for string in order])
    best: tuple[tuple[int, int], int, dict[str, tuple[float, float]]] = ((0, 0), -1, {})
    for k, layer in enumerate(trace.layers):
        groups = measure.grouped(layer.cell_state[at_x], number)
        low, high = (np.array([getattr(group, end) for group in groups.values()]) for end in ("low", "high"))
        apart = (low[:, None] > high[None]) | (high[:, None] < low[None])
        alone = apart.sum(axis=1) == len(STRINGS) - 1  # of each string, in each cell
        neuron = int(alone.sum(axis=0).argmax())
        if alone[:, neuron].sum() > best[1]:
            places = {STRINGS[s]: (float(low[s, neuron]), float(high[s, neuron])) for s in low[:, neuron].argsort()}
            best = (k, neuron), int(alone[:, neuron].sum()), places
    return best


def _silent(trace: Trace) -> dict[str, float] | None:
    """The neuron that is silent in h before X while its cell holds the most, against its largest."""
    halves = only(trace.target(targets.count("X", reset="\n")), trace.target(targets.one_of("\n")) == 0)
    before, found = halves == 0, None
    for k, layer in enumerate(trace.layers):
        is_silent = measure.silent(layer.hidden_state, halves)[0.0]
        held = np.abs(layer.cell_state[before]).max(axis=0) / np.maximum(np.abs(layer.cell_state).max(axis=0), 1e-6)
        for n in np.flatnonzero(is_silent & (held >= HOLDS)):
            if found is None or held[n] > found["share"]:
                found = {
                    "layer": k, "neuron": int(n), "share": float(held[n]),
                    "largest_h": float(np.abs(layer.hidden_state[before, n]).max()),
                    "largest_c": float(np.abs(layer.cell_state[before, n]).max()),
                }
    return found


def _roles(trace: Trace, order: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The neurons that follow "the next symbol is b" and "symbol k was b" most closely while the copy is written.

    Those that follow another of these meanings more closely are left to it, as long as there are others. Each comes with
    its r for the other meanings too.
    """
    place = np.tile(np.arange(2 * LENGTH + 2), len(order)) - LENGTH  # 0 at X, whose answer is the first letter
    strings = np.repeat(np.array([list(string) for string in order]), 2 * LENGTH + 2, axis=0)
    while_writing = (place >= 0) & (place < LENGTH)
    following = strings[np.arange(len(place)), np.clip(place, 0, LENGTH - 1)] == "b"
    meanings = {"next": following, **{str(k): strings[:, k] == "b" for k in range(LENGTH)}}
    masked = {name: only(values.astype(float), while_writing) for name, values in meanings.items()}
    best = {name: _own(trace, name, masked) for name in masked}
    return best["next"], [best[str(k)] for k in range(LENGTH)]


def _own(trace: Trace, name: str, targets: dict[str, np.ndarray]) -> dict[str, Any]:
    """The neuron that follows one of the targets most closely, and that one more than the others, if there is one."""
    roles = []
    for found in trace.find(targets[name], top=CANDIDATES, quantities=["cell_state", "hidden_state"]):
        values = trace.quantity(found.layer, found.quantity)[:, found.neuron]
        others = {other: correlation(values, targets[other]) for other in targets if other != name}
        own = abs(found.correlation) > max(map(abs, others.values()))
        roles.append({**found._asdict(), "others": others, "own": own})
        if own:
            return roles[-1]
    return roles[0]


def _scattered(scatter: dict[str, tuple[float, float]]) -> list[str]:
    """Where each string lies, from the lowest to the highest, nine in a line."""
    told = [f"{string} {(low + high) / 2:+.2f}" for string, (low, high) in scatter.items()]
    return ["  " + "  ".join(told[start : start + 9]) for start in range(0, len(told), 9)]


def _told(meaning: str, role: dict[str, Any]) -> str:
    others = ", ".join(f"{r:+.2f} with {'the next' if key == 'next' else f'symbol {key}'}" for key, r in role["others"].items())
    doubt = "" if role["own"] else ", which it follows more closely"
    return (
        f'"{meaning}": {role["quantity"].replace("_", " ")} {role["neuron"]} of layer {role["layer"]}, r = '
        f"{role['correlation']:+.2f} while the copy is written ({others}{doubt})."
    )
