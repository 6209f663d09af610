"""The native engine for every instruction set, number of threads, way of dividing the work and odd size."""

import pickle
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product

import numpy as np
import pytest

import fastlstm
from fastlstm import GRU, LSTM, RNN, _core
from fastlstm._passes import Pass
from fastlstm.aligned import aligned_empty
from fastlstm.engines import Workspace, native
from fastlstm.threads import held_threads
from helpers import (
    assert_close,
    assert_equal,
    assert_forward_close,
    gradient_bound,
    named,
    random_case,
    relative_error,
    run,
    run_reference,
)

HIDDEN = (1, 17, 34, 64, 65, 171)  # of the last the gates are apart, of others with gaps side by side
BATCHES = (1, 3, 23, 40)


@pytest.fixture(autouse=True)
def in_use():
    with fastlstm.engine("native"):
        yield


@pytest.fixture(params=["1", "2 units", "3 units", "2 sequences", "3 sequences"])
def threads(request, monkeypatch, divided):
    """How many threads run, and what they divide in however small a layer; input is multiplied in small blocks."""
    units = "units" in request.param
    monkeypatch.setattr(native, "LEAST_SEQUENCES", 10**9 if units else 1)
    monkeypatch.setattr(native, "DIVIDED_BYTES", 0 if units else 10**12)
    monkeypatch.setattr(native, "DIVIDED_STEP_BYTES", 0 if units else 10**12)
    monkeypatch.setattr(native, "BLOCK", 50)
    with held_threads(int(request.param[0])):
        yield int(request.param[0])


# The cells whose steps kernels run whole.
CELLS = (
    (LSTM, {}), (GRU, {}), (RNN, {}), (LSTM, {"peephole": "diagonal"}), (LSTM, {"coupled": True}),
    (LSTM, {"coupled": True, "peephole": "diagonal"}),
    (GRU, {"activation": "softsign", "recurrent_activation": "hard_sigmoid"}),
)


@cache
def known_case(cell, H, B, dtype, T=5):
    """A stack, and what the reference makes of it with dropout, without, and without lengths.

    Its input size, lengths, layers and biases change in turn with the sizes.
    """
    turn, (stack, options) = HIDDEN.index(H) + BATCHES.index(B), CELLS[cell]
    lengths = np.random.default_rng(turn).integers(0, T + 1, B) if turn % 2 else None
    L = 1 + turn % 2
    case = random_case(
        T, B, (1, 5, 33)[turn % 3], H, L, stack=stack, lengths=lengths, dtype=dtype, bias=turn % 4 < 3,
        dropout=0.3 if L > 1 else 0.0, seed=turn, **options,
    )
    streamed = run_reference(case._replace(lengths=None))
    return case, turn, run_reference(case, dropout_seed=turn), run_reference(case), streamed


def known_cases(H, dtype):
    """For every batch size the LSTM and one of the other cells, in turn with the sizes."""
    for B in BATCHES:
        other = 1 + (HIDDEN.index(H) * len(BATCHES) + BATCHES.index(B)) % (len(CELLS) - 1)
        for cell in (0, other):
            yield B, *known_case(cell, H, B, dtype.name)


def assert_outputs_close(got, want, dtype):
    if dtype == np.float32:
        assert_forward_close(got, want)
    else:
        assert relative_error(got, want) <= 1e-13


@pytest.mark.parametrize("H", HIDDEN)
def test_stacks_equal_the_reference(isa, dtype, threads, H):
    for B, case, seed, trained, plain, _ in known_cases(H, dtype):
        got = run(case, dropout_seed=seed)
        y, state = case.rnn(case.x, case.state, case.lengths)
        outputs = {"y": y, **named(case.rnn, "", "", state)}
        assert_close(got, trained, 1e-13 if dtype == np.float64 else gradient_bound(5, B, H))
        for name, one in outputs.items():
            assert_outputs_close(got[name], trained[name], dtype)
            assert_outputs_close(one, plain[name], dtype)


