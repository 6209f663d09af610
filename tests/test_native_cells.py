"""Layers and stacks of every cell with products of their own: step by step in float64 by `_core.cell_forward` and NumPy."""

from itertools import product

import numpy as np
import pytest

from fastlstm import _core, _native
from helpers import relative_error
from test_core import KINDS, packed, random_arrays

CELLS = {
    "lstm": ("lstm", False, False), "lstm peepholes": ("lstm", False, True), "lstm coupled": ("lstm", True, False),
    "lstm coupled peepholes": ("lstm", True, True), "gru": ("gru", False, False), "rnn": ("rnn", False, False),
}
UNITS, BATCHES, V = (1, 17, 34, 65, 130), (1, 3, 23), 5
PAIRS = (("tanh", "sigmoid"), ("softsign", "hard_sigmoid"))


class Layer:
    """A layer's arrays in one dtype, and its steps in float64."""

    def __init__(self, name, H, B, dtype, turn, T=5):
        kind, self.coupled, peepholes = CELLS[name]
        self.kind, self.H, self.B, self.dtype, self.G = kind, H, B, dtype, {"gru": 3, "rnn": 1}.get(kind, 4 - self.coupled)
        self.codes = [KINDS[activation] for activation in PAIRS[turn % 2]]
        self.sizes = np.sort(np.random.default_rng(turn).integers(0, B + 1, T))[::-1].copy() if turn % 3 else np.full(T, B)
        self.sizes[0] = max(self.sizes[0], 1)
        I, self.N, wide = (1, 5, 33)[turn % 3], int(self.sizes.sum()), self.G * H
        scale = dtype.type(0.5 / np.sqrt(H + I))
        x, W, U, bias, recurrent_bias, w, h0, c0, dy, dh, dc, table = random_arrays(
            dtype, (self.N, I), (I, wide), (H, wide), (1, wide), wide, (max(self.G - 1, 1), H), *[(B, H)] * 2, (self.N, H),
            *[(B, H)] * 2, (V, wide), seed=turn,
        )
        self.x, self.W, self.U, self.bias, self.w = x, scale * W, scale * U, bias, w if peepholes else None
        self.recurrent_bias = recurrent_bias if kind == "gru" and turn % 2 else None
        self.h0, self.c0, self.dy, self.dh, self.dc = h0, c0 if kind == "lstm" else None, dy, dh, dc
        self.tokens, self.table = None, table
        if turn % 2:
            self.tokens = np.random.default_rng(turn).integers(0, V, self.N).astype(np.int32)
        self.has_c = kind == "lstm"

    def cell(self, dtype):
        return _core.Cell(self.kind, *self.codes, self.coupled, None if self.w is None else self.w.astype(dtype))

    def wide(self, *names):
        return [None if array is None else array.astype(np.float64) for array in (getattr(self, name) for name in names)]

    def steps(self):
        """(rows of gates, rows of the state before, rows of the state after) of every step."""
        start, before = 0, 0
        for rows in self.sizes:
            after = self.B + start
            yield slice(start, start + rows), slice(before, before + rows), slice(after, after + rows)
            start, before = start + rows, after

    def truth_forward(self):
        """The arrays h and c (B + N, H), gates (N, GH) and recurrent (N, 3H)."""
        x, W, U, bias, u_bias, h0, c0, table = self.wide("x", "W", "U", "bias", "recurrent_bias", "h0", "c0", "table")
        h, gates = np.zeros((self.B + self.N, self.H)), x @ W + bias if self.tokens is None else table[self.tokens]
        h[: self.B] = h0
        c = recurrent = None
        if self.has_c:
            c = np.zeros_like(h)
            c[: self.B] = c0
        if self.kind == "gru":
            recurrent = np.zeros((self.N, 3 * self.H)) + (0 if u_bias is None else u_bias)
        for now, before, after in self.steps():
            (gates if recurrent is None else recurrent)[now] += h[before] @ U
            self.body(_core.cell_forward, gates[now], recurrent, now, c, after, h, c if self.has_c else h, before)
        return h, c, gates, recurrent

    def body(self, run, gates, recurrent, now, c, after, h, state, before):
        if len(gates):
            run(self.cell(np.float64), gates, recurrent if recurrent is None else recurrent[now], c if c is None else c[after],
                h[after], state[before])

    def truth_backward(self, h, c, gates, recurrent, U):
        """Gradients dh and dc of the initial state, and the gradients of gates and recurrent, in place of those arrays."""
        dh, dc, dy = self.wide("dh", "dc", "dy")
        for now, before, after in reversed(list(self.steps())):
            rows = now.stop - now.start
            if not rows:
                continue
            state = c if self.has_c else h
            _core.cell_backward(
                self.cell(np.float64), gates[now], recurrent if recurrent is None else recurrent[now], dh[:rows],
                dc[:rows] if self.has_c else None, c if c is None else c[after], state[before], dy[now],
            )
            if recurrent is None:
                dh[:rows] = gates[now] @ U
            else:
                dh[:rows] += recurrent[now] @ U
        return dh, dc if self.has_c else None, gates, recurrent

    def forward(self, keep, divide_units, threads):
        """As `truth_forward`, by the engine; without `keep` c is (B, H), and gates and recurrent are None."""
        B, N, H, dtype = self.B, self.N, self.H, self.dtype
        h, c = np.full((B + N, H), np.nan, dtype), np.full((B + N if keep else B, H), np.nan, dtype) if self.has_c else None
        h[:B] = self.h0
        if self.has_c:
            c[:B] = self.c0
        gates = np.full((N, self.G * H), np.nan, dtype) if keep else None
        recurrent = np.full((N if keep else B, 3 * H), np.nan, dtype) if self.kind == "gru" else None
        block = max(B, 7)
        _native.forward(
            self.cell(dtype), h, c, gates, recurrent, self.x if self.tokens is None else None, self.tokens,
            packed(self.W, H) if self.tokens is None else None, self.bias if self.tokens is None else self.table,
            packed(self.U, H), self.recurrent_bias, self.sizes, keep, np.empty((threads, block), np.int64),
            None if keep else np.empty(threads * block * self.G * H, dtype), divide_units, threads,
        )
        return h, c, gates, recurrent if keep else None


