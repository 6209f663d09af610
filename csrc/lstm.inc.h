/* Gate arithmetic of the LSTM (Hochreiter & Schmidhuber 1997, forget gate of Gers et al. 2000), forward and backward.
 * Each panel's gates follow its products, while they are in the cache. */

/* `count` units from unit j of one row. */
FL_INLINE void NAME(lstm_forward_part)(REAL *gates, REAL *c, REAL *h, const REAL *c_prev, int64_t H, int64_t j,
                                       int64_t count, int activation, int recurrent)
{
    vec i = NAME(activation)(recurrent, NAME(load_part)(gates + j, count, 0));
    vec f = NAME(activation)(recurrent, NAME(load_part)(gates + H + j, count, 0));
    vec g = NAME(activation)(activation, NAME(load_part)(gates + 2 * H + j, count, 0));
    vec o = NAME(activation)(recurrent, NAME(load_part)(gates + 3 * H + j, count, 0));
    vec state = vfma(f, NAME(load_part)(c_prev + j, count, 0), i * g);
    NAME(store_part)(gates + j, i, count);
    NAME(store_part)(gates + H + j, f, count);
    NAME(store_part)(gates + 2 * H + j, g, count);
    NAME(store_part)(gates + 3 * H + j, o, count);
    NAME(store_part)(c + j, state, count);
    NAME(store_part)(h + j, o * NAME(activation)(activation, state), count);
}

FL_INLINE void NAME(lstm_backward_part)(REAL *gates, REAL *dc, const REAL *c, const REAL *c_prev, const REAL *dh,
                                        const REAL *dy, int64_t H, int64_t j, int64_t count, int activation,
                                        int recurrent)
{
    vec i = NAME(load_part)(gates + j, count, 0);
    vec f = NAME(load_part)(gates + H + j, count, 0);
    vec g = NAME(load_part)(gates + 2 * H + j, count, 0);
    vec o = NAME(load_part)(gates + 3 * H + j, count, 0);
    vec squashed = NAME(activation)(activation, NAME(load_part)(c + j, count, 0));
    vec out = NAME(load_part)(dh + j, count, 0);
    if (dy)
        out = out + NAME(load_part)(dy + j, count, 0);
    vec state = vfma(out * o, NAME(activation_slope)(activation, squashed), NAME(load_part)(dc + j, count, 0));
    vec d_i = state * g * NAME(activation_slope)(recurrent, i);
    vec d_f = state * NAME(load_part)(c_prev + j, count, 0) * NAME(activation_slope)(recurrent, f);
    vec d_g = state * i * NAME(activation_slope)(activation, g);
    vec d_o = out * squashed * NAME(activation_slope)(recurrent, o);
    NAME(store_part)(gates + j, d_i, count);
    NAME(store_part)(gates + H + j, d_f, count);
    NAME(store_part)(gates + 2 * H + j, d_g, count);
    NAME(store_part)(gates + 3 * H + j, d_o, count);
    NAME(store_part)(dc + j, state * f, count);
}

/* The panel that step s comes to as its k-th. */
#define PANEL_IN_TURN(k, s) ((s)->descending ? (s)->end - 1 - (k) : (s)->begin + (k))

/* Panels whose products are made before the gates of the first: as many as the L1 cache holds the results of, since the
 * gates of one alone would wait for each other's results. */
FL_INLINE int64_t NAME(panel_group)(int64_t rows)
{
    enum { BYTES = 16384 };
    int64_t group = BYTES / (rows * PANEL * (int64_t)sizeof(REAL));
    return group > 1 ? group : 1;
}

