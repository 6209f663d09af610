/* Products of row-major matrices with packed ones: one register tile serves them all.
 *
 * A packed matrix B (K, N) is a row of panels. Panel p holds for every k one after another the VECS vectors that the tile
 * multiplies at once, so that it is read strictly forward. Its vector v is
 *     group == 0   columns p PANEL + v LANES, ...       neighbours: any matrix
 *     group == H   columns v H + p LANES, ...           the four gates of the same LANES units: N = 4 H
 * and columns beyond the matrix (or beyond the gate) are zeros.
 *
 * The tile keeps `rows` x `vecs` accumulators in registers: at each k it loads the panel's vectors once for all its rows
 * (Goto & van de Geijn 2008). */
#undef PANEL
#define PANEL (VECS * LANES)

/* Which columns of C a panel stands for. */
typedef struct {
    int64_t first, stride; /* column of vector 0, and from one vector to the next */
    int64_t vecs;          /* vectors that hold any column */
    int64_t lanes, last;   /* columns of each vector, and of the last one */
} NAME(columns);

FL_INLINE NAME(columns) NAME(panel_columns)(int64_t p, int64_t N, int64_t group)
{
    NAME(columns) found = {p * PANEL, LANES, VECS, LANES, LANES};
    if (group) {
        int64_t units = group - p * LANES;
        found.first = p * LANES;
        found.stride = group;
        found.lanes = found.last = units < LANES ? units : LANES;
    } else if (N - found.first < PANEL) {
        found.vecs = (N - found.first + LANES - 1) / LANES;
        found.last = N - found.first - (found.vecs - 1) * LANES;
    }
    return found;
}

static int64_t NAME(panel_count)(int64_t N, int64_t group)
{
    return group ? (group + LANES - 1) / LANES : (N + PANEL - 1) / PANEL;
}

static int64_t NAME(packed_size)(int64_t K, int64_t N, int64_t group)
{
    return NAME(panel_count)(N, group) * K * PANEL;
}

/* Fills the panels [begin, end) of B (K, N), whose number [k, n] is at B[k k_stride + n n_stride]. */
static void NAME(pack_panels)(REAL *packed, const REAL *B, int64_t k_stride, int64_t n_stride, int64_t K, int64_t N,
                                 int64_t group, int64_t begin, int64_t end)
{
    for (int64_t p = begin; p < end; p++) {
        NAME(columns) at = NAME(panel_columns)(p, N, group);
        REAL *panel = packed + p * K * PANEL;
        int64_t lanes[VECS];
        for (int64_t v = 0; v < VECS; v++)
            lanes[v] = v + 1 < at.vecs ? at.lanes : v < at.vecs ? at.last : 0;
        const REAL *from = B + at.first * n_stride;
        if (n_stride == 1) {
            for (int64_t k = 0; k < K; k++)
                for (int64_t v = 0; v < VECS; v++)
                    vstore(panel + k * PANEL + v * LANES,
                           NAME(load_part)(from + k * k_stride + v * at.stride, lanes[v], 0));
            continue;
        }
        enum { BLOCK = 64 }; /* of k: the lines that all columns of the panel write to stay in the L1 cache */
        for (int64_t k0 = 0; k0 < K; k0 += BLOCK)
            for (int64_t v = 0; v < VECS; v++)
                for (int64_t lane = 0; lane < LANES; lane++)
                    for (int64_t k = k0; k < (k0 + BLOCK < K ? k0 + BLOCK : K); k++)
                        panel[k * PANEL + v * LANES + lane] =
                            lane < lanes[v] ? from[k * k_stride + (v * at.stride + lane) * n_stride] : 0;
    }
}

static void NAME(pack)(REAL *packed, const REAL *B, int64_t K, int64_t N, int64_t k_stride, int64_t n_stride,
                       int64_t group, int64_t part, int64_t parts)
{
    int64_t count = NAME(panel_count)(N, group);
    NAME(pack_panels)(packed, B, k_stride, n_stride, K, N, group, count * part / parts, count * (part + 1) / parts);
}

