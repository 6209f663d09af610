/* The products of one row with a packed matrix, and beside them a part of another product.
 *
 * One row takes one multiply-add for every vector of the matrix, and waits for the cache meanwhile: time enough for as many
 * more whose operands are near. So FL_BESIDE steps make the input's part of as many steps to come, or backwards the gradient
 * of the input of as many before, in tiles of FL_BESIDE rows and half a panel's vectors, each beside the row's products with
 * ROW_PANELS panels. Forward the tile's rows are copied, column by column; backwards, where they are long, they are read in
 * place, and a tile is cut where its first panels end. */
enum {
    NAME(HALF) = VECS / 2, /* vectors of half a panel */
    NAME(ROW_PANELS) = 4,
    NAME(ROW_STEPS) = 4, /* of the row, that a k of the tile goes with */
};

/* C[r] = bias, or nothing where that is NULL, or C[r] itself where `add`, + sum_k A[r, k] W[k], for FL_BESIDE rows at half a
 * panel's columns. */
typedef struct {
    REAL *C;
    const REAL *bias, *A, *W; /* A in place or copied columns (K, FL_BESIDE), W (K, PANEL) */
    int64_t K, C_stride, A_stride;
    int add;
    const int64_t *first; /* column of each vector */
} NAME(beside);

/* The row's products, of the term h with some panels that have no gaps, and beside them all of `q`, where there is such a tile.
 * Which panels have one depends on the number of threads, so the row is summed in the same order with and without. copied: A's
 * columns, and no tile is cut. turned: the row's last number first. */
