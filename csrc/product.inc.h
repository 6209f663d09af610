/* Products of row-major matrices with packed ones: one register tile serves them all.
 *
 * The columns of a matrix B (K, N) are taken in vectors of LANES. Weights of G gates, N = G H (`group` H), have for each block
 * of LANES units one vector of every gate: block 0 gates 0 ... G - 1, block 1 ...; any other matrix (`group` 0) counts as
 * one gate. The vectors are cut into panels of VECS, which hold for every k one after another the vectors that the tile
 * multiplies at once, so that they are read strictly forward. Columns beyond the gate and vectors beyond the last are zeros.
 * A strip is the least run of panels that holds whole blocks: what can be computed by itself.
 *
 * The tile keeps `rows` x `vecs` accumulators in registers: at each k it loads the panel's vectors once for all its rows
 * (Goto & van de Geijn 2008). */
#undef PANEL
#define PANEL (VECS * LANES)
#undef STRIP_PANELS
#undef STRIP_BLOCKS
#define STRIP_PANELS(G) ((G) >> __builtin_ctz((unsigned)(G) | VECS))
#define STRIP_BLOCKS(G) (VECS >> __builtin_ctz((unsigned)(G) | VECS))
#define AT_MOST(x, most) ((x) < (int64_t)(most) ? (x) : (int64_t)(most))
#undef LINE
#undef LINES
#define LINE (64 / (int64_t)sizeof(REAL))          /* numbers in a line of the caches, */
#define LINES ((PANEL + LINE - 1) / LINE)          /* and lines in a panel's numbers of one k */

/* A walk through a strip, and the panel it has come to. */
typedef struct {
    int64_t H, G;                /* columns of a gate, and gates */
    int64_t unit, column, gate;  /* of the next vector */
    int64_t left;                /* vectors still to come */
    int64_t number;              /* of the panel */
    int64_t vecs;                /* its vectors */
    int64_t first[VECS];         /* the first column of each */
    int64_t lanes[VECS];         /* its columns: less than LANES only in the last ones */
} NAME(panel);

/* Before the first panel of a strip. */
FL_INLINE NAME(panel) NAME(strip)(int64_t strip, int64_t H, int64_t G)
{
    NAME(panel) at;
    at.H = H;
    at.G = G;
    at.unit = at.column = strip * STRIP_BLOCKS(G) * LANES;
    at.gate = 0;
    at.left = AT_MOST((H - at.unit + LANES - 1) / LANES, STRIP_BLOCKS(G)) * G;
    at.number = strip * STRIP_PANELS(G) - 1;
    return at;
}

/* Goes on to the strip's next panel; 0 where there is none. */
FL_INLINE int NAME(next_panel)(NAME(panel) *at)
{
    if (!at->left)
        return 0;
    at->number++;
    at->vecs = AT_MOST(at->left, VECS);
    at->left -= at->vecs;
#pragma GCC unroll 4
    for (int64_t v = 0; v < VECS; v++) { /* beyond `vecs` without use */
        at->first[v] = at->column;
        at->lanes[v] = AT_MOST(at->H - at->unit, LANES);
        at->column += at->H;
        if (++at->gate == at->G) {
            at->gate = 0;
            at->column = at->unit += LANES;
        }
    }
    return 1;
}

static int64_t NAME(strip_count)(int64_t N, int64_t group)
{
    int64_t H = group ? group : N, G = group ? N / group : 1, unit = STRIP_BLOCKS(G) * LANES;
    return (H + unit - 1) / unit;
}

static int64_t NAME(packed_size)(int64_t K, int64_t N, int64_t group)
{
    int64_t H = group ? group : N, G = group ? N / group : 1, vectors = (H + LANES - 1) / LANES * G;
    return (vectors + VECS - 1) / VECS * K * PANEL;
}

