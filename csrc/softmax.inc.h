/* Softmax cross-entropy, row by row; the largest logit is subtracted first, so that +-1e4 is safe. Each pass goes through as
 * many rows as stay in the L1 cache, so that few logits do not wait for the sum of their row. */
static void NAME(softmax_cross_entropy)(double *losses, REAL *logits, const int32_t *targets, double scale, int64_t rows,
                                        int64_t V)
{
    enum { MOST = 64, NEAR = 16384 / sizeof(REAL) };
    REAL largest[MOST];
    double sums[MOST];
    for (int64_t done = 0, count; done < rows; done += count, logits += count * V) {
        count = V * MOST <= NEAR ? MOST : V < NEAR ? NEAR / V : 1;
        count = AT_MOST(rows - done, count);
        for (int64_t r = 0; r < count; r++) {
            const REAL *row = logits + r * V;
            vec most = vset(-(REAL)INFINITY);
#define BODY(j, count) most = vmax(most, NAME(load_part)(row + j, count, -(REAL)INFINITY))
            FOR_EACH_VEC(V, BODY);
#undef BODY
            largest[r] = NAME(max_lanes)(most);
            losses[done + r] = (double)largest[r] - (targets ? (double)row[targets[done + r]] : 0);
        }
        for (int64_t r = 0; r < count; r++) {
            REAL *row = logits + r * V;
            vec sum = vset(0), most = vset(largest[r]);
#define BODY(j, count)                                                                                             \
    do {                                                                                                           \
        vec e = NAME(exp_negative)(NAME(load_part)(row + j, count, -(REAL)INFINITY) - most);                       \
        sum = sum + e;                                                                                             \
        NAME(store_part)(row + j, e, count);                                                                       \
    } while (0)
            FOR_EACH_VEC(V, BODY);
#undef BODY
            sums[r] = NAME(sum_lanes)(sum);
        }
        for (int64_t r = 0; r < count; r++) {
            REAL *row = logits + r * V;
            vec factor = vset((REAL)(scale / sums[r]));
#define BODY(j, count) NAME(store_part)(row + j, factor * NAME(load_part)(row + j, count, 0), count)
            FOR_EACH_VEC(V, BODY);
#undef BODY
        }
        for (int64_t r = 0; r < count; r++) {
            losses[done + r] += log(sums[r]);
            if (targets)
                logits[r * V + targets[done + r]] -= (REAL)scale;
        }
    }
}
