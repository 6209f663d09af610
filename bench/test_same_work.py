"""A ratio means something only where all libraries compute the same. `pytest bench`."""

from dataclasses import replace

import numpy as np
import pytest

from peers import OURS, Library
from scenarios import SCENARIOS
from work import Call, Sampling, Work


def pairs(*, sampling: bool) -> pytest.MarkDecorator:
    """Every scenario's work with each of its peers."""
    found = [
        pytest.param(s.work, peer, id=f"{s.work.name}-{peer.name}")
        for s in SCENARIOS if s.work.kind != "import" and isinstance(s.work, Sampling) == sampling
        for peer in s.peers
    ]
    return pytest.mark.parametrize(("work", "peer"), found)


def call_of(peer: Library, work: Work, threads: int) -> Call:
    """The peer's, if it is installed."""
    try:
        return work.call(peer, threads)
    except ImportError as error:
        pytest.skip(f"{peer.name}: {error}")


def parts(result: object) -> list[np.ndarray]:
    """The arrays of a call's result."""
    return [np.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]


@pairs(sampling=False)
def test_same_work(work: Work, peer: Library, threads: int) -> None:
    """Outputs, losses and all gradients of the first two calls agree."""
    theirs, ours = call_of(peer, work, threads), work.call(OURS, threads)
    for _ in range(2):
        for expected, got in zip(parts(theirs()), parts(ours()), strict=True):
            assert got.shape == expected.shape
            assert np.linalg.norm(got - expected) <= 1e-5 * np.linalg.norm(expected)


@pairs(sampling=True)
def test_same_text(work: Sampling, peer: Library, threads: int) -> None:
    """Where the likeliest symbol is certain to be drawn, a peer goes on from its first symbol as fastlstm does."""
    text = call_of(peer, replace(work, length=100, sharpness=1e6), threads)()
    model = work.model()
    first, *rest = model.vocabulary.decode(np.array(text, np.int32))
    assert "".join(rest) == model.sample(len(rest), prompt=first, temperature=0)


@pairs(sampling=True)
def test_same_chance(work: Sampling, peer: Library, threads: int) -> None:
    """Where every symbol is as likely as any other, a peer draws them equally often: chi-squared within 5 deviations."""
    text = call_of(peer, replace(work, length=5000, sharpness=0.0), threads)()
    counts = np.bincount(text, minlength=work.V)
    expected = len(text) / work.V
    freedom = work.V - 1
    assert abs(((counts - expected) ** 2 / expected).sum() - freedom) <= 5 * np.sqrt(2 * freedom)
