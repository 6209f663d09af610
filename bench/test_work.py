"""The numbers of the work, by hand."""

import numpy as np
import pytest

from scenarios import SCENARIOS, Scenario
from work import Inference, LanguageTraining, LayerTraining, LayerWork, Sampling, even_lengths

T, B, H = 7, 4, 8


@pytest.mark.parametrize(("work", "flops", "weights", "reads", "name"), [
    (Inference(T, B, H), 2 * T * B * 4 * H * 2 * H, 4 * 4 * H * H, T, "inference T=7 B=4 H=8"),
    (Inference(T, B, H, "gru"), 2 * T * B * 3 * H * 2 * H, 4 * 3 * H * H, T, "inference GRU T=7 B=4 H=8"),
    (LayerTraining(T, B, H, "rnn"), 3 * 2 * T * B * H * 2 * H, 4 * H * H, 2 * T, "forward and back RNN T=7 B=4 H=8"),
    (
        LayerTraining(T, B, H, bidirectional=True), 3 * 2 * 2 * T * B * 4 * H * 2 * H, 4 * 4 * H * H, 2 * 2 * T,
        "forward and back bidirectional LSTM T=7 B=4 H=8",
    ),
    (
        Inference(T, B, H, lengths=(5, 1, 0, 6)), 2 * 12 * 4 * H * 2 * H, 4 * 4 * H * H, 6,
        "inference ragged LSTM T=7 B=4 H=8",
    ),
])
def test_layer(work: LayerWork, flops: float, weights: int, reads: int, name: str) -> None:
    """Every cell, two directions, padding."""
    assert (work.flops, work.weights, work.reads, work.name) == (flops, weights, reads, name)


def test_language_model() -> None:
    """One-hot input counts as V numbers."""
    work = LanguageTraining(2, H, 5, T=T, B=B)
    assert work.flops == 3 * 2 * T * B * (4 * H * (5 + H) + 4 * H * 2 * H + H * 5)
    assert work.needed == 3 * 2 * T * B * (4 * H * H + 4 * H * 2 * H + H * 5)
    embedded = LanguageTraining(2, H, 5, 3, T=T, B=B)
    assert embedded.needed == embedded.flops == 3 * 2 * T * B * (4 * H * (3 + H) + 4 * H * 2 * H + H * 5)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.work.name)
def test_every_scenario_says_what_it_is_measured_by(scenario: Scenario) -> None:
    """Writing needs a third of the operations of learning the same symbols; an import none."""
    work = scenario.work
    assert 0 <= work.needed <= work.flops
    assert (work.flops > 0) == (work.needed > 0) == (work.reads > 0) == (work.name != "import")
    if isinstance(work, Sampling):
        learning = LanguageTraining(work.L, work.H, work.V, work.E, T=work.symbols, B=1)
        assert (3 * work.flops, 3 * work.needed) == (learning.flops, learning.needed)


def test_lengths() -> None:
    """As many of each, in no order; the gradient of the outputs is zero beyond them."""
    lengths = even_lengths(T, T)
    assert sorted(lengths) == list(range(1, T + 1)) != list(lengths)
    dy = LayerTraining(T, T, H, lengths=lengths).output_gradient()
    assert ((dy != 0).all(2) == (np.arange(T)[:, None] < np.array(lengths))).all()
