# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The time loops of every cell over packed rows, with products through BLAS, without the GIL.

Rows are packed by step: the rows of step t are the first `batch_sizes[t]` sequences, longest first, and follow those
of step t - 1 (a full batch is the case of equal sizes). State buffers hold B rows of initial state before them, so
that the first step is no special case.
"""

from libc.string cimport memcpy, memset

from fastlstm._core cimport (
    FL_GRU, FL_GRU_RESET, FL_GRU_UPDATE, FL_LSTM, FL_LSTM_OUTPUT, FL_LSTM_STATE, FL_RNN, Cell, address,
    fl_backward_step, fl_cell, fl_forward_step, flush_denormals, int64_t, multiply, real, restore_denormals, row,
)


cdef class Weights:
    """What a cell's loops multiply with, and what it does then.

    cell: its kind, as of one whose products are single ones.
    weight_hh (G*H, R); a GRU's bias_hh (3H,), None where its reset comes before the product; a projection's weight_hr (R, H);
    peepholes: full ones (H, H), of the gates i (None where coupled), f and o.
    """

    cdef object arrays
    cdef fl_cell cell
    cdef int64_t H, R, G
    cdef const void *weight_hh
    cdef const void *bias_hh
    cdef const void *weight_hr
    cdef const void *full[3]

    def __init__(self, cell: Cell, weight_hh, bias_hh=None, weight_hr=None, peepholes=(None, None, None)) -> None:
        self.arrays, self.cell = (cell, weight_hh, bias_hh, weight_hr, peepholes), cell.cell
        self.G = {FL_LSTM: 3 if self.cell.coupled else 4, FL_RNN: 1}.get(self.cell.kind, 3)
        self.H, self.R = len(weight_hh) // self.G, weight_hh.shape[1]
        self.weight_hh, self.bias_hh, self.weight_hr = address(weight_hh), address(bias_hh), address(weight_hr)
        for k in range(3):
            self.full[k] = address(peepholes[k])


cdef inline real *start(real[:, ::1] array) noexcept nogil:
    return NULL if array is None else &array[0, 0]


cdef inline real *at(real *array, int64_t offset) noexcept nogil:
    return NULL if array is NULL else array + offset


cdef void run_forward(fl_forward_step *step, int kind, real *typed) noexcept nogil:
    step.cell.kind = kind
    if real is float:
        row.f32.cell_forward(step)
    else:
        row.f64.cell_forward(step)


cdef void run_backward(fl_backward_step *step, int kind, real *typed) noexcept nogil:
    step.cell.kind = kind
    if real is float:
        row.f32.cell_backward(step)
    else:
        row.f64.cell_backward(step)


cdef void add_masked(real *out, const real *values, const real *mask, int64_t n) noexcept nogil:
    cdef int64_t k
    for k in range(n):
        out[k] += values[k] * mask[k]


cdef void forward_rows(Weights w, real *gates, real *recurrent, real *h, real *c, real *inner, real *fed, const real *mask,
                       const real *h_prev, const real *c_prev, int64_t rows) noexcept nogil:
    """One step of `rows` sequences; the arrays begin with their rows."""
    cdef int64_t H = w.H, R = w.R, wide = w.G * w.H, r
    cdef const real *U = <const real *>w.weight_hh
    cdef const real *seen = h_prev
    cdef fl_forward_step step
    memset(&step, 0, sizeof(step))
    step.cell, step.rows, step.H, step.gates, step.recurrent = w.cell, rows, H, gates, recurrent
    step.c, step.c_prev, step.h = c, c_prev, h if inner is NULL else inner
    if fed is not NULL:
        memset(fed, 0, rows * R * sizeof(real))
        add_masked(fed, h_prev, mask, rows * R)
        seen = fed
    if w.cell.kind != FL_GRU:
        multiply(gates, wide, seen, R, U, rows, wide, R, False, True, <real>1)
        if w.full[1] is NULL:
            run_forward(&step, w.cell.kind, gates)
        else:
            if w.full[0] is not NULL:
                multiply(gates, wide, c_prev, H, <const real *>w.full[0], rows, H, H, False, True, <real>1)
            multiply(gates + (w.G - 3) * H, wide, c_prev, H, <const real *>w.full[1], rows, H, H, False, True, <real>1)
            run_forward(&step, FL_LSTM_STATE, gates)
            multiply(gates + (w.G - 1) * H, wide, c, H, <const real *>w.full[2], rows, H, H, False, True, <real>1)
            run_forward(&step, FL_LSTM_OUTPUT, gates)
        if inner is not NULL:
            multiply(h, R, inner, H, <const real *>w.weight_hr, rows, R, H, False, True, <real>0)
    elif w.bias_hh is NULL:
        multiply(gates, wide, seen, R, U, rows, 2 * H, R, False, True, <real>1)
        step.h, step.c_prev = recurrent, seen
        run_forward(&step, FL_GRU_RESET, gates)
        multiply(gates + 2 * H, wide, recurrent, H, U + 2 * H * R, rows, H, H, False, True, <real>1)
        step.h, step.c_prev = h, h_prev
        run_forward(&step, FL_GRU_UPDATE, gates)
    else:
        for r in range(rows):
            memcpy(recurrent + r * wide, w.bias_hh, wide * sizeof(real))
        multiply(recurrent, wide, seen, R, U, rows, wide, R, False, True, <real>1)
        step.c_prev = h_prev
        run_forward(&step, FL_GRU, gates)


cdef void backward_rows(Weights w, real *gates, real *recurrent, real *dh, real *dc, real *d_projected, real *scratch,
                        real *d_fed, const real *fed, const real *mask, const real *h_prev, const real *c, const real *c_prev,
                        const real *dy, int64_t rows) noexcept nogil:
    """One step of `rows` sequences backwards; the arrays begin with their rows. scratch, d_fed (rows, max(H, R))."""
    cdef int64_t H = w.H, R = w.R, wide = w.G * w.H, k
    cdef const real *U = <const real *>w.weight_hh
    cdef real *before = dh if mask is NULL else d_fed  # gradient of what weight_hh multiplies
    cdef fl_backward_step step
    memset(&step, 0, sizeof(step))
    step.cell, step.rows, step.H, step.gates, step.recurrent = w.cell, rows, H, gates, recurrent
    step.dh, step.dc, step.c, step.c_prev, step.dy = dh, dc, c, c_prev, dy
    if d_projected is not NULL:
        for k in range(rows * R):
            d_projected[k] = dh[k] + dy[k]
        multiply(scratch, H, d_projected, R, <const real *>w.weight_hr, rows, H, R, False, False, <real>0)
        step.dh, step.dy = scratch, NULL
    if w.cell.kind != FL_GRU:
        if w.full[1] is NULL:
            run_backward(&step, w.cell.kind, gates)
        else:
            run_backward(&step, FL_LSTM_OUTPUT, gates)
            multiply(dc, H, gates + (w.G - 1) * H, wide, <const real *>w.full[2], rows, H, H, False, False, <real>1)
            run_backward(&step, FL_LSTM_STATE, gates)
            if w.full[0] is not NULL:
                multiply(dc, H, gates, wide, <const real *>w.full[0], rows, H, H, False, False, <real>1)
            multiply(dc, H, gates + (w.G - 3) * H, wide, <const real *>w.full[1], rows, H, H, False, False, <real>1)
        multiply(before, R, gates, wide, U, rows, R, wide, False, False, <real>0)
        if mask is not NULL:
            memset(dh, 0, rows * R * sizeof(real))
    else:
        step.c_prev = h_prev
        if mask is not NULL:
            memset(d_fed, 0, rows * R * sizeof(real))
        if w.bias_hh is NULL:
            run_backward(&step, FL_GRU_UPDATE, gates)
            multiply(scratch, H, gates + 2 * H, wide, U + 2 * H * R, rows, H, H, False, False, <real>0)
            step.dh, step.dc, step.dy = before, scratch, NULL
            if fed is not NULL:
                step.c_prev = fed
            run_backward(&step, FL_GRU_RESET, gates)
            multiply(before, R, gates, wide, U, rows, R, 2 * H, False, False, <real>1)
        else:
            run_backward(&step, FL_GRU, gates)
            multiply(before, R, recurrent, wide, U, rows, R, wide, False, False, <real>1)
    if mask is not NULL:
        add_masked(dh, d_fed, mask, rows * R)


def forward(Weights w, real[:, ::1] gates, real[:, ::1] recurrent, real[:, ::1] h, real[:, ::1] c, real[:, ::1] inner,
            real[:, ::1] fed, real[:, ::1] mask, const int64_t[::1] batch_sizes, bint keep) -> None:
    """Run all steps of one cell; None for arrays it has not.

    gates (N, G*H): in, the input's part of the pre-activations; out, the activated gates.
    h (B + N, R): in, the first B rows are the initial state; out, the others are the states after each step.
    c: as h with `keep`, (B + N, H), else (B, H): in, the initial state; out, the final one.
    recurrent: a GRU's u (N, 3H), or r * h (N, H) where the reset comes before; inner (N, H): what is projected; of both
        without `keep` the first B rows are enough.
    fed (N, R): out, h_{t-1} times the mask (B, R).
    """
    cdef int64_t T = batch_sizes.shape[0], B = h.shape[0] - gates.shape[0]
    cdef int64_t t, rows, first = 0, previous = 0, current = B, wide, kept
    cdef unsigned int mode
    if gates.shape[0] == 0:
        return
    wide = 0 if recurrent is None else recurrent.shape[1]
    with nogil:
        mode = flush_denormals()
        for t in range(T):
            rows = batch_sizes[t]
            kept = first if keep else 0
            forward_rows(
                w, &gates[first, 0], at(start(recurrent), kept * wide), &h[current, 0],
                at(start(c), (current if keep else 0) * w.H), at(start(inner), kept * w.H), at(start(fed), first * w.R),
                start(mask), &h[previous, 0], at(start(c), (previous if keep else 0) * w.H), rows,
            )
            previous = current
            current += rows
            first += rows
        restore_denormals(mode)


def backward(Weights w, real[:, ::1] gates, real[:, ::1] recurrent, real[:, ::1] dh, real[:, ::1] dc,
             real[:, ::1] d_projected, real[:, ::1] h, real[:, ::1] c, real[:, ::1] fed, real[:, ::1] mask,
             const real[:, ::1] dy, real[:, ::1] scratch, real[:, ::1] d_fed, const int64_t[::1] batch_sizes) -> None:
    """Run all steps of one cell backwards; None for arrays it has not.

    gates (N, G*H): in, the activated gates; out, the gradients of the pre-activations; a GRU's `recurrent` likewise of u.
    dh (B, R), dc (B, H): in, the gradients of the final state; out, those of the initial state.
    d_projected (N, R): out, of every projected h, from above and from the steps after it.
    h, c, fed: as `forward` left them.  dy (N, R): gradient of every h from above.  scratch, d_fed (B, max(H, R)).
    """
    cdef int64_t T = batch_sizes.shape[0], N = gates.shape[0], B = h.shape[0] - gates.shape[0]
    cdef int64_t t, rows, first = N, previous, wide
    cdef unsigned int mode
    if N == 0:
        return
    wide = 0 if recurrent is None else recurrent.shape[1]
    with nogil:
        mode = flush_denormals()
        for t in range(T - 1, -1, -1):
            rows = batch_sizes[t]
            first -= rows
            previous = B + first - batch_sizes[t - 1] if t else 0
            backward_rows(
                w, &gates[first, 0], at(start(recurrent), first * wide), &dh[0, 0], start(dc),
                at(start(d_projected), first * w.R), start(scratch), start(d_fed), at(start(fed), first * w.R), start(mask),
                &h[previous, 0], at(start(c), (B + first) * w.H), at(start(c), previous * w.H), &dy[first, 0], rows,
            )
        restore_denormals(mode)
