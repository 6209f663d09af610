"""The speed of fastlstm and its peers in turn, a row of the report for each scenario (`results/README.md`)."""

from dataclasses import asdict

import pytest

from peers import OURS
from scenarios import SCENARIOS, Scenario
from turns import in_turn


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.work.name)
def test_speed(benchmark, scenario: Scenario, threads: int, pytestconfig: pytest.Config, measured_on: None) -> None:
    """The benchmark's figures are ours; `extra_info` has the peers' and what the report needs."""
    work = scenario.work
    calls, absent = {}, {}
    for peer in scenario.peers:
        try:
            calls[peer.name] = work.call(peer, threads)
        except ImportError as error:
            absent[peer.name] = str(error)
    benchmark.extra_info |= {
        "name": work.name, "flops": work.flops, "needed": work.needed, "symbols": work.symbols,
        "per_second": work.per_second, "weights": work.weights, "reads": work.reads, "goal": asdict(scenario.goal),
        "absent": absent,
    }
    seconds = pytestconfig.getoption("seconds")
    benchmark.extra_info["peers"] = in_turn(benchmark, work.call(OURS, threads), calls, seconds, threads)
