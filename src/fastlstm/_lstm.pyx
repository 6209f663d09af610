# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The LSTM's time loops over packed rows, without the GIL.

Rows are packed by step: the rows of step t are the first `batch_sizes[t]` sequences, longest first, and follow those
of step t - 1 (a full batch is the case of equal sizes). State buffers hold B rows of initial state before them, so
that the first step is no special case.
"""

from fastlstm._core cimport flush_denormals, int64_t, multiply, real, restore_denormals, row


cdef void step_rows(real *gates, real *h, real *c, const real *h_prev, const real *c_prev, const real *weight_hh,
                    int64_t rows, int64_t H, int activation, int recurrent) noexcept nogil:
    multiply(gates, h_prev, weight_hh, rows, 4 * H, H, False, True, <real>1)
    if real is float:
        row.f32.lstm_forward(gates, c, h, c_prev, rows, H, activation, recurrent)
    else:
        row.f64.lstm_forward(gates, c, h, c_prev, rows, H, activation, recurrent)


def forward(real[:, ::1] gates, real[:, ::1] h, real[:, ::1] c, const real[:, ::1] weight_hh,
            const int64_t[::1] batch_sizes, int activation, int recurrent) -> None:
    """Run all steps of one layer.

    gates (N, 4H): in, the input's part of the pre-activations; out, the activated gates i, f, g, o.
    h, c (B + N, H): in, the first B rows are the initial state; out, the others are the states after each step.
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
            step_rows(&gates[start, 0], &h[current, 0], &c[current, 0], &h[previous, 0], &c[previous, 0],
                      &weight_hh[0, 0], rows, H, activation, recurrent)
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
            if real is float:
                row.f32.lstm_backward(&gates[start, 0], &dc[0, 0], &c[B + start, 0], &c[previous, 0], &dh[0, 0],
                                      &dy[start, 0], rows, H, activation, recurrent)
            else:
                row.f64.lstm_backward(&gates[start, 0], &dc[0, 0], &c[B + start, 0], &c[previous, 0], &dh[0, 0],
                                      &dy[start, 0], rows, H, activation, recurrent)
            multiply(&dh[0, 0], &gates[start, 0], &weight_hh[0, 0], rows, H, 4 * H, False, False, <real>0)
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
