"""A ratio means something only where both libraries compute the same. `pytest bench`."""

import numpy as np
import pytest

from scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.same], ids=lambda s: s.name)
def test_same_work(scenario: Scenario) -> None:
    """Losses, outputs and gradients of the first two calls agree."""
    pytest.importorskip("torch")
    ours, peer = scenario.ours(), scenario.peer()
    for _ in range(2):
        expected = np.asarray(peer())
        assert np.linalg.norm(ours() - expected) <= 1e-5 * np.linalg.norm(expected)
