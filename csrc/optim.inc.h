/* The optimisers and the norm gradients are clipped by, each one pass over contiguous memory: momentum (Polyak 1964) as in
 * PyTorch, RMSProp (Tieleman & Hinton 2012), Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter
 * 2019). */

/* gradient_scale * gradients, `count` of them from j. */
#define SCALED_GRADIENT(j, count) (scale * NAME(load_part)(gradients + j, count, 0))

static void NAME(sgd)(REAL *parameters, REAL *first_moment, const REAL *gradients, const fl_update *options, int64_t n)
{
    vec scale = vset((REAL)options->gradient_scale), rate = vset((REAL)options->learning_rate);
    vec decay = vset((REAL)options->beta1);
#define BODY(j, count)                                                                                             \
    do {                                                                                                           \
        vec u = SCALED_GRADIENT(j, count);                                                                         \
        if (first_moment) {                                                                                        \
            u = vfma(decay, NAME(load_part)(first_moment + j, count, 0), u);                                       \
            NAME(store_part)(first_moment + j, u, count);                                                          \
        }                                                                                                          \
        NAME(store_part)(parameters + j, NAME(load_part)(parameters + j, count, 0) - rate * u, count);             \
    } while (0)
    FOR_EACH_VEC(n, BODY);
#undef BODY
}

static void NAME(rmsprop)(REAL *parameters, REAL *second_moment, const REAL *gradients, const fl_update *options,
                          int64_t n)
{
    vec scale = vset((REAL)options->gradient_scale), rate = vset((REAL)options->learning_rate);
    vec decay = vset((REAL)options->beta2), keep = vset((REAL)(1 - options->beta2));
    vec epsilon = vset((REAL)options->epsilon);
#define BODY(j, count)                                                                                             \
    do {                                                                                                           \
        vec g = SCALED_GRADIENT(j, count), old = NAME(load_part)(parameters + j, count, 0);                        \
        vec v = vfma(decay, NAME(load_part)(second_moment + j, count, 0), keep * (g * g));                         \
        NAME(store_part)(second_moment + j, v, count);                                                             \
        NAME(store_part)(parameters + j, old - rate * g / (vsqrt(v) + epsilon), count);                            \
    } while (0)
    FOR_EACH_VEC(n, BODY);
#undef BODY
}

static void NAME(adam)(REAL *parameters, REAL *first_moment, REAL *second_moment, const REAL *gradients,
                       const fl_update *options, int64_t n)
{
    double correction1 = 1 - pow(options->beta1, (double)options->step);
    double correction2 = 1 - pow(options->beta2, (double)options->step);
    vec scale = vset((REAL)options->gradient_scale), rate = vset((REAL)(options->learning_rate / correction1));
    vec decay1 = vset((REAL)options->beta1), decay2 = vset((REAL)options->beta2);
    vec keep1 = vset((REAL)(1 - options->beta1)), keep2 = vset((REAL)(1 - options->beta2));
    vec root = vset((REAL)sqrt(1 / correction2)), epsilon = vset((REAL)options->epsilon);
    vec shrink = vset((REAL)(1 - options->learning_rate * options->weight_decay));
#define BODY(j, count)                                                                                             \
    do {                                                                                                           \
        vec g = SCALED_GRADIENT(j, count), old = shrink * NAME(load_part)(parameters + j, count, 0);               \
        vec m = vfma(decay1, NAME(load_part)(first_moment + j, count, 0), keep1 * g);                              \
        vec v = vfma(decay2, NAME(load_part)(second_moment + j, count, 0), keep2 * (g * g));                       \
        NAME(store_part)(first_moment + j, m, count);                                                              \
        NAME(store_part)(second_moment + j, v, count);                                                             \
        NAME(store_part)(parameters + j, old - rate * m / vfma(vsqrt(v), root, epsilon), count);                   \
    } while (0)
    FOR_EACH_VEC(n, BODY);
#undef BODY
}

#undef SCALED_GRADIENT

static double NAME(sum_of_squares)(const REAL *x, int64_t n)
{
    enum { BLOCK = 1024 };
    double total = 0;
    for (int64_t start = 0; start < n; start += BLOCK, x += BLOCK) {
        int64_t size = n - start < BLOCK ? n - start : BLOCK;
        vec sums = vset(0);
#define BODY(j, count)                                                                                             \
    do {                                                                                                           \
        vec part = NAME(load_part)(x + j, count, 0);                                                               \
        sums = vfma(part, part, sums);                                                                             \
    } while (0)
        FOR_EACH_VEC(size, BODY);
#undef BODY
        total += NAME(sum_lanes)(sums);
    }
    return total;
}
