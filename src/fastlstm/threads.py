"""How many threads computations use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from fastlstm import _check

FILE_SYSTEM = Path("/")  # below it lie proc/self/cgroup and sys/fs/cgroup; tests put others in their place

_threads: int | None = None
_held: ContextVar[int | None] = ContextVar("fastlstm_threads", default=None)


@contextmanager
def held_threads(n: int | None) -> Iterator[None]:
    """Use `n` threads in a `with` block, in this thread or task only; None is as `set_threads` has it."""
    token = _held.set(n)
    try:
        yield
    finally:
        _held.reset(token)


def available_cpus() -> int:
    """Processors this process may use at once, by its CPU affinity and by the CPU quota of its container.

    Affinity is asked for each time, the quota (Linux control groups) is read once. Part of a processor counts as one.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, _quota(FILE_SYSTEM) or cpus)


@cache
def _quota(root: Path) -> int | None:
    """The lowest quota of this process's control groups and of those around them, in processors; None: there is none."""
    return min((quota for group in _control_groups(root) if (quota := _group_quota(group))), default=None)


def _control_groups(root: Path) -> Iterator[Path]:
    """Directories that may hold a CPU quota of this process: version 2 and version 1 of control groups, or both."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeError):  # no Linux, or no control groups
        return
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") > 1):
        if controllers == "":
            mounts = ["", "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [controllers, "cpu"]
        else:
            continue
        for mount in mounts:
            # In a container the path can be one outside of it while its own group is the mounted one: looking at every
            # parent finds the quota either way, and directories that do not exist set none.
            names = [name for name in path.split("/") if name not in ("", "..")]
            for depth in range(len(names) + 1):
                yield root.joinpath("sys/fs/cgroup", mount, *names[:depth])


def _group_quota(group: Path) -> int | None:
    """Processors one control group may use, rounded up; None without a quota."""
    for files in [("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")]:  # version 2, version 1
        try:
            quota, period = " ".join((group / name).read_text() for name in files).split()
            if int(quota) > 0 and int(period) > 0:
                return -(-int(quota) // int(period))
        except (OSError, ValueError):  # no such file; "max" or no number: no quota
            continue
    return None


def set_threads(n: int | None) -> None:
    """Use `n` threads from now on; None is FASTLSTM_NUM_THREADS if set, else one for each available processor."""
    global _threads
    _threads = _check.optional(_check.count, "n", n)


def get_threads() -> int:
    """The number of threads in use. ValueError where FASTLSTM_NUM_THREADS is no whole number of at least 1."""
    if (held := _held.get()) is not None:
        return held
    if _threads is not None:
        return _threads
    asked = os.environ.get("FASTLSTM_NUM_THREADS")
    if not asked:
        return available_cpus()
    if not asked.isdecimal() or int(asked) < 1:
        raise ValueError(f"FASTLSTM_NUM_THREADS must be a whole number of at least 1, got {asked!r}")
    return int(asked)


# Floating-point operations that are worth a thread of their own: some ten microseconds of them, since it may have to be woken.
LEAST_WORK = 2e6


def threads_for(work: float) -> int:
    """How many threads to use for so many floating-point operations."""
    return 1 if work < 2 * LEAST_WORK else min(get_threads(), int(work / LEAST_WORK))