@pytest.fixture(params=CELLS)
def layers(request, dtype):
    return [Layer(request.param, H, B, dtype, turn) for turn, (H, B) in enumerate(product(UNITS, BATCHES))]


def assert_near(got, want, dtype, name):
    assert (got is None) == (want is None), name
    if got is not None and got.size:
        assert relative_error(got, want) <= 200 * np.finfo(dtype).eps, name


@pytest.mark.parametrize(("threads", "divide_units"), [(1, False), (3, False), (3, True)])
def test_layers_equal_their_steps(isa, dtype, layers, threads, divide_units):
    for layer in layers:
        want = layer.truth_forward()
        got = layer.forward(True, divide_units, threads)
        for name, one, other in zip(("h", "c", "gates", "recurrent"), got, want, strict=True):
            assert_near(one, other, dtype, name)
        last = layer.forward(False, divide_units, threads)
        np.testing.assert_array_equal(last[0], got[0])
        if layer.has_c:
            where = np.zeros(layer.B, int) + np.arange(layer.B)
            for now, _, after in layer.steps():
                where[: now.stop - now.start] = np.arange(after.start, after.stop)
            np.testing.assert_array_equal(last[1], got[1][where])

        U = np.ascontiguousarray(layer.U.T)
        kept = [None if array is None else array.astype(np.float64) for array in got]
        want = layer.truth_backward(*kept, U.astype(np.float64))
        dh, dc = layer.dh.copy(), layer.dc.copy() if layer.has_c else None
        h, c, gates, recurrent = got
        _native.backward(
            layer.cell(dtype), gates, recurrent, dh, dc, h, c, layer.dy, packed(U), layer.sizes, divide_units, threads
        )
        for name, one, other in zip(("dh", "dc", "gates", "recurrent"), (dh, dc, gates, recurrent), want, strict=True):
            assert_near(one, other, dtype, f"gradient of {name}")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", CELLS)
def test_stacks_equal_layers(isa, dtype, name, threads):
    """Two layers, step by step, the first reading vectors or tokens."""
    T = 4
    for turn, (H, B) in enumerate(product(UNITS, (1, 5))):
        lower, upper = (Layer(name, H, B, dtype, 3 * (turn + k), T) for k in range(2))  # all sequences of all steps
        upper.W, upper.tokens = upper.U[::-1].copy(), None
        steps = _native.Steps(
            [lower.cell(dtype), upper.cell(dtype)], [packed(lower.W, H) if lower.tokens is None else None, packed(upper.W, H)],
            [lower.bias if lower.tokens is None else lower.table, upper.bias], [packed(lower.U, H), packed(upper.U, H)],
            [lower.recurrent_bias, upper.recurrent_bias], B, lower.x.shape[1], H, threads,
        )
        for k, layer in enumerate((lower, upper)):
            steps.state[0][k] = layer.h0
            if layer.has_c:
                steps.state[1][k] = layer.c0
        upper.x = lower.truth_forward()[0][B:]
        want_h, want_c, *_ = upper.truth_forward()
        for t in range(T):
            now = slice(t * B, (t + 1) * B)
            y = steps.step(lower.x[now]) if lower.tokens is None else steps.step_tokens(lower.tokens[now])
            assert_near(y, want_h[B:][now], dtype, "h")
        assert_near(steps.state[0][1], want_h[-B:], dtype, "h")
        assert_near(steps.state[1] if steps.state[1] is None else steps.state[1][1], want_c if want_c is None else want_c[-B:],
                    dtype, "c")
