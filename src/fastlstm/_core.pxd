# What the other extensions share: the kernel table's chosen row, products through BLAS, the pool of threads, and layers.
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t

ctypedef fused real:
    float
    double

cdef extern from "fastlstm.h" nogil:
    enum:
        FL_TANH, FL_SIGMOID, FL_RELU, FL_HARD_SIGMOID, FL_SOFTSIGN, FL_LINEAR

    ctypedef struct fl_update:
        double learning_rate, beta1, beta2, epsilon, weight_decay, gradient_scale
        int64_t step

    int64_t fl_width(int real64)

    ctypedef void (*fl_task)(void *context, int64_t index, int64_t count) noexcept nogil

    ctypedef struct fl_barrier:  # zeros make one
        pass

    ctypedef struct fl_product:
        void *C
        const void *A
        const void *packed
        const void *bias
        int64_t M, K, N, group, begin, end
        int add

    enum:
        FL_LSTM, FL_GRU, FL_RNN, FL_LSTM_STATE, FL_LSTM_OUTPUT, FL_GRU_RESET, FL_GRU_UPDATE

    ctypedef struct fl_cell:
        int kind, coupled, activation, recurrent
        double clip
        const void *peepholes

    ctypedef struct fl_forward_step:
        fl_cell cell
        void *gates
        void *recurrent
        void *c
        void *h
        const void *c_prev
        int64_t rows, H, end

    ctypedef struct fl_backward_step:
        fl_cell cell
        void *gates
        void *recurrent
        void *dh
        void *dc
        const void *c
        const void *c_prev
        const void *dy
        int64_t rows, H

    ctypedef struct fl_kernels_f32:
        int64_t strip_columns
        int64_t (*strip_count)(int64_t, int64_t) noexcept nogil
        int64_t (*packed_size)(int64_t, int64_t, int64_t) noexcept nogil
        int64_t (*scratch_size)(int64_t, int64_t) noexcept nogil
        void (*product)(const fl_product *) noexcept nogil
        void (*cell_forward)(const fl_forward_step *) noexcept nogil
        void (*cell_backward)(const fl_backward_step *) noexcept nogil
        void (*activate)(float *, const float *, int, int64_t) noexcept nogil

    ctypedef struct fl_kernels_f64:
        int64_t strip_columns
        int64_t (*strip_count)(int64_t, int64_t) noexcept nogil
        int64_t (*packed_size)(int64_t, int64_t, int64_t) noexcept nogil
        int64_t (*scratch_size)(int64_t, int64_t) noexcept nogil
        void (*product)(const fl_product *) noexcept nogil
        void (*cell_forward)(const fl_forward_step *) noexcept nogil
        void (*cell_backward)(const fl_backward_step *) noexcept nogil
        void (*activate)(double *, const double *, int, int64_t) noexcept nogil

    ctypedef struct fl_row:
        const char *name
        const fl_kernels_f32 *f32
        const fl_kernels_f64 *f64
        int (*supported)() noexcept nogil

    ctypedef struct fl_layer:
        const fl_row *row
        fl_cell cell
        int real64, divide_units, keep, ahead
        int64_t T, B, N, I, H, block
        const int64_t *batch_sizes
        const void *U
        void *gates
        void *recurrent
        void *h
        void *c
        const void *x
        const void *W
        const void *bias
        const void *recurrent_bias
        const int32_t *tokens
        int64_t *rows
        void *scratch
        void *dx
        void *dh
        void *dc
        const void *dy

    ctypedef struct fl_gradients:
        void *W
        void *U
        void *bias
        void *recurrent_bias
        void *scratch

    ctypedef struct fl_stack:
        const fl_row *row
        const fl_cell *cells
        int real64
        int64_t L, B, I, H, turn
        const void **W
        const void **bias
        const void **U
        const void **recurrent_bias
        void *gates
        void *recurrent
        void *h
        void *c
        void *x
        int32_t *tokens
        fl_forward_step *steps
        fl_barrier *barrier

# The bytes of a float or double.
cdef inline int64_t width_of(object array) except -1:
    cdef int64_t width = array.itemsize
    if width != sizeof(float) and width != sizeof(double):
        raise ValueError(f"an array of float32 or float64 expected, got {array.dtype}")
    return width

# Where an array's numbers are, of so many bytes each (0: any), in a buffer as the flags ask; NULL for None. (Typed memoryviews
# take 0.1 us more.)
cdef inline void *buffer(object array, Py_ssize_t width, int flags) except? NULL:
    cdef Py_buffer view
    if array is None:
        return NULL
    PyObject_GetBuffer(array, &view, flags)
    PyBuffer_Release(&view)  # the caller keeps the array
    if width and view.itemsize != width:
        raise ValueError(f"an array of {width}-byte numbers expected, got numbers of {view.itemsize}")
    return view.buf

cdef inline void *address(object array) except? NULL:
    return buffer(array, 0, PyBUF_C_CONTIGUOUS)

cdef inline void *readable(object array, Py_ssize_t width) except? NULL:
    return buffer(array, width, PyBUF_C_CONTIGUOUS)

cdef inline void *writable(object array, Py_ssize_t width) except? NULL:
    return buffer(array, width, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)

# Only _core links the C library: the functions of fastlstm.h are declared in _core.pyx, and what others need is here.
cdef fl_row *row  # the chosen row of the kernel table

# C (m, n) = op(A) op(B) + beta C, row-major; op(X) is X or its transpose, op(A) is (m, k), op(B) is (k, n). Rows of C and A
# begin ld_c and ld_a numbers apart. load_blas() must have been called.
cdef void multiply(real *C, int64_t ld_c, const real *A, int64_t ld_a, const real *B, int64_t m, int64_t n, int64_t k,
                   bint transpose_a, bint transpose_b, real beta) noexcept nogil

# Makes this thread treat denormals as zero; hand the result back to restore_denormals.
cdef unsigned int flush_denormals() noexcept nogil
cdef void restore_denormals(unsigned int mode) noexcept nogil

# What a cell does, for the structures above.
cdef class Cell:
    cdef fl_cell cell
    cdef readonly object peepholes

# The pool: fl_run, fl_run_together and fl_barrier_wait of fastlstm.h.
cdef void run(fl_task task, void *context, int64_t count) noexcept nogil
cdef int64_t run_together(fl_task task, void *context, int64_t count) noexcept nogil
cdef void barrier_wait(fl_barrier *barrier, int64_t count) noexcept nogil

# fl_layer_forward, fl_layer_backward, fl_layer_gradients, fl_layers_forward and fl_layers_backward, with the row in use;
# fl_wave_forward, fl_stack_prepare, fl_stack_part, fl_stack_step and fl_stack_output.
cdef void layer_forward(fl_layer *layer, int64_t threads) noexcept nogil
cdef void layer_backward(fl_layer *layer, int64_t threads) noexcept nogil
cdef void layer_gradients(fl_layer *layer, const fl_gradients *gradients, int64_t threads) noexcept nogil
cdef void layers_forward(fl_layer *layers, int64_t count) noexcept nogil
cdef void layers_backward(fl_layer *layers, const fl_gradients *gradients, int64_t count) noexcept nogil
cdef void wave_forward(fl_layer *layers, int64_t count, int64_t threads) noexcept nogil
cdef void stack_prepare(fl_stack *stack) noexcept nogil
cdef void stack_part(const fl_stack *stack, int64_t index, int64_t count) noexcept nogil
cdef void stack_step(fl_stack *stack, int64_t threads) noexcept nogil
cdef void *stack_output(const fl_stack *stack) noexcept nogil
