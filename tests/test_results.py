"""Memory of results: used again once the caller has let go of all of it, and not before."""

import gc
import signal
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastlstm
from fastlstm import results

SHAPE = 300, 200  # large enough to be kept


@pytest.fixture(autouse=True)
def _nothing_idle(monkeypatch):
    gc.collect()
    monkeypatch.setattr(results, "_idle", deque())


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_serves_again_when_all_views_are_gone(dtype):
    array = results.empty(SHAPE, np.dtype(dtype))
    assert array.shape == SHAPE
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    array[...] = 3
    place, view = address(array), array[5:, ::2].T
    assert place % 64 == 0
    del array
    other = results.empty(SHAPE, np.dtype(dtype))
    other[...] = 4
    assert address(other) != place
    assert (view == 3).all()
    del view
    assert address(results.empty(SHAPE, np.dtype(dtype))) == place


def test_other_sizes_get_memory_of_their_own():
    small, large = results.empty((1 << 16,), np.dtype(np.float32)), results.empty((1 << 17,), np.dtype(np.float32))
    small.fill(1), large.fill(2)
    del small
    another = results.empty((1 << 17,), np.dtype(np.float32))
    another.fill(3)
    assert (large == 2).all()


@pytest.mark.parametrize("size", [0, 1, 100, results.MOST_BYTES // 4 + 1])
def test_small_and_huge_results_are_not_kept(size):
    array = results.empty((size,), np.dtype(np.float32))
    assert array.shape == (size,)
    del array
    assert not results._idle


def test_no_more_than_some_bytes_wait(monkeypatch):
    monkeypatch.setattr(results, "MOST_WAITING", 2_000_000)
    arrays = [results.empty((100_000 + 10_000 * k,), np.dtype(np.float32)) for k in range(10)]
    newest = address(arrays[-1])
    while arrays:
        del arrays[0]
    assert address(results.empty((190_000,), np.dtype(np.float32))) == newest
    assert sum(len(piece.memory) for piece in results._idle) <= 2_000_000


def test_an_interrupt_at_the_end_of_an_array_is_not_lost():
    """Signals wait for the end of a computation in C, after which its operands go."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before, seen = signal.signal(signal.SIGALRM, interrupt), 0
    try:
        for _ in range(5):
            array = results.empty((1200, 1200), np.dtype(np.float64))
            array.fill(1)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.002)
                array = array @ array  # some milliseconds, at the end of which the operand goes
                for _ in range(1000):
                    pass
            except KeyboardInterrupt:
                seen += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == 5


def test_a_copy_is_independent():
    array = np.asfortranarray(np.arange(60_000, dtype=np.float32).reshape(SHAPE))
    made = results.copy(array)
    np.testing.assert_array_equal(made, array)
    assert made.flags.c_contiguous
    array[0, 0] = -1
    assert made[0, 0] == 0


def test_layers_keep_what_earlier_calls_have_returned():
    rnn, rng = fastlstm.LSTM(64, 64, seed=0), np.random.default_rng(0)
    found, kept = [], []
    for _ in range(4):
        x = rng.standard_normal((50, 32, 64), np.float32)
        y, _, tape = rnn.forward(x)
        dx, _, gradients = rnn.backward(tape, y)
        arrays = [y, dx, *gradients.values()]
        found.append([array.copy() for array in arrays])
        kept.append(arrays)
    for arrays, copies in zip(kept, found, strict=True):
        for array, copied in zip(arrays, copies, strict=True):
            np.testing.assert_array_equal(array, copied)


def test_threads_never_share_memory():
    def fill(number):
        for _ in range(200):
            array = results.empty(SHAPE, np.dtype(np.float64))
            array.fill(number)
            if not (array == number).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(fill, range(4)))
