"""The report's arithmetic, on made-up results."""

from dataclasses import asdict

import pytest

from report import Row, report
from scenarios import Goal

LIMITS = {
    "fma_gflops": 200.0, "l1_gbs": 400.0, "l2_gbs": 200.0, "l3_gbs": 100.0, "dram_gbs": 20.0,
    "l1_bytes": 1 << 15, "l2_bytes": 1 << 20, "l3_bytes": 1 << 25,
}


def row(threads: int = 1, goal: Goal | None = None, **info) -> Row:
    """A call of ours takes 2 ms, of the peers 3 and 5."""
    info = {
        "name": "something", "flops": 1e8, "needed": 1e8, "symbols": 1, "per_second": False, "weights": 0, "reads": 0,
        "goal": asdict(goal or Goal()), "absent": {}, "peers": {"A": [4.9e-3, 5e-3, 5.1e-3], "B": [2.9e-3, 3e-3, 3.1e-3]},
    } | info
    return Row(info, [1.9e-3, 2e-3, 2.1e-3], LIMITS, threads)


def test_ratio() -> None:
    """To the fastest peer; none without peers."""
    assert (row().best, row().ratio) == ("B", pytest.approx(1.5))
    assert (row(peers={}).best, row(peers={}).ratio) == (None, None)


@pytest.mark.parametrize(("threads", "weights", "seconds", "by"), [
    (1, 0, 0.5e-3, "FMA"), (2, 0, 0.25e-3, "FMA"), (1, 1 << 15, 1000 * 2**15 / 400e9, "FMA"),
    (1, 1 << 20, 1000 * 2**20 / 200e9, "L2"), (2, 1 << 21, 1000 * 2**20 / 200e9, "L2"),
    (1, 1 << 21, 1000 * 2**21 / 100e9, "L3"), (1, 1 << 26, 1000 * 2**26 / 20e9, "DRAM"),
])
def test_limit(threads: int, weights: int, seconds: float, by: str) -> None:
    """The larger of arithmetic and reading, the weights shared among the threads."""
    least, name = row(threads, weights=weights, reads=1000).limit
    assert (least, name) == (pytest.approx(max(seconds, 0.5e-3 / threads)), by)


def test_ratio_at_the_limit() -> None:
    """If ours took the 0.5 ms of its arithmetic; none of what has none, such as an import."""
    assert row().ratio_at_limit == pytest.approx(6)
    assert row(threads=2).ratio_at_limit == pytest.approx(12)
    assert row(peers={}).ratio_at_limit is None
    assert row(needed=0).ratio_at_limit is None
    assert row(needed=0.5e8).ratio_at_limit == pytest.approx(12)


@pytest.mark.parametrize(("threads", "goal", "told"), [
    (1, Goal(5.9), ("5.9×", "**no**")), (1, Goal(6.1), ("6.1×", "**no**, beyond the limit")),
    (1, Goal(1.5), ("1.5×", "yes")), (1, Goal(1.6), ("1.6×", "**no**")), (2, Goal(1.6), ("–", "–")),
    (2, Goal(1.6, two_threads=1.4), ("1.4×", "yes")), (1, Goal(1, share=0.9), ("1×, 90% of limit", "**no**")),
    (1, Goal(seconds=0.2), ("≤ 0.2 s", "yes")),
])
def test_verdict(threads: int, goal: Goal, told: tuple[str, str]) -> None:
    """A goal is for a number of threads."""
    assert row(threads, goal).verdict() == told


def test_verdict_without_peers() -> None:
    """Nothing is said of a ratio to nobody."""
    assert row(goal=Goal(1.5), peers={}).verdict() == ("1.5×", "–")


def test_page() -> None:
    """A line for the scenario, with a column for each peer that was measured."""
    described = dict.fromkeys(
        ("date", "commit", "cpu", "cores", "load", "fastlstm", "instruction_set", "engine", "python", "numpy", "scipy", "blas"),
        "x",
    )
    info = row(goal=Goal(1.5)).info | {"absent": {"C": "No module named 'c'"}}
    benchmark = {"extra_info": info, "stats": {"q1": 1.9e-3, "median": 2e-3, "q3": 2.1e-3}}
    page = report({
        "machine_info": {
            "described": described | {"threads": 1, "peers": {"A": "1", "B": "2", "C": "not installed"}}, "limits": LIMITS,
        },
        "benchmarks": [benchmark, benchmark | {"extra_info": row(goal=Goal(7)).info}],
    })
    assert "| something | 2 ms ±5% | 5 ms ±2% | 3 ms ±3% | B | **1.50×** | 50.0 | 25% of FMA | 6.00× | 1.5× | yes |" in page
    assert "- left out: C (No module named 'c')" in page
    assert "Goals met: 1 of 2; beyond the limit: 1." in page
