/* The checks of layers.c for one REAL; BOUND is relative to max(1, |want|). NAME adds the suffix. */

static const NAME(fl_kernels) *NAME(kernels_of)(const fl_row *row)
{
#if IS_DOUBLE
    return row->f64;
#else
    return row->f32;
#endif
}

/* One layer step by step in double, rows packed as fl_layer's: gates (N, 4H); h and c (B + N, H) begin with the initial
 * states. start (N, 4H) is the input's part of the pre-activations. */
static void NAME(plain_forward)(const layer_case *l, double *gates, double *h, double *c, const double *start,
                                const REAL *U)
{
    int64_t H = l->H, row = 0;
    for (int64_t t = 0, before = 0; t < l->T; before = l->B + row - l->batch_sizes[t++]) {
        for (int64_t b = 0; b < l->batch_sizes[t]; b++, row++) {
            const double *h_prev = h + (before + b) * H, *c_prev = c + (before + b) * H;
            double *g = gates + row * 4 * H;
            for (int64_t n = 0; n < 4 * H; n++) {
                double sum = start[row * 4 * H + n];
                for (int64_t k = 0; k < H; k++)
                    sum += h_prev[k] * U[k * 4 * H + n];
                g[n] = activation(n / H == 2 ? l->activation : l->recurrent, sum);
            }
            for (int64_t j = 0; j < H; j++) {
                double state = g[H + j] * c_prev[j] + g[j] * g[2 * H + j];
                c[(l->B + row) * H + j] = state;
                h[(l->B + row) * H + j] = g[3 * H + j] * activation(l->activation, state);
            }
        }
    }
}

/* The same backwards: gates become the gradients of the pre-activations, dh and dc (B, H) those of the initial states. */
static void NAME(plain_backward)(const layer_case *l, double *gates, double *dh, double *dc, const REAL *c, const REAL *dy,
                                 const REAL *U, int64_t N)
{
    int64_t H = l->H, start = N;
    for (int64_t t = l->T - 1; t >= 0; t--) {
        start -= l->batch_sizes[t];
        int64_t before = t ? l->B + start - l->batch_sizes[t - 1] : 0;
        for (int64_t b = 0; b < l->batch_sizes[t]; b++) {
            double *g = gates + (start + b) * 4 * H;
            for (int64_t j = 0; j < H; j++) {
                double i = g[j], f = g[H + j], candidate = g[2 * H + j], o = g[3 * H + j];
                double squashed = activation(l->activation, (double)c[(l->B + start + b) * H + j]);
                double out = dh[b * H + j] + dy[(start + b) * H + j];
                double state = dc[b * H + j] + out * o * slope(l->activation, squashed);
                g[j] = state * candidate * slope(l->recurrent, i);
                g[H + j] = state * c[(before + b) * H + j] * slope(l->recurrent, f);
                g[2 * H + j] = state * i * slope(l->activation, candidate);
                g[3 * H + j] = out * squashed * slope(l->recurrent, o);
                dc[b * H + j] = state * f;
            }
            for (int64_t j = 0; j < H; j++) {
                dh[b * H + j] = 0;
                for (int64_t n = 0; n < 4 * H; n++)
                    dh[b * H + j] += g[n] * U[n * H + j];
            }
        }
    }
}

static double *NAME(widened)(const REAL *x, int64_t n)
{
    double *wide = exactly((size_t)n * sizeof *wide);
    for (int64_t k = 0; k < n; k++)
        wide[k] = x[k];
    return wide;
}

static void NAME(check_equal)(const char *what, const REAL *got, const double *want, int64_t n, double bound)
{
    for (int64_t k = 0; k < n; k++)
        check(what, got[k], want[k], bound);
}

