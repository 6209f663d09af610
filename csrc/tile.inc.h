/* Products of a few rows with a panel.
 *
 * The tile keeps `rows` x `vecs` accumulators in registers: at each k it loads the panel's vectors once for all its rows
 * (Goto & van de Geijn 2008). One row alone has sums enough only with several vectors, or sets of them that take turns. */

enum { NAME(COLUMNS) = 32 / VECS * TILE_ROWS }; /* of A copied at a time by product_transposed */

/* For each k below a constant count: unrolled, since sums that a loop ran over would be in memory. */
#undef EACH
#define EACH(k, count) _Pragma("GCC unroll 16") for (int k = 0; k < (count); k++)

/* A row a (K,) and a packed matrix (K, ·) that it is multiplied with. */
typedef struct {
    const REAL *a, *packed;
    int64_t K;
} NAME(term);

/* Of one row: the least sums that are made side by side, lest each multiply-add wait for the one before, and the most vectors
 * of a strip. */
enum { NAME(CHAINS) = 8, NAME(MOST_VECS) = 3 * VECS };

#undef LANES_OF
#define LANES_OF(v) (lanes ? lanes[v] : LANES)

/* Adds a term to one row's sums: `phases` sets of them that take turns. turned: the last first, but for what is left over. */
FL_INLINE void NAME(add_term)(vec sums[][NAME(MOST_VECS)], const NAME(term) q, int64_t number, const int vecs, const int phases,
                              const int turned)
{
    const int64_t width = (vecs < VECS ? vecs : VECS) * LANES, step = turned ? -phases : phases;
    const int64_t whole = q.K - q.K % phases, first = turned ? whole - phases : 0;
    const REAL *a = q.a + first, *panel = q.packed + number * q.K * PANEL + first * width;
    int64_t k = q.K;
#define VECTOR(phase, v) vload(panel + (v / VECS * q.K + phase) * width + v % VECS * LANES)
    for (; k >= phases; k -= phases, panel += step * width, a += step)
        EACH(phase, phases)
            EACH(v, vecs)
                sums[phase][v] = vfma(vset(a[phase]), VECTOR(phase, v), sums[phase][v]);
    if (turned) { /* from before the first k to those left over */
        a += whole + phases;
        panel += (whole + phases) * width;
    }
    for (; k; k--, panel += width, a++)
        EACH(v, vecs)
            sums[0][v] = vfma(vset(*a), VECTOR(0, v), sums[0][v]);
#undef VECTOR
}

/* For one row, c = from + sum_k a[k] packed[k] of one term or two, at the columns of some panels, of which the first has this
 * number; from NULL: 0. first, lanes: of every vector, as a panel's; lanes NULL: LANES. turned: as in add_term. */
FL_INLINE void NAME(row_body)(REAL *c, const REAL *from, const NAME(term) *one, const NAME(term) *two, int64_t number,
                              const int64_t *first, const int64_t *lanes, const int vecs, const int turned)
{
    const int phases = (NAME(CHAINS) + vecs - 1) / vecs;
    vec sums[NAME(CHAINS)][NAME(MOST_VECS)];
    EACH(phase, phases)
        EACH(v, vecs)
            sums[phase][v] = from && !phase ? NAME(load_part)(from + first[v], LANES_OF(v), 0) : vset(0);
    NAME(add_term)(sums, *one, number, vecs, phases, turned);
    if (two)
        NAME(add_term)(sums, *two, number, vecs, phases, turned);
    EACH(v, vecs) {
        vec sum = sums[0][v];
        EACH(phase, phases - 1)
            sum = sum + sums[phase + 1][v];
        NAME(store_of_tile)(c + first[v], sum, LANES_OF(v));
    }
}

/* The same at one panel. */
static void NAME(row_tile)(REAL *c, const REAL *from, const NAME(term) *one, const NAME(term) *two, int64_t number,
                           const NAME(panel) *at)
{
    switch (at->lanes[at->vecs - 1] == LANES ? at->vecs + VECS : at->vecs) {
#define CASE(v)                                                                                                     \
    case v: NAME(row_body)(c, from, one, two, number, at->first, at->lanes, v, 0); return;                          \
    case v + VECS: NAME(row_body)(c, from, one, two, number, at->first, NULL, v, 0); return;
        CASE(1) CASE(2)
#if VECS > 2
        CASE(3) CASE(4)
#endif
#undef CASE
    }
}

/* The same of one term at a panel of whole vectors, turned. */
static void NAME(turned_row_tile)(REAL *c, const REAL *from, const NAME(term) *q, const NAME(panel) *at)
{
    NAME(row_body)(c, from, q, NULL, at->number, at->first, NULL, VECS, 1);
}

