/* The checks of driver.c for one REAL; BOUND is relative to max(1, |want|). NAME adds the suffix. */

static void NAME(check_activate)(const NAME(fl_kernels) *kernels, int64_t n)
{
    REAL *x = NAME(random)((size_t)n), *y = NAME(random)((size_t)n);
    for (int kind = FL_TANH; kind <= FL_LINEAR; kind++) {
        kernels->activate(y, x, kind, n);
        for (int64_t k = 0; k < n; k++)
            check("activate", y[k], activation(kind, x[k]), BOUND);
    }
    kernels->activate(x, x, FL_TANH, n); /* in place */
    kernels->activate(y, y, FL_LINEAR, n);
    x[0] = (REAL)INFINITY;
    kernels->activate(y, x, FL_TANH, n);
    check("tanh(inf)", y[0], 1, 0);
    x[0] = (REAL)NAN;
    kernels->activate(y, x, FL_SIGMOID, n);
    check("sigmoid(nan)", y[0], NAN, 0);
    free(x), free(y);
}

/* C = A B with each kind of start, all rows or listed ones, in two ranges of strips. */
static void NAME(check_product)(const NAME(fl_kernels) *kernels, int64_t M, int64_t K, int64_t N, int64_t group, int listed)
{
    int64_t extra = listed ? 2 : 0, all = M + extra, strips = kernels->strip_count(N, group);
    REAL *A = NAME(random)((size_t)(all * K)), *B = NAME(random)((size_t)(K * N)), *bias = NAME(random)((size_t)N);
    REAL *B_packed = NAME(packed)(kernels, B, K, N, group);
    int64_t *C_rows = exactly((size_t)M * sizeof *C_rows), *A_rows = exactly((size_t)M * sizeof *A_rows);
    for (int64_t r = 0; r < M; r++)
        C_rows[r] = listed ? all - 1 - r : r, A_rows[r] = listed ? (r + 1) % all : r;
    for (int start = 0; start < 3; start++) { /* 0, the bias, C */
        REAL *before = NAME(random)((size_t)(all * N)), *C = NAME(copy)(before, (size_t)(all * N));
        fl_product product = {.C = C, .A = A, .packed = B_packed, .bias = start == 1 ? bias : NULL,
                              .C_rows = listed ? C_rows : NULL, .A_rows = listed ? A_rows : NULL, .M = M, .K = K, .N = N,
                              .group = group, .end = strips / 2, .add = start == 2};
        kernels->product(&product);
        product.begin = strips / 2, product.end = strips;
        kernels->product(&product);
        for (int64_t r = 0; r < M; r++) {
            REAL *got = C + C_rows[r] * N, *was = before + C_rows[r] * N;
            for (int64_t n = 0; n < N; n++) {
                double want = NAME(column)(A + A_rows[r] * K, B, K, N, n);
                want += start == 2 ? was[n] : start ? bias[n] : 0;
                check("product", got[n], want, BOUND * (double)(K + 4) / 4);
                was[n] = got[n];
            }
        }
        check("product, the other rows", memcmp(before, C, (size_t)(all * N) * sizeof *C), 0, 0);
        free(before), free(C);
    }
    free(A), free(B), free(bias), free(B_packed), free(C_rows), free(A_rows);
}

