"""How many times as fast two threads are as one, where there is enough to divide.

    python bench/two_threads.py [--turns 25] [--output FILE.md]

Layers and language models from 32 sequences on, one thread and two in turn in one process, and one model that is too
small for two, which they should not make slower. A figure is the median of the turns, of the ratio that of each turn's.
"""

import argparse
from pathlib import Path
from statistics import median

import machine

machine.hold_threads(2)

import fastlstm  # noqa: E402
from peers import OURS  # noqa: E402
from report import head, publish  # noqa: E402
from turns import turn  # noqa: E402
from work import Call, Inference, LanguageTraining, LayerTraining  # noqa: E402

SECONDS = 0.1
WORKS = [
    *(work(50, 32, H) for work in (Inference, LayerTraining) for H in (128, 512)),
    LanguageTraining(2, 128, 65, T=50, B=50, windows=4),
    LanguageTraining(2, 256, 65, E=64, T=100, B=32, windows=2),
    LanguageTraining(2, 512, 65, T=100, B=64),
    LanguageTraining(1, 10, 20, T=22, B=16, windows=30),
]


def measure(call: Call, turns: int) -> list[tuple[float, float]]:
    """Seconds of a call on one thread and on two, in every turn."""
    repeats, found = max(1, round(SECONDS / turn(call, 1))), []
    for _ in range(turns):
        pair = []
        for threads in (1, 2):
            fastlstm.set_threads(threads)
            call()  # the threads wake up, each with its own memory
            pair.append(turn(call, repeats))
        found.append(tuple(pair))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    lines = ["# Two threads against one", "", *head(machine.describe(2), machine.limits()), ""]
    lines += ["| work | one thread, ms | two, ms | times as fast |", "| --- | --- | --- | --- |"]
    for work in WORKS:
        found = measure(work.call(OURS, 2), options.turns)
        one, two = (median(column) for column in zip(*found, strict=True))
        ratio = median(first / second for first, second in found)
        lines.append(f"| {work.name} | {one * 1e3:.2f} | {two * 1e3:.2f} | **{ratio:.2f}** |")
    publish("\n".join([*lines, ""]), options.output)


if __name__ == "__main__":
    main()
