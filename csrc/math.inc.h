/* Exponential and the activation functions built on it, within 4 ULP; results below the smallest normal may be 0.
 *
 * For y <= 0, y = n ln 2 + r with |r| <= ln 2 / 2 gives exp(y) = 2^n (1 + p), p = exp(r) - 1 (Cody & Waite 1980). p is
 * kept apart from the 1: that makes expm1, and with it tanh, as accurate near 0 as elsewhere. */

#undef EXP_LOWEST
#undef ROUND_MAGIC
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_TERMS
#if REAL_IS_DOUBLE
#define EXP_LOWEST (-709.0)                   /* n = -1023 there: an exponent field of 0, exp is 0 */
#define ROUND_MAGIC (6755399441055744.0 + 1023.0) /* 1.5 * 2^52 + bias: adding it rounds and biases n */
#define LN2_HIGH 6.93147180369123816490e-01   /* its last 32 bits are 0: n * LN2_HIGH is exact */
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_TERMS 14                          /* the next Taylor term is below 2^-57 of the sum */
#else
#define EXP_LOWEST (-88.0f)                   /* n = -127 */
#define ROUND_MAGIC (12582912.0f + 127.0f)    /* 1.5 * 2^23 + bias */
#define LN2_HIGH 0.693359375f
#define LN2_LOW (-2.12194440e-4f)
#define EXP_TERMS 8                           /* the next term is below 2^-30 of the sum */
#endif

/* scale = 2^n and p = exp(r) - 1 for y <= 0; exp(y) = scale + scale * p. NaN stays NaN in p. */
FL_INLINE vec NAME(exp_parts)(vec y, vec *scale)
{
    static const REAL inverse_factorial[] = {
        1, 1, (REAL)(1. / 2), (REAL)(1. / 6), (REAL)(1. / 24), (REAL)(1. / 120), (REAL)(1. / 720), (REAL)(1. / 5040),
        (REAL)(1. / 40320), (REAL)(1. / 362880), (REAL)(1. / 3628800), (REAL)(1. / 39916800), (REAL)(1. / 479001600),
        (REAL)(1. / 6227020800), (REAL)(1. / 87178291200)};
    y = vmax(vset(EXP_LOWEST), y);
    vec biased = vfma(y, vset((REAL)1.4426950408889634), vset(ROUND_MAGIC));
    *scale = vexponent(biased);
    vec n = biased - vset(ROUND_MAGIC);
    vec r = vfma(n, vset(-LN2_LOW), vfma(n, vset(-LN2_HIGH), y));
    vec q = vset(inverse_factorial[EXP_TERMS]);
    for (int k = EXP_TERMS - 1; k >= 2; k--)
        q = vfma(q, r, vset(inverse_factorial[k]));
    return vfma(r * r, q, r);
}

/* exp(y) for y <= 0. */
FL_INLINE vec NAME(exp_negative)(vec y)
{
    vec scale, p = NAME(exp_parts)(y, &scale);
    return vfma(scale, p, scale);
}

/* 1 / (1 + exp(-x)), written with exp(-|x|) so that neither end overflows or cancels. */
FL_INLINE vec NAME(sigmoid)(vec x)
{
    vec e = NAME(exp_negative)(vset(0) - vabs(x));
    return vgreater(vset(0), x, e, vset(1)) / (vset(1) + e);
}

/* tanh|x| = -m / (2 + m) with m = expm1(-2|x|). */
FL_INLINE vec NAME(tanh)(vec x)
{
    vec scale, p = NAME(exp_parts)(vset(-2) * vabs(x), &scale);
    vec m = vfma(scale, p, scale - vset(1));
    return vcopysign((vset(0) - m) / (vset(2) + m), x);
}

FL_INLINE vec NAME(activation)(int kind, vec x)
{
    switch (kind) {
    case FL_TANH: return NAME(tanh)(x);
    case FL_SIGMOID: return NAME(sigmoid)(x);
    case FL_RELU: return vmax(vset(0), x);
    /* x / 6 + 1/2 would cancel near -3, where x + 3 is exact. */
    case FL_HARD_SIGMOID: return vmin(vset(6), vmax(vset(0), x + vset(3))) * vset((REAL)(1. / 6));
    case FL_SOFTSIGN: return x / (vset(1) + vabs(x));
    default: return x;
    }
}

/* The derivative of an activation, from its value y. */
FL_INLINE vec NAME(activation_slope)(int kind, vec y)
{
    vec one = vset(1), zero = vset(0);
    switch (kind) {
    case FL_TANH: return one - y * y;
    case FL_SIGMOID: return y * (one - y);
    case FL_RELU: return vgreater(y, zero, one, zero);
    case FL_HARD_SIGMOID: return vgreater(y, zero, vgreater(one, y, vset((REAL)(1. / 6)), zero), zero);
    case FL_SOFTSIGN: return (one - vabs(y)) * (one - vabs(y));
    default: return one;
    }
}

static void NAME(activate)(REAL *y, const REAL *x, int kind, int64_t n)
{
#define BODY(j, count) NAME(store_part)(y + j, NAME(activation)(kind, NAME(load_part)(x + j, count, 0)), count)
    FOR_EACH_VEC(n, BODY);
#undef BODY
}