/* C = A' B, in so many ranges of rows. */
static void NAME(check_product_transposed)(const NAME(fl_kernels) *kernels, int64_t M, int64_t K, int64_t N, int add,
                                           int64_t parts)
{
    REAL *A = NAME(random)((size_t)(K * M)), *B = NAME(random)((size_t)(K * N)), *C = NAME(random)((size_t)(M * N));
    REAL *sums = NAME(random)((size_t)M), *sums_before = NAME(copy)(sums, (size_t)M);
    REAL *before = NAME(copy)(C, (size_t)(M * N)), *scratch = exactly((size_t)kernels->scratch_size(K, N) * sizeof *scratch);
    for (int64_t part = 0; part < parts; part++)
        kernels->product_transposed(C, N % 4 == 3 ? NULL : sums, A, B, scratch, M * part / parts, M * (part + 1) / parts, M, K, N,
                                    add);
    for (int64_t m = 0; m < M; m++) {
        double sum = add || N % 4 == 3 ? sums_before[m] : 0;
        for (int64_t k = 0; k < K && N % 4 != 3; k++)
            sum += A[k * M + m];
        check("product_transposed, sums", sums[m], sum, BOUND * (double)(K + 4) / 4);
        for (int64_t n = 0; n < N; n++) {
            double want = add ? before[m * N + n] : 0;
            for (int64_t k = 0; k < K; k++)
                want += (double)A[k * M + m] * B[k * N + n];
            check("product_transposed", C[m * N + n], want, BOUND * (double)(K + 4) / 4);
        }
    }
    free(A), free(B), free(C), free(sums), free(sums_before), free(before), free(scratch);
}

/* What a forward step starts from. */
enum { NAME(OWN_GATES), NAME(ROWS), NAME(TOKENS), NAME(SHARED) };

/* One step forward and back, of rows with I inputs (0: no W), with U or without. The strips are done in two calls, each
 * from its last one where `descending`. */
