/* Gradient of a row gather: every row is added back to the row it came from. */
static void NAME(scatter_add)(REAL *table, const REAL *rows, const int32_t *tokens, int64_t n, int64_t width,
                              int64_t begin, int64_t end)
{
    rows += begin;
    for (int64_t r = 0; r < n; r++, rows += width) {
        REAL *sums = table + (tokens ? tokens[r] * width : 0) + begin;
#define BODY(j, count) \
    NAME(store_part)(sums + j, NAME(load_part)(sums + j, count, 0) + NAME(load_part)(rows + j, count, 0), count)
        FOR_EACH_VEC(end - begin, BODY);
#undef BODY
    }
}