static void NAME(check_layer)(const fl_row *row, const layer_case *l, int64_t threads, int divide_units, int keep,
                              int64_t block)
{
    const NAME(fl_kernels) *kernels = NAME(kernels_of)(row);
    const int64_t V = 3, H = l->H, B = l->B, I = l->I, wide = 4 * H;
    int64_t N = 0;
    for (int64_t t = 0; t < l->T; t++)
        N += l->batch_sizes[t];
    block = block < B ? B : block;
    int64_t *batch_sizes = exactly((size_t)l->T * sizeof *batch_sizes);
    memcpy(batch_sizes, l->batch_sizes, (size_t)l->T * sizeof *batch_sizes);
    REAL *x = NAME(random)((size_t)(N * I)), *W = NAME(random_matrix)(I, wide), *U = NAME(random_matrix)(H, wide);
    REAL *bias = NAME(random)((size_t)((I ? 1 : V) * wide)), *initial = NAME(random)((size_t)(2 * B * H));
    REAL *W_packed = NAME(packed)(kernels, W, I, wide, H), *U_packed = NAME(packed)(kernels, U, H, wide, H);
    int32_t *tokens = exactly((size_t)N * sizeof *tokens);
    double *start = exactly((size_t)(N * wide) * sizeof *start), *want_gates = exactly((size_t)(N * wide) * sizeof *start);
    double *want_h = exactly((size_t)((B + N) * H) * sizeof *start), *want_c = exactly((size_t)((B + N) * H) * sizeof *start);
    for (int64_t r = 0; r < N; r++) {
        tokens[r] = (int32_t)((r * 2 + 1) % V);
        for (int64_t n = 0; n < wide; n++)
            start[r * wide + n] = bias[(I ? 0 : tokens[r]) * wide + n] + NAME(column)(x + r * I, W, I, wide, n);
    }
    for (int64_t k = 0; k < B * H; k++)
        want_h[k] = initial[k], want_c[k] = initial[B * H + k];
    NAME(plain_forward)(l, want_gates, want_h, want_c, start, U);

    int64_t c_rows = keep ? B + N : B;
    REAL *gates = NAME(random)((size_t)(keep ? N * wide : 0)), *scratch = NAME(random)((size_t)(threads * block * wide));
    REAL *h = NAME(random)((size_t)((B + N) * H)), *c = NAME(random)((size_t)(c_rows * H));
    memcpy(h, initial, (size_t)(B * H) * sizeof *h);
    memcpy(c, initial + B * H, (size_t)(B * H) * sizeof *c);
    int64_t *rows = exactly((size_t)(threads * block) * sizeof *rows);
    fl_layer layer = {.row = row, .real64 = IS_DOUBLE, .T = l->T, .B = B, .N = N, .I = I, .H = H, .batch_sizes = batch_sizes,
                      .cell = {.activation = l->activation, .recurrent = l->recurrent}, .divide_units = divide_units, .keep = keep,
                      .U = U_packed, .gates = keep ? gates : NULL, .h = h, .c = c, .x = I ? x : NULL,
                      .W = I ? W_packed : NULL, .bias = bias, .tokens = I ? NULL : tokens, .block = block, .rows = rows,
                      .scratch = keep ? NULL : scratch};
    fl_layer_forward(&layer, threads);
    NAME(check_equal)("fl_layer_forward, h", h, want_h, (B + N) * H, BOUND);
    if (!keep) { /* the last state of each sequence */
        for (int64_t t = 0, before = 0, at = 0; t <= l->T; t++) {
            int64_t goes_on = t < l->T ? batch_sizes[t] : 0;
            for (int64_t b = goes_on; b < (t ? batch_sizes[t - 1] : B); b++)
                NAME(check_equal)("fl_layer_forward, final c", c + b * H, want_c + (before + b) * H, H, BOUND);
            before = B + at;
            at += goes_on;
        }
    } else {
        NAME(check_equal)("fl_layer_forward, gates", gates, want_gates, N * wide, BOUND);
        NAME(check_equal)("fl_layer_forward, c", c, want_c, (B + N) * H, BOUND);
        REAL *U_back = NAME(random_matrix)(wide, H), *dy = NAME(random)((size_t)(N * H));
        REAL *U_back_packed = NAME(packed)(kernels, U_back, wide, H, 0);
        REAL *dh = NAME(random)((size_t)(B * H)), *dc = NAME(random)((size_t)(B * H));
        double *want_dh = NAME(widened)(dh, B * H), *want_dc = NAME(widened)(dc, B * H);
        double *d_gates = NAME(widened)(gates, N * wide);
        NAME(plain_backward)(l, d_gates, want_dh, want_dc, c, dy, U_back, N);
        fl_layer back = {.row = row, .real64 = IS_DOUBLE, .T = l->T, .B = B, .N = N, .H = H, .batch_sizes = batch_sizes,
                         .cell = {.activation = l->activation, .recurrent = l->recurrent}, .divide_units = divide_units,
                         .U = U_back_packed, .gates = gates, .c = c, .dh = dh, .dc = dc, .dy = dy};
        fl_layer_backward(&back, threads);
        NAME(check_equal)("fl_layer_backward, gates", gates, d_gates, N * wide, 4 * BOUND);
        NAME(check_equal)("fl_layer_backward, dh", dh, want_dh, B * H, 4 * BOUND);
        NAME(check_equal)("fl_layer_backward, dc", dc, want_dc, B * H, 4 * BOUND);
        free(U_back), free(dy), free(U_back_packed), free(dh), free(dc), free(want_dh), free(want_dc), free(d_gates);
    }
    free(batch_sizes), free(x), free(W), free(U), free(bias), free(initial), free(W_packed), free(U_packed), free(tokens);
    free(start), free(want_gates), free(want_h), free(want_c), free(gates), free(scratch), free(h), free(c), free(rows);
}

