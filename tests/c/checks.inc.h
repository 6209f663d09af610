/* The checks of driver.c for one REAL; BOUND is relative to max(1, |want|). NAME adds the dtype's suffix. */

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

static void NAME(check_lstm)(const NAME(fl_kernels) *kernels, int64_t rows, int64_t H, int phi, int sigma, int in_place)
{
    size_t wide = (size_t)(rows * 4 * H), narrow = (size_t)(rows * H);
    REAL *a = NAME(random)(wide), *gates = NAME(copy)(a, wide), *c_prev = NAME(random)(narrow);
    REAL *c = in_place ? NAME(copy)(c_prev, narrow) : NAME(random)(narrow), *h = NAME(random)(narrow);
    REAL *dh = NAME(random)(narrow), *dy = in_place ? NULL : NAME(random)(narrow), *dc = NAME(random)(narrow);
    REAL *d_c_prev = NAME(copy)(dc, narrow), *d_gates;
    kernels->lstm_forward(gates, c, h, in_place ? c : c_prev, rows, H, phi, sigma);
    d_gates = NAME(copy)(gates, wide);
    kernels->lstm_backward(d_gates, d_c_prev, c, c_prev, dh, dy, rows, H, phi, sigma);
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < H; j++) {
            int64_t at = row * H + j, i_at = row * 4 * H + j, f_at = i_at + H, g_at = f_at + H, o_at = g_at + H;
            double i = activation(sigma, a[i_at]), f = activation(sigma, a[f_at]);
            double g = activation(phi, a[g_at]), o = activation(sigma, a[o_at]);
            double state = f * c_prev[at] + i * g, squashed = activation(phi, state);
            check("lstm_forward, i", gates[i_at], i, BOUND);
            check("lstm_forward, f", gates[f_at], f, BOUND);
            check("lstm_forward, g", gates[g_at], g, BOUND);
            check("lstm_forward, o", gates[o_at], o, BOUND);
            check("lstm_forward, c", c[at], state, BOUND);
            check("lstm_forward, h", h[at], o * squashed, BOUND);
            double out = dh[at] + (dy ? (double)dy[at] : 0), d_state = dc[at] + out * o * slope(phi, squashed);
            check("lstm_backward, i", d_gates[i_at], d_state * g * slope(sigma, i), 4 * BOUND);
            check("lstm_backward, f", d_gates[f_at], d_state * c_prev[at] * slope(sigma, f), 4 * BOUND);
            check("lstm_backward, g", d_gates[g_at], d_state * i * slope(phi, g), 4 * BOUND);
            check("lstm_backward, o", d_gates[o_at], out * squashed * slope(sigma, o), 4 * BOUND);
            check("lstm_backward, dc", d_c_prev[at], d_state * f, 4 * BOUND);
        }
    }
    free(a), free(gates), free(c_prev), free(c), free(h), free(dh), free(dy), free(dc), free(d_c_prev), free(d_gates);
}

static void NAME(check_softmax)(const NAME(fl_kernels) *kernels, int64_t rows, int64_t V, double size)
{
    size_t n = (size_t)(rows * V);
    REAL *logits = NAME(random)(n), *gradient;
    double *losses = exactly((size_t)rows * sizeof *losses), scale = 0.25;
    int32_t *targets = exactly((size_t)rows * sizeof *targets);
    for (size_t k = 0; k < n; k++)
        logits[k] *= (REAL)(size / 2);
    for (int64_t row = 0; row < rows; row++)
        targets[row] = (int32_t)((row * 7 + V - 1) % V);
    gradient = NAME(copy)(logits, n);
    kernels->softmax_cross_entropy(losses, gradient, targets, scale, rows, V);
    for (int64_t row = 0; row < rows; row++) {
        const REAL *x = logits + row * V;
        double largest = x[0], sum = 0;
        for (int64_t v = 1; v < V; v++)
            largest = fmax(largest, x[v]);
        for (int64_t v = 0; v < V; v++)
            sum += exp(x[v] - largest);
        check("softmax_cross_entropy, loss", losses[row], log(sum) + largest - x[targets[row]], BOUND);
        for (int64_t v = 0; v < V; v++)
            check("softmax_cross_entropy, gradient", gradient[row * V + v],
                  scale * (exp(x[v] - largest) / sum - (v == targets[row])), BOUND);
    }
    free(logits), free(gradient), free(losses), free(targets);
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
    kernels->scatter_add(table, rows, tokens, n, width);
    for (int64_t k = 0; k < V * width; k++)
        check("scatter_add", table[k], want[k], 0);
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
        kernels->lstm_forward(gates, c, h, c_prev, g.rows, g.H, g.activation, g.recurrent);
        REAL *d_gates = NAME(copy)(gates, (size_t)(4 * n));
        kernels->lstm_backward(d_gates, dc, c, c_prev, dh, dy, g.rows, g.H, g.activation, g.recurrent);
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
    FOR_EACH(int64_t, rows, batches) {
        FOR_EACH(int64_t, H, units) {
            NAME(check_scatter_add)(kernels, rows, H);
            for (size_t pair = 0; pair < COUNT(kinds); pair++) {
                NAME(check_lstm)(kernels, rows, H, kinds[pair][0], kinds[pair][1], 0);
                NAME(check_lstm)(kernels, rows, H, kinds[pair][0], kinds[pair][1], 1);
            }
        }
        FOR_EACH(int64_t, V, vocabularies) {
            NAME(check_softmax)(kernels, rows, V, 1);
            NAME(check_softmax)(kernels, rows, V, 1e4);
        }
    }
}