@pytest.mark.parametrize("H", HIDDEN)
def test_calls_without_lengths_equal_the_reference(isa, dtype, threads, H):
    for _, case, *_, want in known_cases(H, dtype):
        y, state = case.rnn(case.x, case.state)
        for name, got in {"y": y, **named(case.rnn, "", "", state)}.items():
            assert_outputs_close(got, want[name], dtype)


@pytest.mark.parametrize("H", HIDDEN)
def test_streams_equal_the_reference(isa, dtype, threads, H):
    for B, case, *_, want in known_cases(H, dtype):
        stream = case.rnn.stream(B)
        stream.state = case.state
        y = np.array([stream.step(x) for x in case.x])
        for name, got in {"y": y, **named(case.rnn, "", "", stream.state)}.items():
            assert_outputs_close(got, want[name], dtype)


@cache
def pass_case(cell, H, B, dtype, T, **directions):
    """A stack without lengths and dropout, and what the reference makes of it; its other sizes change in turn with these."""
    turn, (stack, options) = HIDDEN.index(H) + BATCHES.index(B) + cell, CELLS[cell]
    case = random_case(
        T, B, (1, 5, 33)[turn % 3], H, 1 + turn % 3, stack=stack, dtype=dtype, bias=turn % 4 < 3, seed=turn, **options,
        **directions,
    )
    return case, run_reference(case)


@pytest.mark.parametrize("cell", [0, 1, 2, 4, 6])
def test_passes_equal_the_reference(isa, dtype, threads, cell):
    """There and back in two calls, of two passes at a time."""
    sizes = [(1, 3, 5), (17, 1, 1), (17, 23, 30), (65, 1, 5), (171, 1, 5), (171, 3, 5)]
    check_passes(dtype, [(*size, *pass_case(cell, *size[:2], dtype.name, size[2])) for size in sizes])


@pytest.mark.parametrize("cell", [0, 1, 2])
@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_passes_in_both_directions_equal_the_reference(isa, dtype, threads, merge, cell):
    sizes = [(1, 3, 5), (17, 1, 1), (17, 23, 4), (34, 3, 7), (65, 1, 5), (171, 1, 3)]
    check_passes(dtype, [
        (*size, *pass_case(cell, *size[:2], dtype.name, size[2], bidirectional=True, merge=merge)) for size in sizes
    ])


def check_passes(dtype, cases):
    for H, B, T, case, want in cases:
        rnn, bound = case.rnn, 1e-12 if dtype == np.float64 else gradient_bound(T, B, H)
        _, _, other = rnn.forward(-case.x)
        got = run(case)
        rnn.backward(other, case.dy)
        assert_close(got, want, bound)
        for name in ("y", *named(rnn, "", "", case.state)):
            assert_outputs_close(got[name], want[name], dtype)
        zeros = rnn.zero_states(B)
        dx, d_states, gradients = rnn.backward(rnn.forward(case.x)[2], case.dy)
        nothing = case._replace(state=rnn.public_state(zeros), dstate=rnn.public_state(zeros))
        assert_close({"dx": dx, **named(rnn, "d", "0", d_states), **gradients}, {
            name: array for name, array in run_reference(nothing).items() if name.startswith("d") or name in gradients
        }, bound)


def test_passes_need_nothing_of_the_callers(dtype):
    """Who may write over all that a pass was given and gave, choose other kernels and have no gradients of states."""
    for stack in (LSTM, GRU, RNN):
        case = random_case(9, 3, 5, 34, 2, stack=stack, dtype=dtype)
        rnn, x, state = case.rnn, case.x.copy(), [part.copy() for part in case.rnn.checked_state("", "", case.state, 3)]
        want = run(case)
        y, final, tape = rnn.forward(x, rnn.public_state(tuple(state)))
        for array in (x, y, *state, *rnn.checked_state("", "", final, 3)):
            array.fill(np.nan)
        before = _core.isa()
        try:
            _core.use_isa("scalar")
            dx, d_state, gradients = rnn.backward(tape, case.dy, case.dstate)
        finally:
            _core.use_isa(before)
        bound = 1e-12 if dtype == np.float64 else 5e-6
        got = {"dx": dx, **named(rnn, "d", "0", d_state), **gradients}
        assert_close(got, {name: want[name] for name in got}, bound)
        _, _, saved = native.ENGINE.forward(rnn, case.x, None, None, None, keep=True)
        found = {name: np.empty_like(array) for name, array in sorted(gradients.items())}
        assert native.ENGINE.backward(rnn, saved, case.dy, None, found, want_dx=False) == (None, None)
        plain = rnn.backward(rnn.forward(case.x)[2], case.dy)[2]
        assert_equal(found, dict(sorted(plain.items())))


