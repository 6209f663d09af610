"""Every kernel of every instruction set and dtype against NumPy at higher precision."""

import os
import subprocess
import sys
from functools import cache
from itertools import product

import numpy as np
import pytest

from fastlstm import _core, reference
from fastlstm.aligned import aligned_empty
from helpers import assert_gradients

KINDS = {name: kind for kind, name in enumerate(reference.ACTIVATIONS)}
TRUTHS = {name: activation.value for name, activation in reference.ACTIVATIONS.items()}
TRUTHS["hard_sigmoid"] = lambda x: np.clip(x + 3, 0, 6) / 6  # the reference's x / 6 + 1/2 cancels near -3
SIZES = range(1, 34)  # every tail of every vector width, and whole vectors before it

_core.load_blas()


def activate(name, x):
    y = np.empty_like(x)
    _core.activate(y, x, KINDS[name])
    return y


def random_arrays(dtype, *shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def guarded(values):
    """A copy of `values` that ends just before a sentinel, and the sentinel."""
    memory = np.full(values.size + 8, 12345, values.dtype)
    view = memory[: values.size].reshape(values.shape)
    view[...] = values
    return view, memory[values.size :]


# ---- activations -------------------------------------------------------------------------------------------------


@cache
def many_floats(dtype):
    """A million finite numbers: random bit patterns, and neighbourhoods of where a formula could go wrong."""
    rng = np.random.default_rng(0)
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
    patterns = rng.integers(0, np.iinfo(unsigned).max, 500_000, unsigned, endpoint=True).view(dtype)
    limit = 88 if dtype == "float32" else 708  # where exp leaves the normal numbers
    centres = [0, 0.35, 1, 3, 10, 20, 37, limit]
    near = [sign * c + w * rng.standard_normal(10_000) for c in centres for sign in (1, -1) for w in (1e-4, 0.1, 3)]
    sizes = 10 ** rng.uniform(-12, 3, 60_000) * rng.choice([-1, 1], 60_000)
    x = np.concatenate([patterns[np.isfinite(patterns)], *near, sizes]).astype(dtype)
    assert x.size > 1_000_000
    return x


@cache
def exact(name, dtype):
    wide = np.float64 if dtype == "float32" else np.longdouble
    if np.finfo(wide).eps > np.finfo(dtype).eps / 100:
        pytest.skip("long double is no wider than double here")
    with np.errstate(under="ignore"):
        return TRUTHS[name](many_floats(dtype).astype(wide))


# Measured, the largest error in ULP: tanh 2.9 and sigmoid 2.5 in both dtypes, softsign 1.5, hard_sigmoid 1.3.
@pytest.mark.parametrize("name", TRUTHS)
def test_activations_are_within_4_ulp(isa, dtype, name):
    truth = exact(name, dtype.name)
    y = activate(name, many_floats(dtype.name))
    with np.errstate(under="ignore"):
        size = np.abs(truth.astype(dtype))
    ulp = np.spacing(np.minimum(size, np.finfo(dtype).max)).astype(truth.dtype)
    flushed = (y == 0) & (np.abs(truth) < np.finfo(dtype).tiny)
    errors = np.where(flushed, 0, np.abs(y - truth) / ulp)
    assert errors.max() <= 4


def test_activations_at_the_ends(isa, dtype):
    x = np.array([0.0, -0.0, 100, -100, np.inf, -np.inf, np.nan], dtype)
    sigmoid, tanh = activate("sigmoid", x), activate("tanh", x)
    np.testing.assert_array_equal(sigmoid[[0, 1, 2, 4, 5, 6]], [0.5, 0.5, 1, 1, 0, np.nan])
    assert sigmoid[3] == 0 if dtype == np.float32 else abs(sigmoid[3] / np.exp(-100) - 1) < 1e-15
    np.testing.assert_array_equal(tanh, [0, -0.0, 1, -1, 1, -1, np.nan])
    assert list(np.signbit(tanh[:2])) == [False, True]
    for name in KINDS:
        assert np.isnan(activate(name, x)[-1]), name


@pytest.mark.parametrize("name", KINDS)
def test_activation_of_an_element_depends_on_nothing_else(isa, dtype, name):
    (x,) = random_arrays(dtype, 33)
    alone = np.concatenate([activate(name, x[k : k + 1]) for k in range(33)])
    for n in SIZES:
        y, guard = guarded(np.zeros(n, dtype))
        _core.activate(y, x[:n], KINDS[name])
        np.testing.assert_array_equal(y, alone[:n])
        assert (guard == 12345).all()


# ---- products ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("beta", [0, 1])
def test_matmul_equals_numpy(dtype, transpose_a, transpose_b, beta):
    sizes = [(1, 1, 1), (1, 7, 5), (7, 1, 5), (5, 7, 1), (3, 5, 7), (1, 65, 33), (17, 65, 33)]
    sizes += [(0, 3, 2), (3, 0, 2), (3, 2, 0)]
    for m, n, k in sizes:
        A, B, C = random_arrays(dtype, (k, m) if transpose_a else (m, k), (n, k) if transpose_b else (k, n), (m, n))
        wide_a, wide_b = (v.astype(np.float64) for v in (A.T if transpose_a else A, B.T if transpose_b else B))
        if beta == 0:
            C.fill(np.nan)  # must not be read
        before = np.zeros_like(C) if beta == 0 else C.copy()
        want = wide_a @ wide_b + before
        _core.matmul(C, A, B, transpose_a, transpose_b, beta)
        bound = (k + 2) * np.finfo(dtype).eps * (np.abs(wide_a) @ np.abs(wide_b) + np.abs(before))
        assert (np.abs(C - want) <= bound).all(), (m, n, k)


DEPTHS = (1, 2, 15, 16, 17, 31, 64, 65, 130, 700)  # 700 is more than one block of float32, and of float64
WIDTHS = (1, 2, 15, 16, 17, 31, 64, 65, 130)
ROWS = (*range(1, 9), 13, 200)
BLOCKED = ((700, 1), (700, 17), (1100, 65))  # depths of several blocks


def aligned(size, dtype):
    """`aligned_empty`, as the products' packed arrays are, and its end with a sentinel after it."""
    memory = aligned_empty(size + 8, dtype)
    memory.fill(12345)
    return memory[:size], memory[size:]


def packed(B, group=0, threads=1):
    """B as `pack` lays it out, which must write no further."""
    array, guard = aligned(_core.packed_size(*B.shape, group, B.itemsize), B.dtype)
    _core.pack(array, B, group, threads)
    assert (guard == 12345).all()
    return array


def assert_product(got, A, B, start):
    """`got` is start + A B but for the rounding of K sums; start is a row or a matrix."""
    A, B, start = (array.astype(np.float64) for array in (A, B, start))
    bound = (len(B) + 2) * np.finfo(got.dtype).eps * (abs(A) @ abs(B) + abs(start))
    assert (abs(got - (A @ B + start)) <= bound).all(), (A.shape, B.shape)


def products():
    """(M, K, N): every depth with every width, the rows in turn, and every number of rows with some of them."""
    for turn, (K, N) in enumerate((K, N) for K in DEPTHS[:-1] for N in WIDTHS):
        yield ROWS[turn % len(ROWS)], K, N
    for turn, M in enumerate(ROWS):
        yield M, DEPTHS[turn % len(DEPTHS)], 65
    for K, N in BLOCKED:
        yield from ((M, K, N) for M in (1, 7))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_product_equals_numpy(isa, dtype, threads):
    for M, K, N in products():
        A, B, bias, start = random_arrays(dtype, (M, K), (K, N), N, (M, N), seed=K)
        B_packed = packed(B, threads=threads)
        for given, add in ((None, False), (bias, False), (None, True)):
            C, guard = guarded(start if add else np.full((M, N), np.nan, dtype))  # read only with `add`
            _core.product(C, A, B_packed, given, 0, add, threads)
            assert_product(C, A, B, start if add else bias if given is not None else np.zeros(N))
            assert (guard == 12345).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_product_with_the_weights_of_gates_equals_numpy(isa, dtype, threads):
    """Packed by `group`, with the gates of the same units beside each other, the result is the same."""
    for turn, (H, G) in enumerate(product((*SIZES, 64, 65, 130), (3, 4))):
        M, K = ROWS[turn % len(ROWS)], DEPTHS[turn % len(DEPTHS)]
        A, B, bias = random_arrays(dtype, (M, K), (K, G * H), G * H, seed=H)
        C, guard = guarded(np.full((M, G * H), np.nan, dtype))
        _core.product(C, A, packed(B, H, threads), bias, H, False, threads)
        assert_product(C, A, B, bias)
        assert (guard == 12345).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_product_packed_on_the_way_equals_that_of_the_packed_matrix(isa, dtype, threads):
    """To the bit, in parts of any number of strips and of whole blocks of rows, with scratch for no more."""
    block = 2048 // np.dtype(dtype).itemsize
    for turn, (M, K, N) in enumerate([*products(), (7, 3, 300), (100, 20, 300), (7, 1500, 150)]):
        A, B, bias = random_arrays(dtype, (M, K), (K, N), N, seed=K)
        B = np.asfortranarray(B) if turn % 2 else B
        bias = bias if turn % 3 else None
        want = np.empty((M, N), dtype)
        _core.product(want, A, packed(B), bias)
        for strips, blocks in ((1, 50), (2, 1), (50, 2), (50, 50)):
            depth = min(K, blocks * block)
            strip, whole = depth * _core.strip_columns(A.itemsize), _core.packed_size(depth, N, 0, A.itemsize)
            scratch, scratch_guard = aligned(min(strips * strip, whole), dtype)
            C, guard = guarded(np.full((M, N), np.nan, dtype))
            _core.product_plain(C, A, B, scratch, strips, depth, bias, threads)
            if threads == 1:
                np.testing.assert_array_equal(C, want)
            assert_product(C, A, B, np.zeros(N) if bias is None else bias)
            assert (guard == 12345).all()
            assert (scratch_guard == 12345).all()


def test_any_strides_and_threads_pack_the_same(isa, dtype):
    for K, N in ((1, 1), (5, 68), (130, 132)):
        (B,) = random_arrays(dtype, (K, N))
        forms = B, np.asfortranarray(B), np.repeat(np.repeat(B, 2, axis=0), 3, axis=1)[::2, ::3], np.flip(np.flip(B).copy())
        for group in (0, *([N // 4] if N % 4 == 0 else [])):
            want = packed(B, group)
            assert sorted(want[want != 0]) == sorted(B.ravel())
            for form, threads in product(forms, (1, 2, 3, 9)):
                np.testing.assert_array_equal(packed(form, group, threads), want)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_transposed_product_equals_numpy(isa, dtype, threads):
    for turn, (M, K, N) in enumerate(products()):
        scratch, scratch_guard = aligned(threads * _core.scratch_size(K, N, np.dtype(dtype).itemsize), dtype)
        A, B, start = random_arrays(dtype, (K, M), (K, N), (M, N), seed=K)
        add = turn % 2 == 1
        C, guard = guarded(start if add else np.full((M, N), np.nan, dtype))
        sums, sums_guard = guarded(start[:, :1] if add else np.full((M, 1), np.nan, dtype))
        _core.product_transposed(C, A, B, scratch, add, threads, sums)
        assert_product(C, A.T, B, start if add else np.zeros(N))
        assert_product(sums, A.T, np.ones((K, 1), dtype), start[:, :1] if add else np.zeros(1))
        assert (guard == 12345).all()
        assert (sums_guard == 12345).all()
        assert (scratch_guard == 12345).all()


def test_transposed_product_of_wide_matrices_equals_numpy(isa, dtype):
    """More columns and rows than are packed at a time, and every last tile of rows."""
    for K, M, N in ((3, 230, 5), (3, 5, 1100), (600, 101, 530), *((1030, M, 17) for M in range(89, 98))):
        size = _core.scratch_size(K, N, np.dtype(dtype).itemsize)
        (scratch, _), (one_scratch, scratch_guard) = aligned(2 * size, dtype), aligned(size, dtype)
        A, B = random_arrays(dtype, (K, M), (K, N))
        C, guard = guarded(np.full((M, N), np.nan, dtype))
        sums, sums_guard = guarded(np.full((M, 1), np.nan, dtype))
        _core.product_transposed(C, A, B, scratch, False, 2, sums)
        assert_product(C, A.T, B, np.zeros(N))
        assert_product(sums, A.T, np.ones((K, 1), dtype), np.zeros(1))
        assert (sums_guard == 12345).all()
        before, sums_before = C.copy(), sums.copy()
        _core.product_transposed(C, A, B, one_scratch, True, 1, sums)
        assert_product(C, A.T, B, before)
        assert_product(sums, A.T, np.ones((K, 1), dtype), sums_before)
        assert (guard == 12345).all()
        assert (scratch_guard == 12345).all()


def test_products_over_nothing_are_zero(isa, dtype):
    scratch, _ = aligned(_core.scratch_size(2000, 2000, np.dtype(dtype).itemsize), dtype)
    nothing, C, sums = np.zeros((0, 3), dtype), np.ones((3, 3), dtype), np.ones(3, dtype)
    _core.product_transposed(C, nothing, nothing, scratch, True, sums=sums)
    assert (C == 1).all()
    assert (sums == 1).all()
    _core.product_transposed(C, nothing, nothing, scratch, sums=sums)
    assert not C.any()
    assert not sums.any()
    _core.product(nothing, nothing, packed(C))
    _core.product_transposed(nothing, np.ones((2, 0), dtype), np.ones((2, 3), dtype), scratch)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("threads", [1, 3])
def test_products_show_what_is_not_finite_where_numpy_does(isa, dtype, threads, value):
    """Above all not in the columns beside: the packed matrix has zeros beyond its last."""
    scratch, _ = aligned(threads * _core.scratch_size(2000, 2000, np.dtype(dtype).itemsize), dtype)
    for M, K, N in ((1, 5, 6), (3, 1, 1), (7, 17, 20), (13, 5, 68), (8, 600, 132)):
        for in_a, in_b, group in product((False, True), (False, True), (0, N // 4) if N % 4 == 0 else (0,)):
            A, B = random_arrays(dtype, (M, K), (K, N))
            if in_a:
                A[M // 2, K // 2] = value
            if in_b:
                B[K - 1, N // 2] = value
            with np.errstate(invalid="ignore"):
                want = A.astype(np.float64) @ B.astype(np.float64)
            C, transposed = np.zeros((2, M, N), dtype)
            _core.product(C, A, packed(B, group), None, group, False, threads)
            _core.product_transposed(transposed, np.ascontiguousarray(A.T), B, scratch, False, threads)
            for got in (C, transposed):
                np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
                np.testing.assert_array_equal(got[np.isinf(want)], want[np.isinf(want)])


def test_same_number_of_threads_gives_the_same_bits(isa, dtype):
    scratch, _ = aligned(3 * _core.scratch_size(2000, 2000, np.dtype(dtype).itemsize), dtype)
    A, B = random_arrays(dtype, (37, 130), (130, 65))
    A_transposed, B_packed, results = np.ascontiguousarray(A.T), packed(B), {}
    for threads in (1, 2, 3) * 10:
        C, transposed = np.empty((2, 37, 65), dtype)
        _core.product(C, A, B_packed, threads=threads)
        _core.product_transposed(transposed, A_transposed, B, scratch, threads=threads)
        plain = np.empty_like(C)
        _core.product_plain(plain, A, B, scratch, 2, len(B), threads=threads)
        made = C, transposed, plain
        for got, want in zip(made, results.setdefault(threads, made), strict=True):
            np.testing.assert_array_equal(got, want)


# ---- the other kernels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("V", [1, 2, 3, 7, 8, 9, 17, 65, 1000])
@pytest.mark.parametrize("size", [1, 30, 1e4])
def test_softmax_cross_entropy_equals_reference(isa, dtype, V, size):
    (logits,) = random_arrays(dtype, (5, V), seed=V)
    logits = np.clip(logits, -1, 1) * dtype.type(size)
    logits[0] = size  # all equal, at the end of the range
    targets, losses = np.arange(5, dtype=np.int32) * (V - 1) // 4, np.empty(5)
    want_losses, want_gradient = reference.softmax_cross_entropy(logits.astype(np.float64), targets)
    gradient, guard = guarded(logits)
    _core.softmax_cross_entropy(losses, gradient, targets, 0.25)
    bound = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(losses, want_losses, rtol=bound, atol=bound)
    np.testing.assert_allclose(gradient, 0.25 * want_gradient, rtol=0, atol=bound)
    assert (guard == 12345).all()
    shares, guard = guarded(logits)
    _core.softmax_cross_entropy(losses, shares, None, 0.25)
    chosen = np.arange(5), targets
    np.testing.assert_allclose(losses, want_losses + logits[chosen], rtol=bound, atol=bound)
    want_gradient[chosen] += 1
    np.testing.assert_allclose(shares, 0.25 * want_gradient, rtol=0, atol=bound)
    assert (guard == 12345).all()


@pytest.mark.parametrize("threads", [2, 3, 9])
def test_softmax_cross_entropy_with_threads_is_the_same_to_the_bit(isa, dtype, threads):
    for rows, V in ((1, 9), (5, 65), (8, 1), (100, 33)):
        (logits,) = random_arrays(dtype, (rows, V))
        targets = np.arange(rows, dtype=np.int32) % V
        (alone, guard), want_losses, losses = guarded(logits), np.empty(rows), np.full(rows + 1, np.nan)
        _core.softmax_cross_entropy(want_losses, logits, targets, 0.25)
        _core.softmax_cross_entropy(losses[:-1], alone, targets, 0.25, threads)
        np.testing.assert_array_equal(alone, logits)
        np.testing.assert_array_equal(losses, [*want_losses, np.nan])
        assert (guard == 12345).all()
        (without,) = random_arrays(dtype, (rows, V))
        _core.softmax_cross_entropy(losses[:-1], without, None, 0.25, threads)
        without[np.arange(rows), targets] -= dtype.type(0.25)
        np.testing.assert_array_equal(without, logits)


def cross_entropy(logits, targets, scale=1.0):
    """Losses and gradients of logits (N, V), which are left as they are."""
    gradient, losses = logits.copy(), np.empty(len(logits))
    _core.softmax_cross_entropy(losses, gradient, np.array(targets, np.int32), scale)
    return losses, gradient


def test_cross_entropy_of_logits_of_1e4_is_exact(isa, dtype):
    logits = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]], dtype)
    losses, gradient = cross_entropy(logits, [0, 1, 2, 0])
    np.testing.assert_allclose(losses, [0, 2e4, np.log(3), np.log(2)], rtol=4 * np.finfo(dtype).eps)
    third = 1 / 3
    want = [[0, 0, 0], [1, -1, 0], [third, third, third - 1], [-0.5, 0.5, 0]]
    np.testing.assert_allclose(gradient, want, rtol=0, atol=4 * np.finfo(dtype).eps)


EXTREMES = {
    "all near 1e4": ([1e4, 1e4 + 0.5, 1e4 - 1, 1e4 + 2], 2),
    "all near -1e4": ([-1e4, -1e4 + 0.5, -1e4 - 1, -1e4 + 2], 0),
    "the target far above": ([-1e4, 1e4, 0, 5], 1),
    "the target far below": ([-1e4, 1e4, 0, 5], 0),
    "the target among the likely": ([1e4, -1e4, 1e4 + 0.3, 1e4 - 0.2], 2),
}


@pytest.mark.parametrize("case", EXTREMES)
def test_cross_entropy_gradients_at_1e4_equal_central_differences(isa, case):
    logits, target = np.array([EXTREMES[case][0]]), [EXTREMES[case][1]]
    losses, gradient = cross_entropy(logits, target)
    assert np.isfinite(losses).all()
    assert np.isfinite(gradient).all()
    assert_gradients(lambda: cross_entropy(logits, target)[0].sum(), {"logits": logits}, {"logits": gradient})


@pytest.mark.parametrize("row", [[np.inf, 0, 1], [np.inf, np.inf, 0], [-np.inf, 0, 1e4], [-np.inf, -np.inf, -np.inf]])
def test_cross_entropy_of_infinite_logits_equals_torch(isa, torch, dtype, row):
    for target in range(3):
        theirs = torch.tensor(np.array([row], dtype), requires_grad=True)
        want = torch.nn.functional.cross_entropy(theirs, torch.tensor([target]))
        want.backward()
        losses, gradient = cross_entropy(np.array([row], dtype), [target])
        np.testing.assert_allclose(losses, want.detach().numpy(), rtol=1e-6)
        np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-6)


def test_softmax_cross_entropy_shows_nan(isa, dtype):
    for V in (1, 9, 65):
        for place in {0, V // 2, V - 1}:
            (logits,) = random_arrays(dtype, (1, V))
            logits[0, place] = np.nan
            losses, gradient = cross_entropy(logits, [0])
            assert np.isnan(losses[0])
            assert np.isnan(gradient).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_scatter_add_equals_numpy(isa, dtype, threads):
    """The same additions in the same order: the same bits."""
    tokens = np.array([3, 0, 3, 4, 3, 0], np.int32)
    for width in (*SIZES, 65, 130, 200):
        start, rows = random_arrays(dtype, (5, width), (len(tokens), width), seed=width)
        table, guard = guarded(start)
        _core.scatter_add(table, rows, tokens, threads)
        want = start.copy()
        np.add.at(want, tokens, rows)
        np.testing.assert_array_equal(table, want)
        assert (guard == 12345).all()
        _core.scatter_add(table, rows[:0], tokens[:0], threads)
        np.testing.assert_array_equal(table, want)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sum_rows_equals_numpy(isa, dtype, threads):
    """The same additions in the same order: the same bits."""
    for width in (*SIZES, 65, 130, 200):
        start, rows = random_arrays(dtype, width, (2100, width), seed=width)
        for add in (False, True):
            out, guard = guarded(start)
            _core.sum_rows(out, rows, add, threads)
            np.testing.assert_array_equal(out, np.cumsum([start if add else 0 * start, *rows], axis=0)[-1])
            assert (guard == 12345).all()
            _core.sum_rows(out, rows[:0], True, threads)
            assert out.any()
        _core.sum_rows(out, rows[:0], False, threads)
        assert not out.any()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("M", "K", "N"), [
    (0, 4, 5), (352, 10, 20), (200, 200, 10_000), (1600, 512, 10_000), (6400, 512, 2048), (352, 20, 10), (200, 10_000, 200),
    (1600, 2048, 512), (6400, 2048, 512), (7, 9000, 3000),
])
def test_parts_fit_the_cache_and_read_little_again(isa, dtype, M, K, N, threads):
    itemsize = np.dtype(dtype).itemsize
    columns, block, few = _core.strip_columns(itemsize), 2048 // itemsize, 1 << 19
    strips, depth, size = _core.parts(M, K, N, threads, itemsize)
    assert size == min(strips * depth * columns, _core.packed_size(depth, N, 0, itemsize))
    if K > N:  # rows are divided
        assert strips == -(-N // columns)
        assert depth == K or (depth % block == 0 and depth >= M)
        assert depth < M + block or depth == block or size * itemsize <= few * (1 + columns / N)
        return
    parts, most = -(-N // (strips * columns)), max(1, 8 * N // max(1, M))
    assert depth == K
    assert parts == 1 or (strips >= threads and parts <= most)
    assert strips == threads or size * itemsize <= few or parts > most / 2
    if parts > 1 and M * K * itemsize <= 1 << 21:
        assert strips == threads or size * itemsize <= threads << 16 or parts > most / 2


@pytest.mark.parametrize("shape", [(0, 3), (1, 40), (15, 3), (16, 1), (37, 20)])
def test_add_bias_equals_numpy(dtype, shape):
    """Of a matrix and of a transposed one; without a warning where sums are infinite or not a number."""
    matrix, transposed, bias, other = random_arrays(dtype, shape, shape[::-1], shape[1:], shape[1:])
    bias[0], matrix[:1, 0] = np.inf, -np.inf
    for given, biases in product((matrix, transposed.T), ([bias], [bias, other])):
        out, guard = guarded(np.zeros(shape, dtype))
        _core.add_bias(out, given, *biases)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(out, given + np.add.reduce(biases))
        assert (guard == 12345).all()


OPTIONS = {"learning_rate": 3e-3, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6, "weight_decay": 0.3}
# For each optimiser: its options, how many moments it keeps, and the reference's function.
OPTIMISERS = {
    "sgd": (("learning_rate", "beta1"), 1, reference.sgd),
    "rmsprop": (("learning_rate", "beta2", "epsilon"), 1, reference.rmsprop),
    "adam": (("learning_rate", "beta1", "beta2", "epsilon", "weight_decay"), 2, reference.adam),
}


def optimise(name, parameters, moments, gradients, options, step, threads=1):
    """One step with the gradients halved."""
    first, second = {"sgd": (*moments, None), "rmsprop": (None, *moments), "adam": moments}[name]
    rest = {option: value for option, value in options.items() if option != "learning_rate"}
    _core.optimise(name, parameters, first, second, gradients, options["learning_rate"], 0.5, step, threads=threads, **rest)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimiser_equals_reference(isa, dtype, name):
    names, moment_count, wanted_step = OPTIMISERS[name]
    options = {option: OPTIONS[option] for option in names}
    for n in SIZES:
        start, *gradients = random_arrays(dtype, n, n, n, n, seed=n)
        (ours, guard), moments = guarded(start), [np.zeros(n, dtype) for _ in range(moment_count)]
        want = start.astype(np.float64), *(np.zeros(n) for _ in range(moment_count))
        for step, gradient in enumerate(gradients, 1):
            numbered = {"step": step} if name == "adam" else {}
            optimise(name, ours, moments, gradient, options, step)
            want = wanted_step(*want, 0.5 * gradient.astype(np.float64), **numbered, **options)
        bound = 8 * np.finfo(dtype).eps
        for got, wanted in zip((ours, *moments), want, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=bound, atol=bound)
        assert (guard == 12345).all()


@pytest.mark.parametrize("threads", [2, 3, 9])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimiser_with_threads_is_the_same_to_the_bit(isa, dtype, name, threads):
    moment_count = OPTIMISERS[name][1]
    for n in (*SIZES, 1000, 1003):
        gradient, *alone = random_arrays(dtype, *[n] * (2 + moment_count), seed=n)
        alone[1:] = [moment**2 for moment in alone[1:]]
        together = [guarded(array) for array in alone]
        optimise(name, alone[0], alone[1:], gradient, OPTIONS, 2)
        optimise(name, together[0][0], [array for array, _ in together[1:]], gradient, OPTIONS, 2, threads)
        for want, (got, guard) in zip(alone, together, strict=True):
            np.testing.assert_array_equal(got, want)
            assert (guard == 12345).all()


def test_sgd_without_momentum_keeps_nothing(isa, dtype):
    for n in SIZES:
        start, gradient = random_arrays(dtype, n, n, seed=n)
        ours, guard = guarded(start)
        _core.optimise("sgd", ours, None, None, gradient, 0.5, 0.5, 1, beta1=0.9)
        np.testing.assert_allclose(ours, start - dtype.type(0.25) * gradient, rtol=1e-6, atol=1e-6)
        assert (guard == 12345).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimiser_shows_what_is_not_finite_where_it_is(isa, dtype, name, value):
    names, moment_count, _ = OPTIMISERS[name]
    options = {option: OPTIONS[option] for option in names}
    for n in SIZES:
        start, gradient = random_arrays(dtype, n, n, seed=n)
        gradient[n // 2] = value
        moments = [np.zeros(n, dtype) for _ in range(moment_count)]
        optimise(name, start, moments, gradient, options, 1)
        assert list(np.flatnonzero(~np.isfinite(start))) == [n // 2]


def test_sum_of_squares_equals_numpy(isa, dtype):
    for n in [*SIZES, 1023, 1024, 1025, 100_001]:
        (x,) = random_arrays(dtype, n, seed=n)
        want = np.sum(x.astype(np.float64) ** 2)
        assert abs(_core.sum_of_squares(x) / want - 1) <= 64 * np.finfo(dtype).eps
    assert _core.sum_of_squares(x[:0]) == 0


def test_sum_of_squares_with_threads_is_the_same_to_the_bit(isa, dtype):
    for n in (1, 33, 1025, 5000, 100_001):
        (x,) = random_arrays(dtype, n, seed=n)
        assert len({_core.sum_of_squares(x, threads) for threads in (1, 2, 3, 9, 100)}) == 1


def test_sum_of_squares_shows_nan_and_infinity_anywhere(isa, dtype):
    for n in [1, 9, 33, 1025, 10_000]:
        for place in {0, n // 2, n - 1}:
            for value in (np.nan, np.inf, -np.inf):
                x = np.ones(n, dtype)
                x[place] = value
                assert not np.isfinite(_core.sum_of_squares(x))


# ---- more than 2³¹ elements --------------------------------------------------------------------------------------


def untouched_zeros(*shape):
    """float32 zeros that take no memory until they are written to."""
    try:
        return np.zeros(shape, np.float32)
    except MemoryError:
        pytest.skip("this system promises no more memory than it has, which is too little")


def test_elements_beyond_2_to_the_31_are_reached(isa):
    x = untouched_zeros(2**31 + 8)
    x[[1, -1]] = 3, 4
    assert _core.sum_of_squares(x) == 25
    del x
    table = untouched_zeros(2**16 + 1, 2**15)
    _core.scatter_add(table, np.ones((2, 2**15), np.float32), np.full(2, 2**16, np.int32))
    assert (table[-1] == 2).all()
    assert not table[:1].any()


# ---- the kernel table and the process ----------------------------------------------------------------------------


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env={**os.environ, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", _core.available_isas())
def test_environment_forces_the_row(name):
    done = python("from fastlstm import _core, cpu_info; print(_core.isa(), cpu_info()['instruction_set'])",
                  FASTLSTM_ISA=name)
    assert done.stdout.split() == [name, name], done.stderr


def test_environment_with_an_unknown_row_fails_with_one_clear_message():
    done = python("import fastlstm; fastlstm.LSTM(1, 1)([[[0]]])", FASTLSTM_ISA="sse9")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ValueError: FASTLSTM_ISA: instruction set must be one of {_core.available_isas()} on this processor, got 'sse9'"
    )


def test_unknown_row_leaves_the_row_in_use(isa):
    with pytest.raises(ValueError, match="got 'sse9'"):
        _core.use_isa("sse9")
    assert _core.isa() == isa


def test_rows_are_different_code(dtype):
    """Each sums in as many lanes as it has, so the last bits of some of many sums differ."""
    names, (x,) = _core.available_isas(), random_arrays(dtype, 1100)
    if len(names) == 1:
        pytest.skip("this processor runs the scalar row only")
    before, results = _core.isa(), {}
    for name in names:
        _core.use_isa(name)
        results[name] = tuple(_core.sum_of_squares(x[:n]) for n in range(1000, 1100))
    _core.use_isa(before)
    assert len(set(results.values())) == len(names)


def test_floating_point_mode_of_the_process_is_left_alone():
    done = python("""
import numpy as np
tiny = np.full(64, 1e-40, np.float32)
def check(when):
    assert (tiny * np.float32(1) != 0).all(), when
check("before")
import fastlstm
check("after import")
rnn = fastlstm.LSTM(3, 5, 2, seed=0)
y, state, tape = rnn.forward(np.ones((4, 2, 3)))
check("after forward")
rnn.backward(tape, y)
check("after backward")
rnn.stream().step(np.ones((1, 3)))
check("after a step")
print("done")
""")
    assert done.stdout == "done\n", done.stderr


def test_arrays_of_another_number_or_with_strides_or_to_be_read_only_are_refused():
    """Kernels would read past their ends, or write where nobody may."""
    rows, out = np.ones((4, 3), np.float32), np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="an array of 4-byte numbers expected, got numbers of 8"):
        _core.sum_rows(out, rows.astype(np.float64))
    with pytest.raises(ValueError, match="an array of float32 or float64 expected, got float16"):
        _core.sum_rows(out.astype(np.float16), rows.astype(np.float16))
    with pytest.raises(ValueError, match="to unpack"):
        _core.product(np.empty((4, 3), np.float32), rows[0], rows[0])
    with pytest.raises(ValueError, match="an array of 4-byte numbers expected, got numbers of 8"):
        _core.scatter_add(np.zeros((5, 3), np.float32), rows, np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="contiguous"):
        _core.sum_rows(out, np.ones((4, 6), np.float32)[:, ::2])
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        _core.sum_rows(out, rows)
