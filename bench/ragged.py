"""The time of a ragged batch against the sum of its lengths: padding should cost nothing.

    python bench/ragged.py [--threads N] [--turns 15] [--output FILE.md]

An LSTM, T=100 B=32 H=256, forward, and forward and back, on batches from a tenth full to full, in turn. A figure is the
median of the turns; the line through them is that of least squares.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

import machine
from peers import OURS
from report import head, publish, table
from turns import turn
from work import Inference, LayerTraining, LayerWork, even_lengths

T, B, H = 100, 32, 256
WORKS = {"forward": Inference(T, B, H), "forward and back": LayerTraining(T, B, H)}
BATCHES = {
    "all 10": (10,) * B,
    "one 100, the others 7": (T, *(7,) * (B - 1)),
    "evenly 1 to 50": even_lengths(T // 2, B),
    "evenly 1 to 100": even_lengths(T, B),
    "evenly 61 to 100": tuple(60 + length for length in even_lengths(T - 60, B)),
    "all 100": (T,) * B,
}
SUMS = np.array([sum(lengths) for lengths in BATCHES.values()])


def measure(work: LayerWork, threads: int, turns: int) -> np.ndarray:
    """Seconds of a call with each of the batches."""
    calls = [replace(work, lengths=lengths).call(OURS, threads) for lengths in BATCHES.values()]
    for call in calls:
        call()  # allocates
    times = [[turn(call, 1) for call in calls] for _ in range(turns)]
    return np.array([median(column) for column in zip(*times, strict=True)])


def fit(name: str, seconds: np.ndarray) -> str:
    """The line through the times, and how far they are from being proportional to the sums."""
    slope, offset = np.polyfit(SUMS, seconds, 1)
    unexplained = np.square(seconds - offset - slope * SUMS).sum() / np.square(seconds - seconds.mean()).sum()
    dearest = (seconds / SUMS).argmax()
    return (
        f"- {name}: {offset * 1e3:.2f} ms + {slope * 1e6:.2f} µs for each step of a sequence, "
        f"R² = {1 - unexplained:.4f}; a step is dearest in “{list(BATCHES)[dearest]}”, "
        f"{seconds[dearest] / SUMS[dearest] / (seconds[-1] / SUMS[-1]):.2f} times that of the full batch"
    )


def report(found: dict[str, np.ndarray]) -> list[str]:
    """The table and the lines."""
    titles = ["lengths", "mean"]
    for name in found:
        titles += [f"{name}, ms", "µs a step", "of the full batch"]
    rows = [titles]
    for k, (name, lengths) in enumerate(BATCHES.items()):
        rows.append([name, f"{np.mean(lengths):.1f}"])
        for seconds in found.values():
            time = seconds[k]
            rows[-1] += [f"{time * 1e3:.2f}", f"{time / SUMS[k] * 1e6:.2f}", f"{time / seconds[-1]:.0%}"]
    return [*table(rows), "", *(fit(name, seconds) for name, seconds in found.items())]


def main() -> None:
    """Measure, print the report, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="(1)")
    parser.add_argument("--turns", type=int, default=15, metavar="N", help="of each batch (15)")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="receives the report too")
    args = parser.parse_args()
    measured_on = head(machine.describe(args.threads), machine.limits())
    found = {name: measure(work, args.threads, args.turns) for name, work in WORKS.items()}
    page = "\n".join([*measured_on, f"- an LSTM, T={T} B={B} H={H}", "", *report(found), ""])
    publish(page, args.output)


if __name__ == "__main__":
    main()