def test_passes_of_several_callers_at_the_same_time(dtype):
    case = random_case(9, 3, 5, 34, 3, dtype=dtype)
    states = {name: tuple(part[:2] for part in getattr(case, name)) for name in ("state", "dstate")}
    lowest = case._replace(rnn=case.rnn.lowest(2), **states)
    want, of_lowest = run(case), run(lowest)
    assert_close(of_lowest, run_reference(lowest), 1e-12 if dtype == np.float64 else 5e-6)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, [case, lowest] * 40))
    for got in found[::2]:
        assert_equal(got, want)
    for got in found[1::2]:
        assert_equal(got, of_lowest)


def test_stacks_of_like_cells_over_vectors_have_passes(monkeypatch):
    def has_pass(stack, x_shape=(4, 2, 3), lengths=None, **options):
        x = np.zeros(x_shape, int)
        return isinstance(stack(3, 5, 2, seed=0, **options).forward(x, lengths=lengths)[2].take(), Pass)

    for options in ({}, {"coupled": True}, {"bias": False}, {"bidirectional": True}, {"bidirectional": True, "merge": "sum"}):
        assert has_pass(LSTM, **options)
    assert has_pass(GRU)
    assert has_pass(RNN)
    for options in (
        {"skip": True}, {"peephole": "diagonal"}, {"proj_size": 2}, {"dropout": 0.5}, {"recurrent_dropout": 0.5},
        {"lengths": [4, 2]}, {"x_shape": (4, 2)},
    ):
        assert not has_pass(LSTM, **options)
    assert not has_pass(GRU, reset_after=False)
    monkeypatch.setattr("fastlstm.results.MOST_BYTES", 1)  # of which a pass would need more
    assert not has_pass(LSTM)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_cells_apart_equal_the_reference(isa, dtype, monkeypatch, divided, count):
    monkeypatch.setattr(native, "LEAST_SEQUENCES", 10**9)
    monkeypatch.setattr(native, "DIVIDED_BYTES", 10**12)
    cases = (
        (LSTM, 3, {}, 1, 50), (LSTM, 2, {}, 5, 7), (GRU, 2, {}, 3, 17), (RNN, 4, {}, 1, 40),
        (LSTM, 1, {"bidirectional": True}, 1, 9), (GRU, 2, {"bidirectional": True}, 3, 5),
        (LSTM, 2, {"bidirectional": True, "merge": "sum"}, 2, 6), (RNN, 1, {"bidirectional": True}, 20, 1),
    )
    with held_threads(count):
        for stack, layers, options, B, T in cases:
            case = random_case(T, B, 5, 17, layers, stack=stack, lengths=None, dtype=dtype, **options)
            want = run_reference(case)
            for _ in range(2):  # the second in the memory of the first
                y, state = case.rnn(case.x, case.state)
                for name, got in {"y": y, **named(case.rnn, "", "", state)}.items():
                    assert_outputs_close(got, want[name], dtype)
                assert_close(run(case), want, 1e-12 if dtype == np.float64 else gradient_bound(T, B, 17))


@cache
def token_cases(dtype, V=7):
    """Stacks that read tokens, more and fewer than there are, and what the reference makes of each."""
    cases = []
    for (stack, options), H, B, T in product(CELLS[:4], (17, 171), (1, 23), (1, 9)):
        lengths = np.random.default_rng(B).integers(0, T + 1, B)
        case = random_case(T, B, V, H, 2, stack=stack, lengths=lengths, dtype=dtype, **options)
        tokens = np.random.default_rng(T).integers(0, V, (T, B))
        want = run_reference(case._replace(x=np.eye(V)[tokens]))
        del want["dx"]
        cases.append((case._replace(x=tokens), want, 1e-13 if dtype == "float64" else gradient_bound(T, B, H)))
    return cases


