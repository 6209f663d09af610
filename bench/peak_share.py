"""Which share of the peak of fused multiply-adds large layers reach.

    [FASTLSTM_ISA=avx2] python bench/peak_share.py [--turns 15] [--output FILE.md]

An LSTM on one thread, T = 50. Each turn measures the peak of a loop in registers, the best of seven runs of 2 ms, then all
layers, and right after each of them one run of the loop: as the clock is by then.
"""

import argparse
from pathlib import Path
from statistics import median

import machine

machine.hold_threads(1)

from peers import OURS  # noqa: E402
from report import head, publish  # noqa: E402
from turns import turn  # noqa: E402
from work import Inference, LayerTraining  # noqa: E402

T, SECONDS = 50, 0.1
WORKS = [work(T, B, H) for work in (Inference, LayerTraining) for B in (32, 64) for H in (256, 512)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    peak, calls = machine.fma_peak(), [work.call(OURS, 1) for work in WORKS]
    repeats = [max(1, round(SECONDS / turn(call, 1))) for call in calls]
    before, speeds, after = [], [[] for _ in WORKS], [[] for _ in WORKS]
    for _ in range(options.turns):
        before.append(peak(7))
        for k, work in enumerate(WORKS):
            speeds[k].append(1e-9 * work.flops / turn(calls[k], repeats[k]))
            after[k].append(peak(1))
    lines = ["# The share of the peak", "", *head(machine.describe(1), machine.limits()), ""]
    lines += [f"Highest peak of registers: {max(before):.0f} GFLOP/s. Medians of {options.turns} turns.", ""]
    lines += ["| layer | GFLOP/s | of the highest peak | peak right after | of that |", "| --- | --- | --- | --- | --- |"]
    for work, speed, then in zip(WORKS, speeds, after, strict=True):
        of_that = median(own / other for own, other in zip(speed, then, strict=True))
        lines.append(
            f"| {work.name} | {median(speed):.0f} | {median(speed) / max(before):.0%} | {median(then):.0f} | {of_that:.0%} |"
        )
    publish("\n".join([*lines, ""]), options.output)


if __name__ == "__main__":
    main()
