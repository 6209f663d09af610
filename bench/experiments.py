"""The experiments with ten seeds each: how often they come out, and what is found.

    python bench/experiments.py [NAME …] [--first SEED] [--seeds N] [--output FILE]
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
from fastlstm import experiments

# Of each experiment: what a table shows, by heading.
COLUMNS: dict[str, dict[str, str]] = {
    "counting": {
        "perfect in range": "perfect_in_range", "max_n": "max_n", "cell": "neuron", "r over the a's": "correlation",
        "r with the b's left": "correlation_with_b_left",
    },
    "selective": {
        "perfect in range": "perfect_in_range", "wrong": "wrong", "cell": "neuron", "r over the a's": "correlation",
        "input gate at X": "input_gate_at_X", "candidate's size at X": "candidate_size_at_X",
        "gate keeps X out": "input_gate_keeps_X_out",
        "monotone cell at Y": "monotone_neuron", "spread at equal N": "spread_at_equal_n",
    },
    "state": {
        "perfect": "perfect_in_range", "cell": "neuron", "margin": "margin", "input gate on x": "input_gate_on_x",
        "forget gate on x": "forget_gate_on_x", "kept by its gates": "kept_by_gates",
        "least forget gate after": "least_forget_gate_after",
        "cell that counts x's": "counting_neuron", "its r": "counting_correlation",
    },
    "copy": {
        "perfect": "perfect_in_range", "cell": "neuron", "strings it tells apart": "separated", "silent neuron holds": "silent",
        'r of "next is b"': "next_is_b", 'r of "symbol k was b"': "symbol_was_b",
    },
}


def shown(value: Any) -> str:
    """A figure in a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        return " ".join(map(shown, value))
    if isinstance(value, dict):
        return shown(value.get("correlation", value.get("share")))
    return "–" if value is None else str(value)


def table(name: str, runs: Sequence[tuple[int, float, dict[str, Any]]]) -> list[str]:
    """The runs of an experiment as Markdown."""
    columns = COLUMNS[name]
    lines = ["| seed | " + " | ".join(columns) + " | seconds |", "|" + "---|" * (len(columns) + 2)]
    for seed, seconds, figures in runs:
        cells = [shown(figures[key]) for key in columns.values()]
        lines.append(f"| {seed} | " + " | ".join(cells) + f" | {seconds:.1f} |")
    return lines


def main() -> None:
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="nothing is all")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "experiments.md")
    arguments = parser.parse_args()
    d = machine.describe(1)
    lines = [
        "# The experiments, by seed", "",
        f"- {d['date']}, commit {d['commit']}; {d['cpu']}, 1 thread, load average {d['load']}",
        "- written by `python bench/experiments.py`; seconds are of processor time, training and all questions included", "",
    ]
    for name in arguments.names or experiments.EXPERIMENTS:
        runs = []
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            began = time.process_time()
            figures = experiments.run(name, seed, lambda _: None).figures
            runs.append((seed, time.process_time() - began, figures))
            print(name, seed, shown(figures["perfect_in_range"]), f"{runs[-1][1]:.1f} s", file=sys.stderr, flush=True)
        perfect = sum(figures["perfect_in_range"] for *_, figures in runs)
        lines += [f"## {name}", "", f"Perfect: {perfect} of {len(runs)}.", "", *table(name, runs), ""]
    arguments.output.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