/* Five steps of two layers, reading vectors of size I or (0) tokens. */
static void NAME(check_stack)(const fl_row *row, int64_t B, int64_t I, int64_t H, int64_t threads)
{
    enum { LAYERS = 2, STEPS = 5, V = 3 };
    const NAME(fl_kernels) *kernels = NAME(kernels_of)(row);
    const int64_t wide = 4 * H, state = B * H;
    REAL *W[LAYERS] = {NAME(random_matrix)(I, wide), NAME(random_matrix)(H, wide)}, *U[LAYERS], *bias[LAYERS];
    const void *W_packed[LAYERS] = {I ? NAME(packed)(kernels, W[0], I, wide, H) : NULL,
                                    NAME(packed)(kernels, W[1], H, wide, H)};
    const void *U_packed[LAYERS], *biases[LAYERS];
    double *want_h[LAYERS], *want_c[LAYERS], *gates = exactly((size_t)(B * wide) * sizeof *gates);
    double *start = exactly((size_t)(B * wide) * sizeof *start), *turn_h = exactly((size_t)(2 * state) * sizeof *turn_h);
    double *turn_c = exactly((size_t)(2 * state) * sizeof *turn_c);
    REAL *h = NAME(random)((size_t)(2 * LAYERS * state)), *c = NAME(random)((size_t)(LAYERS * state));
    REAL *scratch = NAME(random)((size_t)(B * wide)), *x = NAME(random)((size_t)(B * I));
    int32_t *tokens = exactly((size_t)B * sizeof *tokens);
    const int64_t turn = 3; /* so the states are the second half of h */
    for (int k = 0; k < LAYERS; k++) {
        U[k] = NAME(random_matrix)(H, wide), biases[k] = bias[k] = NAME(random)((size_t)((k || I ? 1 : V) * wide));
        U_packed[k] = NAME(packed)(kernels, U[k], H, wide, H);
        want_h[k] = NAME(widened)(h + (LAYERS + k) * state, state), want_c[k] = NAME(widened)(c + k * state, state);
    }
    fl_stack stack = {.row = row, .real64 = IS_DOUBLE, .L = LAYERS, .B = B, .I = I, .H = H, .cell.recurrent = FL_SIGMOID,
                      .W = W_packed, .bias = biases, .U = U_packed, .gates = scratch, .h = h, .c = c,
                      .turn = turn, .x = x, .tokens = I ? NULL : tokens};
    layer_case step = {.T = 1, .B = B, .H = H, .batch_sizes = {B}, .activation = FL_TANH, .recurrent = FL_SIGMOID};
    for (int64_t t = 0; t < STEPS; t++) {
        for (int64_t k = 0; k < B * I; k++)
            x[k] = (REAL)random_number();
        for (int64_t b = 0; b < B; b++)
            tokens[b] = (int32_t)((t + b) % V);
        fl_stack_step(&stack, threads);
        check("fl_stack_step, turn", (double)stack.turn, (double)(turn + t + 1), 0);
        for (int k = 0; k < LAYERS; k++) {
            for (int64_t b = 0; b < B; b++) {
                for (int64_t n = 0; n < wide; n++) {
                    double sum = bias[k][(k || I ? 0 : tokens[b]) * wide + n];
                    for (int64_t j = 0; j < (k ? H : I); j++)
                        sum += (k ? want_h[0][b * H + j] : (double)x[b * I + j]) * W[k][j * wide + n];
                    start[b * wide + n] = sum;
                }
            }
            memcpy(turn_h, want_h[k], (size_t)state * sizeof *turn_h);
            memcpy(turn_c, want_c[k], (size_t)state * sizeof *turn_c);
            NAME(plain_forward)(&step, gates, turn_h, turn_c, start, U[k]);
            memcpy(want_h[k], turn_h + state, (size_t)state * sizeof *turn_h);
            memcpy(want_c[k], turn_c + state, (size_t)state * sizeof *turn_c);
            NAME(check_equal)("fl_stack_step, h", h + ((stack.turn % 2) * LAYERS + k) * state, want_h[k], state, BOUND);
            NAME(check_equal)("fl_stack_step, c", c + k * state, want_c[k], state, BOUND);
        }
    }
    for (int k = 0; k < LAYERS; k++) {
        free(W[k]), free(U[k]), free(bias[k]), free((void *)W_packed[k]), free((void *)U_packed[k]);
        free(want_h[k]), free(want_c[k]);
    }
    free(gates), free(start), free(turn_h), free(turn_c), free(h), free(c), free(scratch), free(x), free(tokens);
}

