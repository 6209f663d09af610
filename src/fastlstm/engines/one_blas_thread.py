"""SciPy's BLAS, held to one thread while we use it."""

import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from fastlstm import _core


class _ThreadCount(NamedTuple):
    """How a BLAS library tells and takes its number of threads."""

    get: Callable[[], int]
    set: Callable[[int], Any]


def _thread_count(library: Any) -> _ThreadCount:
    """Of a library found by threadpoolctl; for OpenBLAS its own functions, as threadpoolctl's heed one thread only."""
    for name in library.check_symbols if library.internal_api == "openblas" else ():
        if hasattr(library.dynlib, name):
            return _ThreadCount(getattr(library.dynlib, name), getattr(library.dynlib, name.replace("get_num", "set_num")))
    return _ThreadCount(library.get_num_threads, library.set_num_threads)


class _OneBlasThread:
    """Holds SciPy's BLAS to one thread while any block is inside, and restores it when the last one leaves.

    Its own threads would wait for each other at every step of the time loop, and fight ours.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._libraries: list[_ThreadCount] | None = None
        self._before: list[int] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A forked child has none of the threads that were inside."""
        self._lock = threading.Lock()
        if self._inside:
            self._inside = 0
            self._restore()

    def _restore(self) -> None:
        for library, threads in zip(self._libraries, self._before, strict=True):
            library.set(threads)

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                if self._libraries is None:
                    self._libraries = self._find()
                self._before = [library.get() for library in self._libraries]
                for library in self._libraries:
                    library.set(1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore()

    @staticmethod
    def _find() -> list[_ThreadCount]:
        _core.load_blas()
        from threadpoolctl import ThreadpoolController

        found = ThreadpoolController().select(user_api="blas").lib_controllers
        return [_thread_count(library) for library in found if "numpy.libs" not in library.filepath]  # NumPy has its own


one_blas_thread = _OneBlasThread()
