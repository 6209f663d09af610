/* The products of one row with a packed matrix, and beside them a part of another product.
 *
 * One row takes one multiply-add for every vector of the matrix, and waits for the cache meanwhile: time enough for as many
 * more whose operands are near. So FL_BESIDE steps make the input's part of as many steps to come, in tiles of
 * FL_BESIDE rows and half a panel's vectors, each beside the row's products with ROW_PANELS panels. */
enum { NAME(HALF) = (VECS + 1) / 2, NAME(HALVES) = VECS / NAME(HALF), NAME(ROW_PANELS) = 4 };

/* C[r] = bias + sum_k columns[k, r] W[k] for FL_BESIDE rows C_stride apart, at half a panel's columns. */
typedef struct {
    REAL *C;
    const REAL *bias, *columns, *W; /* (K, FL_BESIDE), (K, PANEL) */
    int64_t K, C_stride;
    const int64_t *first; /* column of each vector */
} NAME(beside);

/* The row's products, of the term h with some panels that have no gaps, and beside them all of `q`, where there is such a tile. The
 * row's sums are those of one order either way, since it depends on the threads which panels have one. */
FL_INLINE void NAME(tile_beside)(const NAME(beside) *q, REAL *c, const REAL *from, const NAME(term) *h,
                                 const NAME(panel) *panels, int64_t count, const int tiled)
{
    enum { PAIRS = FL_BESIDE / 2, ROW_STEPS = 4 }; /* a k of the tile goes with ROW_STEPS of the row */
    const REAL *columns = tiled ? q->columns : NULL, *W = tiled ? q->W : NULL;
    vec sums[PAIRS][2][NAME(HALF)];
    EACH(p, PAIRS)
        EACH(r, 2)
            EACH(v, NAME(HALF))
                sums[p][r][v] = tiled ? vload(q->bias + q->first[v]) : vset(0);
#define ROW_STEP                                                         \
    do {                                                                 \
        vec factor = vset(*a++);                                         \
        EACH(v, VECS)                                                    \
            own[v] = vfma(factor, vload(panel + v * LANES), own[v]);     \
        panel += PANEL;                                                  \
    } while (0)
#define TILE_STEP(meanwhile)                                             \
    do {                                                                 \
        vec b[NAME(HALF)];                                               \
        EACH(v, NAME(HALF)) {                                            \
            b[v] = vload(W + v * LANES);                                 \
            vkeep(b[v]);                                                 \
        }                                                                \
        EACH(p, PAIRS) {                                                 \
            EACH(r, 2) {                                                 \
                vec factor = vset(columns[2 * p + r]);                   \
                EACH(v, NAME(HALF))                                      \
                    sums[p][r][v] = vfma(factor, b[v], sums[p][r][v]);   \
            }                                                            \
            meanwhile;                                                   \
        }                                                                \
        columns += FL_BESIDE;                                            \
        W += PANEL;                                                      \
    } while (0)
    int64_t left = tiled ? q->K : 0;
    for (int64_t n = 0; n < count; n++) {
        const int64_t *first = panels[n].first, together = AT_MOST(left, h->K / ROW_STEPS);
        const REAL *panel = h->packed + panels[n].number * h->K * PANEL, *a = h->a;
        vec own[VECS];
        EACH(v, VECS)
            own[v] = from ? vload(from + first[v]) : vset(0);
        for (int64_t j = 0; j < together; j++)
            TILE_STEP(if (p < ROW_STEPS) ROW_STEP);
        for (int64_t k = together * ROW_STEPS; k < h->K; k++)
            ROW_STEP;
        EACH(v, VECS)
            vstore(c + first[v], own[v]);
        left -= together;
    }
    for (; left > 0; left--)
        TILE_STEP();
#undef ROW_STEP
#undef TILE_STEP
    if (!tiled)
        return;
    EACH(p, PAIRS)
        EACH(r, 2)
            EACH(v, NAME(HALF))
                vstore(q->C + (2 * p + r) * q->C_stride + q->first[v], sums[p][r][v]);
}

/* The row's products with the strips of step s, and beside them part s->part of s->beside. Panels with gaps have no tiles: their
 * columns are made by themselves, as a piece of the first part. */
static void NAME(row_beside)(const fl_forward_step *s, REAL *c, const REAL *from, const NAME(term) *h)
{
    const fl_product *q = s->beside;
    const REAL *W = q->packed;
    const NAME(layout) layout = NAME(layout_of)(q->N, q->group);
    const int64_t begin = NAME(panels_before)(s->begin, &layout), last = NAME(panels_before)(s->end, &layout);
    const int64_t whole = layout.columns / LANES * layout.gates / VECS, end = whole < begin ? begin : AT_MOST(whole, last);
    const int64_t tiles = (end - begin) * NAME(HALVES);
    int64_t tile = tiles * s->part / FL_BESIDE, last_tile = tiles * (s->part + 1) / FL_BESIDE;
    for (int64_t done = 0, count; begin + done < end || tile < last_tile; done += count) {
        NAME(panel) panels[NAME(ROW_PANELS)];
        count = AT_MOST(end - begin - done, NAME(ROW_PANELS));
        for (int64_t k = 0; k < count; k++)
            panels[k] = NAME(panel_at)(s->descending ? end - 1 - done - k : begin + done + k, &layout);
        if (tile == last_tile) {
            NAME(tile_beside)(NULL, c, from, h, panels, count, 0);
            continue;
        }
        NAME(panel) at = NAME(panel_at)(begin + tile / NAME(HALVES), &layout);
        int64_t half = tile++ % NAME(HALVES) * NAME(HALF);
        NAME(beside) beside = {.C = q->C, .bias = q->bias, .columns = s->columns, .K = q->K, .C_stride = q->N,
                               .W = W + at.number * q->K * PANEL + half * LANES, .first = at.first + half};
        NAME(tile_beside)(&beside, c, from, h, panels, count, 1);
    }
    NAME(row_panels)(c, from, h, NULL, end, last, &layout);
    if (s->part == 0 && end < last)
        NAME(product_of_panels)(q, end, last, &layout);
}
