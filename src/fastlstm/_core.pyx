# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The owner of csrc/: the kernel table's row in use, the pool of threads, BLAS as C pointers, and thin Python twins.

Callers validate shapes and dtypes. Errors here are only a wrong number of dimensions, numbers of another size, strides
where there must be none, and results that are read-only.
"""

import os

from libc.string cimport memset

from cpython.buffer cimport PyBUF_STRIDES
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer

cdef extern from "fastlstm.h" nogil:
    const fl_row *fl_rows(size_t *count)
    const fl_row *fl_select(const char *name)
    unsigned int fl_flush_denormals()
    void fl_restore_denormals(unsigned int mode)
    void fl_run(fl_task task, void *context, int64_t count)
    int64_t fl_run_together(fl_task task, void *context, int64_t count)
    void fl_barrier_wait(fl_barrier *barrier, int64_t count)
    enum:
        FL_SGD, FL_RMSPROP, FL_ADAM
    void fl_layer_forward(fl_layer *layer, int64_t threads)
    void fl_layer_backward(fl_layer *layer, int64_t threads)
    void fl_layer_gradients(const fl_layer *layer, const fl_gradients *gradients, int64_t threads)
    void fl_layers_forward(fl_layer *layers, int64_t count)
    void fl_layers_backward(fl_layer *layers, const fl_gradients *gradients, int64_t count)
    void fl_wave_forward(const fl_layer *layers, int64_t count, int64_t threads)
    void fl_stack_prepare(fl_stack *stack)
    void fl_stack_part(const fl_stack *stack, int64_t index, int64_t count)
    void fl_stack_step(fl_stack *stack, int64_t threads)
    void *fl_stack_output(const fl_stack *stack)
    void fl_pack_f32(const fl_kernels_f32 *, int64_t threads, float *packed, const float *B, int64_t K, int64_t N,
                     int64_t k_stride, int64_t n_stride, int64_t group)
    void fl_multiply_f32(const fl_kernels_f32 *, int64_t threads, const fl_product *product)
    void fl_multiply_plain_f32(const fl_kernels_f32 *, int64_t threads, const fl_product *product, const float *B,
                               int64_t k_stride, int64_t n_stride, float *scratch, int64_t strips, int64_t depth)
    void fl_multiply_transposed_f32(const fl_kernels_f32 *, int64_t threads, float *C, float *sums, const float *A,
                                    const float *B, float *scratch, int64_t M, int64_t K, int64_t N, int add)
    void fl_cross_entropy_f32(const fl_kernels_f32 *, int64_t threads, double *losses, float *logits,
                              const int32_t *targets, double scale, int64_t rows, int64_t V)
    void fl_scatter_f32(const fl_kernels_f32 *, int64_t threads, float *table, const float *rows, const int32_t *tokens,
                        int64_t n, int64_t width)
    double fl_squares_f32(const fl_kernels_f32 *, int64_t threads, const float *x, int64_t n)
    void fl_optimise_f32(const fl_kernels_f32 *, int64_t threads, int kind, float *parameters, float *first_moment,
                         float *second_moment, const float *gradients, const fl_update *options, int64_t n)
    void fl_pack_f64(const fl_kernels_f64 *, int64_t threads, double *packed, const double *B, int64_t K, int64_t N,
                     int64_t k_stride, int64_t n_stride, int64_t group)
    void fl_multiply_f64(const fl_kernels_f64 *, int64_t threads, const fl_product *product)
    void fl_multiply_plain_f64(const fl_kernels_f64 *, int64_t threads, const fl_product *product, const double *B,
                               int64_t k_stride, int64_t n_stride, double *scratch, int64_t strips, int64_t depth)
    void fl_multiply_transposed_f64(const fl_kernels_f64 *, int64_t threads, double *C, double *sums, const double *A,
                                    const double *B, double *scratch, int64_t M, int64_t K, int64_t N, int add)
    void fl_cross_entropy_f64(const fl_kernels_f64 *, int64_t threads, double *losses, double *logits,
                              const int32_t *targets, double scale, int64_t rows, int64_t V)
    void fl_scatter_f64(const fl_kernels_f64 *, int64_t threads, double *table, const double *rows, const int32_t *tokens,
                        int64_t n, int64_t width)
    double fl_squares_f64(const fl_kernels_f64 *, int64_t threads, const double *x, int64_t n)
    void fl_optimise_f64(const fl_kernels_f64 *, int64_t threads, int kind, double *parameters, double *first_moment,
                         double *second_moment, const double *gradients, const fl_update *options, int64_t n)


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


# ---- layers and stacks ------------------------------------------------------------------------------------------

cdef void layer_forward(fl_layer *layer, int64_t threads) noexcept nogil:
    layer.row = row
    fl_layer_forward(layer, threads)


cdef void layer_backward(fl_layer *layer, int64_t threads) noexcept nogil:
    layer.row = row
    fl_layer_backward(layer, threads)


cdef void layer_gradients(fl_layer *layer, const fl_gradients *gradients, int64_t threads) noexcept nogil:
    layer.row = row
    fl_layer_gradients(layer, gradients, threads)


cdef void layers_forward(fl_layer *layers, int64_t count) noexcept nogil:
    cdef int64_t k
    for k in range(count):
        layers[k].row = row
    fl_layers_forward(layers, count)


cdef void layers_backward(fl_layer *layers, const fl_gradients *gradients, int64_t count) noexcept nogil:
    cdef int64_t k
    for k in range(count):
        layers[k].row = row
    fl_layers_backward(layers, gradients, count)


cdef void wave_forward(fl_layer *layers, int64_t count, int64_t threads) noexcept nogil:
    fl_wave_forward(layers, count, threads)


cdef void stack_prepare(fl_stack *stack) noexcept nogil:
    fl_stack_prepare(stack)


cdef void stack_part(const fl_stack *stack, int64_t index, int64_t count) noexcept nogil:
    fl_stack_part(stack, index, count)


cdef void stack_step(fl_stack *stack, int64_t threads) noexcept nogil:
    fl_stack_step(stack, threads)


cdef void *stack_output(const fl_stack *stack) noexcept nogil:
    return fl_stack_output(stack)


_CELLS = {
    "lstm": FL_LSTM, "gru": FL_GRU, "rnn": FL_RNN, "lstm_state": FL_LSTM_STATE, "lstm_output": FL_LSTM_OUTPUT,
    "gru_reset": FL_GRU_RESET, "gru_update": FL_GRU_UPDATE,
}


cdef class Cell:
    """What a cell does after its products: a kind of fastlstm.h, its activations as `reference.ACTIVATIONS` counts them,
    where it clips pre-activations (0: nowhere), and for LSTMs peepholes (3, H), coupled (2, H), or None."""

    def __init__(self, str kind, int activation, int recurrent_activation, bint coupled=False, peepholes=None,
                 double clip=0) -> None:
        self.cell.kind, self.cell.coupled, self.peepholes = _CELLS[kind], coupled, peepholes
        self.cell.activation, self.cell.recurrent, self.cell.clip = activation, recurrent_activation, clip
        self.cell.peepholes = address(peepholes)


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


cdef void multiply(real *C, int64_t ld_c, const real *A, int64_t ld_a, const real *B, int64_t m, int64_t n, int64_t k,
                   bint transpose_a, bint transpose_b, real beta) noexcept nogil:
    # BLAS is column-major: it reads our row-major arrays as their transposes and computes C' = op(B)' op(A)'.
    cdef char op_a = b"T" if transpose_a else b"N"
    cdef char op_b = b"T" if transpose_b else b"N"
    cdef int rows = <int>m, columns = <int>n, inner = <int>k, one = 1
    cdef int step_a = <int>ld_a if transpose_a else 1  # of a single row
    cdef int lead_a = <int>ld_a, lead_b = inner if transpose_b else columns, lead_c = <int>ld_c
    cdef int b_columns = columns if transpose_b else inner  # B as BLAS sees it: (lead_b, b_columns)
    cdef real alpha = 1
    if m == 0 or n == 0:
        return
    if m == 1:  # gemm packs all of B for a single row; a row of C is op(B)' times a row of A
        if real is float:
            sgemv(&op_b, &lead_b, &b_columns, &alpha, <real *>B, &lead_b, <real *>A, &step_a, &beta, C, &one)
        else:
            dgemv(&op_b, &lead_b, &b_columns, &alpha, <real *>B, &lead_b, <real *>A, &step_a, &beta, C, &one)
    elif real is float:
        sgemm(&op_b, &op_a, &columns, &rows, &inner, &alpha, <real *>B, &lead_b, <real *>A, &lead_a, &beta, C, &lead_c)
    else:
        dgemm(&op_b, &op_a, &columns, &rows, &inner, &alpha, <real *>B, &lead_b, <real *>A, &lead_a, &beta, C, &lead_c)


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
        multiply(&C[0, 0], n, &A[0, 0], A.shape[1], &B[0, 0], m, n, k, transpose_a, transpose_b, beta)
        restore_denormals(mode)


cpdef int64_t packed_size(int64_t K, int64_t N, int64_t group, int64_t itemsize) noexcept:
    """Numbers, of so many bytes each, in a packed (K, N) matrix."""
    return row.f64.packed_size(K, N, group) if itemsize == 8 else row.f32.packed_size(K, N, group)


cpdef int64_t strip_columns(int64_t itemsize) noexcept:
    """Columns of a strip of any packed matrix but the weights of gates; the last may have fewer."""
    return row.f64.strip_columns if itemsize == 8 else row.f32.strip_columns


def scratch_size(int64_t K, int64_t N, int64_t itemsize) -> int:
    """Numbers, of so many bytes each, that `product_transposed` needs as scratch for each thread."""
    return row.f64.scratch_size(K, N) if itemsize == 8 else row.f32.scratch_size(K, N)


cdef enum:
    PACKED_BYTES = 1 << 19  # of a matrix packed for one product, at a time, to be in the cache when it is multiplied by;
    LEAST_BYTES = 1 << 16   # or, for each thread, where the rows are no more than NEAR_BYTES and can be read for every part
    NEAR_BYTES = 1 << 21
    MOST_READ = 8           # rows are read for every part: in all no more numbers than so many times the matrix
    DEPTH_BYTES = 1 << 11   # of a column of a panel, what kernels multiply by at a time


def parts(int64_t M, int64_t K, int64_t N, int64_t threads, int64_t itemsize) -> tuple[int, int, int]:
    """How many strips, and rows, of B (K, N) `product_plain` packs at a time, for M rows of A, and how many numbers these are.

    The longer side of B is divided; where that is K, into parts of M rows at least, since C is read again for each.
    """
    cdef int64_t columns = strip_columns(itemsize), strips = (N + columns - 1) // columns, depth = K, block, least, most
    if K > N:
        block = DEPTH_BYTES // itemsize
        depth = min(K, max(1, PACKED_BYTES // (N * DEPTH_BYTES), (M + block - 1) // block) * block)
    else:
        least = threads * LEAST_BYTES if M * K * itemsize <= NEAR_BYTES else PACKED_BYTES
        most = max(1, MOST_READ * N // max(1, M))
        strips = min(strips, max(threads, least // max(1, K * columns * itemsize), (strips + most - 1) // most))
    return strips, depth, min(strips * depth * columns, packed_size(depth, N, 0, itemsize))


def pack(object packed, object B, int64_t group, int64_t threads) -> None:
    """Fill `packed` with B (K, N), of any strides, in the order products read it."""
    cdef int64_t width = width_of(B), K, N, k_stride, n_stride
    cdef void *to = writable(packed, width)
    cdef void *b = buffer(B, width, PyBUF_STRIDES)
    K, N = B.shape
    k_stride, n_stride = B.strides
    with nogil:
        if width == sizeof(float):
            fl_pack_f32(row.f32, threads, <float *>to, <float *>b, K, N, k_stride // width, n_stride // width, group)
        else:
            fl_pack_f64(row.f64, threads, <double *>to, <double *>b, K, N, k_stride // width, n_stride // width, group)


cdef fl_product product_of(object C, object A, object bias) except *:
    """C (M, N) = A (M, K) times a matrix that is to be said, plus the bias."""
    cdef fl_product product
    cdef int64_t width = width_of(C)
    memset(&product, 0, sizeof(product))
    product.M, product.N = C.shape
    _, product.K = A.shape
    product.C, product.A, product.bias = writable(C, width), readable(A, width), readable(bias, width)
    return product


def product(object C, object A, object packed, object bias=None, int64_t group=0, bint add=False, int64_t threads=1) -> None:
    """C = A B, plus C itself with `add`, or else plus the bias; B (K, N) is packed."""
    cdef fl_product product = product_of(C, A, bias)
    cdef int64_t width = width_of(C)
    product.packed, product.group, product.add = readable(packed, width), group, add
    if product.M == 0:
        return
    with nogil:
        if width == sizeof(float):
            product.end = row.f32.strip_count(product.N, group)
            fl_multiply_f32(row.f32, threads, &product)
        else:
            product.end = row.f64.strip_count(product.N, group)
            fl_multiply_f64(row.f64, threads, &product)


def product_plain(
    object C, object A, object B, object scratch, int64_t strips, int64_t depth, object bias=None, int64_t threads=1
) -> None:
    """C = A B, plus the bias; B (K, N), of any strides, is packed on the way, `depth` rows of `strips` of its strips at a time.

    scratch (strips * depth * strip_columns,), or (packed_size(depth, N, 0),) where that is less
    """
    cdef fl_product product = product_of(C, A, bias)
    cdef int64_t width = width_of(C), k_stride, n_stride
    cdef void *b = buffer(B, width, PyBUF_STRIDES)
    cdef void *space = writable(scratch, width)
    k_stride, n_stride = B.strides
    if product.M == 0:
        return
    with nogil:
        if width == sizeof(float):
            fl_multiply_plain_f32(row.f32, threads, &product, <float *>b, k_stride // width, n_stride // width, <float *>space,
                                  strips, depth)
        else:
            fl_multiply_plain_f64(row.f64, threads, &product, <double *>b, k_stride // width, n_stride // width,
                                  <double *>space, strips, depth)


def product_transposed(
    object C, object A, object B, object scratch, bint add=False, int64_t threads=1, object sums=None
) -> None:
    """C = A' B, plus C itself with `add`, and unless it is None likewise sums = A' 1.

    scratch (threads * scratch_size(K, N),)
    """
    cdef int64_t width = width_of(C), K = len(A), M, N
    cdef void *c = writable(C, width)
    cdef void *a = readable(A, width)
    cdef void *b = readable(B, width)
    cdef void *space = writable(scratch, width)
    cdef void *s = writable(sums, width)
    M, N = C.shape
    if M == 0 or N == 0:
        return
    if K == 0:
        if not add:
            memset(c, 0, M * N * width)
            if s is not NULL:
                memset(s, 0, M * width)
        return
    with nogil:
        if width == sizeof(float):
            fl_multiply_transposed_f32(row.f32, threads, <float *>c, <float *>s, <float *>a, <float *>b, <float *>space, M, K,
                                       N, add)
        else:
            fl_multiply_transposed_f64(row.f64, threads, <double *>c, <double *>s, <double *>a, <double *>b, <double *>space, M,
                                       K, N, add)


def softmax_cross_entropy(object losses, object logits, object targets, double scale, int64_t threads=1) -> None:
    """losses = -log softmax(logits)[target]; logits become the gradient of scale * sum(losses).

    targets None: losses = log sum exp(logits); logits become scale * softmax(logits).
    """
    cdef int64_t width = width_of(logits), rows, V
    cdef double *loss = <double *>writable(losses, sizeof(double))
    cdef void *z = writable(logits, width)
    cdef int32_t *target = <int32_t *>readable(targets, sizeof(int32_t))
    rows, V = logits.shape
    if rows == 0:
        return
    with nogil:
        if width == sizeof(float):
            fl_cross_entropy_f32(row.f32, threads, loss, <float *>z, target, scale, rows, V)
        else:
            fl_cross_entropy_f64(row.f64, threads, loss, <double *>z, target, scale, rows, V)


_OPTIMISERS = {"sgd": FL_SGD, "rmsprop": FL_RMSPROP, "adam": FL_ADAM}


def optimise(str kind, object parameters, object first_moment, object second_moment, object gradients,
             double learning_rate, double gradient_scale, int64_t step, double beta1=0, double beta2=0, double epsilon=0,
             double weight_decay=0, int64_t threads=1) -> None:
    """One step of "sgd", "rmsprop" or "adam" in place; a moment that the optimiser has not is None."""
    cdef int64_t n = parameters.size, width = width_of(parameters)
    cdef int number = _OPTIMISERS[kind]
    cdef fl_update options
    cdef void *p = writable(parameters, width)
    cdef void *first = writable(first_moment, width)
    cdef void *second = writable(second_moment, width)
    cdef void *g = readable(gradients, width)
    options.learning_rate, options.beta1, options.beta2, options.epsilon = learning_rate, beta1, beta2, epsilon
    options.weight_decay, options.gradient_scale, options.step = weight_decay, gradient_scale, step
    with nogil:
        if width == sizeof(float):
            fl_optimise_f32(row.f32, threads, number, <float *>p, <float *>first, <float *>second, <float *>g, &options, n)
        else:
            fl_optimise_f64(row.f64, threads, number, <double *>p, <double *>first, <double *>second, <double *>g, &options, n)


def sum_of_squares(object x, int64_t threads=1) -> float:
    """sum(x * x), NaN and Inf included; the same to the bit for any number of threads."""
    cdef int64_t n = x.size, width = width_of(x)
    cdef void *values = readable(x, width)
    cdef double total
    if n == 0:
        return 0.0
    with nogil:
        if width == sizeof(float):
            total = fl_squares_f32(row.f32, threads, <float *>values, n)
        else:
            total = fl_squares_f64(row.f64, threads, <double *>values, n)
    return total


def scatter_add(object table, object rows, object tokens, int64_t threads=1) -> None:
    """table[tokens[r]] += rows[r] for every r."""
    scatter(table, rows, tokens, False, threads)


def sum_rows(object out, object rows, bint add=False, int64_t threads=1) -> None:
    """out = the sum of the rows, plus out itself with `add`."""
    scatter(out, rows, None, not add, threads)


cdef int scatter(object table, object rows, object tokens, bint clear, int64_t threads) except -1:
    """The rows, each added to the token's of the table, or without tokens all to the only one."""
    cdef int64_t width = width_of(table), n, columns
    cdef void *to = writable(table, width)
    cdef void *added = readable(rows, width)
    cdef int32_t *places = <int32_t *>readable(tokens, sizeof(int32_t))
    n, columns = rows.shape
    with nogil:
        if clear:
            memset(to, 0, columns * width)
        if n and width == sizeof(float):
            fl_scatter_f32(row.f32, threads, <float *>to, <float *>added, places, n, columns)
        elif n:
            fl_scatter_f64(row.f64, threads, <double *>to, <double *>added, places, n, columns)
    return 0


