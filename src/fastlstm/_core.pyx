# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The owner of csrc/: the kernel table's row in use, the pool of threads, BLAS as C pointers, and thin Python twins.

Callers validate shapes, dtypes and contiguity; nothing here does.
"""

import os

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer

cdef extern from "fastlstm.h" nogil:
    const fl_row *fl_rows(size_t *count)
    const fl_row *fl_select(const char *name)
    unsigned int fl_flush_denormals()
    void fl_restore_denormals(unsigned int mode)
    void fl_run(fl_task task, void *context, int64_t count)
    int64_t fl_run_together(fl_task task, void *context, int64_t count)
    void fl_barrier_wait(fl_barrier *barrier, int64_t count)


# ---- the kernel table --------------------------------------------------------------------------------------------

def available_isas() -> list[str]:
    """Names of the rows this processor can run, best first."""
    cdef size_t count, k
    cdef const fl_row *rows = fl_rows(&count)
    return [rows[k].name.decode() for k in range(count) if rows[k].supported()]


def use_isa(name: str | None) -> None:
    """Choose a row of the kernel table by name, or the best one with None."""
    global row
    cdef bytes encoded
    cdef const char *wanted = NULL
    if name is not None:
        encoded = name.encode()
        wanted = encoded
    cdef const fl_row *chosen = fl_select(wanted)
    if chosen is NULL:
        raise ValueError(f"instruction set must be one of {available_isas()} on this processor, got {name!r}")
    row = <fl_row *>chosen


def isa() -> str:
    """Name of the row in use."""
    _check_environment()
    return row.name.decode()


cdef str environment_error = None  # raised at first use: an import should not fail for a setting


cdef int _check_environment() except -1:
    if environment_error is not None:
        raise ValueError(environment_error)
    return 0


use_isa(None)
try:
    use_isa(os.environ.get("FASTLSTM_ISA") or None)
except ValueError as error:
    environment_error = f"FASTLSTM_ISA: {error}"


cdef unsigned int flush_denormals() noexcept nogil:
    return fl_flush_denormals()


cdef void restore_denormals(unsigned int mode) noexcept nogil:
    fl_restore_denormals(mode)


# ---- threads -----------------------------------------------------------------------------------------------------

cdef void run(fl_task task, void *context, int64_t count) noexcept nogil:
    fl_run(task, context, count)


cdef int64_t run_together(fl_task task, void *context, int64_t count) noexcept nogil:
    return fl_run_together(task, context, count)


cdef void barrier_wait(fl_barrier *barrier, int64_t count) noexcept nogil:
    fl_barrier_wait(barrier, count)


# ---- BLAS --------------------------------------------------------------------------------------------------------

ctypedef void (*sgemm_t)(char *, char *, int *, int *, int *, float *, float *, int *, float *, int *, float *, float *,
                         int *) noexcept nogil
ctypedef void (*dgemm_t)(char *, char *, int *, int *, int *, double *, double *, int *, double *, int *, double *,
                         double *, int *) noexcept nogil
ctypedef void (*sgemv_t)(char *, int *, int *, float *, float *, int *, float *, int *, float *, float *,
                         int *) noexcept nogil
ctypedef void (*dgemv_t)(char *, int *, int *, double *, double *, int *, double *, int *, double *, double *,
                         int *) noexcept nogil

cdef sgemm_t sgemm = NULL
cdef dgemm_t dgemm = NULL
cdef sgemv_t sgemv = NULL
cdef dgemv_t dgemv = NULL

_SIGNATURES = {
    "gemm": "void (char *, char *, int *, int *, int *, {0} *, {0} *, int *, {0} *, int *, {0} *, {0} *, int *)",
    "gemv": "void (char *, int *, int *, {0} *, {0} *, int *, {0} *, int *, {0} *, {0} *, int *)",
}


cdef void *_blas_pointer(dict capsules, str name) except NULL:
    cdef object capsule = capsules[name]
    cdef const char *found = PyCapsule_GetName(capsule)
    number = {"s": "__pyx_t_5scipy_6linalg_11cython_blas_s", "d": "__pyx_t_5scipy_6linalg_11cython_blas_d"}[name[0]]
    expected = _SIGNATURES[name[1:]].format(number)
    if found.decode() != expected:
        raise ImportError(f"SciPy's {name} has the signature {found.decode()!r}, expected {expected!r}")
    return PyCapsule_GetPointer(capsule, found)


def load_blas() -> None:
    """Take the BLAS functions from SciPy, which is imported here and not before; later calls return at once."""
    global sgemm, dgemm, sgemv, dgemv
    _check_environment()
    if dgemv is not NULL:
        return
    from scipy.linalg import cython_blas
    cdef dict capsules = cython_blas.__pyx_capi__
    sgemm = <sgemm_t>_blas_pointer(capsules, "sgemm")
    dgemm = <dgemm_t>_blas_pointer(capsules, "dgemm")
    sgemv = <sgemv_t>_blas_pointer(capsules, "sgemv")
    dgemv = <dgemv_t>_blas_pointer(capsules, "dgemv")


cdef void multiply(real *C, const real *A, const real *B, int64_t m, int64_t n, int64_t k, bint transpose_a,
                   bint transpose_b, real beta) noexcept nogil:
    # BLAS is column-major: it reads our row-major arrays as their transposes and computes C' = op(B)' op(A)'.
    cdef char op_a = b"T" if transpose_a else b"N"
    cdef char op_b = b"T" if transpose_b else b"N"
    cdef char op_vector = b"T" if transpose_b else b"N"
    cdef int rows = <int>m, columns = <int>n, inner = <int>k, one = 1
    cdef int ld_a = rows if transpose_a else inner, ld_b = inner if transpose_b else columns
    cdef int b_columns = columns if transpose_b else inner  # B as BLAS sees it: (ld_b, b_columns)
    cdef real alpha = 1
    if m == 0 or n == 0:
        return
    if m == 1:  # gemm packs all of B for a single row; a row of C is op(B)' times a row of A
        if real is float:
            sgemv(&op_vector, &ld_b, &b_columns, &alpha, <real *>B, &ld_b, <real *>A, &one, &beta, C, &one)
        else:
            dgemv(&op_vector, &ld_b, &b_columns, &alpha, <real *>B, &ld_b, <real *>A, &one, &beta, C, &one)
    elif real is float:
        sgemm(&op_b, &op_a, &columns, &rows, &inner, &alpha, <real *>B, &ld_b, <real *>A, &ld_a, &beta, C, &columns)
    else:
        dgemm(&op_b, &op_a, &columns, &rows, &inner, &alpha, <real *>B, &ld_b, <real *>A, &ld_a, &beta, C, &columns)


# ---- Python twins ------------------------------------------------------------------------------------------------

def matmul(real[:, ::1] C, const real[:, ::1] A, const real[:, ::1] B, bint transpose_a=False, bint transpose_b=False,
           real beta=0) -> None:
    """C = op(A) op(B) + beta C, in place."""
    cdef int64_t m = C.shape[0], n = C.shape[1], k = A.shape[0] if transpose_a else A.shape[1]
    cdef unsigned int mode
    load_blas()
    if m == 0 or n == 0 or k == 0:
        if k == 0 and beta == 0:
            C[:, :] = 0
        return
    with nogil:
        mode = flush_denormals()
        multiply(&C[0, 0], &A[0, 0], &B[0, 0], m, n, k, transpose_a, transpose_b, beta)
        restore_denormals(mode)


def softmax_cross_entropy(double[::1] losses, real[:, ::1] logits, const int32_t[::1] targets, double scale) -> None:
    """losses = -log softmax(logits)[target]; logits become the gradient of scale * sum(losses)."""
    cdef int64_t rows = logits.shape[0], V = logits.shape[1]
    if rows == 0:
        return
    with nogil:
        if real is float:
            row.f32.softmax_cross_entropy(&losses[0], &logits[0, 0], &targets[0], scale, rows, V)
        else:
            row.f64.softmax_cross_entropy(&losses[0], &logits[0, 0], &targets[0], scale, rows, V)


def sgd(real[::1] parameters, real[::1] first_moment, const real[::1] gradients, double learning_rate, double beta1,
        double gradient_scale) -> None:
    """One step of gradient descent in place, with momentum where first_moment is an array and not None."""
    cdef int64_t n = parameters.shape[0]
    cdef real *moment = NULL if first_moment is None else &first_moment[0]
    cdef fl_update options
    options.learning_rate, options.beta1, options.gradient_scale = learning_rate, beta1, gradient_scale
    with nogil:
        if real is float:
            row.f32.sgd(&parameters[0], moment, &gradients[0], &options, n)
        else:
            row.f64.sgd(&parameters[0], moment, &gradients[0], &options, n)


def rmsprop(real[::1] parameters, real[::1] second_moment, const real[::1] gradients, double learning_rate, double beta2,
            double epsilon, double gradient_scale) -> None:
    """One RMSProp step in place; gradients are multiplied by gradient_scale first."""
    cdef int64_t n = parameters.shape[0]
    cdef fl_update options
    options.learning_rate, options.beta2, options.epsilon = learning_rate, beta2, epsilon
    options.gradient_scale = gradient_scale
    with nogil:
        if real is float:
            row.f32.rmsprop(&parameters[0], &second_moment[0], &gradients[0], &options, n)
        else:
            row.f64.rmsprop(&parameters[0], &second_moment[0], &gradients[0], &options, n)


def adam(real[::1] parameters, real[::1] first_moment, real[::1] second_moment, const real[::1] gradients,
         double learning_rate, double beta1, double beta2, double epsilon, double weight_decay, double gradient_scale,
         int64_t step) -> None:
    """One Adam step in place; gradients are multiplied by gradient_scale first."""
    cdef int64_t n = parameters.shape[0]
    cdef fl_update options
    options.learning_rate, options.beta1, options.beta2, options.epsilon = learning_rate, beta1, beta2, epsilon
    options.weight_decay, options.gradient_scale, options.step = weight_decay, gradient_scale, step
    with nogil:
        if real is float:
            row.f32.adam(&parameters[0], &first_moment[0], &second_moment[0], &gradients[0], &options, n)
        else:
            row.f64.adam(&parameters[0], &first_moment[0], &second_moment[0], &gradients[0], &options, n)


def sum_of_squares(const real[::1] x) -> float:
    """sum(x * x), NaN and Inf included."""
    cdef int64_t n = x.shape[0]
    if n == 0:
        return 0.0
    if real is float:
        return row.f32.sum_of_squares(&x[0], n)
    else:
        return row.f64.sum_of_squares(&x[0], n)


def scatter_add(real[:, ::1] table, const real[:, ::1] rows, const int32_t[::1] tokens) -> None:
    """table[tokens[r]] += rows[r] for every r."""
    cdef int64_t n = rows.shape[0], width = rows.shape[1]
    if n == 0:
        return
    with nogil:
        if real is float:
            row.f32.scatter_add(&table[0, 0], &rows[0, 0], &tokens[0], n, width)
        else:
            row.f64.scatter_add(&table[0, 0], &rows[0, 0], &tokens[0], n, width)


def activate(real[::1] y, const real[::1] x, int kind) -> None:
    """y = activation(x) for the kind-th activation of `reference.ACTIVATIONS`."""
    cdef int64_t n = x.shape[0]
    if n == 0:
        return
    if real is float:
        row.f32.activate(&y[0], &x[0], kind, n)
    else:
        row.f64.activate(&y[0], &x[0], kind, n)


cdef void _add_one(void *context, int64_t index, int64_t count) noexcept nogil:
    (<int64_t *>context)[index] += 1


def count_tasks(int64_t[::1] counts) -> int:
    """counts[k] += 1 by task k of two jobs, run and then run_together; returns the tasks of the second: all, or 1."""
    cdef int64_t n = counts.shape[0], together
    if n == 0:
        return 0
    with nogil:
        run(_add_one, &counts[0], n)
        together = run_together(_add_one, &counts[0], n)
    return together