/* For the rows r of one tile, c[r] = from[r] + sum_k a[r][k a_stride] panel[k], at the columns of one panel; from NULL: 0. One
 * row alone would wait for its own sums, so it takes turns with several sets of them. */
FL_INLINE void NAME(tile_body)(REAL *const *c, const REAL *const *from, const REAL *const *a, int64_t k0,
                               const REAL *panel, int64_t K, const NAME(columns) *at, const int64_t lanes,
                               const int64_t last, const int64_t a_stride, const int rows, const int vecs)
{
    enum { MOST_PHASES = 4 };
    const int phases = rows == 1 ? MOST_PHASES : 1;
    const int64_t first = at->first, stride = at->stride;
    vec sums[TILE_ROWS < MOST_PHASES ? MOST_PHASES : TILE_ROWS][VECS];
#define LANES_OF(v) ((v) + 1 < vecs ? lanes : last)
    for (int r = 0; r < rows * phases; r++)
        for (int v = 0; v < vecs; v++)
            sums[r][v] = from && r < rows ? NAME(load_part)(from[r] + first + v * stride, LANES_OF(v), 0) : vset(0);
    const REAL *x[TILE_ROWS];
    for (int r = 0; r < rows; r++)
        x[r] = a[r] + k0 * a_stride;
    int64_t k = 0;
    for (; k + phases <= K; k += phases, panel += phases * PANEL) {
#pragma GCC unroll 4
        for (int phase = 0; phase < phases; phase++) {
            /* The panel's vectors stay in registers for all rows, or, where there are too few of these, the rows'
             * factors for all vectors. */
            if (REGISTERS > (TILE_ROWS + 1) * VECS) {
                vec b[VECS];
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++) {
                    b[v] = vload(panel + phase * PANEL + v * LANES);
                    if (rows > 1)
                        vkeep(b[v]);
                }
#pragma GCC unroll 8
                for (int r = 0; r < rows; r++) {
                    vec factor = vset(x[r][(k + phase) * a_stride]);
#pragma GCC unroll 4
                    for (int v = 0; v < vecs; v++)
                        sums[r + phase][v] = vfma(factor, b[v], sums[r + phase][v]);
                }
            } else {
                vec factors[TILE_ROWS];
#pragma GCC unroll 8
                for (int r = 0; r < rows; r++) {
                    factors[r] = vset(x[r][(k + phase) * a_stride]);
                    vkeep(factors[r]);
                }
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++) {
                    vec b = vload(panel + phase * PANEL + v * LANES);
#pragma GCC unroll 8
                    for (int r = 0; r < rows; r++)
                        sums[r + phase][v] = vfma(factors[r], b, sums[r + phase][v]);
                }
            }
        }
    }
    for (; k < K; k++, panel += PANEL)
        for (int v = 0; v < vecs; v++)
            sums[0][v] = vfma(vset(x[0][k * a_stride]), vload(panel + v * LANES), sums[0][v]);
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vecs; v++) {
            vec sum = sums[r][v];
            for (int phase = 1; phase < phases; phase++)
                sum = sum + sums[phase][v];
            NAME(store_part)(c[r] + first + v * stride, sum, LANES_OF(v));
        }
    }
#undef LANES_OF
}

