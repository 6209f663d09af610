"""fastlstm and PyTorch in turn, in one process, as a Markdown table of ratios beside what the machine can do at best.

    python bench/compare.py [NAME …] [--threads N] [--seconds S] [--output FILE]

NAME picks the scenarios whose names contain it. The two libraries get S seconds together, at least 3 turns each; a
figure is the median of a library's turns, ± half the distance of their quartiles. Let nothing else run beside it: the
load average in the head tells, and with more threads than idle cores PyTorch's time means nothing.
"""

import argparse
import gc
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import TYPE_CHECKING

import machine

if TYPE_CHECKING:
    from scenarios import Scenario

Call = Callable[[], object]

# A turn repeats its call until it takes about this long, so that the clock and the change of turns do not matter.
TURN_SECONDS = 0.02
LEAST_TURNS = 3


def turn(call: Call, repeats: int) -> float:
    """Seconds of one call, the mean of so many."""
    began = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - began) / repeats


def in_turn(calls: list[Call], seconds: float) -> list[tuple[float, float, float]]:
    """The quartiles of the seconds of one call of each, taken in turn: A B A B …"""
    first = [min(turn(call, 1) for _ in range(2)) for call in calls]  # warms up
    repeats = [max(1, round(TURN_SECONDS / one)) for one in first]
    for call, count in zip(calls, repeats, strict=True):
        if count > 1:
            turn(call, count)
    found: list[list[float]] = [[] for _ in calls]
    gc.collect()
    gc.disable()
    began = perf_counter()
    while len(found[0]) < LEAST_TURNS or perf_counter() - began < seconds:
        for times, call, count in zip(found, calls, repeats, strict=True):
            times.append(turn(call, count))
    gc.enable()
    return [tuple(quantiles(times, method="inclusive")) for times in found]


def speed(scenario: "Scenario", quartiles: tuple[float, float, float]) -> str:
    """The time of a call in the words of the scenario, and how far it can be trusted."""
    low, seconds, high = quartiles
    if scenario.per_second:
        thousands = float(f"{scenario.units / seconds / 1e3:.3g}")
        told = f"{thousands:g}k symbols/s"
    else:
        told = f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"
    return f"{told} ±{(high - low) / 2 / seconds:.0%}"


def row(scenario: "Scenario", seconds: float, with_peer: bool, peak: float) -> str:
    """A line of the table, measured in so many seconds."""
    calls = [scenario.ours()] + ([scenario.peer()] if with_peer else [])
    ours, *peer = in_turn(calls, seconds)
    gflops = scenario.flops / ours[1] / 1e9
    theirs, ratio = (speed(scenario, peer[0]), f"**{peer[0][1] / ours[1]:.2f}×**") if peer else ("–", "–")
    return (
        f"| {scenario.name} | {speed(scenario, ours)} | {theirs} | {ratio} | {gflops:.1f} | {gflops / peak:.0%} | "
        f"{scenario.goal} |"
    )


def head(described: dict[str, str | int], limits: dict[str, float]) -> list[str]:
    """Where and with what this was measured."""
    d = described
    return [
        f"- {d['date']}, commit {d['commit']}",
        f"- {d['cpu']}, {d['cores']} cores; {d['threads']} thread(s) used, load average {d['load']}",
        f"- one core at best: {limits['fma_gflops']:.0f} GFLOP/s float32 FMA; reads L1 {limits['l1_gbs']:.0f}, "
        f"L2 {limits['l2_gbs']:.0f}, L3 {limits['l3_gbs']:.0f}, DRAM {limits['dram_gbs']:.0f} GB/s",
        f"- fastlstm {d['fastlstm']}: {d['instruction_set']} kernels, {d['engine']} engine",
        f"- Python {d['python']}, NumPy {d['numpy']}, SciPy {d['scipy']} ({d['blas']}), PyTorch {d['torch']}",
        "",
        "Ratio: PyTorch's time by ours. Goal: the ratio wanted on one thread, where so said to the best of all peers.",
        "",
        "| scenario | fastlstm | PyTorch | ratio | GFLOP/s | of FMA peak | goal |",
        "|---|---|---|---|---|---|---|",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the names of the scenarios to run (all)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of both libraries (1)")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="for each scenario, about (10)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="receives the table too")
    args = parser.parse_args()

    machine.hold_threads(args.threads)  # before any of them is imported
    import scenarios

    chosen = [s for s in scenarios.SCENARIOS if not args.names or any(name in s.name for name in args.names)]
    if not chosen:
        parser.error(f"no scenario has such a name; there are: {', '.join(s.name for s in scenarios.SCENARIOS)}")
    scenarios.set_threads(args.threads)
    limits = machine.limits()
    peak = limits["fma_gflops"] * args.threads
    lines = head(machine.describe(args.threads), limits)
    print("\n".join(lines), flush=True)
    for scenario in chosen:
        lines.append(row(scenario, args.seconds, scenarios.HAS_TORCH, peak))
        print(lines[-1], flush=True)
    if args.output:
        args.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
