/* The checks of layers.c for one REAL; BOUND is relative to max(1, |want|). NAME adds the suffix. */

static const NAME(fl_kernels) *NAME(kernels_of)(const fl_row *row)
{
#if IS_DOUBLE
    return row->f64;
#else
    return row->f32;
#endif
}

/* Of gates with the input's part of the pre-activations, recurrent with a bias, and initial states. */
static void NAME(plain_forward)(const fl_kernels_f64 *kernels, const layer_case *l, const fl_cell *cell,
                                const layer_truth *truth, const REAL *U)
{
    int64_t H = l->H, wide = fl_blocks(cell) * H, row = 0;
    double *sums = l->kind == FL_GRU ? truth->recurrent : truth->gates;
    for (int64_t t = 0, before = 0; t < l->T; before = l->B + row - l->batch_sizes[t++]) {
        for (int64_t b = 0; b < l->batch_sizes[t]; b++, row++) {
            for (int64_t n = 0; n < wide; n++)
                for (int64_t k = 0; k < H; k++)
                    sums[row * wide + n] += truth->h[(before + b) * H + k] * U[k * wide + n];
            double *state = l->kind == FL_LSTM ? truth->c : truth->h;
            fl_forward_step step = {.cell = *cell, .gates = truth->gates + row * wide,
                                    .recurrent = truth->recurrent + row * 3 * H, .c = truth->c + (l->B + row) * H,
                                    .h = truth->h + (l->B + row) * H, .c_prev = state + (before + b) * H, .rows = 1, .H = H};
            kernels->cell_forward(&step);
        }
    }
}