/* to[k PANEL + lane] = from[k k_stride + lane n_stride], 0 from `lanes` on, for up to LANES k. */
FL_INLINE void NAME(pack_square)(REAL *to, const REAL *from, int64_t k_stride, int64_t n_stride, int64_t K, int64_t lanes)
{
    if (k_stride == 1 && K == LANES && lanes == LANES) {
        NAME(transpose)(to, PANEL, from, n_stride);
        return;
    }
    for (int64_t k = 0; k < K; k++)
        for (int64_t lane = 0; lane < LANES; lane++)
            to[k * PANEL + lane] = lane < lanes ? from[k * k_stride + lane * n_stride] : 0;
}

/* Fills one panel with B (K, ·), whose number [k, n] is at B[k k_stride + n n_stride]. */
static void NAME(pack_panel)(REAL *panel, const REAL *B, int64_t k_stride, int64_t n_stride, int64_t K, const NAME(panel) *at)
{
    if (n_stride == 1) {
        for (int64_t k = 0; k < K; k++, panel += PANEL, B += k_stride)
            for (int64_t v = 0; v < VECS; v++)
                vstore(panel + v * LANES, v < at->vecs ? NAME(load_part)(B + at->first[v], at->lanes[v], 0) : vset(0));
        return;
    }
    for (int64_t k0 = 0; k0 < K; k0 += LANES, panel += LANES * PANEL, B += LANES * k_stride)
        for (int64_t v = 0; v < VECS; v++) {
            int64_t lanes = v < at->vecs ? at->lanes[v] : 0;
            NAME(pack_square)(panel + v * LANES, B + (lanes ? at->first[v] * n_stride : 0), k_stride, n_stride,
                              AT_MOST(K - k0, LANES), lanes);
        }
}

static void NAME(pack)(REAL *packed, const REAL *B, int64_t K, int64_t N, int64_t k_stride, int64_t n_stride,
                       int64_t group, int64_t part, int64_t parts)
{
    int64_t count = NAME(strip_count)(N, group), H = group ? group : N, G = group ? N / group : 1;
    for (int64_t strip = count * part / parts; strip < count * (part + 1) / parts; strip++)
        for (NAME(panel) at = NAME(strip)(strip, H, G); NAME(next_panel)(&at);)
            NAME(pack_panel)(packed + at.number * K * PANEL, B, k_stride, n_stride, K, &at);
}

enum {
    NAME(ROW_BLOCK) = 32 * TILE_ROWS,      /* rows whose part of A stays in the L2 cache while the panels pass */
    NAME(K_BLOCK) = 2048 / sizeof(REAL),   /* of a panel, to stay there as well */
    NAME(COLUMN_BLOCK) = 64 * LANES,       /* columns of B packed at a time by product_transposed, */
    NAME(COLUMNS) = 32 / VECS * TILE_ROWS, /* and of A copied */
    NAME(FAR) = (1 << 20) / sizeof(REAL),  /* numbers that do not stay in the near caches */
};

/* For each k below a constant count: unrolled, since sums that a loop ran over would be in memory. */
#undef EACH
#define EACH(k, count) _Pragma("GCC unroll 8") for (int k = 0; k < (count); k++)

/* For the rows r of one tile, c[r] = from[r] + sum_k a[r][k a_stride] panel[k], at the columns of one panel; from NULL: 0. One
 * row alone would wait for its own sums, so it takes turns with several sets of them. Thick tiles fetch a line for each k into
 * the L2 cache, at next[k next_step] if `next` is not NULL, and with FETCHES their own panel some way ahead into the L1 cache. */