/* The same at the panels [begin, end), one by one. */
static void NAME(row_panels)(REAL *c, const REAL *from, const NAME(term) *one, const NAME(term) *two, int64_t begin,
                             int64_t end, const NAME(layout) *layout)
{
    for (; begin < end; begin++) {
        const NAME(panel) at = NAME(panel_at)(begin, layout);
        NAME(row_tile)(c, from, one, two, begin, &at);
    }
}

/* The same at one strip of G gates of H columns, G constant: at once, if it has no gaps and the gates are not side by side. */
FL_INLINE void NAME(row_strip)(REAL *c, const REAL *from, const NAME(term) *one, const NAME(term) *two, int64_t strip,
                               int64_t H, const int64_t G, const NAME(layout) *layout)
{
    const int64_t unit = strip * STRIP_BLOCKS(G) * LANES;
    const int vecs = STRIP_PANELS(G) * VECS;
    int64_t first[NAME(MOST_VECS)];
    if (layout->gates != G || H - unit < STRIP_BLOCKS(G) * LANES) {
        NAME(row_panels)(c, from, one, two, NAME(panels_before)(strip, layout), NAME(panels_before)(strip + 1, layout), layout);
        return;
    }
    EACH(v, vecs)
        first[v] = v % G * H + unit + v / G * LANES;
    NAME(row_body)(c, from, one, two, strip * STRIP_PANELS(G), first, NULL, vecs, 0);
}

/* For the rows r of one tile, c[r] = from[r] + sum_k a[r][k a_stride] panel[k], at the columns of one panel; from
 * NULL: 0. Thick tiles fetch a line for each k into the L2 cache, at next[k next_step] if `next` is not NULL, and with FETCHES
 * their own panel some way ahead into the L1 cache. */
FL_INLINE void NAME(tile_body)(REAL *const *c, const REAL *const *from, const REAL *const *a, int64_t k0,
                               const REAL *panel, int64_t K, const NAME(panel) *at, const REAL *next,
                               const int64_t next_step, const int64_t *lanes, const int64_t a_stride, const int rows,
                               const int vecs)
{
    enum { AHEAD = 8 };
    vec sums[TILE_ROWS][VECS];
    EACH(r, rows)
        EACH(v, vecs)
            sums[r][v] = from ? NAME(load_part)(from[r] + at->first[v], LANES_OF(v), 0) : vset(0);
    const REAL *x[TILE_ROWS];
    EACH(r, rows)
        x[r] = a[r] + k0 * a_stride;
    for (int64_t k = 0; k < K; k++, panel += vecs * LANES) {
        vec b[VECS];
        if (FETCHES && rows > 2) { /* there a vector is a line */
            EACH(v, vecs)
                __builtin_prefetch(panel + (AHEAD * vecs + v) * LANES);
        }
        if (next && rows > 2)
            __builtin_prefetch(next + k * next_step, 0, 2);
        EACH(v, vecs) {
            b[v] = vload(panel + v * LANES);
            vkeep(b[v]);
        }
        EACH(r, rows) {
            vec factor = vset(x[r][k * a_stride]);
            EACH(v, vecs)
                sums[r][v] = vfma(factor, b[v], sums[r][v]);
        }
    }
    EACH(r, rows)
        EACH(v, vecs)
            NAME(store_of_tile)(c[r] + at->first[v], sums[r][v], LANES_OF(v));
}

/* The tile of any size; columns: A's rows are copied columns. next_step is LINE where they are not. */
static void NAME(tile)(REAL *const *c, const REAL *const *from, const REAL *const *a, int64_t k0, const REAL *panel,
                       int64_t K, const NAME(panel) *at, const REAL *next, int64_t next_step, int columns, int64_t rows)
{
    const int whole = at->lanes[at->vecs - 1] == LANES;
    const int64_t step = columns ? NAME(COLUMNS) : 1;
#define BODY(lanes, a_stride, next_step, r, v) \
    NAME(tile_body)(c, from, a, k0, panel, K, at, next, next_step, lanes, a_stride, r, v)
#define CASE(r, v)                                           \
    case (r) * 8 + (v):                                      \
        if (whole && !columns)                               \
            BODY(NULL, 1, LINE, r, v);                       \
        else                                                 \
            BODY(at->lanes, step, next_step, r, v);          \
        return;
#if VECS > 2
#define CASES(r) CASE(r, 1) CASE(r, 2) CASE(r, 3) CASE(r, 4)
#else
#define CASES(r) CASE(r, 1) CASE(r, 2)
#endif
    if (rows == 1 && !columns) {
        NAME(row_tile)(*c, from ? *from : NULL, &(NAME(term)){*a + k0, panel, K}, NULL, 0, at);
        return;
    }
    switch (rows * 8 + at->vecs) {
        CASES(1)
        CASES(2)
#if TILE_ROWS > 2
        CASES(3)
#endif
#if TILE_ROWS > 3
        CASES(4)
        CASES(5)
        CASES(6)
#endif
    }
#undef CASES
#undef CASE
#undef BODY
}