static void NAME(check_lstm)(const NAME(fl_kernels) *kernels, int64_t rows, int64_t I, int64_t H, int with_u, int from,
                             int phi, int sigma, int in_place, int descending)
{
    const int64_t V = 3;
    size_t wide = (size_t)(rows * 4 * H), narrow = (size_t)(rows * H);
    REAL *start = NAME(random)(from == NAME(TOKENS) ? (size_t)(V * 4 * H) : from == NAME(SHARED) ? (size_t)(4 * H) : wide);
    REAL *x = NAME(random)((size_t)(rows * I)), *W = NAME(random_matrix)(I, 4 * H), *U = NAME(random_matrix)(H, 4 * H);
    REAL *W_packed = NAME(packed)(kernels, W, I, 4 * H, H), *U_packed = NAME(packed)(kernels, U, H, 4 * H, H);
    REAL *gates = from == NAME(OWN_GATES) ? NAME(copy)(start, wide) : NAME(random)(wide), *h_prev = NAME(random)(narrow);
    REAL *c_prev = NAME(random)(narrow), *c = in_place ? NAME(copy)(c_prev, narrow) : NAME(random)(narrow);
    REAL *h = NAME(random)(narrow);
    int32_t *tokens = exactly((size_t)rows * sizeof *tokens);
    for (int64_t r = 0; r < rows; r++)
        tokens[r] = (int32_t)((r * 2 + 2) % V);
    int64_t strips = kernels->strip_count(4 * H, H);
    fl_forward_step step = {.gates = gates, .c = c, .h = h, .from = from == NAME(OWN_GATES) ? gates : start,
                            .tokens = from == NAME(TOKENS) ? tokens : NULL, .shared = from == NAME(SHARED), .x = x,
                            .W = I ? W_packed : NULL, .h_prev = h_prev, .U = with_u ? U_packed : NULL,
                            .c_prev = in_place ? c : c_prev, .rows = rows, .I = I, .H = H, .begin = strips / 2,
                            .end = strips, .descending = descending, .cell = {.activation = phi, .recurrent = sigma}};
    kernels->cell_forward(&step);
    step.begin = 0, step.end = strips / 2;
    if (I || with_u) /* else the first call did all units */
        kernels->cell_forward(&step);

    REAL *next = NAME(random)(wide), *U_back = NAME(random_matrix)(4 * H, H);
    REAL *U_back_packed = NAME(packed)(kernels, U_back, 4 * H, H, 0);
    REAL *dh = NAME(random)(narrow), *dy = in_place ? NULL : NAME(random)(narrow), *dc = NAME(random)(narrow);
    REAL *d_h = NAME(copy)(dh, narrow), *d_c_prev = NAME(copy)(dc, narrow), *d_gates = NAME(copy)(gates, wide);
    strips = kernels->strip_count(H, 0);
    fl_backward_step back = {.gates = d_gates, .dh = d_h, .dc = d_c_prev, .c = c, .c_prev = c_prev, .dy = dy,
                             .next = with_u ? next : NULL, .U = U_back_packed, .rows = rows, .H = H, .begin = strips / 2,
                             .end = strips, .descending = descending, .cell = {.activation = phi, .recurrent = sigma}};
    kernels->cell_backward(&back);
    back.begin = 0, back.end = strips / 2;
    kernels->cell_backward(&back);
    const double bound = I || with_u ? 8 * BOUND : BOUND;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < H; j++) {
            double a[4];
            for (int gate = 0; gate < 4; gate++) {
                int64_t n = gate * H + j, first = from == NAME(TOKENS) ? tokens[row] : from == NAME(SHARED) ? 0 : row;
                a[gate] = start[first * 4 * H + n] + NAME(column)(x + row * I, W, I, 4 * H, n);
                a[gate] += with_u ? NAME(column)(h_prev + row * H, U, H, 4 * H, n) : 0;
            }
            int64_t at = row * H + j, i_at = row * 4 * H + j, f_at = i_at + H, g_at = f_at + H, o_at = g_at + H;
            double i = activation(sigma, a[0]), f = activation(sigma, a[1]);
            double g = activation(phi, a[2]), o = activation(sigma, a[3]);
            double state = f * c_prev[at] + i * g, squashed = activation(phi, state);
            check("lstm_forward, i", gates[i_at], i, bound);
            check("lstm_forward, f", gates[f_at], f, bound);
            check("lstm_forward, g", gates[g_at], g, bound);
            check("lstm_forward, o", gates[o_at], o, bound);
            check("lstm_forward, c", c[at], state, bound);
            check("lstm_forward, h", h[at], o * squashed, bound);
            double above = with_u ? NAME(column)(next + row * 4 * H, U_back, 4 * H, H, j) : dh[at];
            double out = above + (dy ? (double)dy[at] : 0), d_state = dc[at] + out * o * slope(phi, squashed);
            check("lstm_backward, dh", d_h[at], above, bound);
            check("lstm_backward, i", d_gates[i_at], d_state * g * slope(sigma, i), 4 * bound);
            check("lstm_backward, f", d_gates[f_at], d_state * c_prev[at] * slope(sigma, f), 4 * bound);
            check("lstm_backward, g", d_gates[g_at], d_state * i * slope(phi, g), 4 * bound);
            check("lstm_backward, o", d_gates[o_at], out * squashed * slope(sigma, o), 4 * bound);
            check("lstm_backward, dc", d_c_prev[at], d_state * f, 4 * bound);
        }
    }
    if (with_u) { /* dh alone, to the same bits */
        REAL *alone = NAME(random)(narrow);
        fl_backward_step last = {.dh = alone, .next = next, .U = U_back_packed, .rows = rows, .H = H, .end = strips,
                                 .descending = descending};
        kernels->cell_backward(&last);
        check("lstm_backward, dh alone", memcmp(alone, d_h, narrow * sizeof *alone), 0, 0);
        free(alone);
    }
    free(start), free(x), free(W), free(U), free(W_packed), free(U_packed), free(gates), free(h_prev), free(c_prev), free(c);
    free(h), free(tokens), free(next), free(U_back), free(U_back_packed), free(dh), free(dy), free(dc), free(d_h);
    free(d_c_prev), free(d_gates);
}

/* FL_BESIDE steps of one row that make a product beside them, against the same steps without and the product by itself; the
 * strips in two calls. */
