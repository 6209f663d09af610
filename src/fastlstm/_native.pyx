# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The native engine's layers over all steps, and its stacks step by step, without the GIL.

Rows are packed by step (see `_lstm.pyx`), weights as `_core.pack` does. Callers validate shapes, dtypes and contiguity.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy, memset, strcmp

import numpy as np

from fastlstm._core cimport (
    fl_layer, fl_stack, int32_t, int64_t, layer_backward, layer_forward, real, stack_step,
)


def forward(real[:, ::1] h, real[:, ::1] c, real[:, ::1] gates, const real[:, ::1] x, const int32_t[::1] tokens,
            const real[::1] W, const real[:, ::1] bias, const real[::1] U, const int64_t[::1] batch_sizes, bint keep,
            int64_t[:, ::1] rows, real[::1] scratch, int activation, int recurrent, bint divide_units,
            int64_t threads) -> None:
    """Run all steps of one layer.

    gates (N, 4H): out, the activated gates i, f, g, o; None where they are not kept.
    h (B + N, H): in, the first B rows are the initial state; out, the others are the states after each step.
    c: as h with `keep`, else (B, H): in, the initial state; out, the final one.
    x (N, I), W packed and bias (1, 4H); or tokens (N,) and bias (·, 4H), the table of what each token contributes.
    rows (threads, block >= B); scratch (threads * block * 4H,) where gates is None.
    """
    cdef fl_layer layer
    if batch_sizes.shape[0] == 0 or batch_sizes[0] == 0:
        return
    memset(&layer, 0, sizeof(layer))
    layer.real64, layer.cell.activation, layer.cell.recurrent = real is not float, activation, recurrent
    layer.T, layer.H, layer.batch_sizes, layer.divide_units = batch_sizes.shape[0], h.shape[1], &batch_sizes[0], divide_units
    layer.B = h.shape[0] - (x.shape[0] if tokens is None else tokens.shape[0])
    layer.h, layer.c, layer.bias, layer.U, layer.keep = &h[0, 0], &c[0, 0], &bias[0, 0], &U[0], keep
    if gates is not None:
        layer.gates = &gates[0, 0]
    if scratch is not None:
        layer.scratch = &scratch[0]
    if tokens is None:
        layer.x, layer.W, layer.I = &x[0, 0], &W[0], x.shape[1]
    else:
        layer.tokens = &tokens[0]
    layer.rows, layer.block = &rows[0, 0], rows.shape[1]
    with nogil:
        layer_forward(&layer, threads)


def backward(real[:, ::1] gates, real[:, ::1] dh, real[:, ::1] dc, const real[:, ::1] c, const real[:, ::1] dy,
             const real[::1] U, const int64_t[::1] batch_sizes, int activation, int recurrent, bint divide_units,
             int64_t threads) -> None:
    """Run all steps of one layer backwards.

    gates (N, 4H): in, the activated gates; out, the gradients of the pre-activations.
    dh, dc (B, H): in, the gradients of the final state; out, those of the initial state.
    c (B + N, H): as `forward` left it.  dy (N, H): gradient of every h from above.  U: packed for this direction.
    """
    cdef fl_layer layer
    if gates.shape[0] == 0:
        return
    memset(&layer, 0, sizeof(layer))
    layer.real64, layer.cell.activation, layer.cell.recurrent = real is not float, activation, recurrent
    layer.T, layer.H, layer.batch_sizes, layer.divide_units = batch_sizes.shape[0], c.shape[1], &batch_sizes[0], divide_units
    layer.N, layer.B = gates.shape[0], c.shape[0] - gates.shape[0]
    layer.gates, layer.dh, layer.dc, layer.U = &gates[0, 0], &dh[0, 0], &dc[0, 0], &U[0]
    layer.c, layer.dy = <void *>&c[0, 0], &dy[0, 0]
    with nogil:
        layer_backward(&layer, threads)


cdef void *address(object array) except NULL:
    """Where the numbers of a C-contiguous array are."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS)
    PyBuffer_Release(&view)  # the caller keeps the array
    return view.buf


cdef class Steps:
    """A stack of layers that goes on step by step, for B sequences, and their states.

    W, bias, U: lists with an array for each layer, packed W and U, bias (1, 4H). W[0] None: the stack reads tokens, and
    bias[0] (·, 4H) is the table of what each contributes. All of one dtype; input_size is I.
    """

    def __init__(self, W: list, bias: list, U: list, int64_t B, int64_t I, int activation, int recurrent,
                 int64_t threads) -> None:
        cdef int64_t L = len(U), H = bias[0].shape[1] // 4
        self.dtype = bias[0].dtype
        self.format = self.dtype.char.encode()
        pointers = np.array([[0 if array is None else array.ctypes.data for array in part] for part in (W, bias, U)], np.uintp)
        cdef size_t[:, ::1] places = pointers
        gates = np.empty((B, 4 * H), self.dtype)
        self.h, self.c = np.zeros((2, L, B, H), self.dtype), np.zeros((L, B, H), self.dtype)
        self.arrays = W, bias, U, pointers, gates
        memset(&self.stack, 0, sizeof(self.stack))
        self.stack.real64 = self.dtype == np.float64
        self.stack.cell.activation, self.stack.cell.recurrent = activation, recurrent
        self.stack.L, self.stack.B, self.stack.I, self.stack.H = L, B, I, H
        self.stack.W, self.stack.bias = <const void **>&places[0, 0], <const void **>&places[1, 0]
        self.stack.U = <const void **>&places[2, 0]
        self.stack.gates, self.stack.h, self.stack.c = address(gates), address(self.h), address(self.c)
        self.threads = threads

    @property
    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """(h, c), each (L, B, H); views until the next step."""
        return self.h[self.stack.turn % 2], self.c

    def step(self, x: object, out: object = None) -> object:
        """Advance by the input x (B, I), which is an array of the stack's dtype; returns the last layer's output (B, H), in
        `out` or fresh. None, and nothing done, where x is anything else: then the caller must look at it more closely."""
        cdef Py_buffer view
        if type(x) is not np.ndarray or self.stack.W[0] is NULL:
            return None
        try:
            PyObject_GetBuffer(x, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
        except (ValueError, BufferError):
            return None
        try:
            if (view.ndim != 2 or view.shape[0] != self.stack.B or view.shape[1] != self.stack.I
                    or strcmp(view.format, self.format) or <size_t>view.buf % view.itemsize):
                return None
            self.stack.x = view.buf
            return self.advance(out)
        finally:
            PyBuffer_Release(&view)

    def step_tokens(self, const int32_t[::1] tokens, out: object = None) -> object:
        """As `step`, for checked token ids (B,)."""
        self.stack.tokens = &tokens[0]
        return self.advance(out)

    cdef object advance(self, object out):
        cdef int64_t L = self.stack.L, state = self.stack.B * self.stack.H * (8 if self.stack.real64 else 4)
        if out is None:
            out = np.empty((self.stack.B, self.stack.H), self.dtype)
        with nogil:
            stack_step(&self.stack, self.threads)
        memcpy(address(out), <char *>self.stack.h + ((self.stack.turn % 2) * L + L - 1) * state, state)
        return out
