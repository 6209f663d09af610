# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The native engine's layers over all steps, and its stacks step by step, without the GIL.

Rows are packed by step (see `_loops.pyx`), weights as `_core.pack` does. Callers validate shapes and dtypes.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy, memset

import numpy as np
from numpy import empty, ndarray, zeros  # looked up once

from fastlstm._core cimport (
    FL_GRU, FL_LSTM, Cell, address, fl_cell, fl_forward_step, fl_layer, fl_stack, fl_width, int32_t, int64_t,
    layer_backward, layer_forward, layers_forward, readable, real, row, stack_output, stack_prepare, stack_step,
    wave_forward, width_of, writable,
)

INT32 = np.dtype(np.int32)


def forward(Cell cell, object h, object c, object gates, object recurrent, object x, object tokens, object W, object bias,
            object U, object recurrent_bias, object batch_sizes, bint keep, object rows, object scratch, bint divide_units,
            bint ahead, int64_t threads) -> None:
    """Run all steps of one layer, whose cell has G gates.

    h (B + N, H): in, the first B rows are the initial state; out, the others are the states after each step.
    c: of LSTMs, as h with `keep`, else (B, H): in, the initial state; out, the final one.
    gates (N, GH): out, the activated gates; None where they are not kept.
    recurrent: of "gru", (N, 3H) with `keep`: out, the states' part of the pre-activations; else scratch (B, 3H).
    x (N, I), W packed and bias (1, GH); or tokens (N,) and bias (·, GH), the table of what each token contributes.
    recurrent_bias: of "gru", (3H,) or None.
    rows (threads, block >= B); scratch (threads * block * GH,) where gates is None.
    ahead: steps of a sequence alone may make the input's part of later ones.
    """
    cdef fl_layer layer
    cdef int64_t width = width_of(h)
    memset(&layer, 0, sizeof(layer))
    take_sizes(&layer, cell, width, h, batch_sizes, len(x if tokens is None else tokens), divide_units)
    if layer.N == 0:
        return
    layer.h, layer.c = writable(h, width), writable(c, width)
    layer.gates, layer.recurrent = writable(gates, width), writable(recurrent, width)
    layer.x, layer.W, layer.bias = readable(x, width), readable(W, width), readable(bias, width)
    layer.U, layer.recurrent_bias = readable(U, width), readable(recurrent_bias, width)
    layer.tokens = <int32_t *>readable(tokens, sizeof(int32_t))
    _, layer.I = (0, 0) if x is None else x.shape
    layer.rows, layer.scratch = <int64_t *>writable(rows, sizeof(int64_t)), writable(scratch, width)
    _, layer.block = rows.shape
    layer.keep, layer.ahead = keep, ahead
    with nogil:
        layer_forward(&layer, threads)


def backward(Cell cell, object gates, object recurrent, object dh, object dc, object h, object c, object dy, object U,
             object batch_sizes, bint divide_units, int64_t threads) -> None:
    """Run all steps of one layer backwards.

    gates (N, GH): in, the activated gates; out, the gradients of the pre-activations.
    recurrent (N, 3H): of "gru", as `forward` left it; out, the gradients of the states' part of the pre-activations.
    dh, dc (B, H): in, the gradients of the final state; out, those of the initial state; dc and c: of LSTMs, else None.
    h, c (B + N, H): as `forward` left them.  dy (N, H): gradient of every h from above.  U: packed for this direction.
    """
    cdef fl_layer layer
    cdef int64_t width = width_of(h)
    memset(&layer, 0, sizeof(layer))
    take_sizes(&layer, cell, width, h, batch_sizes, len(gates), divide_units)
    if layer.N == 0:
        return
    layer.gates, layer.recurrent = writable(gates, width), writable(recurrent, width)
    layer.dh, layer.dc = writable(dh, width), writable(dc, width)
    layer.h, layer.c, layer.dy, layer.U = readable(h, width), readable(c, width), readable(dy, width), readable(U, width)
    with nogil:
        layer_backward(&layer, threads)