static void NAME(check_same)(const char *what, const REAL *got, const REAL *want, int64_t n)
{
    check(what, memcmp(got, want, (size_t)n * sizeof *got) != 0, 0, 0);
}

#if IS_DOUBLE
#define FL(name) name##_f64
#else
#define FL(name) name##_f32
#endif

/* Every divided kernel on `threads` threads and on one. */
static void NAME(check_divided)(const fl_row *row, int64_t M, int64_t K, int64_t N, int64_t threads)
{
    const NAME(fl_kernels) *kernels = NAME(kernels_of)(row);
    const int64_t all[] = {1, threads}, size = kernels->packed_size(K, N, 0);
    REAL *A = NAME(random)((size_t)(M * K)), *B = NAME(random)((size_t)(K * N)), *bias = NAME(random)((size_t)N);
    REAL *A_down = NAME(random)((size_t)(K * M)), *logits = NAME(random)((size_t)(M * N));
    REAL *moments = NAME(random)((size_t)(K * N)), *packed[2], *C[2], *D[2], *softmax[2], *table[2], *moved[2], *first[2];
    REAL *second[2];
    int32_t *tokens = exactly((size_t)M * sizeof *tokens);
    double *losses[2], squares[2];
    fl_update options = {.learning_rate = 3e-3, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .gradient_scale = 0.5, .step = 3};
    for (int64_t r = 0; r < M; r++)
        tokens[r] = (int32_t)(r * 7 % (N < 3 ? N : 3));
    for (int64_t k = 0; k < K * N; k++)
        moments[k] *= moments[k];
    for (int side = 0; side < 2; side++) {
        int64_t n = all[side];
        REAL *scratch = exactly((size_t)(n * kernels->scratch_size(K, N)) * sizeof *scratch);
        packed[side] = exactly((size_t)size * sizeof *A), C[side] = NAME(copy)(logits, (size_t)(M * N));
        D[side] = NAME(copy)(logits, (size_t)(M * N)), softmax[side] = NAME(copy)(logits, (size_t)(M * N));
        table[side] = NAME(copy)(logits, (size_t)(M * N)), moved[side] = NAME(copy)(B, (size_t)(K * N));
        first[side] = NAME(copy)(moments, (size_t)(K * N)), second[side] = NAME(copy)(moments, (size_t)(K * N));
        losses[side] = exactly((size_t)M * sizeof *losses[side]);
        FL(fl_pack)(kernels, n, packed[side], B, K, N, N, 1, 0);
        fl_product product = {.C = C[side], .A = A, .packed = packed[side], .bias = bias, .M = M, .K = K, .N = N,
                              .end = kernels->panel_count(N, 0)};
        FL(fl_multiply)(kernels, n, &product);
        FL(fl_multiply_transposed)(kernels, n, D[side], A_down, B, scratch, M, K, N, 1);
        FL(fl_cross_entropy)(kernels, n, losses[side], softmax[side], tokens, 0.5, M, N);
        if (M >= 3)
            FL(fl_scatter)(kernels, n, table[side], logits, tokens, M, N);
        squares[side] = FL(fl_squares)(kernels, n, B, K * N);
        for (int kind = FL_SGD; kind <= FL_ADAM; kind++)
            FL(fl_optimise)(kernels, n, kind, moved[side], kind == FL_RMSPROP ? NULL : first[side],
                            kind == FL_SGD ? NULL : second[side], B, &options, K * N);
        free(scratch);
    }
    NAME(check_same)("fl_pack", packed[1], packed[0], size);
    for (int64_t k = 0; k < M * N; k++) {
        check("fl_multiply", C[1][k], C[0][k], BOUND * (double)(K + 4));
        check("fl_multiply_transposed", D[1][k], D[0][k], BOUND * (double)(K + 4));
    }
    NAME(check_same)("fl_cross_entropy, gradient", softmax[1], softmax[0], M * N);
    check("fl_cross_entropy, losses", memcmp(losses[1], losses[0], (size_t)M * sizeof *losses[0]) != 0, 0, 0);
    NAME(check_same)("fl_scatter", table[1], table[0], M * N);
    check("fl_squares", squares[1], squares[0], 0);
    NAME(check_same)("fl_optimise, parameters", moved[1], moved[0], K * N);
    NAME(check_same)("fl_optimise, first moment", first[1], first[0], K * N);
    NAME(check_same)("fl_optimise, second moment", second[1], second[0], K * N);
    for (int side = 0; side < 2; side++) {
        free(packed[side]), free(C[side]), free(D[side]), free(softmax[side]), free(table[side]), free(moved[side]);
        free(first[side]), free(second[side]), free(losses[side]);
    }
    free(A), free(B), free(bias), free(A_down), free(logits), free(moments), free(tokens);
}
#undef FL

static void NAME(check_all)(const fl_row *row)
{
    FOR_EACH(layer_case, l, layer_cases)
        for (int64_t threads = 1; threads <= 3; threads++)
            for (int divide_units = 0; divide_units < 2; divide_units++)
                for (int keep = 0; keep < 2; keep++)
                    NAME(check_layer)(row, l_once, threads, divide_units, keep, l_at % 2 ? 0 : 12);
    for (int64_t threads = 1; threads <= 3; threads++) {
        NAME(check_stack)(row, 1, 5, 70, threads);
        NAME(check_stack)(row, 3, 0, 33, threads);
        NAME(check_divided)(row, 1, 3, 5, threads);
        NAME(check_divided)(row, 5, 17, 130, threads);
        NAME(check_divided)(row, 40, 65, 33, threads);
    }
}