@pytest.mark.parametrize("stack", [LSTM, GRU, RNN])
def test_long_calls_of_one_sequence_equal_the_reference(isa, dtype, threads, monkeypatch, stack):
    """Whose steps make the input's part of later ones, and backwards the gradient of their input."""
    monkeypatch.setattr(native, "AHEAD", {isa})
    for T, I, H, L in [(100, 70, 130, 1), (36, 200, 100, 1), (61, 150, 171, 1), (23, 60, 120, 2), (22, 64, 128, 2)]:
        case = random_case(T, 1, I, H, L, stack=stack, dtype=dtype.name, seed=T)
        want, (y, state) = run_reference(case), case.rnn(case.x, case.state)
        for name, got in {"y": y, **named(case.rnn, "", "", state)}.items():
            assert_outputs_close(got, want[name], dtype)
        assert_close(run(case), want, 1e-12 if dtype == np.float64 else 5e-6)


def test_tokens_equal_the_reference(isa, dtype, threads):
    for case, want, bound in token_cases(dtype.name):
        got = run(case)
        assert got.pop("dx") is None
        assert_close(got, want, bound)


@pytest.mark.parametrize("stack", [LSTM, GRU])
def test_a_thousand_steps_are_within_bounds(isa, threads, stack):
    case = random_case(1000, 7, 5, 34, 2, stack=stack, dtype="float32", lengths=[1000, 3, 999, 0, 500, 1000, 1])
    got, want = run(case), run_reference(case)
    for name in ("y", *named(case.rnn, "", "", case.state)):
        assert_forward_close(got[name], want[name])
    assert_close(got, want, 5e-6)


def test_division_chooses_by_sequences_and_size(monkeypatch):
    monkeypatch.setattr("fastlstm.threads.LEAST_WORK", 1)
    with held_threads(4):
        assert native.division(24, 8, 100) == (4, False)
        assert native.division(23, 8, 100) == (3, False)
        assert native.division(5, 8, 100) == (1, False)
        assert native.division(23, 182, 100) == (4, True)
        assert native.division(24, 182, 100) == (4, False)
        assert native.division(24, 8, 1) == (1, False)


def test_cells_run_apart_where_none_can_use_the_threads(monkeypatch):
    monkeypatch.setattr("fastlstm.threads.LEAST_WORK", 1)
    three, both, wide = LSTM(2, 8, 3), LSTM(2, 8, bidirectional=True), LSTM(2, 182, bidirectional=True)
    with held_threads(2):
        assert native.ENGINE._division(three, 5, 100) == (2, False, True)
        assert native.ENGINE._division(three, 24, 100) == (2, False, False)
        assert native.ENGINE._division(both, 24, 100) == (2, False, True)
        assert native.ENGINE._division(wide, 1, 100) == (2, False, True)
        assert native.ENGINE._division(LSTM(2, 8), 5, 100) == (1, False, False)
        assert native.ENGINE._division(three, 5, 100, keep=True) == (1, False, False)
        assert native.ENGINE._division(both, 5, 100, keep=True) == (2, False, True)
    with held_threads(4):
        assert native.ENGINE._division(three, 5, 100) == (3, False, True)
        assert native.ENGINE._division(both, 24, 100) == (4, False, False)
        assert native.ENGINE._division(wide, 1, 100) == (4, True, False)
    with held_threads(1):
        assert native.ENGINE._division(both, 1, 100) == (1, False, False)


# ---- the same bits -----------------------------------------------------------------------------------------------


@pytest.fixture
def busy_pool():
    """Another Python thread gives the pool work all the time; the value tells whether the pool is busy just now."""
    done, x = threading.Event(), np.ones(300_000)

    def work():
        while not done.is_set():
            _core.sum_of_squares(x, 3)

    thread = threading.Thread(target=work)
    thread.start()
    yield lambda: _core.count_tasks(np.zeros(3, np.int64)) == 1
    done.set()
    thread.join()


