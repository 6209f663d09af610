# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A stack of layers through all its steps and back, in two calls, without the GIL. Callers validate shapes and dtypes."""

from libc.string cimport memcpy, memset

from numpy import dtype, uint8, zeros  # looked up once

from fastlstm._core cimport (
    FL_GRU, FL_LSTM, address, fl_gradients, fl_layer, int64_t, layer_backward, layer_forward, layer_gradients, readable, row,
    writable,
)
from fastlstm._native cimport LINE, Stack, taken

from fastlstm import results

BYTES = dtype(uint8)


cdef class Pass:
    """One pass of a stack that reads vectors, over x (T, B, I) without padding, with memory for all that its way back needs.

    block: rows of input that one thread multiplies at a time, B or more. shares: for each layer how many threads run it, and
    whether they divide its units instead of its sequences. ahead: see `_native.forward`; backwards, of one thread, the
    gradient of their input.
    """

    cdef Stack stack
    cdef object x, memory
    cdef fl_layer *layers
    cdef int64_t *threads
    cdef size_t width, state  # bytes of a number, and of h or c of a layer

    def __init__(self, Stack stack, object x, int64_t block, list shares, bint ahead) -> None:
        cdef int64_t T = x.shape[0], B = x.shape[1], L = stack.stack.L, H = stack.stack.H, k, t, most = 1
        cdef size_t width = 8 if stack.stack.real64 else 4, state = B * H * width
        self.stack, self.x, self.width, self.state = stack, x, width, state
        cdef bint has_c = stack.stack.cells.kind == FL_LSTM, has_recurrent = stack.stack.cells.kind == FL_GRU
        cdef size_t states = (T + 1) * state, gates = T * B * stack.wide * width, recurrent = has_recurrent * 3 * T * state
        for count, _ in shares:
            most = max(most, count)
        self.memory = results.empty((
            T * sizeof(int64_t) + L * (sizeof(int64_t) + sizeof(fl_layer) + (1 + has_c) * states + gates + recurrent)
            + most * block * sizeof(int64_t) + (4 + 4 * L) * LINE,
        ), BYTES)
        cdef char *memory = <char *>address(self.memory)
        cdef int64_t *batch_sizes = <int64_t *>taken(&memory, T * sizeof(int64_t))
        cdef int64_t *rows = <int64_t *>taken(&memory, most * block * sizeof(int64_t))
        cdef fl_layer *layer
        self.threads = <int64_t *>taken(&memory, L * sizeof(int64_t))
        self.layers = <fl_layer *>taken(&memory, L * sizeof(fl_layer))
        for t in range(T):
            batch_sizes[t] = B
        memset(self.layers, 0, L * sizeof(fl_layer))
        for k in range(L):
            layer = &self.layers[k]
            self.threads[k], layer.divide_units = shares[k]
            layer.real64, layer.keep, layer.ahead = stack.stack.real64, True, ahead
            layer.T, layer.B, layer.N, layer.I, layer.H = T, B, T * B, stack.stack.I if k == 0 else H, H
            layer.batch_sizes, layer.rows, layer.block = batch_sizes, rows, block
            layer.cell, layer.W, layer.bias = stack.stack.cells[k], stack.stack.W[k], stack.stack.bias[k]
            layer.U, layer.recurrent_bias = stack.stack.U[k], stack.stack.recurrent_bias[k]
            layer.h, layer.gates = taken(&memory, states), taken(&memory, gates)
            layer.c = taken(&memory, states) if has_c else NULL
            layer.recurrent = taken(&memory, recurrent) if has_recurrent else NULL
            layer.x = address(x) if k == 0 else <char *>self.layers[k - 1].h + state

    def forward(self, object states) -> tuple:
        """All steps from the states (h,), or (h, c) of LSTMs, each (L, B, H), or None: zeros.

        Returns y (T, B, H) and the final states.
        """
        cdef int64_t L = self.stack.stack.L, k, part, parts = 2 if self.layers.c is not NULL else 1
        cdef fl_layer *top = &self.layers[L - 1]
        y = results.empty((top.T, top.B, top.H), self.stack.dtype)
        if states is None:
            final = tuple([zeros((L, top.B, top.H), self.stack.dtype) for _ in range(parts)])
        else:
            final = tuple([array.copy() for array in states])
        cdef char *out = <char *>address(y)
        cdef char *given[2]
        cdef char *own
        for part in range(parts):
            given[part] = <char *>address(final[part])
        with nogil:
            for k in range(L):
                for part in range(parts):
                    memcpy(self.layers[k].c if part else self.layers[k].h, given[part] + k * self.state, self.state)
                layer_forward(&self.layers[k], self.threads[k])
                for part in range(parts):
                    own = <char *>(self.layers[k].c if part else self.layers[k].h)
                    memcpy(given[part] + k * self.state, own + top.T * self.state, self.state)
            memcpy(out, <char *>top.h + self.state, top.T * self.state)
        return y, final

    def backward(self, object dy, tuple dstates, list gradients, list W, list U, tuple share, int64_t threads) -> object:
        """The gradient of x (T, B, I), from those of y and of the final states, which become those of the initial ones.

        gradients: out, for every layer those of W (GH, I), U (GH, H) and, where there are biases, of both (GH,). W, U: of every
        layer, packed for products in this direction. share: as in `shares`, of every layer. threads: of the products after the
        steps.
        """
        cdef int64_t L = self.stack.stack.L, H = self.stack.stack.H, N = self.layers.N, k, steps = share[0], scratch
        cdef int64_t widest = max(self.stack.stack.I, H)
        if self.stack.stack.real64:
            scratch = row.f64.scratch_size(N, widest)
        else:
            scratch = row.f32.scratch_size(N, widest)
        memory = results.empty((threads * scratch * self.width + (L > 1) * N * H * self.width + 2 * LINE,), BYTES)
        dx = results.empty(self.x.shape, self.stack.dtype)
        cdef char *free = <char *>address(memory)
        cdef fl_gradients of
        cdef fl_layer *layer
        memset(&of, 0, sizeof(of))
        of.scratch = taken(&free, threads * scratch * self.width)
        cdef char *between = taken(&free, (L > 1) * N * H * self.width)
        cdef char *dh = <char *>writable(dstates[0], self.width)
        cdef char *dc = <char *>writable(dstates[1], self.width) if len(dstates) == 2 else NULL
        cdef const void *d_output = readable(dy, self.width)
        for k in range(L - 1, -1, -1):
            layer = &self.layers[k]
            layer.divide_units, layer.ahead = share[1], layer.ahead and threads == 1  # else the threads share dx
            layer.dh, layer.dc, layer.dy = dh + k * self.state, NULL if dc is NULL else dc + k * self.state, d_output
            layer.U, layer.W = readable(U[k], self.width), readable(W[k], self.width)
            d_W, d_U, *d_biases = gradients[k]
            of.W, of.U = writable(d_W, self.width), writable(d_U, self.width)
            if d_biases:
                of.bias, of.recurrent_bias = writable(d_biases[0], self.width), writable(d_biases[1], self.width)
            layer.dx = between if k else <char *>address(dx)
            with nogil:
                layer_backward(layer, steps)
                layer_gradients(layer, &of, threads)
            d_output = between
        return dx
