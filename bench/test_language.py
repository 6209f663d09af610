"""Training and sampling of language models. `pytest bench --benchmark-only`."""

import pytest

from scenarios import LANGUAGE, Scenario


@pytest.mark.parametrize("scenario", LANGUAGE, ids=lambda s: s.name)
def test_language(benchmark, scenario: Scenario, library: str) -> None:
    """A group for each scenario, with the time of one call."""
    benchmark.group = scenario.name
    benchmark((scenario.ours if library == "fastlstm" else scenario.peer)())
