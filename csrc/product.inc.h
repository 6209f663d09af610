/* Products of row-major matrices with packed ones, panel by panel and tile by tile. */

enum {
    NAME(ROW_BLOCK) = 32 * TILE_ROWS,     /* rows whose part of A stays in the L2 cache while the panels pass */
    NAME(K_BLOCK) = 2048 / sizeof(REAL),  /* of a panel, to stay there as well */
    NAME(COLUMN_BLOCK) = 64 * LANES,      /* columns of B packed at a time by product_transposed */
    NAME(FAR) = (1 << 20) / sizeof(REAL), /* numbers that do not stay in the near caches */
};

/* How many of the `left` rows the next tile takes: TILE_ROWS, but 8 are 4 and 4 rather than 6 and 2, and 7 are 4 and 3: thin
 * tiles read a panel for few rows, and one row alone is summed in another order. */
FL_INLINE int64_t NAME(tile_size)(int64_t left)
{
    if (TILE_ROWS == 6)
        return left == 7 || left == 8 ? 4 : AT_MOST(left, 6);
    return AT_MOST(left, TILE_ROWS);
}

/* What tiles of more than two rows fetch because it is used soon, a line for each k: `left` lines one after another, a tile K
 * of them; or with a step of more than a line, `left` of each of K rows of a matrix, a tile one of every row. */
typedef struct {
    const REAL *at;
    int64_t left, step; /* numbers from the line of one k to that of the next */
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
    int columns; /* A's rows are copied columns, in an array (·, COLUMNS) */
    int laters; /* so many of `later` are still to be fetched, the last one first */
    NAME(lines) later[NAME(MOST_LATER)];
} NAME(rows);

/* For a product with a packed matrix (K, N); the rest is to be said where it is not 0. */
FL_INLINE void NAME(begin)(NAME(rows) *rows, int64_t count, int64_t K, int64_t N, int turned)
{
    rows->count = count;
    rows->turned = turned;
    rows->ahead = K * N <= NAME(FAR) ? 0 : (turned ? -K : K) * PANEL;
    rows->starts = rows->far = rows->laters = 0;
    rows->columns = 0;
}

/* Has the tiles to come fetch n numbers of each of K rows, `step` apart. */
FL_INLINE void NAME(fetch_rows)(NAME(rows) *rows, const REAL *at, int64_t n, int64_t step)
{
    rows->later[rows->laters++] = (NAME(lines)){at, (n + LINE - 1) / LINE, step};
}

/* Has them fetch n numbers from `at` on. */
FL_INLINE void NAME(fetch)(NAME(rows) *rows, const REAL *at, int64_t n)
{
    NAME(fetch_rows)(rows, at, n, LINE);
}

/* Where the tile `number` of a panel is to fetch a line for each of K numbers, *step apart; NULL: nowhere. First the next
 * panel, then what else is used soon. */
FL_INLINE const REAL *NAME(next_lines)(NAME(rows) *rows, const REAL *panel, int64_t K, int64_t number, int64_t *step)
{
    *step = LINE;
    if (rows->ahead && number < LINES)
        return panel + rows->ahead + number * K * LINE;
    if (!rows->laters)
        return NULL;
    NAME(lines) *later = &rows->later[rows->laters - 1];
    const REAL *at = later->at;
    *step = later->step;
    const int64_t lines = *step == LINE ? K : 1;
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
        int64_t step;
        const REAL *next = NAME(next_lines)(rows, panel, K, number, &step);
        NAME(tile)(rows->c + r, from ? from + r : NULL, rows->a + r, k0, panel, K, at, next, step, rows->columns, count);
    }
}

/* As panel_product over the whole inner dimension, in blocks. */
static void NAME(deep_panel_product)(NAME(rows) *rows, int add, const REAL *panel, int64_t K, const NAME(panel) *at)
{
    for (int64_t k0 = 0; k0 < K; k0 += NAME(K_BLOCK))
        NAME(panel_product)(rows, add || k0, panel + k0 * at->vecs * LANES, k0, AT_MOST(K - k0, NAME(K_BLOCK)), at);
}

/* The columns of the panels [begin, end). */
static void NAME(product_of_panels)(const fl_product *q, int64_t begin, int64_t end, const NAME(layout) *layout)
{
    const REAL *panels = q->packed, *A = q->A, *bias = q->bias;
    REAL *C = q->C;
    NAME(rows) rows;
    for (int64_t m0 = 0; m0 < q->M; m0 += NAME(ROW_BLOCK)) {
        NAME(begin)(&rows, AT_MOST(q->M - m0, NAME(ROW_BLOCK)), q->K, q->N, 0);
        rows.starts = bias != NULL;
        rows.far = q->M * q->N >= NAME(FAR);
        if (q->soon && !m0)
            NAME(fetch)(&rows, q->soon, q->soon_count);
        for (int64_t r = 0; r < rows.count; r++) {
            rows.c[r] = C + (q->C_rows ? q->C_rows[m0 + r] : m0 + r) * q->N;
            rows.a[r] = A + (q->A_rows ? q->A_rows[m0 + r] : m0 + r) * fl_A_stride(q);
            rows.from[r] = bias;
        }
        for (int64_t p = begin; p < end; p++) {
            const NAME(panel) at = NAME(panel_at)(p, layout);
            NAME(deep_panel_product)(&rows, q->add, panels + p * q->K * PANEL, q->K, &at);
        }
    }
}