static void NAME(check_beside)(const NAME(fl_kernels) *kernels, int kind, int64_t I, int64_t H, int descending)
{
    const fl_cell cell = {.kind = kind, .activation = FL_TANH, .recurrent = FL_SIGMOID};
    const int64_t wide = fl_blocks(&cell) * H, strips = kernels->strip_count(wide, H);
    REAL *U = NAME(random_matrix)(H, wide), *U_packed = NAME(packed)(kernels, U, H, wide, H), *A = NAME(random)((size_t)(FL_BESIDE * I));
    REAL *W = NAME(random_matrix)(I, wide), *W_packed = NAME(packed)(kernels, W, I, wide, H), *bias = NAME(random)((size_t)wide);
    REAL *columns = NAME(random)((size_t)(FL_BESIDE * I)), *C = NAME(random)((size_t)(FL_BESIDE * wide));
    REAL *h_prev = NAME(random)((size_t)H), *c_prev = NAME(random)((size_t)H), *start = NAME(random)((size_t)wide);
    for (int64_t k = 0; k < FL_BESIDE * I; k++)
        columns[k] = A[k % FL_BESIDE * I + k / FL_BESIDE];
    fl_product beside = {.C = C, .A = A, .packed = W_packed, .bias = bias, .M = FL_BESIDE, .K = I, .N = wide, .group = H};
    for (int64_t part = 0; part < FL_BESIDE; part++) {
        REAL *made[2][4]; /* alone, and with the product: gates, u, c, h */
        for (int with = 0; with < 2; with++) {
            REAL **out = made[with];
            out[0] = NAME(copy)(start, (size_t)wide), out[1] = NAME(copy)(start, (size_t)wide);
            out[2] = NAME(copy)(c_prev, (size_t)H), out[3] = NAME(copy)(c_prev, (size_t)H);
            fl_forward_step step = {.cell = cell, .gates = out[0], .recurrent = out[1], .c = out[2], .h = out[3], .from = start,
                                    .h_prev = h_prev, .c_prev = c_prev, .U = U_packed, .recurrent_bias = part % 2 ? bias : NULL,
                                    .rows = 1, .H = H, .descending = descending,
                                    .beside = {with ? &beside : NULL, columns, part}};
            for (int k = 0; k < 2; k++) {
                step.begin = beside.begin = k ? strips / 2 : 0, step.end = beside.end = k ? strips : strips / 2;
                kernels->cell_forward(&step);
            }
        }
        for (int k = 0; k < 4; k++) {
            for (int64_t j = 0; j < (k < 2 ? wide : H); j++)
                check("a step beside a product", made[1][k][j], made[0][k][j], 8 * BOUND);
            free(made[0][k]), free(made[1][k]);
        }
    }
    for (int64_t r = 0; r < FL_BESIDE; r++)
        for (int64_t n = 0; n < wide; n++)
            check("a product beside steps", C[r * wide + n], bias[n] + NAME(column)(A + r * I, W, I, wide, n),
                  BOUND * (double)(I + 4) / 4);
    free(U), free(U_packed), free(A), free(W), free(W_packed), free(bias), free(columns), free(C), free(h_prev), free(c_prev);
    free(start);
}

/* The same backward, down to the gradient of h. */
static void NAME(check_beside_backward)(const NAME(fl_kernels) *kernels, int kind, int64_t I, int64_t H, int descending)
{
    const fl_cell cell = {.kind = kind, .activation = FL_TANH, .recurrent = FL_SIGMOID};
    const int64_t wide = fl_blocks(&cell) * H, strips = kernels->strip_count(H, 0), tiled = kernels->strip_count(I, 0);
    REAL *U = NAME(random_matrix)(wide, H), *U_packed = NAME(packed)(kernels, U, wide, H, 0), *next = NAME(random)((size_t)wide);
    REAL *W = NAME(random_matrix)(wide, I), *W_packed = NAME(packed)(kernels, W, wide, I, 0), *start = NAME(random)((size_t)H);
    REAL *A = NAME(random)((size_t)(FL_BESIDE * wide)), *C = NAME(random)((size_t)(FL_BESIDE * I));
    fl_product beside = {.C = C, .A = A, .packed = W_packed, .M = FL_BESIDE, .K = wide, .N = I};
    for (int64_t part = 0; part < FL_BESIDE; part++) {
        REAL *dh = NAME(copy)(start, (size_t)H);
        fl_backward_step step = {.cell = cell, .dh = dh, .next = next, .U = U_packed, .rows = 1, .H = H,
                                 .descending = descending, .beside = {&beside, NULL, part}};
        for (int k = 0; k < 2; k++) {
            step.begin = k ? strips / 2 : 0, step.end = k ? strips : strips / 2;
            beside.begin = k ? tiled / 2 : 0, beside.end = k ? tiled : tiled / 2;
            kernels->cell_backward(&step);
        }
        for (int64_t j = 0; j < H; j++)
            check("a step backward beside a product", dh[j], (kind == FL_GRU ? start[j] : 0) + NAME(column)(next, U, wide, H, j),
                  BOUND * (double)(wide + 4) / 4);
        free(dh);
    }
    for (int64_t r = 0; r < FL_BESIDE; r++)
        for (int64_t i = 0; i < I; i++)
            check("a product beside steps backward", C[r * I + i], NAME(column)(A + r * wide, W, wide, I, i),
                  BOUND * (double)(wide + 4) / 4);
    free(U), free(U_packed), free(next), free(W), free(W_packed), free(start), free(A), free(C);
}

