/* Arrays of one REAL. */

static REAL *NAME(random)(size_t n)
{
    REAL *x = exactly(n * sizeof *x);
    for (size_t k = 0; k < n; k++)
        x[k] = (REAL)random_number();
    return x;
}

static REAL *NAME(copy)(const REAL *x, size_t n)
{
    return memcpy(exactly(n * sizeof *x), x, n * sizeof *x);
}

/* Of a matrix that multiplies vectors of size K: small enough that the sums stay about 1. */
static REAL *NAME(random_matrix)(int64_t K, int64_t N)
{
    REAL *x = NAME(random)((size_t)(K * N));
    for (int64_t k = 0; k < K * N; k++)
        x[k] *= (REAL)(0.5 / (double)K);
    return x;
}

/* B (K, N) as `pack` lays it out, from B and from its transpose. */
static REAL *NAME(packed)(const NAME(fl_kernels) *kernels, const REAL *B, int64_t K, int64_t N, int64_t group)
{
    size_t size = (size_t)kernels->packed_size(K, N, group) * sizeof(REAL);
    REAL *packed = exactly(size), *again = exactly(size), *transpose = exactly((size_t)(K * N) * sizeof *transpose);
    for (int64_t k = 0; k < K * N; k++)
        transpose[k % N * K + k / N] = B[k];
    for (int part = 0; part < 3; part++) {
        kernels->pack(packed, B, K, N, N, 1, group, part, 3);
        kernels->pack(again, transpose, K, N, 1, K, group, part, 3);
    }
    check("pack, transposed", memcmp(packed, again, size) != 0, 0, 0);
    free(again), free(transpose);
    return packed;
}

/* sum_k a[k] B[k, n] */
static double NAME(column)(const REAL *a, const REAL *B, int64_t K, int64_t N, int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < K; k++)
        sum += (double)a[k] * B[k * N + n];
    return sum;
}