static void NAME(product)(const fl_product *q)
{
    const NAME(layout) layout = NAME(layout_of)(q->N, q->group);
    NAME(product_of_panels)(q, NAME(panels_before)(q->begin, &layout), NAME(panels_before)(q->end, &layout), &layout);
}

/* Copies `count` columns of A (K, ·), each k's to a row of COLUMNS, and on the way adds them up in `sums`, unless that is
 * NULL. */
FL_INLINE void NAME(copy_columns)(REAL *copy, REAL *sums, const REAL *A, int64_t M, int64_t K, const int64_t count)
{
    vec sum[NAME(COLUMNS) / LANES];
#define EACH_VEC EACH(v, NAME(COLUMNS) / LANES) if (v * LANES < count)
#define COUNT AT_MOST(count - v * LANES, LANES)
    EACH(v, NAME(COLUMNS) / LANES)
        sum[v] = sums && v * LANES < count ? NAME(load_part)(sums + v * LANES, COUNT, 0) : vset(0);
    for (int64_t k = 0; k < K; k++, A += M, copy += NAME(COLUMNS))
        EACH_VEC {
            const vec x = NAME(load_part)(A + v * LANES, COUNT, 0);
            vstore(copy + v * LANES, x);
            sum[v] = sum[v] + x;
        }
    if (sums)
        EACH_VEC
            NAME(store_part)(sums + v * LANES, sum[v], COUNT);
#undef COUNT
#undef EACH_VEC
}

/* Of product_transposed's scratch, what its packed B takes. */
static int64_t NAME(packed_block)(int64_t K, int64_t N)
{
    return AT_MOST(K, NAME(K_BLOCK)) * AT_MOST(VECTORS(N) * LANES, NAME(COLUMN_BLOCK));
}

static int64_t NAME(scratch_size)(int64_t K, int64_t N)
{
    return NAME(packed_block)(K, N) + AT_MOST(K, NAME(K_BLOCK)) * NAME(COLUMNS);
}

static void NAME(product_transposed)(REAL *C, REAL *sums, const REAL *A, const REAL *B, REAL *scratch, int64_t begin,
                                     int64_t end, int64_t M, int64_t K, int64_t N, int add)
{
    REAL *columns = scratch + NAME(packed_block)(K, N);
    NAME(rows) rows;
    for (int64_t n0 = 0; n0 < N; n0 += NAME(COLUMN_BLOCK)) {
        const int64_t width = AT_MOST(N - n0, NAME(COLUMN_BLOCK));
        const NAME(layout) layout = NAME(layout_of)(width, 0);
        for (int64_t k0 = 0; k0 < K; k0 += NAME(K_BLOCK)) {
            int64_t depth = AT_MOST(K - k0, NAME(K_BLOCK));
            NAME(pack)(scratch, B + k0 * N + n0, depth, width, N, 1, 0, 0, 1);
            for (int64_t m0 = begin; m0 < end; m0 += NAME(COLUMNS)) {
                const int64_t m1 = m0 + NAME(COLUMNS);
                NAME(begin)(&rows, AT_MOST(end - m0, NAME(COLUMNS)), 0, 0, 0);
                rows.columns = 1;
                rows.far = M * N >= NAME(FAR);
                REAL *sum = sums && !n0 ? sums + m0 : NULL;
                if (sum && !k0 && !add)
                    memset(sum, 0, (size_t)rows.count * sizeof(REAL));
                if (rows.count == NAME(COLUMNS)) /* a constant, so that the sums are in registers */
                    NAME(copy_columns)(columns, sum, A + k0 * M + m0, M, depth, NAME(COLUMNS));
                else
                    NAME(copy_columns)(columns, sum, A + k0 * M + m0, M, depth, rows.count);
                for (int64_t r = 0; r < rows.count; r++) {
                    rows.a[r] = columns + r;
                    rows.c[r] = C + (m0 + r) * N + n0;
                }
                if (m1 < end) {
                    const int64_t count = AT_MOST(end - m1, NAME(COLUMNS));
                    if (rows.far && width == N)
                        NAME(fetch)(&rows, C + m1 * N, count * N);
                    NAME(fetch_rows)(&rows, A + k0 * M + m1, count, M);
                }
                for (int64_t p = 0; p < layout.panels; p++) {
                    const NAME(panel) at = NAME(panel_at)(p, &layout);
                    NAME(panel_product)(&rows, add || k0, scratch + p * depth * PANEL, 0, depth, &at);
                }
            }
        }
    }
}
