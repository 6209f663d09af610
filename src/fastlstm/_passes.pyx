# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A stack of layers through all its steps and back, in two calls, without the GIL. Callers validate shapes and dtypes."""

from libc.string cimport memcpy, memset

from numpy import dtype, uint8  # looked up once

from fastlstm._core cimport (
    FL_GRU, FL_LSTM, address, fl_gradients, fl_layer, fl_width, int64_t, layer_backward, layer_gradients, layers_backward,
    readable, real, row, writable,
)
from fastlstm._native cimport LINE, Whole, in_both_directions, one_after_another, taken

from fastlstm import results

BYTES = dtype(uint8)


cdef class Pass:
    """One pass of a stack that reads vectors, over x (T, B, I) without padding, with memory for all that its way back needs.

    block: rows of input that one thread multiplies at a time, B or more. shares: threads, divide_units, apart as in
    `Whole.run`, but that only directions are apart. ahead: see `_native.forward`; backwards, of one thread, the gradient of
    their input.
    """

    cdef Whole stack
    cdef object x, memory
    cdef fl_layer *layers
    cdef int64_t threads
    cdef bint apart
    cdef size_t width, state  # bytes of a number, and of h or c of a cell

    def __init__(self, Whole stack, object x, int64_t block, tuple shares, bint ahead) -> None:
        cdef int64_t T = x.shape[0], B = x.shape[1], I = stack.stack.I, H = stack.stack.H, N = T * B, k, t
        cdef int64_t cells = stack.stack.L, D = stack.directions, L = cells // D, joined = stack.joined
        cdef size_t width = fl_width(stack.stack.real64), state = B * H * width
        cdef bint divide_units
        self.threads, divide_units, self.apart = shares
        self.stack, self.x, self.width, self.state = stack, x, width, state
        cdef bint has_c = stack.stack.cells.kind == FL_LSTM, has_recurrent = stack.stack.cells.kind == FL_GRU
        cdef size_t states = (T + 1) * state, gates = N * stack.wide * width, recurrent = has_recurrent * 3 * T * state
        cdef size_t listed = (D if self.apart else self.threads) * block * sizeof(int64_t)
        # What the second direction reads, and what the layers between put out: the states, where there is one direction.
        cdef size_t inputs = (D - 1) * N * (I + (L - 1) * 2 * joined) * width
        self.memory = results.empty((
            T * sizeof(int64_t) + listed + cells * (sizeof(fl_layer) + (1 + has_c) * states + gates + recurrent) + inputs
            + (3 + 5 * cells) * LINE,
        ), BYTES)
        cdef char *memory = <char *>address(self.memory)
        cdef int64_t *batch_sizes = <int64_t *>taken(&memory, T * sizeof(int64_t))
        cdef int64_t *rows = <int64_t *>taken(&memory, listed)
        cdef fl_layer *layer
        self.layers = <fl_layer *>taken(&memory, cells * sizeof(fl_layer))
        for t in range(T):
            batch_sizes[t] = B
        memset(self.layers, 0, cells * sizeof(fl_layer))
        for k in range(cells):
            layer = &self.layers[k]
            layer.real64, layer.keep, layer.ahead, layer.divide_units = stack.stack.real64, True, ahead, divide_units
            layer.T, layer.B, layer.N, layer.I, layer.H = T, B, N, I if k < D else joined, H
            layer.batch_sizes, layer.rows, layer.block = batch_sizes, rows + (k % D * block if self.apart else 0), block
            layer.cell, layer.W, layer.bias = stack.stack.cells[k], stack.stack.W[k], stack.stack.bias[k]
            layer.U, layer.recurrent_bias = stack.stack.U[k], stack.stack.recurrent_bias[k]
            layer.h, layer.gates = taken(&memory, states), taken(&memory, gates)
            layer.c = taken(&memory, states) if has_c else NULL
            layer.recurrent = taken(&memory, recurrent) if has_recurrent else NULL
            if k == 0:
                layer.x = address(x)
            else:
                layer.x = taken(&memory, N * layer.I * width) if D == 2 else <char *>self.layers[k - 1].h + state

    def forward(self, object states) -> tuple:
        """All steps from the states (h,), or (h, c) of LSTMs, each (cells, B, H), or None: zeros.

        Returns y (T, B, joined) and the final states.
        """
        cdef int64_t cells = self.stack.stack.L
        cdef fl_layer *top = &self.layers[cells - 1]
        y = results.empty((top.T, top.B, self.stack.joined), self.stack.dtype)
        final = self.stack.initial(states, top.B)
        cdef char *out = <char *>address(y)
        cdef char *h = <char *>address(final[0])
        cdef char *c = NULL if top.c is NULL else <char *>address(final[1])
        with nogil:
            if self.stack.directions == 2:
                in_both_directions(self.layers, cells, h, c, self.state, self.threads, self.apart, out, self.stack.joined)
            else:
                one_after_another(self.layers, cells, h, c, self.state, self.threads)
                memcpy(out, <char *>top.h + self.state, top.T * self.state)
        return y, final

    def backward(self, object dy, tuple dstates, list gradients, list W, list U, tuple shares, int64_t threads) -> object:
        """The gradient of x (T, B, I), from those of y and of the final states, which become those of the initial ones.

        gradients: out, for every cell those of W (GH, I), U (GH, H) and, where there are biases, of both (GH,). W, U: of every
        cell, packed for products in this direction. shares: of the steps. threads: of the products after them, where directions
        are not apart.
        """
        cdef int64_t H = self.stack.stack.H, N = self.layers.N, D = self.stack.directions, joined = self.stack.joined, k, j
        cdef int64_t widest = max(self.stack.stack.I, joined), rows = N * widest * self.width, cells = self.stack.stack.L, size
        cdef int64_t steps
        cdef bint divide_units, apart
        steps, divide_units, apart = shares
        if apart:
            threads = 1
        size = self.width * threads * (
            row.f64.scratch_size(N, widest) if self.stack.stack.real64 else row.f32.scratch_size(N, widest)
        )
        cdef size_t between_size = (cells > D) * N * joined * self.width, split_size = (D - 1) * N * H * self.width
        memory = results.empty(
            (D * (size + LINE) + between_size + 2 * split_size + (D - 1) * rows + 4 * LINE,), BYTES
        )
        dx = results.empty(self.x.shape, self.stack.dtype)
        cdef char *free = <char *>address(memory)
        cdef char *between = taken(&free, between_size)
        cdef char *parts[2]
        cdef char *mirrored
        parts[0], parts[1], mirrored = taken(&free, split_size), taken(&free, split_size), taken(&free, (D - 1) * rows)
        cdef fl_gradients of[2]
        cdef fl_layer *layer
        memset(of, 0, sizeof(of))
        for j in range(D):
            of[j].scratch = taken(&free, size)
        cdef char *dh = <char *>writable(dstates[0], self.width)
        cdef char *dc = <char *>writable(dstates[1], self.width) if len(dstates) == 2 else NULL
        cdef const void *d_output = readable(dy, self.width)
        k = cells
        while k > 0:
            k -= D
            for j in range(D):
                layer = &self.layers[k + j]
                layer.divide_units, layer.ahead = divide_units, layer.ahead and threads == 1  # else the threads share dx
                layer.dh, layer.dc = dh + (k + j) * self.state, NULL if dc is NULL else dc + (k + j) * self.state
                layer.U, layer.W = readable(U[k + j], self.width), readable(W[k + j], self.width)
                d_W, d_U, *d_biases = gradients[k + j]
                of[j].W, of[j].U = writable(d_W, self.width), writable(d_U, self.width)
                if d_biases:
                    of[j].bias, of[j].recurrent_bias = writable(d_biases[0], self.width), writable(d_biases[1], self.width)
                layer.dy = d_output if D == 1 else parts[j]
                layer.dx = mirrored if j else between if k else <char *>address(dx)
            layer = &self.layers[k]
            with nogil:
                if D == 2:
                    split(parts[0], parts[1], <const char *>d_output, layer.T, layer.B, H * self.width, joined * self.width)
                if apart:
                    layers_backward(layer, of, D)
                else:
                    for j in range(D):
                        layer_backward(&layer[j], steps)
                        layer_gradients(&layer[j], &of[j], threads)
                if D == 2 and layer.real64:
                    add_mirrored(<double *>layer.dx, <double *>mirrored, layer.T, layer.B * layer.I)
                elif D == 2:
                    add_mirrored(<float *>layer.dx, <float *>mirrored, layer.T, layer.B * layer.I)
            d_output = between
        return dx


cdef void split(char *forwards, char *backwards, const char *output, int64_t T, int64_t B, size_t one,
                size_t joined) noexcept nogil:
    """The parts of both directions, rows of `one` byte after another, in an output's gradient, rows of `joined` bytes: side by
    side, or the same. That of `backwards` begins with the last step."""
    cdef int64_t t, b
    backwards += T * B * one
    for t in range(T):
        backwards -= B * one
        for b in range(B):
            memcpy(forwards, output, one)
            memcpy(backwards + b * one, output + (joined - one), one)
            forwards, output = forwards + one, output + joined


cdef void add_mirrored(real *out, const real *mirrored, int64_t T, int64_t size) noexcept nogil:
    """Add an array (T, size) that begins with the last step."""
    cdef int64_t t, k
    mirrored += T * size
    for t in range(T):
        mirrored -= size
        for k in range(size):
            out[k] += mirrored[k]
        out += size
