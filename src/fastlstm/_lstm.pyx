# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The LSTM's time loops over packed rows with products through BLAS, without the GIL.

Rows are packed by step: the rows of step t are the first `batch_sizes[t]` sequences, longest first, and follow those
of step t - 1 (a full batch is the case of equal sizes). State buffers hold B rows of initial state before them, so
that the first step is no special case.
"""

from libc.string cimport memset

from fastlstm._core cimport (
    fl_backward_step, fl_forward_step, flush_denormals, int64_t, multiply, real, restore_denormals, row,
)


cdef void step_rows(real *gates, real *h, real *c, const real *h_prev, const real *c_prev, const real *weight_hh,
                    int64_t rows, int64_t H, int activation, int recurrent) noexcept nogil:
    cdef fl_forward_step step
    multiply(gates, h_prev, weight_hh, rows, 4 * H, H, False, True, <real>1)
    memset(&step, 0, sizeof(step))
    step.gates, step.c, step.h, step.c_prev = gates, c, h, c_prev
    step.rows, step.H, step.cell.activation, step.cell.recurrent = rows, H, activation, recurrent
    if real is float:
        row.f32.cell_forward(&step)
    else:
        row.f64.cell_forward(&step)


cdef void step_rows_back(real *gates, real *dh, real *dc, const real *c, const real *c_prev, const real *dy,
                         const real *weight_hh, int64_t rows, int64_t H, int activation, int recurrent) noexcept nogil:
    cdef fl_backward_step step
    memset(&step, 0, sizeof(step))
    step.gates, step.dh, step.dc, step.c, step.c_prev, step.dy = gates, dh, dc, c, c_prev, dy
    step.rows, step.H, step.cell.activation, step.cell.recurrent = rows, H, activation, recurrent
    if real is float:
        row.f32.cell_backward(&step)
    else:
        row.f64.cell_backward(&step)
    multiply(dh, gates, weight_hh, rows, H, 4 * H, False, False, <real>0)


def forward(real[:, ::1] gates, real[:, ::1] h, real[:, ::1] c, const real[:, ::1] weight_hh,
            const int64_t[::1] batch_sizes, bint keep, int activation, int recurrent) -> None:
    """Run all steps of one layer.

    gates (N, 4H): in, the input's part of the pre-activations; out, the activated gates i, f, g, o.
    h (B + N, H): in, the first B rows are the initial state; out, the others are the states after each step.
    c: as h with `keep`, else (B, H): in, the initial state; out, the final one.
    """
    cdef int64_t T = batch_sizes.shape[0], H = weight_hh.shape[1], B = h.shape[0] - gates.shape[0]
    cdef int64_t t, rows, start = 0, previous = 0, current = B
    cdef unsigned int mode
    if gates.shape[0] == 0:
        return
    with nogil:
        mode = flush_denormals()
        for t in range(T):
            rows = batch_sizes[t]
            step_rows(&gates[start, 0], &h[current, 0], &c[current if keep else 0, 0], &h[previous, 0],
                      &c[previous if keep else 0, 0], &weight_hh[0, 0], rows, H, activation, recurrent)
            previous = current
            current += rows
            start += rows
        restore_denormals(mode)


def backward(real[:, ::1] gates, real[:, ::1] dh, real[:, ::1] dc, const real[:, ::1] c, const real[:, ::1] dy,
             const real[:, ::1] weight_hh, const int64_t[::1] batch_sizes, int activation, int recurrent) -> None:
    """Run all steps of one layer backwards.

    gates (N, 4H): in, the activated gates; out, the gradients of the pre-activations.
    dh, dc (B, H): in, the gradients of the final state; out, those of the initial state.
    c (B + N, H): as `forward` left it.  dy (N, H): gradient of every h from above.
    """
    cdef int64_t T = batch_sizes.shape[0], H = weight_hh.shape[1], N = gates.shape[0], B = c.shape[0] - gates.shape[0]
    cdef int64_t t, rows, start = N, previous
    cdef unsigned int mode
    if N == 0:
        return
    with nogil:
        mode = flush_denormals()
        for t in range(T - 1, -1, -1):
            rows = batch_sizes[t]
            start -= rows
            previous = B + start - batch_sizes[t - 1] if t else 0
            step_rows_back(&gates[start, 0], &dh[0, 0], &dc[0, 0], &c[B + start, 0], &c[previous, 0], &dy[start, 0],
                           &weight_hh[0, 0], rows, H, activation, recurrent)
        restore_denormals(mode)


def step(real[:, ::1] gates, real[:, ::1] h, real[:, ::1] c, const real[:, ::1] weight_hh, int activation,
         int recurrent) -> None:
    """One step in place: gates (B, 4H) hold the input's part, h and c (B, H) go from before to after."""
    cdef unsigned int mode
    if gates.shape[0] == 0:
        return
    with nogil:
        mode = flush_denormals()
        step_rows(&gates[0, 0], &h[0, 0], &c[0, 0], &h[0, 0], &c[0, 0], &weight_hh[0, 0], gates.shape[0], h.shape[1],
                  activation, recurrent)
        restore_denormals(mode)