cdef int take_sizes(fl_layer *layer, Cell cell, int64_t width, object h, object batch_sizes, int64_t N,
                    bint divide_units) except -1:
    """What a layer is, its numbers of `width` bytes, and how many rows it has: h (B + N, H), batch_sizes (T,)."""
    cdef int64_t rows, H
    rows, H = h.shape
    layer.real64, layer.cell, layer.divide_units = width == sizeof(double), cell.cell, divide_units
    layer.T, layer.B, layer.N, layer.H = len(batch_sizes), rows - N, N, H
    layer.batch_sizes = <int64_t *>readable(batch_sizes, sizeof(int64_t))
    return 0


cdef enum:
    MOST_IDLE = 1 << 24  # bytes of scratch memory that a stack keeps for the next call
    MOST_OUTPUTS = 1 << 24  # numbers for which any machine has the memory


cdef char *line_at(void *memory) noexcept nogil:
    """The first byte of a cache line at or after `memory`."""
    return <char *>memory + -<size_t>memory % LINE


cdef class Stack:
    """Layers one after another, with their packed weights.

    cells, W, bias, U, recurrent_bias: lists with one for each layer, packed W and U, bias (1, GH), recurrent_bias (3H,) or
    None. W[0] None: the stack reads tokens, and bias[0] (·, GH) is the table of what each contributes. All of one dtype;
    sizes are I and H.
    """

    def __init__(self, cells: list[Cell], W: list, bias: list, U: list, recurrent_bias: list, int64_t I, int64_t H) -> None:
        cdef int64_t L = len(U), k
        cdef Cell cell
        self.dtype = bias[0].dtype
        self.table_rows, self.wide = bias[0].shape
        parts = W, bias, U, recurrent_bias
        pointers = np.array([[<size_t>address(array) for array in part] for part in parts], np.uintp)
        cdef size_t[:, ::1] places = pointers
        kinds = np.empty(L * sizeof(fl_cell), np.int8)
        cdef fl_cell *own = <fl_cell *>address(kinds)
        for k in range(L):
            cell = cells[k]
            own[k] = cell.cell
        self.weights = cells, parts, pointers, kinds
        memset(&self.stack, 0, sizeof(self.stack))
        self.stack.row = row  # which the weights are packed for
        self.stack.real64, self.stack.cells = self.dtype == np.float64, own
        self.stack.L, self.stack.I, self.stack.H = L, I, H
        self.stack.W, self.stack.bias = <const void **>&places[0, 0], <const void **>&places[1, 0]
        self.stack.U, self.stack.recurrent_bias = <const void **>&places[2, 0], <const void **>&places[3, 0]

    cdef int take(self, object x, Py_buffer *view, int ndim) except -1:
        """Whether x is an array of so many dimensions that the stack can read as it is, numbers (..., I), or where it reads
        token ids, those; then release `view`."""
        cdef bint reads_tokens = self.stack.W[0] is NULL
        if type(x) is not ndarray or x.dtype != (INT32 if reads_tokens else self.dtype):
            return False
        try:
            PyObject_GetBuffer(x, view, PyBUF_C_CONTIGUOUS)
        except ValueError:
            return False
        if view.ndim == ndim and (ndim == 1 if reads_tokens else view.shape[ndim - 1] == self.stack.I):
            return True
        PyBuffer_Release(view)
        return False

    cdef tuple initial(self, object states, int64_t B):
        """Copies of the states (h,), or (h, c) of LSTMs, each (L, B, H); zeros for None."""
        if states is None:
            shape = self.stack.L, B, self.stack.H
            return tuple([zeros(shape, self.dtype) for _ in range(2 if self.stack.cells.kind == FL_LSTM else 1)])
        return tuple([part.copy() for part in states])


cdef char *taken(char **memory, size_t size) noexcept nogil:
    """The next `size` bytes of the memory, from the beginning of a cache line on; less than `LINE` are passed over."""
    cdef char *start = line_at(memory[0])
    memory[0] = start + size
    return start


cdef void take_states(fl_layer *layers, int64_t begin, int64_t end, const char *h, const char *c,
                      size_t state) noexcept nogil:
    """The initial states of the layers [begin, end), h and c (layers, B, H) of `state` bytes each; c NULL: they have none, or
    have it already."""
    cdef int64_t k
    for k in range(begin, end):
        memcpy(layers[k].h, h + k * state, state)
        if c is not NULL:
            memcpy(layers[k].c, c + k * state, state)


