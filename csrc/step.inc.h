/* A cell's step: products strip by strip, each strip's gates while they are in the cache, forward and backward. */

/* The arithmetic of one cell for `rows` rows from `row`, `units` units from `unit`. */
#define UNITS(direction)                                                                                            \
    FL_INLINE void NAME(direction##_units)(const fl_##direction##_step *s, int64_t row, int64_t rows, int64_t unit, \
                                           int64_t units)                                                           \
    {                                                                                                               \
        switch (s->cell.kind) {                                                                                     \
        case FL_GRU:                                                                                                \
        case FL_GRU_RESET:                                                                                          \
        case FL_GRU_UPDATE: NAME(gru_##direction)(s, row, rows, unit, units); break;                                \
        case FL_RNN: NAME(rnn_##direction)(s, row, rows, unit, units); break;                                       \
        default: NAME(lstm_##direction)(s, row, rows, unit, units);                                                 \
        }                                                                                                           \
    }
UNITS(forward)
UNITS(backward)
#undef UNITS

/* The strip that step s comes to as its k-th. */
#define STRIP_IN_TURN(k, s) ((s)->descending ? (s)->end - 1 - (k) : (s)->begin + (k))

/* The first strip of those that step s comes to as its k0-th, k0 + 1st, ... before the k1-th. */
#define FIRST_STRIP(k0, k1, s) ((s)->descending ? (s)->end - (k1) : (s)->begin + (k0))

/* Strips whose products are made before the gates of the first: as many as the L1 cache holds the results of, since the
 * gates of one alone would wait for each other's results. `panels` of each have results. */
FL_INLINE int64_t NAME(strip_group)(int64_t rows, int64_t panels)
{
    enum { BYTES = 16384 };
    int64_t group = BYTES / (rows * panels * PANEL * (int64_t)sizeof(REAL));
    return group > 1 ? group : 1;
}

/* Whether the products of a step for `count` rows fetch what its gates use: in tiles that are thick enough, where the step has
 * all strips of U (·, N). Lines that another thread writes would go to and fro. */
FL_INLINE int NAME(fetches)(int64_t count, int64_t strips, const NAME(layout) *layout)
{
    return count > 2 && strips == layout->strips;
}

/* The step of row r by itself, of a cell with G blocks. */
FL_INLINE void NAME(step_of_row_with)(const fl_forward_step *s, int64_t r, const int64_t G)
{
    const int64_t H = s->H, wide = G * H;
    const NAME(layout) layout = NAME(layout_of)(wide, H);
    const int64_t size = layout.strip_units, unit = s->begin * size;
    const int apart = G == 3 && s->cell.kind == FL_GRU; /* the products with W and U */
    REAL *gates = (REAL *)s->gates + r * wide, *sums = apart ? (REAL *)s->recurrent + r * wide : gates;
    const REAL *from = (const REAL *)s->from + FROM_ROW(s, r) * wide, *bias = apart ? s->recurrent_bias : from;
    const REAL *W = s->W, *U = s->U;
    const NAME(term) x = {s->x ? (const REAL *)s->x + r * s->I : NULL, W, s->I};
    const NAME(term) h = {s->h_prev ? (const REAL *)s->h_prev + r * H : NULL, U, H};
    if (s->beside.product)
        NAME(forward_row_beside)(&s->beside, sums, bias, &h, s->begin, s->end, &layout, s->descending);
    else
        for (int64_t k = 0; k < s->end - s->begin; k++) {
            const int64_t strip = STRIP_IN_TURN(k, s);
            if (!apart && W && U) {
                NAME(row_strip)(gates, from, &x, &h, strip, H, G, &layout);
                continue;
            }
            if (W)
                NAME(row_strip)(gates, from, &x, NULL, strip, H, G, &layout);
            if (U)
                NAME(row_strip)(sums, bias, &h, NULL, strip, H, G, &layout);
        }
    NAME(forward_units)(s, r, 1, unit, AT_MOST(s->end * size, H) - unit);
}

/* Functions of their own: in one, the three would have fewer registers each. */
static void NAME(step_of_row_4)(const fl_forward_step *s, int64_t r) { NAME(step_of_row_with)(s, r, 4); }
static void NAME(step_of_row_3)(const fl_forward_step *s, int64_t r) { NAME(step_of_row_with)(s, r, 3); }
static void NAME(step_of_row_1)(const fl_forward_step *s, int64_t r) { NAME(step_of_row_with)(s, r, 1); }

static void NAME(forward_step_of_row)(const fl_forward_step *s, int64_t r)
{
    switch (fl_blocks(&s->cell)) {
    case 1: NAME(step_of_row_1)(s, r); break;
    case 3: NAME(step_of_row_3)(s, r); break;
    default: NAME(step_of_row_4)(s, r);
    }
}

static void NAME(forward_rows)(const fl_forward_step *s, int64_t first, int64_t count)
{
    const int64_t H = s->H, wide = fl_blocks(&s->cell) * H, strips = s->end - s->begin;
    const NAME(layout) layout = NAME(layout_of)(wide, H);
    const int apart = s->cell.kind == FL_GRU; /* the products with W and U */
    REAL *gates = s->gates, *sums = apart ? s->recurrent : s->gates;
    const REAL *from = s->from, *W = s->W, *U = s->U, *x = s->x, *h_prev = s->h_prev;
    NAME(rows) inputs, states;
    NAME(begin)(&inputs, count, s->I, wide, s->descending);
    NAME(begin)(&states, count, H, wide, s->descending);
    inputs.starts = 1;
    states.starts = !apart || s->recurrent_bias;
    if (NAME(fetches)(count, strips, &layout)) {
        NAME(fetch)(&states, (const REAL *)s->h + first * H, count * H);
        if (s->c)
            NAME(fetch)(&states, (const REAL *)s->c + first * H, count * H);
        if (s->tokens) /* else the input's part is there */
            NAME(fetch)(&states, sums + first * wide, count * wide);
    }
    for (int64_t r = 0; r < count; r++) {
        int64_t row = first + r;
        inputs.c[r] = gates + row * wide;
        states.c[r] = sums + row * wide;
        inputs.from[r] = from + FROM_ROW(s, row) * wide;
        states.from[r] = apart ? s->recurrent_bias : inputs.from[r];
        inputs.a[r] = x ? x + row * s->I : NULL;
        states.a[r] = h_prev ? h_prev + row * H : NULL;
    }
    const int64_t size = layout.strip_units, group = NAME(strip_group)(count, layout.strip_panels * (apart ? 2 : 1));
    for (int64_t k0 = 0; k0 < strips; k0 += group) {
        int64_t k1 = AT_MOST(k0 + group, strips), unit = FIRST_STRIP(k0, k1, s) * size;
        for (int64_t k = k0; k < k1; k++) {
            const int64_t strip = STRIP_IN_TURN(k, s);
            for (int64_t p = NAME(panels_before)(strip, &layout), end = NAME(panels_before)(strip + 1, &layout); p < end; p++) {
                const NAME(panel) at = NAME(panel_at)(p, &layout);
                if (W)
                    NAME(deep_panel_product)(&inputs, 0, W + p * s->I * PANEL, s->I, &at);
                if (U)
                    NAME(deep_panel_product)(&states, W && !apart, U + p * H * PANEL, H, &at);
            }
        }
        NAME(forward_units)(s, first, count, unit, AT_MOST((k1 - k0) * size, H - unit));
    }
}

/* The step backward of row r by itself. */
static void NAME(backward_step_of_row)(const fl_backward_step *s, int64_t r)
{
    const int64_t H = s->H, wide = fl_blocks(&s->cell) * H, unit = s->begin * PANEL;
    const NAME(layout) layout = NAME(layout_of)(H, 0);
    REAL *dh = (REAL *)s->dh + r * H;
    const REAL *from = s->cell.kind == FL_GRU ? dh : NULL;
    const NAME(term) next = {s->next ? (const REAL *)s->next + r * wide : NULL, s->U, wide};
    if (next.a && s->beside.product)
        (s->descending ? NAME(turned_row_beside) : NAME(backward_row_beside))(&s->beside, dh, from, &next, s->begin, s->end,
                                                                              &layout, s->descending);
    else if (next.a)
        for (int64_t k = 0; k < s->end - s->begin; k++) { /* strips of one panel */
            const NAME(panel) at = NAME(panel_at)(STRIP_IN_TURN(k, s), &layout);
            if (s->descending && H - at.number * PANEL >= PANEL)
                NAME(turned_row_tile)(dh, from, &next, &at);
            else
                NAME(row_tile)(dh, from, &next, NULL, at.number, &at);
        }
    if (s->gates)
        NAME(backward_units)(s, r, 1, unit, AT_MOST(s->end * PANEL, H) - unit);
}

static void NAME(backward_rows)(const fl_backward_step *s, int64_t first, int64_t count)
{
    const int64_t H = s->H, wide = fl_blocks(&s->cell) * H, strips = s->end - s->begin;
    const NAME(layout) layout = NAME(layout_of)(H, 0);
    REAL *dh = s->dh;
    const REAL *next = s->next, *U = s->U;
    NAME(rows) rows;
    NAME(begin)(&rows, count, wide, H, s->descending);
    if (s->gates && NAME(fetches)(count, strips, &layout)) {
        if (s->dy)
            NAME(fetch)(&rows, (const REAL *)s->dy + first * H, count * H);
        if (s->cell.kind != FL_RNN)
            NAME(fetch)(&rows, (const REAL *)s->c_prev + first * H, count * H);
        NAME(fetch)(&rows, (const REAL *)s->gates + first * wide, count * wide);
        if (s->recurrent)
            NAME(fetch)(&rows, (const REAL *)s->recurrent + first * wide, count * wide);
    }
    for (int64_t r = 0; r < count && next; r++) {
        rows.c[r] = dh + (first + r) * H;
        rows.a[r] = next + (first + r) * wide;
    }
    const int64_t group = NAME(strip_group)(count, 1);
    for (int64_t k0 = 0; k0 < strips; k0 += group) {
        int64_t k1 = AT_MOST(k0 + group, strips), unit = FIRST_STRIP(k0, k1, s) * PANEL;
        for (int64_t k = k0; k < k1 && next; k++) { /* strips of one panel */
            const NAME(panel) at = NAME(panel_at)(STRIP_IN_TURN(k, s), &layout);
            const int add = s->cell.kind == FL_GRU;
            NAME(deep_panel_product)(&rows, add, U + at.number * wide * PANEL, wide, &at);
        }
        if (s->gates)
            NAME(backward_units)(s, first, count, unit, AT_MOST((k1 - k0) * PANEL, H - unit));
    }
}

/* All rows, in blocks; one by itself has a way of its own. plain: there is no product. */
#define IN_BLOCKS(direction, plain)                                                      \
    static void NAME(cell_##direction)(const fl_##direction##_step *s)                   \
    {                                                                                    \
        if (plain) {                                                                     \
            NAME(direction##_units)(s, 0, s->rows, 0, s->H);                             \
            return;                                                                      \
        }                                                                                \
        for (int64_t first = 0; first < s->rows; first += NAME(ROW_BLOCK)) {             \
            int64_t count = AT_MOST(s->rows - first, NAME(ROW_BLOCK));                   \
            if (count > 1)                                                               \
                NAME(direction##_rows)(s, first, count);                                 \
            else                                                                         \
                NAME(direction##_step_of_row)(s, first);                                 \
        }                                                                                \
    }
IN_BLOCKS(forward, !s->W && !s->U)
IN_BLOCKS(backward, !s->U)
#undef IN_BLOCKS
