"""Measuring several calls in turn, A B C A B C …, so that whatever the machine does meanwhile befalls them alike."""

import gc
from statistics import quantiles
from time import perf_counter

from work import Call

# A turn repeats its call until it takes about this long, so that the clock and the change of turns do not matter.
TURN_SECONDS = 0.02
LEAST_TURNS = 3
# For so long other libraries' threads, where they have any, may go on looking for work after a turn, on processors that the
# next one is to have: OpenMP's of GCC some 15 ms.
REST_SECONDS = 0.03

Quartiles = list[float]


def turn(call: Call, repeats: int) -> float:
    """Seconds of one call, the mean of so many."""
    began = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - began) / repeats


def wait(seconds: float) -> None:
    """Let time pass without giving the processor away, whose clock would fall."""
    until = perf_counter() + seconds
    while perf_counter() < until:
        pass


def in_turn(benchmark, ours: Call, peers: dict[str, Call], seconds: float, threads: int) -> dict[str, Quartiles]:
    """Give `benchmark` our turns, in about so many seconds for all, and return the quartiles of a call of each peer."""
    rest = REST_SECONDS if threads > 1 else 0.0
    calls = [ours, *peers.values()]
    once = [min(turn(call, 1) for _ in range(2)) for call in calls]  # the first of all compiles and allocates
    repeats = [max(1, round(TURN_SECONDS / one)) for one in once]
    once = [turn(call, count) if count > 1 else one for call, count, one in zip(calls, repeats, once, strict=True)]
    repeats = [max(1, round(TURN_SECONDS / one)) for one in once]  # after calls in a row, which wake threads once
    round_seconds = sum(one * count + rest for one, count in zip(once, repeats, strict=True))
    found: dict[str, list[float]] = {name: [] for name in peers}

    def peers_turns() -> None:
        for (name, call), count in zip(peers.items(), repeats[1:], strict=True):
            wait(rest)
            found[name].append(turn(call, count))
        wait(rest)

    gc.collect()
    gc.disable()
    try:
        benchmark.pedantic(
            ours, iterations=repeats[0], rounds=max(LEAST_TURNS, round(seconds / round_seconds)), teardown=peers_turns
        )
    finally:
        gc.enable()
    return {name: quantiles(times, method="inclusive") for name, times in found.items()}