static void NAME(check_softmax)(const NAME(fl_kernels) *kernels, int64_t rows, int64_t V, double size)
{
    size_t n = (size_t)(rows * V);
    REAL *logits = NAME(random)(n), *gradient, *shares;
    double *losses = exactly((size_t)rows * sizeof *losses), *sums = exactly((size_t)rows * sizeof *sums), scale = 0.25;
    int32_t *targets = exactly((size_t)rows * sizeof *targets);
    for (size_t k = 0; k < n; k++)
        logits[k] *= (REAL)(size / 2);
    for (int64_t row = 0; row < rows; row++)
        targets[row] = (int32_t)((row * 7 + V - 1) % V);
    gradient = NAME(copy)(logits, n), shares = NAME(copy)(logits, n);
    kernels->softmax_cross_entropy(losses, gradient, targets, scale, rows, V);
    kernels->softmax_cross_entropy(sums, shares, NULL, scale, rows, V);
    for (int64_t row = 0; row < rows; row++) {
        const REAL *x = logits + row * V;
        double largest = x[0], sum = 0;
        for (int64_t v = 1; v < V; v++)
            largest = fmax(largest, x[v]);
        for (int64_t v = 0; v < V; v++)
            sum += exp(x[v] - largest);
        check("softmax_cross_entropy, loss", losses[row], log(sum) + (largest - x[targets[row]]), BOUND);
        check("softmax_cross_entropy, no targets", sums[row], log(sum) + largest, BOUND);
        for (int64_t v = 0; v < V; v++) {
            const double share = exp(x[v] - largest) / sum;
            check("softmax_cross_entropy, gradient", gradient[row * V + v], scale * (share - (v == targets[row])), BOUND);
            check("softmax_cross_entropy, softmax", shares[row * V + v], scale * share, BOUND);
        }
    }
    free(logits), free(gradient), free(shares), free(losses), free(sums), free(targets);
}

static void NAME(check_adam)(const NAME(fl_kernels) *kernels, int64_t n)
{
    fl_update options = {.learning_rate = 3e-3, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.3,
                         .gradient_scale = 0.5};
    REAL *x = NAME(random)((size_t)n), *g = NAME(random)((size_t)n), *m = NAME(random)((size_t)n);
    REAL *v = NAME(random)((size_t)n), *x0, *m0, *v0;
    for (int64_t k = 0; k < n; k++)
        v[k] *= v[k];
    x0 = NAME(copy)(x, (size_t)n), m0 = NAME(copy)(m, (size_t)n), v0 = NAME(copy)(v, (size_t)n);
    options.step = 3;
    kernels->adam(x, m, v, g, &options, n);
    for (int64_t k = 0; k < n; k++) {
        double scaled = 0.5 * g[k], first = 0.8 * m0[k] + 0.2 * scaled, second = 0.95 * v0[k] + 0.05 * scaled * scaled;
        double corrected1 = first / (1 - pow(0.8, 3)), corrected2 = second / (1 - pow(0.95, 3));
        check("adam, first moment", m[k], first, BOUND);
        check("adam, second moment", v[k], second, BOUND);
        check("adam, parameters", x[k], (1 - 9e-4) * x0[k] - 3e-3 * corrected1 / (sqrt(corrected2) + 1e-6), BOUND);
    }
    free(x), free(g), free(m), free(v), free(x0), free(m0), free(v0);
}

