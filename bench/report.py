"""Turns the results of `pytest bench --benchmark-only --benchmark-json=FILE.json` into a Markdown report.

    python bench/report.py FILE.json [--output FILE.md] [--picture FILE.png]

A figure is the median of a library's turns, ± half the distance of their quartiles.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LEVELS = ("l1", "l2", "l3", "dram")
NOTHING = "–"
BEYOND = "**no**, beyond the limit"


def least_seconds(
    flops: float, weights: float, reads: float, limits: dict[str, float], threads: int = 1
) -> tuple[float, str]:
    """What so many operations, and reading so many bytes of weights so many times, take at least, and what sets that.

    Either all arithmetic at the peak of all cores; or every step's reading of the weights, of which each core reads its
    part, from the nearest cache that this part fits in. The larger of the two.
    """
    arithmetic = flops / (1e9 * limits["fma_gflops"] * threads)
    part = weights / threads
    level = next((name for name in LEVELS[:-1] if part <= limits[f"{name}_bytes"]), LEVELS[-1])
    reading = part * reads / (1e9 * limits[f"{level}_gbs"])
    return max((arithmetic, "FMA"), (reading, level.upper()))


class Row(NamedTuple):
    """A line of the table: a scenario's results, and what they are measured by."""

    info: dict[str, Any]     # what `test_speed` left
    ours: list[float]        # quartiles of the seconds of a call
    limits: dict[str, float]
    threads: int

    @property
    def seconds(self) -> float:
        """Of a call of ours."""
        return self.ours[1]

    @property
    def best(self) -> str | None:
        """The fastest peer."""
        peers = self.info["peers"]
        return min(peers, key=lambda name: peers[name][1]) if peers else None

    @property
    def ratio(self) -> float | None:
        """Its time by ours."""
        return self.info["peers"][self.best][1] / self.seconds if self.best else None

    @property
    def limit(self) -> tuple[float, str]:
        """The least seconds of a call, and what sets them."""
        return self.least("flops")

    def least(self, operations: str) -> tuple[float, str]:
        """The same of all "flops", or of those "needed"."""
        return least_seconds(self.info[operations], self.info["weights"], self.info["reads"], self.limits, self.threads)

    @property
    def ratio_at_limit(self) -> float | None:
        """What the ratio would be if ours took the least that the needed operations take."""
        least = self.least("needed")[0]
        return self.info["peers"][self.best][1] / least if self.best and least else None

    @property
    def goal_ratio(self) -> float | None:
        """What the ratio is to be on so many threads."""
        goal = self.info["goal"]
        return {1: goal["ratio"], 2: goal["two_threads"]}.get(self.threads)

    def verdict(self) -> tuple[str, str]:
        """The goal in words, and whether it is met."""
        goal, wanted, met = self.info["goal"], [], []
        ratio = self.goal_ratio
        if ratio:
            wanted.append(f"{ratio:g}×")
            met.append(self.ratio and self.ratio >= ratio)
        if goal["share"] and self.threads == 1:
            wanted.append(f"{goal['share']:.0%} of limit")
            met.append(self.limit[0] / self.seconds >= goal["share"])
        if goal["seconds"]:
            wanted.append(f"≤ {goal['seconds']:g} s")
            met.append(self.seconds <= goal["seconds"])
        if not wanted or None in met:
            return ", ".join(wanted) or NOTHING, NOTHING
        if all(met):
            return ", ".join(wanted), "yes"
        beyond = ratio and self.ratio_at_limit and ratio > self.ratio_at_limit
        return ", ".join(wanted), BEYOND if beyond else "**no**"

    def speed(self, quartiles: list[float] | None) -> str:
        """The time of a call in the words of the scenario, and how far it can be trusted."""
        if quartiles is None:
            return NOTHING
        low, seconds, high = quartiles
        if self.info["per_second"]:
            thousands = float(f"{self.info['symbols'] / seconds / 1e3:.3g}")
            told = f"{thousands:g}k symbols/s"
        elif seconds < 1e-3:
            told = f"{seconds * 1e6:.3g} µs"
        else:
            told = f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
        return f"{told} ±{(high - low) / 2 / seconds:.0%}"

    def cells(self, libraries: list[str]) -> list[str]:
        """The line of the table."""
        cells = [self.info["name"], self.speed(self.ours), *(self.speed(self.info["peers"].get(p)) for p in libraries)]
        cells += [self.best or NOTHING, f"**{self.ratio:.2f}×**" if self.ratio else NOTHING]
        if self.info["flops"]:
            least, by = self.limit
            cells += [f"{self.info['flops'] / self.seconds / 1e9:.1f}", f"{least / self.seconds:.0%} of {by}"]
        else:
            cells += [NOTHING, NOTHING]
        cells.append(f"{self.ratio_at_limit:.2f}×" if self.ratio_at_limit else NOTHING)
        return [*cells, *self.verdict()]


