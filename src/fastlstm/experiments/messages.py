"""Short messages: which of their features does a network know that only ever had to predict the next symbol?"""

from __future__ import annotations

import random
from string import ascii_letters, ascii_uppercase
from typing import Any, NamedTuple

import numpy as np

from fastlstm.experiments.common import Report, Say, only, train
from fastlstm.experiments.message import SYMBOLS, URL_START, Part, message
from fastlstm.find import probe
from fastlstm.model import Model
from fastlstm.trace import Trace

HIDDEN_SIZE, ROUNDS, LEARNING_RATE = 64, 20, 1e-2
MESSAGES = 500  # that it is asked about, of another seed than those that it learns from
SHIFTS, LEVEL = 99, 0.05  # of the probes, and of the p-values of what is known
PICTURED, SHOWN = ("url", "quotation", "capitals"), 500  # features whose closest neuron is shown, and on how many symbols
QUANTITIES = ("cell_state", "hidden_state")
LETTERS, CAPITALS = list(ascii_letters), list(ascii_uppercase)


class Feature(NamedTuple):
    """A question to the states: in words, and as a target (T,), NaN at steps that do not count."""

    words: str
    target: np.ndarray


def line(rng: random.Random) -> str:
    """A message."""
    return _text(message(rng))


def run(seed: int, say: Say, **options: Any) -> Report:
    """Train, and ask for every feature."""
    return examine(train([line] * ROUNDS, SYMBOLS, HIDDEN_SIZE, 1, LEARNING_RATE, seed, say, **options), seed)


def features(parts: list[Part]) -> dict[str, Feature]:
    """All features of a text, at steps where they are not plain from the symbol that is read."""
    symbols = np.array(list(_text(parts)))
    kind, quoted = (np.array([part[k] for part in parts for _ in part.text]) for k in (1, 2))
    place, left = (
        np.array([k for part in parts for k in range(len(part.text))[::step]], np.float64) for step in (1, -1)
    )
    later, at_capital = place > 0, np.isin(symbols, CAPITALS)
    is_name = np.isin(kind, ["name", "opening name"])
    opening = np.isin(kind, ["opening name", "opening word"])
    shouted = kind == "capitals"
    at_space = (symbols == " ") & np.isin(kind, ["plain", "auxiliary"])
    in_sentence = np.isin(symbols, [*LETTERS, " ", '"'])
    return {
        "hashtag": Feature("position in a #hashtag, at its letters", only(place, (kind == "hashtag") & later)),
        "url": Feature("position in an address, at random letters", only(place, (kind == "url") & (place >= len(URL_START)))),
        "mention": Feature("position in a @mention, at its letters", only(place, (kind == "mention") & later)),
        "name": Feature("a name, not just a first word, after its capital", only(is_name, (is_name | opening) & later)),
        "opening_name": Feature("a name, where it is the first word too", only(is_name, opening & later)),
        "to_be": Feature('"to be" follows an auxiliary, at spaces', only((kind == "auxiliary") & (left == 0), at_space)),
        "quotation": Feature("in a quotation, at letters, spaces and quotes", only(quoted, in_sentence)),
        "capitals": Feature("all in capitals, at capitals but the first", only(shouted, at_capital & (later | ~shouted))),
    }


def examine(model: Model, seed: int) -> Report:
    """What the states of a model of such messages tell of each feature, and what tells it without having learnt anything."""
    rng = random.Random(f"questions {seed}")
    parts = [part for _ in range(MESSAGES) for part in message(rng)]
    text, asked = _text(parts), features(parts)
    untrained = Model(**model.config, vocabulary=sorted(SYMBOLS), seed=seed)
    trace, echo = (reader.trace(text, quantities=QUANTITIES) for reader in (model, untrained))
    found = {name: _answer(trace, echo, feature.target) for name, feature in asked.items()}
    known = sum(answer["known"] for answer in found.values())
    figures = {
        "experiment": "messages", "bits_per_symbol": model.evaluate(text)["bits_per_symbol"],
        "asked": len(asked), "known": known, "features": found,
    }
    words = [
        f"It reads {MESSAGES} new messages ({len(trace):,} symbols) at {figures['bits_per_symbol']:.3f} bits per symbol.",
        "A linear probe of all its states is fitted on two thirds of them and judged on the last third; beside it, the same",
        "of an untrained network's states, and of the symbol alone. Chance is the score of the feature moved along the text.",
        "",
        f"{'':52}{'score':>7}{'untrained':>11}{'symbol':>8}{'chance':>8}{'p':>6}",
        *(
            f"{asked[name].words:52}{answer['score']:7.2f}{answer['untrained']:11.2f}{answer['symbol_alone']:8.2f}"
            f"{answer['chance']:8.2f}{answer['p_value']:6.2f}"
            for name, answer in found.items()
        ),
        "",
        "Positions are judged by R², all else by balanced accuracy. Only steps count where the symbol is of the kind named.",
        f"Known, which is above chance (p ≤ {LEVEL}) and above both others: {known} of {len(asked)}.",
        *(
            f"Closest to {name.replace('_', ' ')}: {answer['quantity'].replace('_', ' ')} {answer['neuron']}, "
            f"r = {answer['correlation']:+.2f}."
            for name, answer in found.items()
        ),
    ]
    views = [trace.view(0, found[name]["neuron"], found[name]["quantity"], stop=SHOWN) for name in PICTURED]
    return Report(figures, words, views, model)


def _answer(trace: Trace, echo: Trace, target: np.ndarray) -> dict[str, Any]:
    """The held-out scores of the states, of an untrained network's, and of the symbol, one-hot; and the closest neuron."""
    states, untrained = (probe(_states(read), target, shifts, 0) for read, shifts in ((trace, SHIFTS), (echo, 1)))
    symbol = probe(np.eye(len(SYMBOLS), dtype=np.float32)[trace.tokens], target, 1, 0).score
    closest = trace.find(target, top=1, shifts=1)[0]
    return {
        **states._asdict(), "untrained": untrained.score, "symbol_alone": symbol,
        "known": states.p_value <= LEVEL and states.score > max(untrained.score, symbol),
        "steps": int(np.isfinite(target).sum()), "neuron": closest.neuron, "quantity": closest.quantity,
        "correlation": closest.correlation,
    }


def _states(trace: Trace) -> np.ndarray:
    """(T, 2H): the cells and the outputs."""
    return np.concatenate([trace.layers[0].quantities[name] for name in QUANTITIES], axis=1)


def _text(parts: list[Part]) -> str:
    return "".join(part.text for part in parts)