FL_INLINE void NAME(tile_beside)(const NAME(beside) *q, REAL *c, const REAL *from, const NAME(term) *h,
                                 const NAME(panel) *panels, int64_t count, const int tiled, const int copied, const int turned)
{
    enum { PAIRS = FL_BESIDE / 2 };
    const REAL *A = tiled ? q->A : NULL, *W = tiled ? q->W : NULL;
    const int64_t stride = copied || !tiled ? 1 : q->A_stride;
    vec sums[PAIRS][2][NAME(HALF)];
    EACH(v, NAME(HALF)) {
        const vec start = tiled && q->bias ? vload(q->bias + q->first[v]) : vset(0);
        EACH(p, PAIRS)
            EACH(r, 2)
                sums[p][r][v] = start;
    }
    if (tiled && !copied && q->add)
        EACH(p, PAIRS)
            EACH(r, 2)
                EACH(v, NAME(HALF))
                    sums[p][r][v] = vload(q->C + (2 * p + r) * q->C_stride + q->first[v]);
#define ROW_STEP                                                         \
    do {                                                                 \
        vec factor = vset(*a);                                           \
        EACH(v, VECS)                                                    \
            own[v] = vfma(factor, vload(panel + v * LANES), own[v]);     \
        a += turned ? -1 : 1;                                            \
        panel += turned ? -PANEL : PANEL;                                \
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
                vec factor = vset(A[(2 * p + r) * stride]);              \
                EACH(v, NAME(HALF))                                      \
                    sums[p][r][v] = vfma(factor, b[v], sums[p][r][v]);   \
            }                                                            \
            meanwhile;                                                   \
        }                                                                \
        A += copied ? FL_BESIDE : 1;                                     \
        W += PANEL;                                                      \
    } while (0)
    int64_t left = tiled ? q->K : 0;
    for (int64_t n = 0; n < count; n++) {
        const int64_t *first = panels[n].first, from_k = turned ? h->K - 1 : 0;
        const int64_t together = AT_MOST(left, h->K / NAME(ROW_STEPS));
        const REAL *panel = h->packed + (panels[n].number * h->K + from_k) * PANEL, *a = h->a + from_k;
        vec own[VECS];
        EACH(v, VECS)
            own[v] = from ? vload(from + first[v]) : vset(0);
        for (int64_t j = 0; j < together; j++)
            TILE_STEP(if (p < NAME(ROW_STEPS)) ROW_STEP);
        for (int64_t k = together * NAME(ROW_STEPS); k < h->K; k++)
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

/* The panels of some strips: those without gaps are the ones before `whole`. */
typedef struct {
    int64_t begin, whole, end;
} NAME(run);

FL_INLINE NAME(run) NAME(run_of)(int64_t begin, int64_t end, const NAME(layout) *layout)
{
    NAME(run) run = {.begin = NAME(panels_before)(begin, layout), .end = NAME(panels_before)(end, layout)};
    run.whole = AT_MOST(layout->columns / LANES * layout->gates / VECS, run.end);
    run.whole = run.whole < run.begin ? run.begin : run.whole;
    return run;
}

/* The products of a row with the strips [begin, end) of h, and beside them b->part of another product. Panels with gaps have no
 * tiles: their columns are made by themselves, as a piece of the first part. */
FL_INLINE void NAME(row_beside)(const fl_beside *b, REAL *c, const REAL *from, const NAME(term) *h, int64_t begin, int64_t end,
                                const NAME(layout) *layout, int descending, const int copied, const int turned)
{
    const fl_product *q = b->product;
    const REAL *W = q->packed;
    const NAME(layout) of_tiles = q->group ? *layout : NAME(layout_of)(q->N, 0); /* weights of gates are packed alike */
    const NAME(run) row = NAME(run_of)(begin, end, layout), tiled = NAME(run_of)(q->begin, q->end, &of_tiles);
    /* Of a tile: the numbers of k that go with as many panels, those it is cut to, and the pieces that makes. */
    const int64_t room = AT_MOST(row.whole - row.begin, NAME(ROW_PANELS)) * h->K / NAME(ROW_STEPS);
    const int64_t depth = !copied && room ? AT_MOST(room, q->K) : q->K, cuts = copied ? 1 : (q->K + depth - 1) / depth;
    const int64_t pieces = (tiled.whole - tiled.begin) * 2 * cuts;
    int64_t piece = pieces * b->part / FL_BESIDE, last = pieces * (b->part + 1) / FL_BESIDE;
    for (int64_t done = 0, count; row.begin + done < row.whole || piece < last; done += count) {
        NAME(panel) panels[NAME(ROW_PANELS)];
        count = AT_MOST(row.whole - row.begin - done, NAME(ROW_PANELS));
        for (int64_t k = 0; k < count; k++)
            panels[k] = NAME(panel_at)(descending ? row.whole - 1 - done - k : row.begin + done + k, layout);
        if (piece == last) {
            NAME(tile_beside)(NULL, c, from, h, panels, count, 0, copied, turned);
            continue;
        }
        const int64_t tile = piece / cuts, k0 = piece % cuts * depth, half = tile % 2 * NAME(HALF);
        const NAME(panel) at = NAME(panel_at)(tiled.begin + tile / 2, &of_tiles);
        NAME(beside) beside = {.C = q->C, .bias = q->bias, .A = copied ? b->columns : (const REAL *)q->A + k0,
                               .K = AT_MOST(q->K - k0, depth), .C_stride = q->N, .A_stride = q->K, .add = k0 > 0,
                               .W = W + (at.number * q->K + k0) * PANEL + half * LANES, .first = at.first + half};
        NAME(tile_beside)(&beside, c, from, h, panels, count, 1, copied, turned);
        piece++;
    }
    NAME(row_panels)(c, from, h, NULL, row.whole, row.end, layout);
    if (b->part == 0 && tiled.whole < tiled.end)
        NAME(product_of_panels)(q, tiled.whole, tiled.end, &of_tiles);
}

/* Functions of their own: in one, the three would have fewer registers each. */
#define ROW_BESIDE(name, copied, turned)                                                                              \
    static void NAME(name)(const fl_beside *b, REAL *c, const REAL *from, const NAME(term) *h, int64_t begin,         \
                           int64_t end, const NAME(layout) *layout, int descending)                                   \
    {                                                                                                                 \
        NAME(row_beside)(b, c, from, h, begin, end, layout, descending, copied, turned);                              \
    }
ROW_BESIDE(forward_row_beside, 1, 0)
ROW_BESIDE(backward_row_beside, 0, 0)
ROW_BESIDE(turned_row_beside, 0, 1)
#undef ROW_BESIDE