FL_INLINE void NAME(lstm_forward_panels)(const fl_forward_step *s, int64_t first, int64_t count, int activation,
                                         int recurrent)
{
    int64_t H = s->H, wide = 4 * H;
    REAL *gates = s->gates, *c = s->c, *h = s->h;
    const REAL *c_prev = s->c_prev, *from = s->from, *W = s->W, *U = s->U, *x = s->x, *h_prev = s->h_prev;
    NAME(rows) inputs, states;
    inputs.count = states.count = count;
    inputs.starts = states.starts = 1;
    inputs.packed = states.packed = 0;
    for (int64_t r = 0; r < count && (W || U); r++) {
        int64_t row = first + r;
        inputs.c[r] = states.c[r] = gates + row * wide;
        inputs.from[r] = states.from[r] = from + (s->shared ? 0 : s->tokens ? s->tokens[row] : row) * wide;
        inputs.a[r] = x ? x + row * s->I : NULL;
        states.a[r] = h_prev ? h_prev + row * H : NULL;
    }
    int64_t panels = s->end - s->begin, group = NAME(panel_group)(count);
    for (int64_t k0 = 0; k0 < panels; k0 += group) {
        int64_t k1 = AT_MOST(k0 + group, panels);
        for (int64_t k = k0; k < k1 && (W || U); k++) {
            int64_t p = PANEL_IN_TURN(k, s);
            NAME(columns) at = NAME(panel_columns)(p, wide, H);
            if (W)
                NAME(deep_panel_product)(&inputs, 0, W + p * s->I * PANEL, s->I, &at);
            if (U)
                NAME(deep_panel_product)(&states, W != NULL, U + p * H * PANEL, H, &at);
        }
        for (int64_t k = k0; k < k1; k++) {
            NAME(columns) at = NAME(panel_columns)(PANEL_IN_TURN(k, s), wide, H);
            for (int64_t r = first; r < first + count; r++) {
#define GATES(lanes)                                                                                                \
    NAME(lstm_forward_part)(gates + r * wide, c + r * H, h + r * H, c_prev + r * H, H, at.first, lanes, activation, \
                            recurrent)
                if (at.lanes == LANES)
                    GATES(LANES);
                else
                    GATES(at.lanes);
#undef GATES
            }
        }
    }
}

FL_INLINE void NAME(lstm_backward_panels)(const fl_backward_step *s, int64_t first, int64_t count, int activation,
                                          int recurrent)
{
    int64_t H = s->H, wide = 4 * H;
    REAL *gates = s->gates, *dc = s->dc, *dh = s->dh;
    const REAL *c = s->c, *c_prev = s->c_prev, *dy = s->dy, *next = s->next, *U = s->U;
    NAME(rows) rows;
    rows.count = count;
    rows.starts = rows.packed = 0;
    for (int64_t r = 0; r < count && next; r++) {
        rows.c[r] = dh + (first + r) * H;
        rows.a[r] = next + (first + r) * wide;
    }
    int64_t panels = s->end - s->begin, group = NAME(panel_group)(count);
    for (int64_t k0 = 0; k0 < panels; k0 += group) {
        int64_t k1 = AT_MOST(k0 + group, panels);
        for (int64_t k = k0; k < k1 && next; k++) {
            int64_t p = PANEL_IN_TURN(k, s);
            NAME(columns) at = NAME(panel_columns)(p, H, 0);
            NAME(deep_panel_product)(&rows, 0, U + p * wide * PANEL, wide, &at);
        }
        for (int64_t k = k0; k < k1 && gates; k++) {
            NAME(columns) at = NAME(panel_columns)(PANEL_IN_TURN(k, s), H, 0);
            for (int64_t r = first; r < first + count; r++) {
                int64_t wide_at = r * wide + at.first, row_at = r * H + at.first;
#define BODY(j, lanes)                                                                                     \
    NAME(lstm_backward_part)(gates + wide_at, dc + row_at, c + row_at, c_prev + row_at, dh + row_at,      \
                             dy ? dy + row_at : NULL, H, j, lanes, activation, recurrent)
                FOR_EACH_VEC((at.vecs - 1) * LANES + at.last, BODY);
#undef BODY
            }
        }
    }
}

/* The usual activations are named as constants, so that the compiler makes a branch-free copy for them. */
#define LSTM_KERNEL(direction)                                                                        \
    static void NAME(lstm_##direction)(const fl_##direction##_step *s)                                \
    {                                                                                                 \
        for (int64_t first = 0; first < s->rows; first += NAME(ROW_BLOCK)) {                          \
            int64_t count = AT_MOST(s->rows - first, NAME(ROW_BLOCK));                                \
            if (s->activation == FL_TANH && s->recurrent == FL_SIGMOID)                               \
                NAME(lstm_##direction##_panels)(s, first, count, FL_TANH, FL_SIGMOID);                \
            else                                                                                      \
                NAME(lstm_##direction##_panels)(s, first, count, s->activation, s->recurrent);        \
        }                                                                                             \
    }
LSTM_KERNEL(forward)
LSTM_KERNEL(backward)
#undef LSTM_KERNEL
