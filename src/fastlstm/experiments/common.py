"""What the experiments share: lines to train on, the training, and questions to ask of a model and its neurons."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from math import cos, pi
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fastlstm.find import Found
from fastlstm.model import Model
from fastlstm.targets import Target
from fastlstm.trace import Trace
from fastlstm.views import View

Say = Callable[[str], None]
Line = Callable[[random.Random], str]

# Streams read side by side, each new in every round, and their length: every stream begins at the zero state with a line of
# its own, so that what is learnt holds from there too.
STREAMS, STEPS = 32, 4000
SEQ_LENGTH, EPOCHS = 50, 4
# In words, what `costs` says of the cell that was chosen by it.
NEEDED = "Of the cells that do, the network needs it most: with its output held at its mean, it loses {:.2f} bits per symbol."
# Rounds between two words of progress.
TELL = 5


class Report(NamedTuple):
    """What came out: figures by name, the same in words, and pictures."""

    figures: dict[str, Any]
    words: list[str]
    views: list[View]
    model: Model


def corpus(line: Line, rng: random.Random) -> str:
    """`STREAMS` streams of lines, the last line of each cut off, and a symbol for the last prediction."""
    streams = []
    for _ in range(STREAMS):
        lines, size = [], 0
        while size < STEPS:
            lines.append(line(rng))
            size += len(lines[-1])
        streams.append("".join(lines)[:STEPS])
    return "".join(streams) + streams[0][0]


def train(
    lines: Sequence[Line], symbols: str, hidden_size: int, num_layers: int, learning_rate: float, seed: int, say: Say,
    fitting: Mapping[str, Any] = MappingProxyType({}), **options: Any,
) -> Model:
    """A model trained for a round on each of `lines`: `EPOCHS` epochs of new ones, at a rate that falls as a cosine.

    `fitting` is more options of `Model.fit`; `options` are of `Model`.
    """
    rng, rounds = random.Random(seed), len(lines)
    model = Model(hidden_size=hidden_size, num_layers=num_layers, vocabulary=sorted(symbols), seed=seed, **options)
    for done, line in enumerate(lines):
        record = model.fit(
            corpus(line, rng), epochs=EPOCHS, batch_size=STREAMS, seq_length=SEQ_LENGTH, validation=None, progress=False,
            learning_rate=learning_rate * (1 + cos(pi * done / rounds)) / 2, threads=1, **fitting,
        )[-1]
        if (done + 1) % TELL == 0:
            say(f"round {done + 1}/{rounds}: {record['bits_per_symbol']:.4f} bits per symbol")
    return model


def wrong(model: Model, answers: Mapping[str, str]) -> list[str]:
    """The prompts after which the model, from a fresh state and always taking the likeliest, does not write the answer."""
    length = max(map(len, answers.values()))
    written = model.sample(length, list(answers), temperature=0, stop="\n")
    return [prompt for (prompt, answer), found in zip(answers.items(), written, strict=True) if found != answer]


def first_right(
    trained: Callable[[int], Model], answers: Mapping[str, str], examine: Callable[[Model], Report], attempts: int, seed: int,
    say: Say,
) -> Report:
    """Of the first model with all answers right, or the last attempt; with how many were made, each from a seed of its own."""
    for attempt in range(1, attempts + 1):
        model = trained(seed + (attempt - 1) * 1_000_000)
        failed = len(wrong(model, answers))
        if not failed or attempt == attempts:
            break
        say(f"{failed} of {len(answers)} lines wrong: once more, with other weights")
    report = examine(model)
    return report._replace(figures={**report.figures, "attempts": attempt})


def only(target: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The target where a mask holds, NaN elsewhere."""
    return np.where(np.asarray(where, bool), target, np.nan)


def cells(trace: Trace, target: Target) -> list[Found]:
    """All cells of all layers, those that follow the target most closely first."""
    return trace.find(target, top=sum(layer.cell_state.shape[1] for layer in trace.layers), quantities=["cell_state"])


def correlation(values: np.ndarray, target: np.ndarray) -> float:
    """Pearson's r where the target is not NaN; 0 where one of them is constant."""
    counts = ~np.isnan(target)
    x, y = values[counts].astype(np.float64), target[counts]
    return float(np.corrcoef(x, y)[0, 1]) if len(x) and x.std() > 1e-6 and y.std() else 0.0


def costs(model: Model, text: str) -> np.ndarray:
    """(H,) bits per symbol that a model of one layer loses on a text when one unit's output is held at its mean.

    So it is told which of several units that know something is the one that the network uses.
    """
    means = model.trace(text, quantities=["hidden_state"]).layers[0].hidden_state.mean(axis=0)
    whole, found = model.evaluate(text)["bits_per_symbol"], np.empty(len(means))
    for neuron, mean in enumerate(means):
        other = copy(model)
        arrays = other.network.parameters.arrays
        for weight, bias in (("lstm.weight_hh_l0", "lstm.bias_hh_l0"), ("output.weight", "output.bias")):
            arrays[bias][...] += mean * arrays[weight][:, neuron]
            arrays[weight][:, neuron] = 0
        other.network.parameters.touch()
        found[neuron] = other.evaluate(text)["bits_per_symbol"] - whole
    return found


def levels(trace: Trace, layer: int, neuron: int, symbols: Iterable[str]) -> dict[str, dict[str, float]]:
    """Mean of every quantity of a neuron at each symbol."""
    found = {}
    for symbol in symbols:
        at = np.array([read == symbol for read in trace.symbols])
        quantities = trace.layers[layer].quantities
        name = "newline" if symbol == "\n" else symbol
        found[name] = {q: float(array[at, neuron].mean(dtype=np.float64)) for q, array in quantities.items()}
    return found


def told_levels(found: dict[str, dict[str, float]], quantities: Iterable[str]) -> list[str]:
    """`levels` as a table in words."""
    names = list(quantities)
    rows = [f"{'':14}" + "".join(f"{symbol:>9}" for symbol in found)]
    rows += [f"{name.replace('_', ' '):14}" + "".join(f"{found[symbol][name]:9.2f}" for symbol in found) for name in names]
    return rows