def add_bias(object out, object matrix, object bias, object other=None) -> None:
    """Every row of out is that of the matrix, of any strides, plus the bias, or the sum of both."""
    cdef int64_t width = width_of(out), rows, columns, row_stride, stride
    cdef void *to = writable(out, width)
    cdef void *start = buffer(matrix, width, PyBUF_STRIDES)
    cdef void *b = readable(bias, width)
    cdef void *second = readable(other, width)
    rows, columns = out.shape
    row_stride, stride = matrix.strides[0] // width, matrix.strides[1] // width
    with nogil:
        if width == sizeof(float):
            add_to_rows(<float *>to, <float *>start, row_stride, stride, <float *>b, <float *>second, rows, columns)
        else:
            add_to_rows(<double *>to, <double *>start, row_stride, stride, <double *>b, <double *>second, rows, columns)


cdef void add_to_rows(real *out, const real *matrix, int64_t row_stride, int64_t stride, const real *bias, const real *other,
                      int64_t rows, int64_t columns) noexcept nogil:
    cdef real added
    cdef int64_t start, end, r, k
    for start in range(0, rows, 16):  # so many together, since a transposed matrix has their numbers in a cache line
        end = min(start + 16, rows)
        for k in range(columns):
            added = bias[k] if other is NULL else bias[k] + other[k]
            for r in range(start, end):
                out[r * columns + k] = matrix[r * row_stride + k * stride] + added


