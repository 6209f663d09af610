/* Kernels whose work is divided among threads, for one REAL. The parts are of the result, so that no sum is ever divided;
 * that of the squares has parts of a fixed size. */

/* The arguments of the kernels below, of which each task reads its own. */
typedef struct {
    const TYPED(fl_kernels) *kernels;
    REAL *out;                           /* what is computed: packed, C, logits, table or parameters */
    const REAL *a, *b;                   /* A and B, or the only input: rows, x or gradients */
    REAL *sums, *scratch;
    const int32_t *tokens;               /* or targets */
    double *losses, scale;               /* losses: of the squares their sums */
    int64_t M, K, N, k_stride, n_stride; /* rows, and N columns: V, width, or all n numbers */
    int64_t group, strips;               /* strips of all of B */
    int add, kind;                       /* of optimiser */
    const fl_product *product;
    REAL *moments[2];
    const fl_update *options;
} TYPED(job);

static int64_t TYPED(part)(int64_t n, int64_t index, int64_t count, int64_t unit)
{
    int64_t units = (n + unit - 1) / unit;
    return smaller(units * index / count * unit, n);
}

/* The part [begin, end) of n things, in whole units but for the last. */
#define PART(n, unit) \
    int64_t begin = TYPED(part)(n, index, count, unit), end = TYPED(part)(n, index + 1, count, unit)
#define TASK(name) static void TYPED(name##_task)(void *context, int64_t index, int64_t count)
enum { TYPED(CACHE_LINE) = 64 / sizeof(REAL) };

TASK(pack)
{
    const TYPED(job) *j = context;
    j->kernels->pack(j->out, j->a, j->K, j->N, j->k_stride, j->n_stride, j->group, index, count);
}

void TYPED(fl_pack)(const TYPED(fl_kernels) *kernels, int64_t threads, REAL *packed, const REAL *B, int64_t K, int64_t N,
                    int64_t k_stride, int64_t n_stride, int64_t group)
{
    TYPED(job) job = {.kernels = kernels, .out = packed, .a = B, .K = K, .N = N, .k_stride = k_stride,
                      .n_stride = n_stride, .group = group};
    fl_run(TYPED(pack_task), &job, threads);
}

/* Few rows are left whole, and their columns divided. */
TASK(multiply)
{
    const TYPED(job) *j = context;
    fl_product q = *j->product;
    if (q.M >= 8 * count) {
        PART(q.M, 1);
        q.C = (REAL *)q.C + begin * q.N;
        q.A = (const REAL *)q.A + begin * fl_A_stride(&q);
        q.M = end - begin;
    } else {
        PART(q.end - q.begin, 1);
        q.end = q.begin + end;
        q.begin += begin;
    }
    j->kernels->product(&q);
}

void TYPED(fl_multiply)(const TYPED(fl_kernels) *kernels, int64_t threads, const fl_product *product)
{
    TYPED(job) job = {.kernels = kernels, .product = product};
    fl_run(TYPED(multiply_task), &job, threads);
}

/* Strips [product->begin, product->end) of B. */
TASK(pack_strips)
{
    const TYPED(job) *j = context;
    const fl_product *q = j->product;
    PART(q->end - q->begin, 1);
    for (int64_t strip = q->begin + begin; strip < q->begin + end; strip++)
        j->kernels->pack(j->out, j->a, q->K, q->N, j->k_stride, j->n_stride, 0, strip, j->strips);
}

void TYPED(fl_multiply_plain)(const TYPED(fl_kernels) *kernels, int64_t threads, const fl_product *product, const REAL *B,
                              int64_t k_stride, int64_t n_stride, REAL *scratch, int64_t strips, int64_t depth)
{
    const int64_t K = product->K, N = product->N, columns = kernels->strip_columns;
    fl_product q = *product;
    TYPED(job) job = {.kernels = kernels, .product = &q, .k_stride = k_stride, .n_stride = n_stride,
                      .strips = kernels->strip_count(N, 0)};
    q.A_stride = K;
    for (q.begin = 0; q.begin < job.strips; q.begin = q.end) {
        q.end = smaller(q.begin + strips, job.strips);
        for (int64_t k0 = 0; k0 < K; k0 += q.K) {
            q.K = smaller(K - k0, depth);
            q.A = (const REAL *)product->A + k0;
            q.add = k0 > 0;
            job.a = B + k0 * k_stride;
            /* Where strip 0 would be, if the first of these is where scratch begins. */
            q.packed = job.out = (REAL *)((uintptr_t)scratch - (uintptr_t)(q.begin * q.K * columns) * sizeof(REAL));
            fl_run(TYPED(pack_strips_task), &job, threads);
            q.soon = NULL; /* or the part that comes next, where its numbers are one run: whole rows of B, or whole columns */
            if (n_stride == 1 && q.begin == 0 && q.end == job.strips && k0 + q.K < K) {
                q.soon = B + (k0 + q.K) * k_stride;
                q.soon_count = smaller(K - k0 - q.K, depth) * k_stride;
            } else if (k_stride == 1 && depth >= K && q.end < job.strips) {
                q.soon = B + q.end * columns * n_stride;
                q.soon_count = smaller(N - q.end * columns, strips * columns) * n_stride;
            }
            fl_run(TYPED(multiply_task), &job, threads);
        }
    }
}