/* The tile of any size; `packed` says that a's rows are interleaved as pack_rows does. */
static void NAME(tile)(REAL *const *c, const REAL *const *from, const REAL *const *a, int64_t k0, const REAL *panel,
                       int64_t K, const NAME(columns) *at, int packed, int64_t rows)
{
    const int64_t whole = at->lanes == LANES && at->last == LANES, step = packed ? TILE_ROWS : 1;
#define BODY(lanes, last, a_stride, r, v) \
    NAME(tile_body)(c, from, a, k0, panel, K, at, lanes, last, a_stride, r, v)
#define CASE(r, v)                                           \
    case (r) * 8 + (v):                                      \
        if (!whole)                                          \
            BODY(at->lanes, at->last, step, r, v);           \
        else if (packed)                                     \
            BODY(LANES, LANES, TILE_ROWS, r, v);             \
        else                                                 \
            BODY(LANES, LANES, 1, r, v);                     \
        return;
#define CASES(r) CASE(r, 1) CASE(r, 2) CASE(r, 3) CASE(r, 4)
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

enum {
    NAME(ROW_BLOCK) = 32 * TILE_ROWS,       /* rows whose part of A stays in the L2 cache while the panels pass */
    NAME(K_BLOCK) = 2048 / sizeof(REAL),    /* of a panel, to stay there as well */
    NAME(COLUMN_BLOCK) = 16 * PANEL,        /* columns packed at a time by product_transposed */
    NAME(TRANSPOSED_ROWS) = 16 * TILE_ROWS, /* and rows */
    NAME(FAR) = (1 << 20) / sizeof(REAL),
};

#define AT_MOST(x, most) ((x) < (int64_t)(most) ? (x) : (int64_t)(most))

/* How many of the `left` rows the next tile takes: TILE_ROWS, but 8 are 4 and 4 rather than 6 and 2, and 7 are 4 and 3: thin
 * tiles read a panel for few rows, and one row alone is summed in another order. */
FL_INLINE int64_t NAME(tile_size)(int64_t left)
{
    if (TILE_ROWS == 6)
        return left == 7 || left == 8 ? 4 : AT_MOST(left, 6);
    return AT_MOST(left, TILE_ROWS);
}

/* Where the rows of a product are, up to ROW_BLOCK of them: of the result, of what it starts from, and of A. */
typedef struct {
    REAL *c[NAME(ROW_BLOCK)];
    const REAL *from[NAME(ROW_BLOCK)], *a[NAME(ROW_BLOCK)];
    int64_t count;
    int starts; /* `from` is given, else the sums start from 0 */
    int packed; /* A's rows are interleaved by pack_rows */
    int far;    /* the result is larger than the near caches: its lines are fetched before they are written */
} NAME(rows);

/* One panel's columns of the result, over the inner dimension k0 <= k < k0 + K; `panel` is at k0. */
static void NAME(panel_product)(const NAME(rows) *rows, int add, const REAL *panel, int64_t k0, int64_t K,
                                const NAME(columns) *at)
{
    const REAL *const *from = add ? (const REAL *const *)rows->c : rows->starts ? rows->from : NULL;
    for (int64_t r = 0, count; r < rows->count; r += count) {
        count = NAME(tile_size)(rows->count - r);
        if (rows->far)
            for (int64_t next = r; next < r + count; next++)
                for (int64_t v = 0; v < at->vecs; v++)
                    __builtin_prefetch(rows->c[next] + at->first + v * at->stride, 1);
        NAME(tile)(rows->c + r, from ? from + r : NULL, rows->a + r, k0, panel, K, at, rows->packed, count);
    }
}

/* As panel_product over the whole inner dimension, in blocks. */
static void NAME(deep_panel_product)(const NAME(rows) *rows, int add, const REAL *panel, int64_t K,
                                     const NAME(columns) *at)
{
    for (int64_t k0 = 0; k0 < K; k0 += NAME(K_BLOCK))
        NAME(panel_product)(rows, add || k0, panel + k0 * PANEL, k0, AT_MOST(K - k0, NAME(K_BLOCK)), at);
}

static void NAME(product)(const fl_product *q)
{
    const REAL *panels = q->packed, *A = q->A, *bias = q->bias;
    REAL *C = q->C;
    NAME(rows) rows;
    rows.starts = bias != NULL;
    rows.packed = 0;
    rows.far = q->M * q->N >= NAME(FAR);
    for (int64_t m0 = 0; m0 < q->M; m0 += NAME(ROW_BLOCK)) {
        rows.count = AT_MOST(q->M - m0, NAME(ROW_BLOCK));
        for (int64_t r = 0; r < rows.count; r++) {
            rows.c[r] = C + (q->C_rows ? q->C_rows[m0 + r] : m0 + r) * q->N;
            rows.a[r] = A + (q->A_rows ? q->A_rows[m0 + r] : m0 + r) * q->K;
            rows.from[r] = bias;
        }
        for (int64_t p = q->begin; p < q->end; p++) {
            NAME(columns) at = NAME(panel_columns)(p, q->N, q->group);
            NAME(deep_panel_product)(&rows, q->add, panels + p * q->K * PANEL, q->K, &at);
        }
    }
}

/* Rows [m0, m0 + count) of A', A (K, M), interleaved in the tiles of panel_product: each has TILE_ROWS numbers of every k.
 * rows->a receives where the rows begin. */
static void NAME(pack_rows)(NAME(rows) *rows, REAL *packed, const REAL *A, int64_t M, int64_t K, int64_t m0)
{
    for (int64_t row = 0, count; row < rows->count; row += count) {
        const REAL *from = A + m0 + row;
        count = NAME(tile_size)(rows->count - row);
        for (int64_t r = 0; r < count; r++)
            rows->a[row + r] = packed + r;
        for (int64_t k = 0; k < K; k++, from += M, packed += TILE_ROWS) {
#define BODY(j, lanes) NAME(store_part)(packed + j, NAME(load_part)(from + j, lanes, 0), lanes)
            FOR_EACH_VEC(count, BODY);
#undef BODY
        }
    }
}

/* Of product_transposed's scratch, what its packed B takes. */
static int64_t NAME(packed_block)(int64_t K, int64_t N)
{
    return AT_MOST(K, NAME(K_BLOCK)) * AT_MOST(NAME(panel_count)(N, 0) * PANEL, NAME(COLUMN_BLOCK));
}

static int64_t NAME(scratch_size)(int64_t K, int64_t N)
{
    return NAME(packed_block)(K, N) + AT_MOST(K, NAME(K_BLOCK)) * NAME(TRANSPOSED_ROWS);
}

static void NAME(product_transposed)(REAL *C, const REAL *A, const REAL *B, REAL *scratch, int64_t begin, int64_t end,
                                     int64_t M, int64_t K, int64_t N, int add)
{
    REAL *packed_rows = scratch + NAME(packed_block)(K, N);
    NAME(rows) rows;
    rows.starts = 0;
    rows.packed = 1;
    rows.far = M * N >= NAME(FAR);
    for (int64_t n0 = 0; n0 < N; n0 += NAME(COLUMN_BLOCK)) {
        int64_t width = AT_MOST(N - n0, NAME(COLUMN_BLOCK)), panels = NAME(panel_count)(width, 0);
        for (int64_t k0 = 0; k0 < K; k0 += NAME(K_BLOCK)) {
            int64_t depth = AT_MOST(K - k0, NAME(K_BLOCK));
            NAME(pack_panels)(scratch, B + k0 * N + n0, N, 1, depth, width, 0, 0, panels);
            for (int64_t m0 = begin; m0 < end; m0 += NAME(TRANSPOSED_ROWS)) {
                rows.count = AT_MOST(end - m0, NAME(TRANSPOSED_ROWS));
                NAME(pack_rows)(&rows, packed_rows, A + k0 * M, M, depth, m0);
                for (int64_t r = 0; r < rows.count; r++)
                    rows.c[r] = C + (m0 + r) * N + n0;
                for (int64_t p = 0; p < panels; p++) {
                    NAME(columns) at = NAME(panel_columns)(p, width, 0);
                    NAME(panel_product)(&rows, add || k0, scratch + p * depth * PANEL, 0, depth, &at);
                }
            }
        }
    }
}
