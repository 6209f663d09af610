/* Gradient of a row gather: every row is added back to the row it came from; without tokens all to one, of which each number
 * waits in a register for as many rows as stay in the L1 cache. */
static void NAME(scatter_add)(REAL *table, const REAL *rows, const int32_t *tokens, int64_t n, int64_t width,
                              int64_t begin, int64_t end)
{
    enum { NEAR = 8192 / sizeof(REAL) };
    const int64_t most = tokens || 2 * width > NEAR ? 1 : NEAR / width;
    rows += begin;
    for (int64_t r = 0, count; r < n; r += count, rows += count * width) {
        REAL *sums = table + (tokens ? tokens[r] * width : 0) + begin;
        count = AT_MOST(n - r, most);
#define BODY(j, lanes)                                                           \
    do {                                                                         \
        vec sum = NAME(load_part)(sums + j, lanes, 0);                           \
        for (int64_t k = 0; k < count; k++)                                      \
            sum = sum + NAME(load_part)(rows + k * width + j, lanes, 0);         \
        NAME(store_part)(sums + j, sum, lanes);                                  \
    } while (0)
        FOR_EACH_VEC(end - begin, BODY);
#undef BODY
    }
}