static void NAME(check_sgd_and_rmsprop)(const NAME(fl_kernels) *kernels, int64_t n)
{
    fl_update options = {.learning_rate = 3e-3, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .gradient_scale = 0.5};
    REAL *start = NAME(random)((size_t)n), *g = NAME(random)((size_t)n), *m0 = NAME(random)((size_t)n);
    for (int64_t k = 0; k < n; k++)
        m0[k] *= m0[k];
    REAL *plain = NAME(copy)(start, (size_t)n), *momentum = NAME(copy)(start, (size_t)n);
    REAL *rms = NAME(copy)(start, (size_t)n), *u = NAME(copy)(m0, (size_t)n), *v = NAME(copy)(m0, (size_t)n);
    kernels->sgd(plain, NULL, g, &options, n);
    kernels->sgd(momentum, u, g, &options, n);
    kernels->rmsprop(rms, v, g, &options, n);
    for (int64_t k = 0; k < n; k++) {
        double scaled = 0.5 * g[k], first = 0.8 * m0[k] + scaled, second = 0.95 * m0[k] + 0.05 * scaled * scaled;
        check("sgd", plain[k], start[k] - 3e-3 * scaled, BOUND);
        check("momentum, first moment", u[k], first, BOUND);
        check("momentum, parameters", momentum[k], start[k] - 3e-3 * first, BOUND);
        check("rmsprop, second moment", v[k], second, BOUND);
        check("rmsprop, parameters", rms[k], start[k] - 3e-3 * scaled / (sqrt(second) + 1e-6), BOUND);
    }
    free(start), free(g), free(m0), free(plain), free(momentum), free(rms), free(u), free(v);
}

static void NAME(check_sum_of_squares)(const NAME(fl_kernels) *kernels, int64_t n)
{
    REAL *x = NAME(random)((size_t)n);
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += (double)x[k] * x[k];
    check("sum_of_squares", kernels->sum_of_squares(x, n), sum, 4 * BOUND);
    x[n - 1] = (REAL)NAN;
    check("sum_of_squares, NaN", kernels->sum_of_squares(x, n), NAN, 0);
    x[n - 1] = (REAL)INFINITY;
    check("sum_of_squares, infinity", isinf(kernels->sum_of_squares(x, n)), 1, 0);
    free(x);
}

static void NAME(check_scatter_add)(const NAME(fl_kernels) *kernels, int64_t n, int64_t width)
{
    const int64_t V = 4;
    REAL *table = NAME(random)((size_t)(V * width)), *rows = NAME(random)((size_t)(n * width));
    REAL *want = NAME(copy)(table, (size_t)(V * width));
    int32_t *tokens = exactly((size_t)n * sizeof *tokens);
    for (int64_t r = 0; r < n; r++) {
        tokens[r] = (int32_t)((r * 3 + V - 1) % V);
        for (int64_t j = 0; j < width; j++)
            want[tokens[r] * width + j] += rows[r * width + j];
    }
    for (int64_t r = 0; r < n; r++)
        for (int64_t j = 0; j < width / 3; j++)
            want[j] += rows[r * width + j];
    kernels->scatter_add(table, rows, tokens, n, width, width / 2, width);
    kernels->scatter_add(table, rows, tokens, n, width, 0, width / 2);
    kernels->scatter_add(table, rows, NULL, n, width, 0, width / 3);
    for (int64_t k = 0; k < V * width; k++)
        check("scatter_add", table[k], want[k], BOUND);
    free(table), free(rows), free(want), free(tokens);
}