def test_same_input_gives_the_same_bits(isa, dtype, threads):
    case = random_case(9, 7, 5, 34, 2, dtype=dtype, dropout=0.5)
    first = run(case, dropout_seed=3)
    for _ in range(19):
        assert_equal(run(case, dropout_seed=3), first)


def test_a_busy_pool_changes_no_bit(dtype, threads, request, monkeypatch):
    monkeypatch.setattr(native, "AHEAD", {_core.isa()})
    case = random_case(9, 7, 5, 171, 2, dtype=dtype, dropout=0.5)
    alone = random_case(40, 1, 200, 200, 1, dtype=dtype)  # its steps make the input's part of later ones

    def results():
        stream, alone_stream = case.rnn.stream(7), alone.rnn.stream(1)
        steps = np.array([stream.step(x) for x in case.x])
        return {
            **run(case, dropout_seed=3), "steps": steps, "alone": alone.rnn(alone.x, alone.state)[0],
            "steps alone": np.array([alone_stream.step(x) for x in alone.x]),
        }

    first = results()
    busy, seen = request.getfixturevalue("busy_pool"), 0
    for runs in range(10_000):
        seen += busy()
        assert_equal(results(), first)
        if seen >= 5 and runs >= 19:
            break
    assert seen >= 5


def test_steps_take_no_more_threads_than_there_are_strips_of_units(isa, monkeypatch):
    """The gates of few units are one strip, and other threads would only wait for the one that has it."""
    monkeypatch.setattr(native, "DIVIDED_STEP_BYTES", 0)
    with held_threads(2):
        found = [native.ENGINE.steps(LSTM(3, H, seed=0), 1, None).threads for H in (1, 171)]
    assert found == [1, 2]


def test_a_step_takes_an_unpickled_array_as_it_is(dtype):
    """Its dtype equals that of the stack, but is another object; other orders of bytes and rows are not taken."""
    stepper = native.ENGINE.stepper(LSTM(3, 5, dtype=dtype, seed=0), 2)
    x = pickle.loads(pickle.dumps(np.ones((2, 3), dtype)))
    assert x.dtype is not np.dtype(dtype)
    assert stepper.try_step(x, None) is not None
    assert stepper.try_step(x.astype(x.dtype.newbyteorder()), None) is None
    assert stepper.try_step(np.ones((2, 2), dtype), None) is None


def test_a_call_takes_arrays_that_need_no_checks_and_no_others(dtype):
    rnn = LSTM(3, 5, 2, dtype=dtype, seed=0)
    x = np.random.default_rng(0).standard_normal((6, 4, 3)).astype(dtype)
    y, states, _ = native.ENGINE.forward(rnn, x, rnn.zero_states(4), None, None, keep=False)
    found, (h, c) = native.ENGINE.try_call(rnn, x)
    assert_equal({"y": found, "h": h, "c": c}, {"y": y, "h": states[0], "c": states[1]})
    wider, memory = np.zeros((6, 4, 4), dtype), np.zeros(x.nbytes + 1, np.uint8)
    unaligned = memory[1:].view(dtype).reshape(x.shape)
    turned = x.astype(x.dtype.newbyteorder())
    others = [wider, wider[..., :3], x[0], x[None], x[:0], x[:, :0], x.tolist(), x.astype(int), turned, unaligned]
    assert [native.ENGINE.try_call(rnn, other) for other in others] == [None] * len(others)
    assert native.ENGINE.try_call(LSTM(3, 5, skip=True, dtype=dtype), x) is None
    most = np.zeros((1 << 18, 1, 1), dtype)
    small = LSTM(1, 64, dtype=dtype)
    assert native.ENGINE.try_call(small, most) is not None
    assert native.ENGINE.try_call(small, np.concatenate([most, most[:1]])) is None  # more than 2^24 outputs


def test_nothing_is_packed_for_calls_of_tokens():
    rnn = LSTM(100, 5, seed=0)
    rnn(np.zeros((2, 3), np.int32))
    kept = {key[:2] for key in rnn.store._derived}
    assert kept.isdisjoint({("stack", 1), ("layer", 0), ("weight_ih_l0", 5)})


# ---- what is packed ----------------------------------------------------------------------------------------------