/* The same backwards: gates and recurrent become gradients, dh and dc (B, H) those of the initial states. */
static void NAME(plain_backward)(const fl_kernels_f64 *kernels, const layer_case *l, const fl_cell *cell,
                                 const layer_truth *truth, double *dh, double *dc, const REAL *dy, const REAL *U, int64_t N)
{
    int64_t H = l->H, wide = fl_blocks(cell) * H, start = N;
    const double *sums = l->kind == FL_GRU ? truth->recurrent : truth->gates;
    const double *state = l->kind == FL_LSTM ? truth->c : truth->h;
    for (int64_t t = l->T - 1; t >= 0; t--) {
        start -= l->batch_sizes[t];
        int64_t before = t ? l->B + start - l->batch_sizes[t - 1] : 0;
        for (int64_t b = 0; b < l->batch_sizes[t]; b++) {
            int64_t row = start + b;
            for (int64_t j = 0; j < H; j++)
                dh[b * H + j] += dy[row * H + j];
            fl_backward_step step = {.cell = *cell, .gates = truth->gates + row * wide,
                                     .recurrent = truth->recurrent + row * 3 * H, .dh = dh + b * H, .dc = dc + b * H,
                                     .c = truth->c + (l->B + row) * H, .c_prev = state + (before + b) * H, .rows = 1, .H = H};
            kernels->cell_backward(&step);
            for (int64_t j = 0; j < H; j++) {
                double sum = l->kind == FL_GRU ? dh[b * H + j] : 0;
                for (int64_t n = 0; n < wide; n++)
                    sum += sums[row * wide + n] * U[n * H + j];
                dh[b * H + j] = sum;
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

/* got (wide, n) against truth' rows, for truth (N, wide) and rows (N, n); n = 0: against the sums (wide,) of truth's rows. */
static void NAME(check_outer)(const char *what, const REAL *got, const double *truth, const REAL *rows, int64_t N, int64_t wide,
                              int64_t n)
{
    for (int64_t m = 0; m < wide; m++)
        for (int64_t k = 0; k < (n ? n : 1); k++) {
            double sum = 0;
            for (int64_t r = 0; r < N; r++)
                sum += truth[r * wide + m] * (n ? (double)rows[r * n + k] : 1);
            check(what, got[m * (n ? n : 1) + k], sum, 8 * BOUND);
        }
}

/* What fl_layer_gradients makes of a layer without padding after its steps backward, against the sums of the truth. */
static void NAME(check_gradients)(const fl_row *row, const fl_layer *layer, const layer_truth *truth, const REAL *W,
                                  int64_t threads)
{
    const NAME(fl_kernels) *kernels = NAME(kernels_of)(row);
    const int64_t H = layer->H, I = layer->I, N = layer->N, wide = fl_blocks(&layer->cell) * H, widest = I > H ? I : H;
    const REAL *dx = layer->dx;
    REAL *dW = NAME(random)((size_t)(wide * I)), *dU = NAME(random)((size_t)(wide * H));
    REAL *bias = NAME(random)((size_t)wide), *u_bias = NAME(random)((size_t)wide);
    REAL *scratch = exactly((size_t)(threads * kernels->scratch_size(N, widest)) * sizeof *scratch);
    const fl_gradients gradients = {.W = dW, .U = dU, .bias = bias, .recurrent_bias = u_bias, .scratch = scratch};
    const double *sums = layer->recurrent ? truth->recurrent : truth->gates;
    fl_layer_gradients(layer, &gradients, threads);
    NAME(check_outer)("fl_layer_gradients, W", dW, truth->gates, layer->x, N, wide, I);
    NAME(check_outer)("fl_layer_gradients, U", dU, sums, layer->h, N, wide, H);
    NAME(check_outer)("fl_layer_gradients, bias", bias, truth->gates, NULL, N, wide, 0);
    NAME(check_outer)("fl_layer_gradients, recurrent_bias", u_bias, sums, NULL, N, wide, 0);
    for (int64_t r = 0; r < N; r++)
        for (int64_t i = 0; i < I; i++) {
            double sum = 0;
            for (int64_t n = 0; n < wide; n++)
                sum += truth->gates[r * wide + n] * W[n * I + i];
            check("fl_layer_gradients, x", dx[r * I + i], sum, 8 * BOUND);
        }
    free(dW), free(dU), free(bias), free(u_bias), free(scratch);
}

static void NAME(check_backward)(const fl_row *row, fl_layer *layer, const layer_case *l, const fl_cell *wide_cell,
                                 int64_t threads)
{
    const NAME(fl_kernels) *kernels = NAME(kernels_of)(row);
    const int64_t H = l->H, B = l->B, I = l->I, N = layer->N, wide = fl_blocks(wide_cell) * H, state = (B + N) * H;
    REAL *U = NAME(random_matrix)(wide, H), *dy = NAME(random)((size_t)(N * H));
    REAL *packed = NAME(packed)(kernels, U, wide, H, 0), *W = NAME(random_matrix)(wide, I);
    REAL *W_packed = NAME(packed)(kernels, W, wide, I, 0), *dx = NAME(random)((size_t)(N * I));
    REAL *dh = NAME(random)((size_t)(B * H)), *dc = NAME(random)((size_t)(B * H));
    double *want_dh = NAME(widened)(dh, B * H), *want_dc = NAME(widened)(dc, B * H);
    layer_truth truth = {NAME(widened)(layer->gates, N * wide), NAME(widened)(layer->recurrent, N * 3 * H),
                         NAME(widened)(layer->h, state), NAME(widened)(layer->c, state)};
    NAME(plain_backward)(row->f64, l, wide_cell, &truth, want_dh, want_dc, dy, U, N);
    layer->U = packed, layer->dh = dh, layer->dc = l->kind == FL_LSTM ? dc : NULL, layer->dy = dy;
    REAL *recurrent = layer->recurrent, *c = layer->c;
    if (l->kind != FL_GRU)
        layer->recurrent = NULL;
    if (l->kind != FL_LSTM)
        layer->c = NULL;
    const int has_gradients = layer->x && N == l->T * B;
    layer->W = W_packed, layer->dx = has_gradients ? dx : NULL;
    fl_layer_backward(layer, threads);
    NAME(check_equal)("fl_layer_backward, gates", layer->gates, truth.gates, N * wide, 4 * BOUND);
    NAME(check_equal)("fl_layer_backward, recurrent", recurrent, truth.recurrent, N * 3 * H, 4 * BOUND);
    NAME(check_equal)("fl_layer_backward, dh", dh, want_dh, B * H, 4 * BOUND);
    NAME(check_equal)("fl_layer_backward, dc", dc, want_dc, B * H, 4 * BOUND);
    if (has_gradients)
        NAME(check_gradients)(row, layer, &truth, W, threads);
    layer->recurrent = recurrent, layer->c = c;
    free(U), free(dy), free(packed), free(W), free(W_packed), free(dx), free(dh), free(dc), free(want_dh), free(want_dc);
    free(truth.gates), free(truth.recurrent), free(truth.h), free(truth.c);
}

static void NAME(check_layer)(const fl_row *row, const layer_case *l, int64_t threads, int divide_units, int keep,
                              int64_t block)
{
    const NAME(fl_kernels) *kernels = NAME(kernels_of)(row);
    const int64_t V = 3, H = l->H, B = l->B, I = l->I;
    REAL *peepholes = NAME(random)((size_t)(3 * H));
    double *wide_peepholes = NAME(widened)(peepholes, 3 * H);
    const fl_cell cell = cell_of(l, peepholes), wide_cell = cell_of(l, wide_peepholes);
    const int64_t wide = fl_blocks(&cell) * H;
    int64_t N = 0;
    for (int64_t t = 0; t < l->T; t++)
        N += l->batch_sizes[t];
    block = block < B ? B : block;
    int64_t *batch_sizes = exactly((size_t)l->T * sizeof *batch_sizes);
    memcpy(batch_sizes, l->batch_sizes, (size_t)l->T * sizeof *batch_sizes);
    REAL *x = NAME(random)((size_t)(N * I)), *W = NAME(random_matrix)(I, wide), *U = NAME(random_matrix)(H, wide);
    REAL *bias = NAME(random)((size_t)((I ? 1 : V) * wide)), *u_bias = NAME(random)((size_t)(3 * H));
    REAL *W_packed = NAME(packed)(kernels, W, I, wide, H), *U_packed = NAME(packed)(kernels, U, H, wide, H);
    int32_t *tokens = exactly((size_t)N * sizeof *tokens);
    const int64_t c_rows = keep ? B + N : B, u_rows = keep ? N : B;
    REAL *gates = NAME(random)((size_t)(keep ? N * wide : 0)), *scratch = NAME(random)((size_t)(threads * block * wide));
    REAL *h = NAME(random)((size_t)((B + N) * H)), *c = NAME(random)((size_t)(c_rows * H));
    REAL *recurrent = NAME(random)((size_t)(u_rows * 3 * H));
    layer_truth truth = {exactly((size_t)(N * wide) * sizeof(double)), exactly((size_t)(N * 3 * H) * sizeof(double)),
                         NAME(widened)(h, (B + N) * H), exactly((size_t)((B + N) * H) * sizeof(double))};
    for (int64_t r = 0; r < N; r++) {
        tokens[r] = (int32_t)((r * 2 + 1) % V);
        for (int64_t n = 0; n < wide; n++)
            truth.gates[r * wide + n] = bias[(I ? 0 : tokens[r]) * wide + n] + NAME(column)(x + r * I, W, I, wide, n);
        for (int64_t n = 0; n < 3 * H; n++)
            truth.recurrent[r * 3 * H + n] = l->kind == FL_GRU ? u_bias[n] : recurrent[(r % u_rows) * 3 * H + n];
    }
    for (int64_t k = 0; k < B * H; k++)
        truth.c[k] = c[k];
    NAME(plain_forward)(row->f64, l, &wide_cell, &truth, U);

    int64_t *rows = exactly((size_t)(threads * block) * sizeof *rows);
    fl_layer layer = {.row = row, .real64 = IS_DOUBLE, .T = l->T, .B = B, .N = N, .I = I, .H = H, .batch_sizes = batch_sizes,
                      .cell = cell, .divide_units = divide_units, .keep = keep, .U = U_packed, .gates = keep ? gates : NULL,
                      .recurrent = l->kind == FL_GRU ? recurrent : NULL, .h = h, .c = l->kind == FL_LSTM ? c : NULL,
                      .x = I ? x : NULL, .W = I ? W_packed : NULL, .bias = bias, .recurrent_bias = u_bias, .ahead = 1,
                      .tokens = I ? NULL : tokens, .block = block, .rows = rows, .scratch = keep ? NULL : scratch};
    fl_layer_forward(&layer, threads);
    NAME(check_equal)("fl_layer_forward, h", h, truth.h, (B + N) * H, BOUND);
    if (keep) {
        NAME(check_equal)("fl_layer_forward, gates", gates, truth.gates, N * wide, BOUND);
        NAME(check_equal)("fl_layer_forward, recurrent", recurrent, truth.recurrent, N * 3 * H, BOUND);
        if (l->kind == FL_LSTM)
            NAME(check_equal)("fl_layer_forward, c", c, truth.c, (B + N) * H, BOUND);
        layer.c = c, layer.recurrent = recurrent;
        NAME(check_backward)(row, &layer, l, &wide_cell, threads);
    } else if (l->kind == FL_LSTM) { /* the last state of each sequence */
        for (int64_t t = 0, before = 0, at = 0; t <= l->T; t++) {
            int64_t goes_on = t < l->T ? batch_sizes[t] : 0;
            for (int64_t b = goes_on; b < (t ? batch_sizes[t - 1] : B); b++)
                NAME(check_equal)("fl_layer_forward, final c", c + b * H, truth.c + (before + b) * H, H, BOUND);
            before = B + at;
            at += goes_on;
        }
    }
    free(peepholes), free(wide_peepholes), free(batch_sizes), free(x), free(W), free(U), free(bias), free(u_bias);
    free(W_packed), free(U_packed), free(tokens), free(gates), free(scratch), free(h), free(c), free(recurrent), free(rows);
    free(truth.gates), free(truth.recurrent), free(truth.h), free(truth.c);
}

/* Layers one after another, as a wave and, each reading what it read before, side by side. */
static void NAME(check_apart)(const fl_row *row, int kind, int64_t T, int64_t B, int64_t H, int64_t threads)
{
    enum { LAYERS = 3, BLOCK = 20 };
    const NAME(fl_kernels) *kernels = NAME(kernels_of)(row);
    const fl_cell cell = {.kind = kind, .recurrent = FL_SIGMOID};
    const int64_t wide = fl_blocks(&cell) * H, state = B * H, rows = (T + 1) * B * H;
    int64_t *batch_sizes = exactly((size_t)T * sizeof *batch_sizes), *listed = exactly(LAYERS * BLOCK * sizeof *listed);
    REAL *x = NAME(random)((size_t)(T * state)), *initial = NAME(random)((size_t)(LAYERS * rows));
    REAL *scratch = NAME(random)((size_t)(LAYERS * BLOCK * wide)), *recurrent = NAME(random)((size_t)(LAYERS * 3 * state));
    REAL *W[LAYERS], *U[LAYERS], *bias = NAME(random)((size_t)wide), *h[3], *c[3];
    for (int64_t t = 0; t < T; t++)
        batch_sizes[t] = B;
    for (int k = 0; k < LAYERS; k++) {
        REAL *weights = NAME(random_matrix)(H, wide);
        W[k] = NAME(packed)(kernels, weights, H, wide, H), U[k] = NAME(packed)(kernels, weights, H, wide, H);
        free(weights);
    }
    for (int way = 0; way < 3; way++) {
        fl_layer layers[LAYERS];
        h[way] = NAME(copy)(initial, (size_t)(LAYERS * rows)), c[way] = NAME(copy)(initial, (size_t)(LAYERS * state));
        for (int k = 0; k < LAYERS; k++) {
            const REAL *below = h[way == 1] + (k - 1) * rows + state; /* side by side: as one after another left it */
            layers[k] = (fl_layer){.row = row, .real64 = IS_DOUBLE, .T = T, .B = B, .I = H, .H = H, .batch_sizes = batch_sizes,
                                   .cell = cell, .U = U[k], .recurrent = recurrent + 3 * k * state, .h = h[way] + k * rows,
                                   .c = kind == FL_LSTM ? c[way] + k * state : NULL, .x = k ? below : x, .W = W[k], .bias = bias,
                                   .block = BLOCK, .rows = listed + k * BLOCK, .scratch = scratch + k * BLOCK * wide};
            if (way == 0)
                fl_layer_forward(&layers[k], 1);
        }
        if (way == 1)
            fl_wave_forward(layers, LAYERS, threads);
        else if (way == 2)
            fl_layers_forward(layers, LAYERS);
        /* Not to the bit: rows that are multiplied alone are summed in another order. */
        for (int64_t k = 0; k < LAYERS * rows; k++)
            check(way == 1 ? "fl_wave_forward, h" : "fl_layers_forward, h", h[way][k], h[0][k], BOUND);
        for (int64_t k = 0; k < LAYERS * state; k++)
            check(way == 1 ? "fl_wave_forward, c" : "fl_layers_forward, c", c[way][k], c[0][k], BOUND);
    }
    for (int k = 0; k < LAYERS; k++)
        free(W[k]), free(U[k]), free(h[k]), free(c[k]);
    free(batch_sizes), free(listed), free(x), free(initial), free(scratch), free(recurrent), free(bias);
}

static void NAME(check_same)(const char *what, const REAL *got, const REAL *want, int64_t n)
{
    check(what, memcmp(got, want, (size_t)n * sizeof *got) != 0, 0, 0);
}

/* Two layers backward with the gradients of their parameters, side by side and one after the other. */
static void NAME(check_apart_backward)(const fl_row *row, int kind, int64_t T, int64_t B, int64_t I, int64_t H)
{
    enum { LAYERS = 2 };
    const NAME(fl_kernels) *kernels = NAME(kernels_of)(row);
    const fl_cell cell = {.kind = kind, .recurrent = FL_SIGMOID};
    const int64_t N = T * B, wide = fl_blocks(&cell) * H, states = (N + B) * H, scratch_size = kernels->scratch_size(N, I > H ? I : H);
    const int64_t size = N * (wide + 3 * H + 2 * I + H) + 2 * states + 2 * B * H + wide * (I + H + 2);
    int64_t *batch_sizes = exactly((size_t)T * sizeof *batch_sizes);
    REAL *weights = NAME(random_matrix)(wide, I > H ? I : H), *start = NAME(random)((size_t)(LAYERS * size)), *memory[2];
    REAL *W = NAME(packed)(kernels, weights, wide, I, 0), *U = NAME(packed)(kernels, weights, wide, H, 0);
    for (int64_t t = 0; t < T; t++)
        batch_sizes[t] = B;
    for (int apart = 0; apart < 2; apart++) {
        fl_layer layers[LAYERS];
        fl_gradients gradients[LAYERS];
        REAL *at = memory[apart] = NAME(copy)(start, (size_t)(LAYERS * size));
        REAL *scratch = exactly((size_t)(LAYERS * scratch_size) * sizeof *scratch);
#define TAKE(n) ((at += (n)) - (n))
        for (int k = 0; k < LAYERS; k++) {
            layers[k] = (fl_layer){.row = row, .real64 = IS_DOUBLE, .T = T, .B = B, .N = N, .I = I, .H = H, .cell = cell,
                                   .batch_sizes = batch_sizes, .keep = 1, .W = W, .U = U, .ahead = 1};
            layers[k].gates = TAKE(N * wide), layers[k].recurrent = TAKE(N * 3 * H), layers[k].x = TAKE(N * I);
            layers[k].dx = TAKE(N * I), layers[k].dy = TAKE(N * H), layers[k].h = TAKE(states), layers[k].c = TAKE(states);
            layers[k].dh = TAKE(B * H), layers[k].dc = TAKE(B * H);
            if (kind != FL_GRU)
                layers[k].recurrent = NULL;
            if (kind != FL_LSTM)
                layers[k].c = layers[k].dc = NULL;
            gradients[k] = (fl_gradients){.scratch = scratch + k * scratch_size};
            gradients[k].W = TAKE(wide * I), gradients[k].U = TAKE(wide * H);
            gradients[k].bias = TAKE(wide), gradients[k].recurrent_bias = TAKE(wide);
            if (!apart)
                fl_layer_backward(&layers[k], 1), fl_layer_gradients(&layers[k], &gradients[k], 1);
        }
#undef TAKE
        if (apart)
            fl_layers_backward(layers, gradients, LAYERS);
        free(scratch);
    }
    NAME(check_same)("fl_layers_backward", memory[1], memory[0], LAYERS * size);
    free(batch_sizes), free(weights), free(start), free(memory[0]), free(memory[1]), free(W), free(U);
}

/* Five steps of two layers, reading vectors of size I or (0) tokens. */
static void NAME(check_stack)(const fl_row *row, int kind, int coupled, int64_t B, int64_t I, int64_t H, int64_t threads)
{
    enum { LAYERS = 2, STEPS = 5, V = 3, TURN = 3 }; /* so the states are the second half of h */
    const NAME(fl_kernels) *kernels = NAME(kernels_of)(row);
    const fl_cell cell = {.kind = kind, .coupled = coupled, .recurrent = FL_SIGMOID}, cells[LAYERS] = {cell, cell};
    const int64_t wide = fl_blocks(cells) * H, state = B * H;
    REAL *W[LAYERS] = {NAME(random_matrix)(I, wide), NAME(random_matrix)(H, wide)}, *U[LAYERS], *bias[LAYERS];
    const void *W_packed[LAYERS] = {I ? NAME(packed)(kernels, W[0], I, wide, H) : NULL,
                                    NAME(packed)(kernels, W[1], H, wide, H)};
    const void *U_packed[LAYERS], *biases[LAYERS], *u_biases[LAYERS];
    REAL *h = NAME(random)((size_t)(2 * LAYERS * state)), *c = NAME(random)((size_t)(LAYERS * state));
    REAL *scratch = NAME(random)((size_t)(B * wide)), *x = NAME(random)((size_t)(B * I));
    REAL *recurrent = NAME(random)((size_t)(B * 3 * H)), *u_bias = NAME(random)((size_t)(3 * H));
    int32_t *tokens = exactly((size_t)B * sizeof *tokens);
    layer_truth truth[LAYERS]; /* of one step */
    for (int k = 0; k < LAYERS; k++) {
        U[k] = NAME(random_matrix)(H, wide), biases[k] = bias[k] = NAME(random)((size_t)((k || I ? 1 : V) * wide));
        U_packed[k] = NAME(packed)(kernels, U[k], H, wide, H), u_biases[k] = u_bias;
        truth[k] = (layer_truth){exactly((size_t)(B * wide) * sizeof(double)), exactly((size_t)(B * 3 * H) * sizeof(double)),
                                 exactly((size_t)(2 * state) * sizeof(double)), exactly((size_t)(2 * state) * sizeof(double))};
        for (int64_t j = 0; j < state; j++) {
            truth[k].h[state + j] = h[(LAYERS + k) * state + j];
            truth[k].c[state + j] = c[k * state + j];
        }
    }
    fl_forward_step *steps = exactly((size_t)(2 * LAYERS) * sizeof *steps);
    fl_stack stack = {.row = row, .real64 = IS_DOUBLE, .L = LAYERS, .B = B, .I = I, .H = H, .cells = cells, .W = W_packed,
                      .bias = biases, .U = U_packed, .recurrent_bias = u_biases, .gates = scratch, .recurrent = recurrent,
                      .h = h, .c = kind == FL_LSTM ? c : NULL, .turn = TURN, .x = x, .tokens = I ? NULL : tokens, .steps = steps};
    fl_stack_prepare(&stack);
    const layer_case step = {.T = 1, .B = B, .H = H, .batch_sizes = {B}, .kind = kind};
    for (int64_t t = 0; t < STEPS; t++) {
        for (int64_t k = 0; k < B * I; k++)
            x[k] = (REAL)random_number();
        for (int64_t b = 0; b < B; b++)
            tokens[b] = (int32_t)((t + b) % V);
        fl_stack_step(&stack, threads);
        check("fl_stack_step, turn", (double)stack.turn, (double)(TURN + t + 1), 0);
        for (int k = 0; k < LAYERS; k++) {
            memcpy(truth[k].h, truth[k].h + state, (size_t)state * sizeof(double));
            memcpy(truth[k].c, truth[k].c + state, (size_t)state * sizeof(double));
            for (int64_t b = 0; b < B; b++) {
                for (int64_t n = 0; n < wide; n++) {
                    double sum = bias[k][(k || I ? 0 : tokens[b]) * wide + n];
                    for (int64_t j = 0; j < (k ? H : I); j++)
                        sum += (k ? truth[0].h[state + b * H + j] : (double)x[b * I + j]) * W[k][j * wide + n];
                    truth[k].gates[b * wide + n] = sum;
                }
                for (int64_t n = 0; n < 3 * H; n++)
                    truth[k].recurrent[b * 3 * H + n] = u_bias[n];
            }
            NAME(plain_forward)(row->f64, &step, cells + k, truth + k, U[k]);
            REAL *got = h + ((stack.turn % 2) * LAYERS + k) * state;
            NAME(check_equal)("fl_stack_step, h", got, truth[k].h + state, state, BOUND);
            if (kind == FL_LSTM)
                NAME(check_equal)("fl_stack_step, c", c + k * state, truth[k].c + state, state, BOUND);
            if (k == LAYERS - 1)
                check("fl_stack_output", got == fl_stack_output(&stack), 1, 0);
        }
    }
    for (int k = 0; k < LAYERS; k++) {
        free(W[k]), free(U[k]), free(bias[k]), free((void *)W_packed[k]), free((void *)U_packed[k]);
        free(truth[k].gates), free(truth[k].recurrent), free(truth[k].h), free(truth[k].c);
    }
    free(h), free(c), free(scratch), free(x), free(tokens), free(recurrent), free(u_bias), free(steps);
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
    REAL *moments = NAME(random)((size_t)(K * N)), *packed[2], *C[2], *D[2], *P[2], *softmax[2], *table[2], *moved[2], *first[2];
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
                              .end = kernels->strip_count(N, 0)};
        FL(fl_multiply)(kernels, n, &product);
        const int64_t strips = 2 < product.end ? 2 : product.end, block = 2048 / sizeof(REAL), depth = K < block ? K : block;
        REAL *parts = exactly((size_t)(strips * depth * kernels->strip_columns) * sizeof *parts);
        P[side] = NAME(copy)(logits, (size_t)(M * N)), product.C = P[side], product.packed = NULL;
        FL(fl_multiply_plain)(kernels, n, &product, B, N, 1, parts, strips, depth);
        free(parts);
        FL(fl_multiply_transposed)(kernels, n, D[side], NULL, A_down, B, scratch, M, K, N, 1);
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
        check("fl_multiply_plain", P[0][k], C[0][k], 0);
        check("fl_multiply_plain", P[1][k], C[0][k], BOUND * (double)(K + 4));
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
        free(packed[side]), free(C[side]), free(D[side]), free(P[side]), free(softmax[side]), free(table[side]);
        free(moved[side]), free(first[side]), free(second[side]), free(losses[side]);
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
    for (int kind = FL_LSTM; kind <= FL_RNN; kind++) { /* long enough for products of the input to be made beside steps */
        layer_case l = {.T = 36 + kind, .B = 1, .I = 120, .H = 171, .kind = kind, .recurrent = FL_SIGMOID};
        for (int64_t t = 0; t < l.T; t++)
            l.batch_sizes[t] = 1;
        NAME(check_layer)(row, &l, 1, 0, 0, 29);
        NAME(check_layer)(row, &l, 1, 0, 1, 192);
        NAME(check_layer)(row, &l, 2, 1, 1, 192);
    }
    for (int64_t threads = 1; threads <= 3; threads++) {
        NAME(check_apart)(row, FL_LSTM, 50, 1, 33, threads);
        NAME(check_apart)(row, FL_GRU, 7, 5, 17, threads);
        NAME(check_apart)(row, FL_RNN, 1, 2, 9, threads);
        NAME(check_apart_backward)(row, FL_LSTM, 30, 1, 70, 60);
        NAME(check_apart_backward)(row, FL_GRU, 7, 5, 9, 17);
        NAME(check_apart_backward)(row, FL_RNN, 1, 2, 20, 9);
        for (int kind = FL_LSTM; kind <= FL_RNN; kind++) {
            NAME(check_stack)(row, kind, 0, 1, 5, 171, threads);
            NAME(check_stack)(row, kind, 0, 3, 0, 33, threads);
        }
        NAME(check_stack)(row, FL_LSTM, 1, 1, 5, 180, threads);
        NAME(check_divided)(row, 1, 3, 5, threads);
        NAME(check_divided)(row, 5, 17, 130, threads);
        NAME(check_divided)(row, 40, 65, 33, threads);
        NAME(check_divided)(row, 30, 1100, 40, threads);
    }
}
