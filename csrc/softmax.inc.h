/* Softmax cross-entropy of one row after another; the largest logit is subtracted first, so that +-1e4 is safe. */
static void NAME(softmax_cross_entropy)(double *losses, REAL *logits, const int32_t *targets, double scale, int64_t rows,
                                        int64_t V)
{
    for (int64_t row = 0; row < rows; row++, logits += V) {
        vec most = vset(-(REAL)INFINITY);
#define BODY(j, count) most = vmax(most, NAME(load_part)(logits + j, count, -(REAL)INFINITY))
        FOR_EACH_VEC(V, BODY);
#undef BODY
        REAL largest = NAME(max_lanes)(most);
        REAL target = logits[targets[row]];
        vec sums = vset(0);
#define BODY(j, count)                                                                                             \
    do {                                                                                                           \
        vec e = NAME(exp_negative)(NAME(load_part)(logits + j, count, -(REAL)INFINITY) - vset(largest));           \
        sums = sums + e;                                                                                           \
        NAME(store_part)(logits + j, e, count);                                                                    \
    } while (0)
        FOR_EACH_VEC(V, BODY);
#undef BODY
        double sum = NAME(sum_lanes)(sums);
        vec factor = vset((REAL)(scale / sum));
#define BODY(j, count) NAME(store_part)(logits + j, factor * NAME(load_part)(logits + j, count, 0), count)
        FOR_EACH_VEC(V, BODY);
#undef BODY
        logits[targets[row]] -= (REAL)scale;
        losses[row] = log(sum) + ((double)largest - (double)target);
    }
}
