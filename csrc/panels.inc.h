/* Packed matrices: the order that products read them in.
 *
 * The columns of a matrix B (K, N) are taken in vectors of LANES. Weights of G gates, N = G H (`group` H), have for each block
 * of LANES units one vector of every gate: block 0 gates 0 ... G - 1, block 1 ...; any other matrix (`group` 0) counts as
 * one gate, and so do gates of few units, side by side, where these would leave more vectors partly empty. The vectors are cut
 * into panels of VECS, the last of what is left, which hold for every k one after another the vectors that the tile multiplies
 * at once, so that they are read strictly forward. Columns beyond the gate are zeros.
 * A strip is the least run of panels that holds whole blocks, what can be computed by itself: of gates side by side, all. */
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
#undef VECTORS
#define VECTORS(columns) (((columns) + LANES - 1) / LANES)

/* The gates as they lie, each so many columns; panels and strips in all; what a strip has. */
typedef struct {
    int64_t gates, columns, panels, strips, strip_panels, strip_units;
} NAME(layout);

/* Side by side lie gates of so few columns that threads have no units to divide, which they do from 512 KiB of U on. */
FL_INLINE NAME(layout) NAME(layout_of)(int64_t N, int64_t group)
{
    enum { MOST_COLUMNS = 512 };
    const int64_t H = group ? group : N, G = group ? N / group : 1;
    const int side_by_side = N <= MOST_COLUMNS && VECTORS(N) < G * VECTORS(H);
    NAME(layout) layout = {.gates = side_by_side ? 1 : G, .columns = side_by_side ? N : H};
    layout.panels = (VECTORS(layout.columns) * layout.gates + VECS - 1) / VECS;
    layout.strip_panels = side_by_side ? layout.panels : STRIP_PANELS(G);
    layout.strip_units = side_by_side ? H : STRIP_BLOCKS(G) * LANES;
    layout.strips = side_by_side ? 1 : (VECTORS(H) + STRIP_BLOCKS(G) - 1) / STRIP_BLOCKS(G);
    return layout;
}

/* One panel. */
typedef struct {
    int64_t number, vecs; /* which it is, and how many vectors it has */
    int64_t first[VECS];  /* the first column of each, */
    int64_t lanes[VECS];  /* and how many: less than LANES only in the last ones */
} NAME(panel);

FL_INLINE NAME(panel) NAME(panel_at)(int64_t number, const NAME(layout) *layout)
{
    NAME(panel) at;
    at.number = number;
    at.vecs = 0;
#pragma GCC unroll 4
    for (int64_t v = 0; v < VECS; v++) { /* beyond `vecs` without use */
        const uint32_t vector = (uint32_t)(number * VECS + v), block = vector / (uint32_t)layout->gates;
        at.first[v] = (vector - block * layout->gates) * layout->columns + block * LANES;
        at.lanes[v] = AT_MOST(layout->columns - block * LANES, LANES);
        at.vecs += block * LANES < layout->columns;
    }
    return at;
}

/* The panels before a strip: all, where it is beyond the last one. */
FL_INLINE int64_t NAME(panels_before)(int64_t strip, const NAME(layout) *layout)
{
    return AT_MOST(strip * layout->strip_panels, layout->panels);
}

static int64_t NAME(strip_count)(int64_t N, int64_t group)
{
    return NAME(layout_of)(N, group).strips;
}

static int64_t NAME(packed_size)(int64_t K, int64_t N, int64_t group)
{
    const NAME(layout) layout = NAME(layout_of)(N, group);
    return VECTORS(layout.columns) * layout.gates * LANES * K;
}

/* to[k stride + lane] = from[k k_stride + lane n_stride], 0 from `lanes` on, for up to LANES k. */
FL_INLINE void NAME(pack_square)(REAL *to, int64_t stride, const REAL *from, int64_t k_stride, int64_t n_stride, int64_t K,
                                 int64_t lanes)
{
    if (k_stride == 1 && K == LANES && lanes == LANES) {
        NAME(transpose)(to, stride, from, n_stride);
        return;
    }
    for (int64_t k = 0; k < K; k++)
        for (int64_t lane = 0; lane < LANES; lane++)
            to[k * stride + lane] = lane < lanes ? from[k * k_stride + lane * n_stride] : 0;
}

/* Fills one panel with B (K, ·), whose number [k, n] is at B[k k_stride + n n_stride]. */
static void NAME(pack_panel)(REAL *panel, const REAL *B, int64_t k_stride, int64_t n_stride, int64_t K, const NAME(panel) *at)
{
    const int64_t width = at->vecs * LANES;
    if (n_stride == 1) {
        for (int64_t k = 0; k < K; k++, panel += width, B += k_stride)
            for (int64_t v = 0; v < at->vecs; v++)
                vstore(panel + v * LANES, NAME(load_part)(B + at->first[v], at->lanes[v], 0));
        return;
    }
    for (int64_t k0 = 0; k0 < K; k0 += LANES, panel += LANES * width, B += LANES * k_stride)
        for (int64_t v = 0; v < at->vecs; v++)
            NAME(pack_square)(panel + v * LANES, width, B + at->first[v] * n_stride, k_stride, n_stride, AT_MOST(K - k0, LANES),
                              at->lanes[v]);
}

static void NAME(pack)(REAL *packed, const REAL *B, int64_t K, int64_t N, int64_t k_stride, int64_t n_stride,
                       int64_t group, int64_t part, int64_t parts)
{
    const NAME(layout) layout = NAME(layout_of)(N, group);
    const int64_t end = NAME(panels_before)(layout.strips * (part + 1) / parts, &layout);
    for (int64_t p = NAME(panels_before)(layout.strips * part / parts, &layout); p < end; p++) {
        const NAME(panel) at = NAME(panel_at)(p, &layout);
        NAME(pack_panel)(packed + p * K * PANEL, B, k_stride, n_stride, K, &at);
    }
}
