# What the other extensions share: the kernel table's chosen row, products through BLAS and the pool of threads.
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

    ctypedef struct fl_kernels_f32:
        void (*lstm_forward)(float *, float *, float *, const float *, int64_t, int64_t, int, int) noexcept nogil
        void (*lstm_backward)(float *, float *, const float *, const float *, const float *, const float *, int64_t,
                              int64_t, int, int) noexcept nogil
        void (*softmax_cross_entropy)(double *, float *, const int32_t *, double, int64_t, int64_t) noexcept nogil
        void (*sgd)(float *, float *, const float *, const fl_update *, int64_t) noexcept nogil
        void (*rmsprop)(float *, float *, const float *, const fl_update *, int64_t) noexcept nogil
        void (*adam)(float *, float *, float *, const float *, const fl_update *, int64_t) noexcept nogil
        double (*sum_of_squares)(const float *, int64_t) noexcept nogil
        void (*scatter_add)(float *, const float *, const int32_t *, int64_t, int64_t) noexcept nogil
        void (*activate)(float *, const float *, int, int64_t) noexcept nogil

    ctypedef struct fl_kernels_f64:
        void (*lstm_forward)(double *, double *, double *, const double *, int64_t, int64_t, int, int) noexcept nogil
        void (*lstm_backward)(double *, double *, const double *, const double *, const double *, const double *,
                              int64_t, int64_t, int, int) noexcept nogil
        void (*softmax_cross_entropy)(double *, double *, const int32_t *, double, int64_t, int64_t) noexcept nogil
        void (*sgd)(double *, double *, const double *, const fl_update *, int64_t) noexcept nogil
        void (*rmsprop)(double *, double *, const double *, const fl_update *, int64_t) noexcept nogil
        void (*adam)(double *, double *, double *, const double *, const fl_update *, int64_t) noexcept nogil
        double (*sum_of_squares)(const double *, int64_t) noexcept nogil
        void (*scatter_add)(double *, const double *, const int32_t *, int64_t, int64_t) noexcept nogil
        void (*activate)(double *, const double *, int, int64_t) noexcept nogil

    ctypedef struct fl_row:
        const char *name
        const fl_kernels_f32 *f32
        const fl_kernels_f64 *f64
        int (*supported)() noexcept nogil

    ctypedef void (*fl_task)(void *context, int64_t index, int64_t count) noexcept nogil

    ctypedef struct fl_barrier:  # zeros make one
        pass

# Only _core links the C library: the functions of fastlstm.h are declared in _core.pyx, and what others need is here.
cdef fl_row *row  # the chosen row of the kernel table

# C (m, n) = op(A) op(B) + beta C, row-major; op(X) is X or its transpose, op(A) is (m, k), op(B) is (k, n).
# load_blas() must have been called.
cdef void multiply(real *C, const real *A, const real *B, int64_t m, int64_t n, int64_t k, bint transpose_a,
                   bint transpose_b, real beta) noexcept nogil

# Makes this thread treat denormals as zero; hand the result back to restore_denormals.
cdef unsigned int flush_denormals() noexcept nogil
cdef void restore_denormals(unsigned int mode) noexcept nogil

# The pool: fl_run, fl_run_together and fl_barrier_wait of fastlstm.h.
cdef void run(fl_task task, void *context, int64_t count) noexcept nogil
cdef int64_t run_together(fl_task task, void *context, int64_t count) noexcept nogil
cdef void barrier_wait(fl_barrier *barrier, int64_t count) noexcept nogil
