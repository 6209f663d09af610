/* A cell's step: products panel by panel, each panel's gates while they are in the cache, forward and backward. */

/* The arithmetic of one cell for `rows` rows from `row`, `units` units from `unit`. */
#define UNITS(direction)                                                                                                \
    FL_INLINE void NAME(direction##_units)(const fl_##direction##_step *s, int64_t row, int64_t rows, int64_t unit,     \
                                           int64_t units)                                                               \
    {                                                                                                                   \
        switch (s->cell.kind) {                                                                                         \
        case FL_GRU:                                                                                                    \
        case FL_GRU_RESET:                                                                                              \
        case FL_GRU_UPDATE: NAME(gru_##direction)(s, row, rows, unit, units); break;                                    \
        case FL_RNN: NAME(rnn_##direction)(s, row, rows, unit, units); break;                                           \
        default: NAME(lstm_##direction)(s, row, rows, unit, units);                                                     \
        }                                                                                                               \
    }
UNITS(forward)
UNITS(backward)
#undef UNITS

/* The panel that step s comes to as its k-th. */
#define PANEL_IN_TURN(k, s) ((s)->descending ? (s)->end - 1 - (k) : (s)->begin + (k))

/* The first unit of the panels that step s comes to as its k0-th, k0 + 1st, ... before the k1-th, each of `size` units. */
#define FIRST_UNIT(k0, k1, s, size) (((s)->descending ? (s)->end - (k1) : (s)->begin + (k0)) * (size))

/* Panels whose products are made before the gates of the first: as many as the L1 cache holds the results of, since the
 * gates of one alone would wait for each other's results. */
FL_INLINE int64_t NAME(panel_group)(int64_t rows)
{
    enum { BYTES = 16384 };
    int64_t group = BYTES / (rows * PANEL * (int64_t)sizeof(REAL));
    return group > 1 ? group : 1;
}

static void NAME(forward_rows)(const fl_forward_step *s, int64_t first, int64_t count)
{
    int64_t H = s->H, wide = fl_blocks(&s->cell) * H;
    REAL *gates = s->gates;
    const REAL *from = s->from, *W = s->W, *U = s->U, *x = s->x, *h_prev = s->h_prev;
    NAME(rows) inputs, states;
    inputs.count = states.count = count;
    inputs.starts = states.starts = 1;
    inputs.packed = states.packed = 0;
    inputs.far = states.far = 0;
    for (int64_t r = 0; r < count; r++) {
        int64_t row = first + r;
        inputs.c[r] = states.c[r] = gates + row * wide;
        inputs.from[r] = states.from[r] = from + (s->shared ? 0 : s->tokens ? s->tokens[row] : row) * wide;
        inputs.a[r] = x ? x + row * s->I : NULL;
        states.a[r] = h_prev ? h_prev + row * H : NULL;
    }
    int64_t panels = s->end - s->begin, group = NAME(panel_group)(count);
    for (int64_t k0 = 0; k0 < panels; k0 += group) {
        int64_t k1 = AT_MOST(k0 + group, panels), unit = FIRST_UNIT(k0, k1, s, LANES);
        for (int64_t k = k0; k < k1; k++) {
            int64_t p = PANEL_IN_TURN(k, s);
            NAME(columns) at = NAME(panel_columns)(p, wide, H);
            if (W)
                NAME(deep_panel_product)(&inputs, 0, W + p * s->I * PANEL, s->I, &at);
            if (U)
                NAME(deep_panel_product)(&states, W != NULL, U + p * H * PANEL, H, &at);
        }
        NAME(forward_units)(s, first, count, unit, AT_MOST((k1 - k0) * LANES, H - unit));
    }
}

static void NAME(backward_rows)(const fl_backward_step *s, int64_t first, int64_t count)
{
    int64_t H = s->H, wide = fl_blocks(&s->cell) * H;
    REAL *dh = s->dh;
    const REAL *next = s->next, *U = s->U;
    NAME(rows) rows;
    rows.count = count;
    rows.starts = rows.packed = rows.far = 0;
    for (int64_t r = 0; r < count && next; r++) {
        rows.c[r] = dh + (first + r) * H;
        rows.a[r] = next + (first + r) * wide;
    }
    int64_t panels = s->end - s->begin, group = NAME(panel_group)(count);
    for (int64_t k0 = 0; k0 < panels; k0 += group) {
        int64_t k1 = AT_MOST(k0 + group, panels), unit = FIRST_UNIT(k0, k1, s, PANEL);
        for (int64_t k = k0; k < k1 && next; k++) {
            int64_t p = PANEL_IN_TURN(k, s);
            NAME(columns) at = NAME(panel_columns)(p, H, 0);
            NAME(deep_panel_product)(&rows, 0, U + p * wide * PANEL, wide, &at);
        }
        if (s->gates)
            NAME(backward_units)(s, first, count, unit, AT_MOST((k1 - k0) * PANEL, H - unit));
    }
}

static void NAME(cell_forward)(const fl_forward_step *s)
{
    if (!s->W && !s->U)
        NAME(forward_units)(s, 0, s->rows, 0, s->H);
    else
        for (int64_t first = 0; first < s->rows; first += NAME(ROW_BLOCK))
            NAME(forward_rows)(s, first, AT_MOST(s->rows - first, NAME(ROW_BLOCK)));
}

static void NAME(cell_backward)(const fl_backward_step *s)
{
    if (!s->U)
        NAME(backward_units)(s, 0, s->rows, 0, s->H);
    else
        for (int64_t first = 0; first < s->rows; first += NAME(ROW_BLOCK))
            NAME(backward_rows)(s, first, AT_MOST(s->rows - first, NAME(ROW_BLOCK)));
}