def head(d: dict[str, Any], limits: dict[str, float]) -> list[str]:
    """Where and with what this was measured."""
    sizes = {name: limits[f"{name}_bytes"] / 2**10 for name in LEVELS[:-1]}
    size = {name: f"{kib:g} KiB" if kib < 1024 else f"{kib / 1024:g} MiB" for name, kib in sizes.items()}
    peers = ", ".join(f"{name} {version}" for name, version in d["peers"].items())
    return [
        f"- {d['date']}, commit {d['commit']}",
        f"- {d['cpu']}, {d['cores']} cores; {d['threads']} thread(s) used, load average {d['load']} at the start",
        f"- one core at best: {limits['fma_gflops']:.0f} GFLOP/s float32 FMA; reads L1 ({size['l1']}) "
        f"{limits['l1_gbs']:.0f}, L2 ({size['l2']}) {limits['l2_gbs']:.0f}, L3 ({size['l3']}) {limits['l3_gbs']:.0f}, "
        f"DRAM {limits['dram_gbs']:.0f} GB/s",
        f"- fastlstm {d['fastlstm']}: {d['instruction_set']} kernels, {d['engine']} engine",
        f"- Python {d['python']}, NumPy {d['numpy']}, SciPy {d['scipy']} ({d['blas']})",
        f"- {peers}",
    ]


def rows_of(results: dict[str, Any]) -> list[Row]:
    """The lines of the table."""
    described, limits = results["machine_info"]["described"], results["machine_info"]["limits"]
    return [
        Row(b["extra_info"], [b["stats"][q] for q in ("q1", "median", "q3")], limits, described["threads"])
        for b in results["benchmarks"]
    ]


def picture(results: dict[str, Any], path: Path) -> None:
    """Draw the ratio of every scenario as a bar, its goal as a mark, on a logarithmic scale."""
    from matplotlib.figure import Figure

    described = results["machine_info"]["described"]
    rows = [row for row in rows_of(results) if row.ratio]
    figure = Figure(figsize=(9, 0.32 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    axes.barh(places, [row.ratio - 1 for row in rows], left=1, color="#4477aa", label="fastlstm against the fastest peer")
    for place, row in zip(places, rows, strict=True):
        end = max(row.ratio, 1, row.goal_ratio or 1)
        axes.text(end * 1.03, place, f"{row.ratio:.2f}×  {row.best}", va="center", fontsize=8)
    goals = [(place, row.goal_ratio) for place, row in zip(places, rows, strict=True) if row.goal_ratio]
    if goals:
        axes.plot([goal for _, goal in goals], [place for place, _ in goals], "|", color="#cc3311", ms=12, mew=2, label="goal")
    axes.axvline(1, color="black", lw=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.5, max(16, *(3 * max(row.ratio, row.goal_ratio or 1) for row in rows)))  # the text has room
    axes.xaxis.set_major_formatter("{x:g}×")
    axes.set_yticks(places, [row.info["name"] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(f"The best peer's time by ours, {described['threads']} thread(s)", fontsize=10)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)


def report(results: dict[str, Any]) -> str:
    """The whole page."""
    described, limits = results["machine_info"]["described"], results["machine_info"]["limits"]
    rows = rows_of(results)
    absent = {(name, why) for row in rows for name, why in row.info["absent"].items()}
    libraries = [p for p in described["peers"] if any(p in row.info["peers"] for row in rows)]
    figures = ["best peer", "ratio", "GFLOP/s", "share of limit", "ratio there", "goal", "met"]
    titles = ["scenario", "fastlstm", *libraries, *figures]
    lines = [
        *head(described, limits),
        *(f"- left out: {name} ({why})" for name, why in sorted(absent)),
        "",
        "Ratio: the best peer's time by ours, measured in turn in one run. Limit: all arithmetic at the FMA peak, or every "
        "step's reading of the weights from the cache they fit in, whichever takes longer; what the ratio would be there, "
        "of which products with one-hot vectors are left out, since nobody has to make them, and whether a goal asks for more.",
        "",
        *table([titles, *(row.cells(libraries) for row in rows)]),
    ]
    verdicts = [row.verdict()[1] for row in rows]
    reached, asked = verdicts.count("yes"), sum(verdict != NOTHING for verdict in verdicts)
    beyond = f"; beyond the limit: {verdicts.count(BEYOND)}" if BEYOND in verdicts else ""
    return "\n".join([*lines, "", f"Goals met: {reached} of {asked}{beyond}.", ""])


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, line by line; the first row are the titles."""
    titles, *others = rows
    return [f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *others)]


def publish(page: str, output: Path | None) -> None:
    """Print a report, and write it where asked."""
    print(page, end="")
    if output:
        output.write_text(page)


def main() -> None:
    """Print the report, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, metavar="FILE.json", help="written by pytest-benchmark")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="receives the report too")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="receives the ratios as a picture (matplotlib)")
    args = parser.parse_args()
    results = json.loads(args.results.read_text())
    if args.picture:
        picture(results, args.picture)
    page = report(results)
    publish(page, args.output)


if __name__ == "__main__":
    main()
