/* Exponential and the activation functions built on it, within 4 ULP; results below the smallest normal may be 0.
 *
 * y = n ln 2 + r with |r| <= ln 2 / 2 (Cody & Waite 1980), then one of
 *     exp(y) = 2^n (1 + r + r^2 (e_0 + e_1 r + ...))         a polynomial, for the softmax
 *     exp(y) = 2^n (R + r) / (R - r),  R = r coth(r / 2) = 2 + r^2 (c_0 + c_1 r^2 + ...)
 * tanh and the sigmoid are fractions anyway, and the second form makes both sides of them sums that hardly cancel:
 * one division each, a polynomial in r^2 of few terms, and tanh as accurate near 0 as elsewhere. The coefficients
 * are those of least relative error for |r| <= ln 2 / 2 (Remez exchange at 50 digits), rounded. */

#undef EXP_LOWEST
#undef SIGMOID_HIGHEST
#undef TANH_HIGHEST
#undef ROUND_MAGIC
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_TERMS
#undef EXP_COEFFICIENTS
#undef COTH_TERMS
#undef COTH_COEFFICIENTS
#if REAL_IS_DOUBLE
#define EXP_LOWEST (-709.0)                   /* n = -1023 there: an exponent field of 0, exp is 0 */
#define SIGMOID_HIGHEST 40.0                  /* from 37 on the sigmoid rounds to 1, */
#define TANH_HIGHEST 40.0                     /* and tanh from twice its argument = 39 on */
#define ROUND_MAGIC (6755399441055744.0 + 1023.0) /* 1.5 * 2^52 + bias: adding it rounds and biases n */
#define LN2_HIGH 6.93147180369123816490e-01   /* its last 32 bits are 0: n * LN2_HIGH is exact */
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_TERMS 10                          /* error below 2^-57 */
#define EXP_COEFFICIENTS                                                                                       \
    0.50000000000000111, 0.16666666666666413, 0.041666666666530267, 0.0083333333334943381,                     \
        0.0013888888943598384, 0.00019841269506768429, 2.4801493135395144e-05, 2.7557586275439606e-06,         \
        2.7630234225859792e-07, 2.5000069777100482e-08
#define COTH_TERMS 5                          /* error of R below 2^-60 */
#define COTH_COEFFICIENTS                                                                                      \
    0.16666666666666602, -0.0027777777777017593, 6.6137563220120248e-05, -1.6533902816830837e-06,              \
        4.1381587029973277e-08
#else
#define EXP_LOWEST (-88.0f)                   /* n = -127 */
#define SIGMOID_HIGHEST 20.0f                 /* 1 from 17 on */
#define TANH_HIGHEST 20.0f                    /* 1 from 18 on */
#define ROUND_MAGIC (12582912.0f + 127.0f)    /* 1.5 * 2^23 + bias */
#define LN2_HIGH 0.693359375f
#define LN2_LOW (-2.12194440e-4f)
#define EXP_TERMS 5                           /* error below 2^-25 */
#define EXP_COEFFICIENTS 0.49999997f, 0.166666046f, 0.041667778f, 0.00835849624f, 0.0013806955f
#define COTH_TERMS 2                          /* error of R below 2^-28 */
#define COTH_COEFFICIENTS 0.166666254f, -0.00276676379f
#endif

/* scale = 2^n and r of y >= EXP_LOWEST, where 2^n may be 0. NaN stays NaN in r. `once` asks for n ln 2 to be taken
 * off in one step, which float can do where the product is not rounded by itself: the float next to ln 2 is off by
 * 2^-29, which is nothing for small |n| but 2 ULP of exp(-87). */
FL_INLINE vec NAME(exp_reduce)(vec y, int once, vec *scale)
{
    vec biased = vfma(y, vset((REAL)1.4426950408889634), vset(ROUND_MAGIC));
    *scale = vexponent(biased);
    vec n = biased - vset(ROUND_MAGIC);
    if (once && FL_FUSED && !REAL_IS_DOUBLE)
        return vfma(n, vset(-(LN2_HIGH + LN2_LOW)), y);
    return vfma(n, vset(-LN2_LOW), vfma(n, vset(-LN2_HIGH), y));
}

/* exp(y) for y <= 0. */
FL_INLINE vec NAME(exp_negative)(vec y)
{
    static const REAL e[] = {EXP_COEFFICIENTS};
    vec scale, r = NAME(exp_reduce)(vmax(vset(EXP_LOWEST), y), 0, &scale);
    vec q = vset(e[EXP_TERMS - 1]);
    for (int k = EXP_TERMS - 2; k >= 0; k--)
        q = vfma(q, r, vset(e[k]));
    return scale * vfma(vfma(q, r, vset(1)), r, vset(1));
}

/* R, r and scale = 2^n: exp(y) = scale (R + r) / (R - r) for y >= EXP_LOWEST. */
FL_INLINE vec NAME(exp_ratio)(vec y, int once, vec *scale, vec *r)
{
    static const REAL c[] = {COTH_COEFFICIENTS};
    *r = NAME(exp_reduce)(y, once, scale);
    vec square = *r * *r, q = vset(c[COTH_TERMS - 1]);
    for (int k = COTH_TERMS - 2; k >= 0; k--)
        q = vfma(q, square, vset(c[k]));
    return vfma(q, square, vset(2));
}

/* exp(x) / (1 + exp(x)), both sides times R - r. */
FL_INLINE vec NAME(sigmoid)(vec x)
{
    vec scale, r, R = NAME(exp_ratio)(vmin(vset(SIGMOID_HIGHEST), vmax(vset(EXP_LOWEST), x)), 0, &scale, &r);
    vec sum = R + r;
    return scale * sum / vfma(scale, sum, R - r);
}

/* tanh|x| = (e - 1) / (e + 1) with e = exp(2|x|), both sides times (R - r) / 2: r / R for n = 0, never above 1. */
FL_INLINE vec NAME(tanh)(vec x)
{
    vec size = vabs(x), scale, r, R = NAME(exp_ratio)(vmin(vset(TANH_HIGHEST), size + size), 1, &scale, &r);
    vec sum = R + r, half = vfma(scale, vset((REAL)0.5), vset((REAL)-0.5));
    return vcopysign(vfma(half, sum, r) / vfma(half, sum, R), x);
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
