"""Small experiments that end inside the network: train on made-up lines, check what is written, find the neurons that do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastlstm.experiments import copying, counting, messages, selective, state
from fastlstm.experiments.common import Report, Say

EXPERIMENTS: dict[str, Callable[..., Report]] = {
    "counting": counting.run, "selective": selective.run, "state": state.run, "copy": copying.run,
    "messages": messages.run,
}


def run(name: str, seed: int, say: Say, **options: Any) -> Report:
    """Do an experiment.

    Args:
        name: of `EXPERIMENTS`.
        seed: of the lines and the weights.
        say: is told of the progress.
        options: of `Model`, beside the sizes, `cell` and `tied`: it is the cells of an LSTM that are looked for.
    """
    report = EXPERIMENTS[name](seed, say, **options)
    return report._replace(figures={**report.figures, "seed": seed, **options})
