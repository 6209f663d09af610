/* Packed matrices: the order that products read them in.
 *
 * The columns of a matrix B (K, N) are taken in vectors of LANES. Weights of G gates, N = G H (`group` H), have for each block
 * of LANES units one vector of every gate: block 0 gates 0 ... G - 1, block 1 ...; any other matrix (`group` 0) counts as
 * one gate. The vectors are cut into panels of VECS, which hold for every k one after another the vectors that the tile
 * multiplies at once, so that they are read strictly forward. Columns beyond the gate and vectors beyond the last are zeros.
 * A strip is the least run of panels that holds whole blocks: what can be computed by itself. */
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
    return (H + unit - 1) >> __builtin_ctzll((uint64_t)unit);
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
