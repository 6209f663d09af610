"""Bare layers: a step, a sequence, forward and back. `pytest bench --benchmark-only`."""

import pytest

from scenarios import LAYERS, Scenario


@pytest.mark.parametrize("scenario", LAYERS, ids=lambda s: s.name)
def test_bare_layers(benchmark, scenario: Scenario, library: str) -> None:
    """A group for each scenario, with the time of one call."""
    benchmark.group = scenario.name
    benchmark((scenario.ours if library == "fastlstm" else scenario.peer)())
