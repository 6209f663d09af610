"""Benchmarks run on one thread: `bench/compare.py --threads N` is for more."""

import pytest

import scenarios


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Both libraries."""
    scenarios.set_threads(1)


@pytest.fixture(params=["fastlstm", "PyTorch"])
def library(request: pytest.FixtureRequest) -> str:
    """Whose turn it is."""
    if request.param == "PyTorch":
        pytest.importorskip("torch")
    return request.param