TASK(multiply_transposed)
{
    const TYPED(job) *j = context;
    PART(j->M, 1);
    REAL *scratch = j->scratch + index * j->kernels->scratch_size(j->K, j->N);
    j->kernels->product_transposed(j->out, j->sums, j->a, j->b, scratch, begin, end, j->M, j->K, j->N, j->add);
}

void TYPED(fl_multiply_transposed)(const TYPED(fl_kernels) *kernels, int64_t threads, REAL *C, REAL *sums, const REAL *A,
                                   const REAL *B, REAL *scratch, int64_t M, int64_t K, int64_t N, int add)
{
    TYPED(job) job = {.kernels = kernels, .out = C, .sums = sums, .a = A, .b = B, .scratch = scratch, .M = M, .K = K, .N = N,
                      .add = add};
    fl_run(TYPED(multiply_transposed_task), &job, threads);
}

TASK(cross_entropy)
{
    const TYPED(job) *j = context;
    PART(j->M, 1);
    j->kernels->softmax_cross_entropy(j->losses + begin, j->out + begin * j->N, j->tokens ? j->tokens + begin : NULL,
                                      j->scale, end - begin, j->N);
}

void TYPED(fl_cross_entropy)(const TYPED(fl_kernels) *kernels, int64_t threads, double *losses, REAL *logits,
                             const int32_t *targets, double scale, int64_t rows, int64_t V)
{
    TYPED(job) job = {.kernels = kernels, .losses = losses, .out = logits, .tokens = targets, .scale = scale, .M = rows,
                      .N = V};
    fl_run(TYPED(cross_entropy_task), &job, threads);
}

TASK(scatter)
{
    const TYPED(job) *j = context;
    PART(j->N, TYPED(CACHE_LINE));
    j->kernels->scatter_add(j->out, j->a, j->tokens, j->M, j->N, begin, end);
}

void TYPED(fl_scatter)(const TYPED(fl_kernels) *kernels, int64_t threads, REAL *table, const REAL *rows,
                       const int32_t *tokens, int64_t n, int64_t width)
{
    TYPED(job) job = {.kernels = kernels, .out = table, .a = rows, .tokens = tokens, .M = n, .N = width};
    fl_run(TYPED(scatter_task), &job, threads);
}

enum { TYPED(SQUARES) = 64, TYPED(LEAST_SQUARES) = 1024 };

TASK(squares)
{
    const TYPED(job) *j = context;
    for (int64_t k = index; k < TYPED(SQUARES); k += count) {
        int64_t begin = TYPED(part)(j->N, k, TYPED(SQUARES), TYPED(LEAST_SQUARES));
        int64_t end = TYPED(part)(j->N, k + 1, TYPED(SQUARES), TYPED(LEAST_SQUARES));
        j->losses[k] = j->kernels->sum_of_squares(j->a + begin, end - begin);
    }
}

double TYPED(fl_squares)(const TYPED(fl_kernels) *kernels, int64_t threads, const REAL *x, int64_t n)
{
    double sums[TYPED(SQUARES)], total = 0;
    TYPED(job) job = {.kernels = kernels, .a = x, .N = n, .losses = sums};
    fl_run(TYPED(squares_task), &job, threads);
    for (int k = 0; k < TYPED(SQUARES); k++)
        total += sums[k];
    return total;
}

TASK(optimise)
{
    const TYPED(job) *j = context;
    PART(j->N, TYPED(CACHE_LINE));
    REAL *first = j->moments[0] ? j->moments[0] + begin : NULL, *second = j->moments[1] ? j->moments[1] + begin : NULL;
    switch (j->kind) {
    case FL_SGD: j->kernels->sgd(j->out + begin, first, j->a + begin, j->options, end - begin); break;
    case FL_RMSPROP: j->kernels->rmsprop(j->out + begin, second, j->a + begin, j->options, end - begin); break;
    case FL_ADAM: j->kernels->adam(j->out + begin, first, second, j->a + begin, j->options, end - begin); break;
    }
}

void TYPED(fl_optimise)(const TYPED(fl_kernels) *kernels, int64_t threads, int kind, REAL *parameters, REAL *first_moment,
                        REAL *second_moment, const REAL *gradients, const fl_update *options, int64_t n)
{
    TYPED(job) job = {.kernels = kernels, .kind = kind, .out = parameters, .moments = {first_moment, second_moment},
                      .a = gradients, .options = options, .N = n};
    fl_run(TYPED(optimise_task), &job, threads);
}
#undef TASK
#undef PART