FL_INLINE void NAME(tile_body)(REAL *const *c, const REAL *const *from, const REAL *const *a, int64_t k0,
                               const REAL *panel, int64_t K, const NAME(panel) *at, const REAL *next,
                               const int64_t next_step, const int whole, const int64_t a_stride, const int rows,
                               const int vecs)
{
    enum { MOST_PHASES = 4, AHEAD = 8 };
    const int phases = rows == 1 ? MOST_PHASES : 1;
    vec sums[TILE_ROWS < MOST_PHASES ? MOST_PHASES : TILE_ROWS][VECS];
#define LANES_OF(v) (whole ? LANES : at->lanes[v])
    EACH(r, rows * phases)
        EACH(v, vecs)
            sums[r][v] = from && r < rows ? NAME(load_part)(from[r] + at->first[v], LANES_OF(v), 0) : vset(0);
    const REAL *x[TILE_ROWS];
    EACH(r, rows)
        x[r] = a[r] + k0 * a_stride;
    int64_t k = 0;
    for (; k + phases <= K; k += phases, panel += phases * PANEL) {
        EACH(phase, phases) {
            vec b[VECS];
            if (FETCHES && rows > 2) {
                EACH(line, LINES)
                    __builtin_prefetch(panel + AHEAD * PANEL + line * LINE);
            }
            if (next && rows > 2)
                __builtin_prefetch(next + k * next_step, 0, 2);
            EACH(v, vecs) {
                b[v] = vload(panel + phase * PANEL + v * LANES);
                if (rows > 1)
                    vkeep(b[v]);
            }
            EACH(r, rows) {
                vec factor = vset(x[r][(k + phase) * a_stride]);
                EACH(v, vecs)
                    sums[r + phase][v] = vfma(factor, b[v], sums[r + phase][v]);
            }
        }
    }
    for (; k < K; k++, panel += PANEL)
        EACH(v, vecs)
            sums[0][v] = vfma(vset(x[0][k * a_stride]), vload(panel + v * LANES), sums[0][v]);
    EACH(r, rows)
        EACH(v, vecs) {
            vec sum = sums[r][v];
            for (int phase = 1; phase < phases; phase++)
                sum = sum + sums[phase][v];
            NAME(store_part)(c[r] + at->first[v], sum, LANES_OF(v));
        }
#undef LANES_OF
}
/* The tile of any size; `columns` as in NAME(rows) below. */
static void NAME(tile)(REAL *const *c, const REAL *const *from, const REAL *const *a, int64_t k0, const REAL *panel,
                       int64_t K, const NAME(panel) *at, const REAL *next, int64_t columns, int64_t rows)
{
    const int whole = at->lanes[at->vecs - 1] == LANES;
    const int64_t step = columns ? NAME(COLUMNS) : 1, next_step = columns ? columns : LINE;
#define BODY(whole, a_stride, next_step, r, v) \
    NAME(tile_body)(c, from, a, k0, panel, K, at, next, next_step, whole, a_stride, r, v)
#define CASE(r, v)                                           \
    case (r) * 8 + (v):                                      \
        if (!whole)                                          \
            BODY(0, step, next_step, r, v);                  \
        else if (columns)                                    \
            BODY(1, NAME(COLUMNS), columns, r, v);           \
        else                                                 \
            BODY(1, 1, LINE, r, v);                          \
        return;
#if VECS > 2
#define CASES(r) CASE(r, 1) CASE(r, 2) CASE(r, 3) CASE(r, 4)
#else
#define CASES(r) CASE(r, 1) CASE(r, 2)
#endif
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

/* How many of the `left` rows the next tile takes: TILE_ROWS, but 8 are 4 and 4 rather than 6 and 2, and 7 are 4 and 3: thin
 * tiles read a panel for few rows, and one row alone is summed in another order. */
FL_INLINE int64_t NAME(tile_size)(int64_t left)
{
    if (TILE_ROWS == 6)
        return left == 7 || left == 8 ? 4 : AT_MOST(left, 6);
    return AT_MOST(left, TILE_ROWS);
}

/* What tiles of more than two rows fetch because it is used soon: `left` lines from `at` on, a tile K of them. Where A's rows are
 * columns: `left` lines of each of K rows of a matrix, a tile one of every row. */
typedef struct {
    const REAL *at;
    int64_t left;
} NAME(lines);
enum { NAME(MOST_LATER) = 4 }; /* in a GRU's step backward */

/* Where the rows of a product are, up to ROW_BLOCK of them: of the result, of what it starts from, and of A. */
typedef struct {
    REAL *c[NAME(ROW_BLOCK)];
    const REAL *from[NAME(ROW_BLOCK)], *a[NAME(ROW_BLOCK)];
    int64_t count;
    int starts; /* `from` is given, else the sums start from 0 */
    int far;    /* the result does not stay in the near caches: its lines are fetched before they are written */
    int turned; /* the panels come from the last to the first */
    int64_t ahead; /* from a panel to the next that comes, where they do not stay in the near caches; else 0 */
    int64_t columns; /* where A's rows are copied columns, in an array (·, COLUMNS): the stride of the matrix they are from; else 0 */
    int laters; /* so many of `later` are still to be fetched, the last one first */
    NAME(lines) later[NAME(MOST_LATER)];
} NAME(rows);

/* What `ahead` is for a packed matrix (K, N). */
FL_INLINE int64_t NAME(ahead)(int64_t K, int64_t N, int turned)
{
    return K * N <= NAME(FAR) ? 0 : (turned ? -K : K) * PANEL;
}

/* Has the tiles to come fetch n numbers from `at` on; where A's rows are columns, n of each of K rows. */
FL_INLINE void NAME(fetch)(NAME(rows) *rows, const REAL *at, int64_t n)
{
    rows->later[rows->laters++] = (NAME(lines)){at, (n + LINE - 1) / LINE};
}

/* Where the tile `number` of a panel is to fetch a line for each of K numbers; NULL: nowhere. First the next panel, then what
 * else is used soon. */
FL_INLINE const REAL *NAME(next_lines)(NAME(rows) *rows, const REAL *panel, int64_t K, int64_t number)
{
    if (rows->ahead && number < LINES)
        return panel + rows->ahead + number * K * LINE;
    if (!rows->laters)
        return NULL;
    NAME(lines) *later = &rows->later[rows->laters - 1];
    const REAL *at = later->at;
    const int64_t lines = rows->columns ? 1 : K;
    later->at += lines * LINE;
    later->left -= lines;
    if (later->left <= 0)
        rows->laters--;
    return at;
}

/* One panel's columns of the result, over the inner dimension k0 <= k < k0 + K; `panel` is at k0. Meanwhile its tiles fetch the
 * next panel and what else is used soon, and what the next panel's sums start from. */
static void NAME(panel_product)(NAME(rows) *rows, int add, const REAL *panel, int64_t k0, int64_t K,
                                const NAME(panel) *at)
{
    const REAL *const *from = add ? (const REAL *const *)rows->c : rows->starts ? rows->from : NULL;
    int64_t number = 0;
    for (int64_t r = 0, count; r < rows->count; r += count, number++) {
        count = NAME(tile_size)(rows->count - r);
        if (rows->far)
            for (int64_t row = r; row < r + count; row++)
                for (int64_t v = 0; v < at->vecs; v++)
                    __builtin_prefetch(rows->c[row] + at->first[v], 1);
        if (from && count > 1)
            for (int64_t row = r; row < r + count; row++)
                for (int64_t v = 0; v < at->vecs; v++)
                    __builtin_prefetch(from[row] + at->first[v] + (rows->turned ? -LANES : LANES), 0, 2);
        const REAL *next = NAME(next_lines)(rows, panel, K, number);
        NAME(tile)(rows->c + r, from ? from + r : NULL, rows->a + r, k0, panel, K, at, next, rows->columns, count);
    }
}

/* As panel_product over the whole inner dimension, in blocks. */
static void NAME(deep_panel_product)(NAME(rows) *rows, int add, const REAL *panel, int64_t K, const NAME(panel) *at)
{
    for (int64_t k0 = 0; k0 < K; k0 += NAME(K_BLOCK))
        NAME(panel_product)(rows, add || k0, panel + k0 * PANEL, k0, AT_MOST(K - k0, NAME(K_BLOCK)), at);
}

static void NAME(product)(const fl_product *q)
{
    const REAL *panels = q->packed, *A = q->A, *bias = q->bias;
    const int64_t H = q->group ? q->group : q->N, G = q->group ? q->N / q->group : 1;
    REAL *C = q->C;
    NAME(rows) rows;
    rows.starts = bias != NULL;
    rows.columns = rows.turned = rows.laters = 0;
    rows.ahead = NAME(ahead)(q->K, q->N, 0);
    rows.far = q->M * q->N >= NAME(FAR);
    for (int64_t m0 = 0; m0 < q->M; m0 += NAME(ROW_BLOCK)) {
        rows.count = AT_MOST(q->M - m0, NAME(ROW_BLOCK));
        for (int64_t r = 0; r < rows.count; r++) {
            rows.c[r] = C + (q->C_rows ? q->C_rows[m0 + r] : m0 + r) * q->N;
            rows.a[r] = A + (q->A_rows ? q->A_rows[m0 + r] : m0 + r) * q->K;
            rows.from[r] = bias;
        }
        for (int64_t strip = q->begin; strip < q->end; strip++)
            for (NAME(panel) at = NAME(strip)(strip, H, G); NAME(next_panel)(&at);)
                NAME(deep_panel_product)(&rows, q->add, panels + at.number * q->K * PANEL, q->K, &at);
    }
}

/* Copies columns [m0, m0 + count) of A (K, M), which are rows of A', each k's to a row of COLUMNS. */
static void NAME(copy_columns)(NAME(rows) *rows, REAL *copy, const REAL *A, int64_t M, int64_t K, int64_t m0)
{
    for (int64_t r = 0; r < rows->count; r++)
        rows->a[r] = copy + r;
    A += m0;
    for (int64_t k = 0; k < K; k++, A += M, copy += NAME(COLUMNS)) {
#define BODY(j, lanes) vstore(copy + j, NAME(load_part)(A + j, lanes, 0))
        FOR_EACH_VEC(rows->count, BODY);
#undef BODY
    }
}

/* Of product_transposed's scratch, what its packed B takes. */
static int64_t NAME(packed_block)(int64_t K, int64_t N)
{
    return AT_MOST(K, NAME(K_BLOCK)) * AT_MOST(NAME(strip_count)(N, 0) * PANEL, NAME(COLUMN_BLOCK));
}

static int64_t NAME(scratch_size)(int64_t K, int64_t N)
{
    return NAME(packed_block)(K, N) + AT_MOST(K, NAME(K_BLOCK)) * NAME(COLUMNS);
}

static void NAME(product_transposed)(REAL *C, const REAL *A, const REAL *B, REAL *scratch, int64_t begin, int64_t end,
                                     int64_t M, int64_t K, int64_t N, int add)
{
    REAL *columns = scratch + NAME(packed_block)(K, N);
    NAME(rows) rows;
    rows.starts = rows.turned = rows.ahead = 0;
    rows.columns = M;
    rows.far = M * N >= NAME(FAR);
    for (int64_t n0 = 0; n0 < N; n0 += NAME(COLUMN_BLOCK)) {
        int64_t width = AT_MOST(N - n0, NAME(COLUMN_BLOCK)), panels = NAME(strip_count)(width, 0);
        for (int64_t k0 = 0; k0 < K; k0 += NAME(K_BLOCK)) {
            int64_t depth = AT_MOST(K - k0, NAME(K_BLOCK));
            NAME(pack)(scratch, B + k0 * N + n0, depth, width, N, 1, 0, 0, 1);
            for (int64_t m0 = begin; m0 < end; m0 += NAME(COLUMNS)) {
                const int64_t m1 = m0 + NAME(COLUMNS);
                rows.count = AT_MOST(end - m0, NAME(COLUMNS));
                NAME(copy_columns)(&rows, columns, A + k0 * M, M, depth, m0);
                for (int64_t r = 0; r < rows.count; r++)
                    rows.c[r] = C + (m0 + r) * N + n0;
                rows.laters = 0;
                if (m1 < end)
                    NAME(fetch)(&rows, A + k0 * M + m1, AT_MOST(end - m1, NAME(COLUMNS)));
                for (int64_t p = 0; p < panels; p++) {
                    NAME(panel) at = NAME(strip)(p, width, 1);
                    NAME(next_panel)(&at);
                    NAME(panel_product)(&rows, add || k0, scratch + p * depth * PANEL, 0, depth, &at);
                }
            }
        }
    }
}