static REAL *NAME(from_golden)(const double *values, int64_t n)
{
    REAL *x = exactly((size_t)n * sizeof *x);
    for (int64_t k = 0; k < n; k++)
        x[k] = (REAL)values[k];
    return x;
}

static void NAME(check_array)(const char *what, REAL *got, const double *want, int64_t n, double bound)
{
    for (int64_t k = 0; k < n; k++)
        check(what, got[k], want[k], bound);
    free(got);
}

/* golden.h's outputs are fastlstm.reference's: neither libm nor the compiler of this machine had a part in them. */
static void NAME(check_golden)(const NAME(fl_kernels) *kernels)
{
    FOR_EACH(golden_activation, g, all_golden_activation) {
        REAL *y = NAME(from_golden)(g.x, g.n);
        kernels->activate(y, y, g.kind, g.n);
        NAME(check_array)("golden activate", y, g.y, g.n, BOUND);
    }
    FOR_EACH(golden_step, g, all_golden_step) {
        int64_t n = g.rows * g.H;
        REAL *gates = NAME(from_golden)(g.a, 4 * n), *c_prev = NAME(from_golden)(g.c_prev, n);
        REAL *c = NAME(random)((size_t)n), *h = NAME(random)((size_t)n), *dc = NAME(from_golden)(g.dc, n);
        REAL *dh = NAME(from_golden)(g.dh, n), *dy = NAME(from_golden)(g.dy, n);
        fl_forward_step step = {.gates = gates, .c = c, .h = h, .from = gates, .c_prev = c_prev, .rows = g.rows, .H = g.H,
                                .cell = {.activation = g.activation, .recurrent = g.recurrent}};
        kernels->cell_forward(&step);
        REAL *d_gates = NAME(copy)(gates, (size_t)(4 * n));
        fl_backward_step back = {.gates = d_gates, .dh = dh, .dc = dc, .c = c, .c_prev = c_prev, .dy = dy, .rows = g.rows,
                                 .H = g.H, .cell = step.cell};
        kernels->cell_backward(&back);
        NAME(check_array)("golden lstm_forward, gates", gates, g.gates, 4 * n, BOUND);
        NAME(check_array)("golden lstm_forward, c", c, g.c, n, BOUND);
        NAME(check_array)("golden lstm_forward, h", h, g.h, n, BOUND);
        NAME(check_array)("golden lstm_backward, gates", d_gates, g.d_gates, 4 * n, 4 * BOUND);
        NAME(check_array)("golden lstm_backward, dc", dc, g.dc_prev, n, 4 * BOUND);
        free(c_prev), free(dh), free(dy);
    }
    FOR_EACH(golden_softmax, g, all_golden_softmax) {
        REAL *logits = NAME(from_golden)(g.logits, g.rows * g.V);
        double *losses = exactly((size_t)g.rows * sizeof *losses);
        int32_t *targets = exactly((size_t)g.rows * sizeof *targets);
        for (int64_t row = 0; row < g.rows; row++)
            targets[row] = (int32_t)g.targets[row];
        kernels->softmax_cross_entropy(losses, logits, targets, 1, g.rows, g.V);
        for (int64_t row = 0; row < g.rows; row++)
            check("golden softmax_cross_entropy, loss", losses[row], g.losses[row], BOUND);
        NAME(check_array)("golden softmax_cross_entropy, gradient", logits, g.gradient, g.rows * g.V, BOUND);
        free(losses), free(targets);
    }
    FOR_EACH(golden_adam, g, all_golden_adam) {
        REAL *x = NAME(from_golden)(g.parameters, g.n), *m = NAME(from_golden)(g.m, g.n);
        REAL *v = NAME(from_golden)(g.v, g.n), *gradients = NAME(from_golden)(g.gradients, g.n);
        kernels->adam(x, m, v, gradients, &golden_update, g.n);
        NAME(check_array)("golden adam, parameters", x, g.parameters_after, g.n, BOUND);
        NAME(check_array)("golden adam, first moment", m, g.m_after, g.n, BOUND);
        NAME(check_array)("golden adam, second moment", v, g.v_after, g.n, BOUND);
        free(gradients);
    }
}

