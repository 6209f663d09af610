"""How many threads computations use."""

import os

from fastlstm import _check

_threads: int | None = None


def available_cpus() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(n: int | None) -> None:
    """Use `n` threads from now on; None is FASTLSTM_NUM_THREADS if set, else one for each available processor."""
    global _threads
    _threads = _check.optional(_check.count, "n", n)


def get_threads() -> int:
    """The number of threads in use."""
    if _threads is not None:
        return _threads
    asked = os.environ.get("FASTLSTM_NUM_THREADS")
    if not asked:
        return available_cpus()
    if not asked.isdecimal() or int(asked) < 1:
        raise ValueError(f"FASTLSTM_NUM_THREADS must be a whole number of at least 1, got {asked!r}")
    return int(asked)