def test_packed_weights_are_kept_until_the_values_change():
    case = random_case(H=17, dtype="float32")
    store = case.rnn.store
    before = native.packed(store, "weight_hh_l0")
    assert native.packed(store, "weight_hh_l0") is before
    kept = before.copy()
    case.rnn.load_state_dict({name: 2 * p for name, p in case.rnn.parameters.items()})
    after = native.packed(store, "weight_hh_l0")
    np.testing.assert_array_equal(after, 2 * kept)
    assert native.packed(store, "weight_hh_l0", backward=True) is not after


def test_what_training_packs_for_a_single_product_is_not_kept(dtype):
    store = random_case(H=17, dtype=dtype).rnn.store
    kept, training, other = native.packed(store, "weight_hh_l0", backward=True), Workspace(training=True), Workspace()
    found = native.packed(store, "weight_hh_l0", backward=True, workspace=training)
    np.testing.assert_array_equal(found[: len(kept)], kept)
    assert found is training.scratch(len(kept), kept.dtype)
    assert native.packed(store, "weight_hh_l0", backward=True, workspace=other) is kept
    assert other.size == 0


def test_a_workspace_gives_memory_back_before_it_takes_more():
    workspace, number = Workspace(), np.dtype(np.float32)
    tracemalloc.start()
    try:
        for size in (0, 1 << 20, 3 << 20):
            workspace.scratch(size, number)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert workspace.size == 12 << 20
    assert most < 13 << 20
    assert workspace.scratch(1, number) is workspace.scratch(2 << 20, number)


@pytest.mark.parametrize("size", [1, 15, 16, 1000])
def test_aligned_arrays_begin_a_cache_line(dtype, size):
    for _ in range(20):
        array = aligned_empty(size, dtype)
        assert (array.shape, array.dtype) == ((size,), dtype)
        assert array.ctypes.data % 64 == 0
        array.fill(1)


def test_workspaces_use_memory_again_and_keep_nothing_of_former_shapes(dtype):
    workspace = Workspace()
    first = workspace.empty("a", (100, 2), dtype)
    assert workspace.empty("a", (100, 2), dtype) is first
    size = workspace.size
    for n in range(1, 101):
        array = workspace.empty("a", (n, 2), dtype)
        assert array.shape == (n, 2)
        assert np.shares_memory(array, first)
        assert not np.shares_memory(array, workspace.empty("b", (1,), dtype))
    assert workspace.size < size + 200
    assert workspace.empty("a", (101, 2), dtype).shape == (101, 2)


def test_a_workspace_keeps_what_is_made_for_the_same_arguments(dtype):
    workspace, alive = Workspace(), []

    def make(own, n, width):
        assert own is workspace
        assert not alive  # the former ones are gone before there are new
        array = np.empty((n, width), dtype)
        alive.append(n)
        weakref.finalize(array, alive.clear)
        return array, None

    first = id(workspace.kept("a", make, 3, 4))
    assert id(workspace.kept("a", make, 3, 4)) == first
    assert workspace.kept("a", make, 5, 4)[0].shape == (5, 4)
    assert workspace.kept("a", make, 3, 4)[0].shape == (3, 4)


def test_calls_of_ever_new_lengths_keep_no_memory():
    rnn = fastlstm.LSTM(2, 3, 3, seed=0)
    x = np.zeros((500, 1, 2), np.float32)
    rnn(x)
    tracemalloc.start()
    try:
        for T in range(475, 500):  # of the last ones something may be kept
            rnn(x[:T])
        before = tracemalloc.get_traced_memory()[0]
        for T in range(1, 500):
            rnn(x[:T])
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()


def test_results_are_the_callers_and_outlive_later_calls(dtype):
    case, other = (random_case(L=2, dtype=dtype, seed=seed) for seed in (0, 1))
    case.rnn.load_state_dict(other.rnn.state_dict())
    first, (y, _) = run(case), case.rnn(case.x, case.state)
    kept = {name: array.copy() for name, array in first.items()}
    kept_y = y.copy()
    run(other._replace(rnn=case.rnn))
    case.rnn(other.x, other.state)
    assert_equal(first, kept)
    np.testing.assert_array_equal(y, kept_y)