cdef void give_states(const fl_layer *layers, int64_t begin, int64_t end, char *h, char *c, size_t state) noexcept nogil:
    """And their final ones."""
    cdef int64_t k
    for k in range(begin, end):
        memcpy(h + k * state, <const char *>layers[k].h + layers[k].T * state, state)
        if c is not NULL:
            memcpy(c + k * state, <const char *>layers[k].c + layers[k].T * state, state)


cdef void one_after_another(fl_layer *layers, int64_t L, char *h, char *c, size_t state, int64_t threads) noexcept nogil:
    """Layers that each read the outputs of the one before.

    h, c (L, B, H) of `state` bytes each, c NULL as above: in, the initial states; out, the final ones.
    """
    cdef int64_t k
    for k in range(L):
        take_states(layers, k, k + 1, h, c, state)
        layer_forward(&layers[k], threads)
        give_states(layers, k, k + 1, h, c, state)


cdef void as_a_wave(fl_layer *layers, int64_t L, char *h, size_t state, int64_t threads) noexcept nogil:
    """The same, a thread to each layer, which have their c."""
    take_states(layers, 0, L, h, NULL, state)
    wave_forward(layers, L, threads)
    give_states(layers, 0, L, h, NULL, state)


cdef void in_both_directions(fl_layer *layers, int64_t cells, char *h, char *c, size_t state, int64_t threads, bint apart,
                             void *out, int64_t joined) noexcept nogil:
    """The same of two cells a layer, of which the second goes from the last step to the first.

    Its x is memory for the first one's with the steps the other way round, and x of every layer but the first memory for what
    the one below puts out. h, c: of all cells, as above. apart: a thread to each direction, else `threads`. out (T, B, joined)
    """
    cdef int64_t k, t, T = layers.T, direction
    cdef size_t step
    cdef fl_layer *pair
    for k in range(0, cells, 2):
        pair = &layers[k]
        step = pair.B * pair.I * fl_width(pair.real64)
        for t in range(T):
            memcpy(<char *>pair[1].x + t * step, <const char *>pair.x + (T - 1 - t) * step, step)
        take_states(layers, k, k + 2, h, c, state)
        if apart:
            layers_forward(pair, 2)
        else:
            for direction in range(2):
                layer_forward(&pair[direction], threads)
        give_states(layers, k, k + 2, h, c, state)
        joint = out if k == cells - 2 else <void *>pair[2].x
        if pair.real64:
            join(<double *>joint, <double *>pair.h, <double *>pair[1].h, T, pair.B, pair.H, joined)
        else:
            join(<float *>joint, <float *>pair.h, <float *>pair[1].h, T, pair.B, pair.H, joined)


cdef void join(real *out, const real *forwards, const real *backwards, int64_t T, int64_t B, int64_t H,
               int64_t joined) noexcept nogil:
    """The outputs of both directions, each (1 + T, B, H) after the initial states, side by side where joined = 2H, else their
    sum; those of `backwards` begin with the last step."""
    cdef int64_t t, b, k
    cdef const real *back
    forwards += B * H
    for t in range(T):
        back = backwards + (T - t) * B * H
        for b in range(B):
            memcpy(out, forwards, H * sizeof(real))
            if joined == H:
                for k in range(H):
                    out[k] += back[k]
            else:
                memcpy(out + H, back, H * sizeof(real))
            out, forwards, back = out + joined, forwards + H, back + H