def activate(real[::1] y, const real[::1] x, int kind) -> None:
    """y = activation(x) for the kind-th activation of `reference.ACTIVATIONS`."""
    cdef int64_t n = x.shape[0]
    if n == 0:
        return
    if real is float:
        row.f32.activate(&y[0], &x[0], kind, n)
    else:
        row.f64.activate(&y[0], &x[0], kind, n)


def cell_forward(Cell cell, real[:, ::1] gates, real[:, ::1] recurrent, real[:, ::1] c, real[:, ::1] h,
                 const real[:, ::1] c_prev) -> None:
    """What a cell does after its products, in place; None for arrays that it has not."""
    cdef fl_forward_step step
    memset(&step, 0, sizeof(step))
    step.cell, step.gates, step.h, step.rows, step.H = cell.cell, &gates[0, 0], &h[0, 0], h.shape[0], h.shape[1]
    step.recurrent = NULL if recurrent is None else &recurrent[0, 0]
    step.c = NULL if c is None else &c[0, 0]
    if c_prev is not None:
        step.c_prev = &c_prev[0, 0]
    if real is float:
        row.f32.cell_forward(&step)
    else:
        row.f64.cell_forward(&step)


def cell_backward(Cell cell, real[:, ::1] gates, real[:, ::1] recurrent, real[:, ::1] dh, real[:, ::1] dc,
                  const real[:, ::1] c, const real[:, ::1] c_prev, const real[:, ::1] dy) -> None:
    """`cell_forward` backwards, in place."""
    cdef fl_backward_step step
    memset(&step, 0, sizeof(step))
    step.cell, step.gates, step.dh, step.rows, step.H = cell.cell, &gates[0, 0], &dh[0, 0], dh.shape[0], dh.shape[1]
    step.recurrent = NULL if recurrent is None else &recurrent[0, 0]
    step.dc = NULL if dc is None else &dc[0, 0]
    if c is not None:
        step.c = &c[0, 0]
    if c_prev is not None:
        step.c_prev = &c_prev[0, 0]
    if dy is not None:
        step.dy = &dy[0, 0]
    if real is float:
        row.f32.cell_backward(&step)
    else:
        row.f64.cell_backward(&step)


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