static void NAME(check_all)(const NAME(fl_kernels) *kernels)
{
    NAME(check_golden)(kernels);
    FOR_EACH(int64_t, n, widths) {
        NAME(check_activate)(kernels, n);
        NAME(check_adam)(kernels, n);
        NAME(check_sgd_and_rmsprop)(kernels, n);
        NAME(check_sum_of_squares)(kernels, n);
    }
    FOR_EACH(int64_t, K, depths) {
        FOR_EACH(int64_t, N, columns) {
            size_t turn = K_at + N_at;
            NAME(check_product)(kernels, products_of[turn % COUNT(products_of)], K, N, 0, turn & 1);
            for (int64_t G = 1; G <= 4; G++)
                NAME(check_product)(kernels, products_of[turn % COUNT(products_of)], K, G * N, N, ~turn & 1);
            NAME(check_product_transposed)(kernels, products_of[(turn * 3) % COUNT(products_of)], K, N, turn & 1,
                                            1 + turn % 3);
        }
    }
    for (int64_t M = 89; M < 98; M++) /* every last tile of as many rows as are packed at a time */
        NAME(check_product_transposed)(kernels, M, 1100, 5, 0, 1);
    FOR_EACH(int64_t, M, products_of) {
        NAME(check_product)(kernels, M, 17, 65, 0, 1);
        NAME(check_product_transposed)(kernels, M, 3, 1100, 0, 3); /* more columns than are packed at a time */
    }
    for (int kind = FL_LSTM; kind <= FL_RNN; kind++)
        FOR_EACH(int64_t, H, beside_units) {
            NAME(check_beside)(kernels, kind, H, H, H_at & 1);
            NAME(check_beside)(kernels, kind, 1 + H / 3, H, ~H_at & 1);
            NAME(check_beside)(kernels, kind, 2 * H + 5, H, H_at & 1);
            NAME(check_beside_backward)(kernels, kind, H, H, H_at & 1);
            NAME(check_beside_backward)(kernels, kind, 1 + H / 3, H, ~H_at & 1);
            NAME(check_beside_backward)(kernels, kind, 2 * H + 5, H, H_at & 1);
        }
    NAME(check_beside)(kernels, FL_RNN, 300, 530, 1);
    NAME(check_lstm)(kernels, 200, 17, 33, 1, NAME(SHARED), FL_TANH, FL_SIGMOID, 0, 1);
    NAME(check_scatter_add)(kernels, 700, 17); /* more rows than are added at a time */
    FOR_EACH(int64_t, rows, batches) {
        FOR_EACH(int64_t, H, units) {
            NAME(check_scatter_add)(kernels, rows, H);
            for (size_t pair = 0; pair < COUNT(kinds); pair++) {
                const int *kind = kinds[pair];
                NAME(check_lstm)(kernels, rows, 0, H, 0, NAME(OWN_GATES), kind[0], kind[1], 0, 0);
                NAME(check_lstm)(kernels, rows, 0, H, 0, NAME(OWN_GATES), kind[0], kind[1], 1, 1);
                for (int from = NAME(OWN_GATES); from <= NAME(SHARED); from++) {
                    NAME(check_lstm)(kernels, rows, 0, H, 1, from, kind[0], kind[1], from & 1, 0);
                    NAME(check_lstm)(kernels, rows, 5, H, from & 1, from, kind[0], kind[1], 0, 1);
                    NAME(check_lstm)(kernels, rows, 17, H, 1, from, kind[0], kind[1], 1, from & 1);
                }
            }
        }
        FOR_EACH(int64_t, V, vocabularies) {
            NAME(check_softmax)(kernels, rows, V, 1);
            NAME(check_softmax)(kernels, rows, V, 1e4);
        }
    }
}
