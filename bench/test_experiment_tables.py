"""The tables of the experiments."""

import experiments


def run(seed, max_n, peephole=None):
    figures = {
        "perfect_in_range": max_n >= 10, "max_n": max_n, "neuron": 3, "correlation": -0.99, "correlation_with_b_left": 0.5,
        "attempts": 2,
    }
    return {
        "name": "counting", "peephole": peephole, "seed": seed, "seconds": 4.0, "date": "2026-11-21T13:00:00", "commit": "abc",
        "cpu": "a processor", "load": "1.0", "figures": figures,
    }


def test_report():
    lines = experiments.report([run(201, 12), run(200, 10), run(200, 9, "full")]).splitlines()
    assert "| counting | max_n ≥ 11 | 1 of 2 |" in lines
    assert "| counting, full peepholes | perfect in range | 0 of 1 |" in lines
    assert "| 200 | yes | 10 | 3 | -0.990 | 0.500 | 2 | 4.0 |" in lines
    assert lines.index("## counting") < lines.index("## counting, full peepholes")
    assert [line[:6] for line in lines if line.startswith("| 20")] == ["| 200 ", "| 201 ", "| 200 "]


def test_features_are_told_with_what_needs_no_learning():
    assert experiments.shown({"score": 0.914, "untrained": 0.8, "symbol_alone": 0.5}) == "0.91 (0.80, 0.50)"
    assert set(experiments.COLUMNS) == set(experiments.ASKED) == set(experiments.experiments.EXPERIMENTS)