cdef class Whole(Stack):
    """A stack that runs all steps of vectors at once and keeps nothing.

    As `Stack`, with the cells of each layer's directions, one or two, one after the other. joined: numbers in the output of a
    layer: H, or 2H where those of two directions are put side by side instead of being added up. ahead: see `forward`.
    """

    def __init__(self, cells: list[Cell], W: list, bias: list, U: list, recurrent_bias: list, int64_t I, int64_t H,
                 int64_t directions, int64_t joined, bint ahead) -> None:
        super().__init__(cells, W, bias, U, recurrent_bias, I, H)
        self.directions, self.joined, self.ahead = directions, joined, ahead

    cdef void lay_out(self, fl_layer *layers, char **memory, const fl_layer *alike, int64_t threads, int64_t own,
                      int64_t arrays) noexcept nogil:
        """Every cell as a layer, with memory for `own` of them at a time, and for the states after all steps of `arrays`.

        alike: what they have in common, and c and x of the first.
        """
        cdef int64_t k, B = alike.B, H = alike.H, rows = threads * alike.block
        cdef size_t width = fl_width(alike.real64)
        cdef fl_layer *layer
        for k in range(self.stack.L):
            layer = &layers[k]
            layer[0] = alike[0]
            layer.cell, layer.W, layer.U = self.stack.cells[k], self.stack.W[k], self.stack.U[k]
            layer.bias, layer.recurrent_bias = self.stack.bias[k], self.stack.recurrent_bias[k]
            layer.c = NULL if alike.c is NULL else <char *>alike.c + k * B * H * width
            if k < own:
                layer.rows = <int64_t *>taken(memory, rows * sizeof(int64_t))
                layer.scratch = taken(memory, rows * self.wide * width)
                layer.recurrent = taken(memory, 3 * B * H * width) if layer.cell.kind == FL_GRU else NULL
            else:
                layer.rows, layer.scratch = layers[k - own].rows, layers[k - own].scratch
                layer.recurrent = layers[k - own].recurrent
            layer.h = taken(memory, (alike.T + 1) * B * H * width) if k < arrays else layers[k - arrays].h
            if k >= self.directions:
                layer.x, layer.I = <char *>layers[k - 1].h + B * H * width, self.joined

    def reads(self, object x) -> bool:
        """Whether the object x is an array, not empty, that `run` takes as it is, and for whose outputs there is memory."""
        cdef Py_buffer view
        cdef bint fits
        if not self.take(x, &view, 3):
            return False
        fits = 0 < view.shape[0] * view.shape[1] <= MOST_OUTPUTS // self.joined and <size_t>view.buf % view.itemsize == 0
        PyBuffer_Release(&view)
        return fits

    def run(self, object x, object states, int64_t block, int64_t threads, bint divide_units, bint apart) -> tuple:
        """All steps of x (T, B, I) from the states (h,), or (h, c) of LSTMs, each (cells, B, H); None: zeros.

        block: rows of input that are multiplied at a time, B or more. threads: how many run each cell, dividing its units with
        `divide_units`, else its sequences. With `apart` each cell is run by one, both directions at the same time, or layers as
        a wave. Returns y (T, B, joined) and the final states.
        """
        cdef int64_t T = x.shape[0], B = x.shape[1], H = self.stack.H, cells = self.stack.L, D = self.directions, k, t
        cdef int64_t own = (D if D == 2 else cells) if apart else 1, arrays = D if D == 2 else cells if apart else 2
        cdef int64_t shares = 1 if apart else threads, widest = max(self.stack.I, self.joined)
        cdef size_t width = fl_width(self.stack.real64), state = B * H * width
        cdef size_t size = (T * sizeof(int64_t) + cells * sizeof(fl_layer) + arrays * (T + 1) * state
                            + own * (shares * block * (sizeof(int64_t) + self.wide * width) + 3 * state)
                            + (D - 1) * T * B * (widest + self.joined) * width + (4 + 3 * own + arrays) * LINE)
        cdef fl_layer alike
        scratch, self.idle = self.idle, None  # another thread that comes now finds none, and makes its own
        if scratch is None or <size_t>len(scratch) < size:
            scratch = empty(size, np.uint8)
        cdef char *memory = <char *>address(scratch)
        cdef int64_t *batch_sizes = <int64_t *>taken(&memory, T * sizeof(int64_t))
        cdef fl_layer *layers = <fl_layer *>taken(&memory, cells * sizeof(fl_layer))
        for t in range(T):
            batch_sizes[t] = B
        final = self.initial(states, B)
        cdef char *h = <char *>address(final[0])
        memset(&alike, 0, sizeof(alike))
        alike.row, alike.real64, alike.ahead = self.stack.row, self.stack.real64, self.ahead
        alike.T, alike.B, alike.I, alike.H = T, B, self.stack.I, H
        alike.batch_sizes, alike.block, alike.divide_units, alike.x = batch_sizes, block, divide_units, address(x)
        if len(final) == 2:
            alike.c = address(final[1])
        self.lay_out(layers, &memory, &alike, shares, own, arrays)
        # The caller's outputs: those of both directions, or the states of the last layer, which begin with the initial ones.
        cdef int64_t initial = 0 if D == 2 else B * H, outputs = T * B * self.joined
        out = empty(initial + outputs + LINE // width, self.dtype)
        cdef char *last = line_at(address(out))
        cdef int64_t first = (last - <char *>address(out)) // <int64_t>width + initial
        cdef char *mirrored = taken(&memory, (D - 1) * T * B * widest * width)
        with nogil:
            if T * B > 0 and D == 2:
                for k in range(1, cells):
                    layers[k].x = mirrored if k % 2 else memory
                in_both_directions(layers, cells, h, NULL, state, threads, apart, last, self.joined)
            elif T * B > 0:
                layers[cells - 1].h = last
                if apart:
                    as_a_wave(layers, cells, h, state, threads)
                else:
                    one_after_another(layers, cells, h, NULL, state, threads)
        if scratch.nbytes <= MOST_IDLE:
            self.idle = scratch
        return out[first : first + outputs].reshape(T, B, self.joined), final


cdef class Steps(Stack):
    """A stack that goes on step by step, for B sequences, and their states."""

    def __init__(self, cells: list[Cell], W: list, bias: list, U: list, recurrent_bias: list, int64_t B, int64_t I, int64_t H,
                 int64_t threads) -> None:
        super().__init__(cells, W, bias, U, recurrent_bias, I, H)
        self.output_shape = B, H
        gates, recurrent = np.empty((B, self.wide), self.dtype), None
        self.h, self.c = np.zeros((2, self.stack.L, B, H), self.dtype), None
        if self.stack.cells.kind == FL_LSTM:
            self.c = np.zeros((self.stack.L, B, H), self.dtype)
            self.stack.c = address(self.c)
        elif self.stack.cells.kind == FL_GRU:
            recurrent = np.empty((B, 3 * H), self.dtype)
            self.stack.recurrent = address(recurrent)
        steps = np.empty(2 * self.stack.L * sizeof(fl_forward_step), np.int8)
        if self.stack.W[0] is NULL:
            x = np.empty(B, np.int32)
            self.stack.tokens = <int32_t *>address(x)
        else:
            x = np.empty((B, I), self.dtype)
            self.stack.x = address(x)
        self.memory = gates, recurrent, steps, x
        self.stack.B, self.stack.gates, self.stack.h = B, address(gates), address(self.h)
        self.stack.steps = <fl_forward_step *>address(steps)
        stack_prepare(&self.stack)
        self.threads = min(threads, self.stack.steps.end)  # of which each has a strip of units

    @property
    def state(self) -> tuple[np.ndarray, ...]:
        """(h, c), or (h,) of cells without c, each (L, B, H); views until the next step."""
        h = self.h[self.stack.turn % 2]
        return (h,) if self.c is None else (h, self.c)

    @state.setter
    def state(self, states: tuple) -> None:
        for own, given in zip(self.state, states, strict=True):
            own[...] = given

    def step(self, x: object, out: object = None) -> object:
        """Advance by the input x, an array (B, I) of the stack's dtype, or where it reads tokens of int32 ids (B,); returns the
        last layer's output (B, H), in `out` or fresh. None, and nothing done, where x is anything else: then the caller must
        look at it more closely."""
        cdef Py_buffer view
        cdef bint reads_tokens = self.stack.W[0] is NULL, fits
        cdef int64_t b
        if not self.take(x, &view, 1 if reads_tokens else 2):
            return None
        fits = view.shape[0] == self.stack.B
        if fits:
            memcpy(<void *>self.stack.tokens if reads_tokens else <void *>self.stack.x, view.buf, view.len)
        PyBuffer_Release(&view)
        if reads_tokens and fits:
            for b in range(self.stack.B):
                fits = fits and 0 <= self.stack.tokens[b] < self.table_rows
        if not fits:
            return None
        if out is None:
            out = empty(self.output_shape, self.dtype)
        with nogil:
            stack_step(&self.stack, self.threads)
        memcpy(address(out), stack_output(&self.stack), self.stack.B * self.stack.H * fl_width(self.stack.real64))
        return out
