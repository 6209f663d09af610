"""Options, threads, and what the measurements were made on."""

import pytest

import machine

MEASURED_ON = pytest.StashKey[dict]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long, and on how many threads."""
    group = parser.getgroup("bench", "speed beside other libraries")
    group.addoption("--threads", type=int, default=1, metavar="N", help="of every library (1)")
    group.addoption("--seconds", type=float, default=5.0, metavar="S", help="for each scenario, all together, about (5)")


def pytest_configure(config: pytest.Config) -> None:
    """Threads are fixed before any library is loaded."""
    machine.hold_threads(config.getoption("threads"))


@pytest.fixture(scope="session")
def threads(pytestconfig: pytest.Config) -> int:
    """Of every library."""
    return pytestconfig.getoption("threads")


@pytest.fixture(scope="session")
def measured_on(pytestconfig: pytest.Config, threads: int) -> None:
    """Looks at the machine before anything is measured."""
    pytestconfig.stash[MEASURED_ON] = {"described": machine.describe(threads), "limits": machine.limits()}


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict) -> None:
    """Puts that beside what pytest-benchmark tells of the machine."""
    machine_info |= config.stash.get(MEASURED_ON, {})
