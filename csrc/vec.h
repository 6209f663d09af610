/* `vec`: LANES numbers of type REAL and the few operations on them that the kernels need. Included once per
 * instruction set and REAL; + - * / work on every vec as they stand. vlow(a, b) has the numbers of the lower halves of a and b
 * in turn, a's first, vhigh(a, b) those of the upper halves. */
#undef vec
#undef LANES
#undef vset
#undef vload
#undef vstore
#undef vfma
#undef vmax
#undef vmin
#undef vgreater
#undef vabs
#undef vcopysign
#undef vsqrt
#undef vexponent
#undef vlow
#undef vhigh
#undef vload_part
#undef vstore_masked

#if defined(FL_AVX512) && !REAL_IS_DOUBLE
#define vec __m512
#define LANES 16
#define vset(x) _mm512_set1_ps(x)
#define vload(p) _mm512_loadu_ps(p)
#define vstore(p, x) _mm512_storeu_ps(p, x)
#define vfma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define vmax(a, b) _mm512_max_ps(a, b)
#define vmin(a, b) _mm512_min_ps(a, b)
#define vgreater(x, y, a, b) _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(x, y, _CMP_GT_OQ), a)
#define vabs(x) _mm512_abs_ps(x)
#define vcopysign(x, sign) _mm512_or_ps(x, _mm512_and_ps(_mm512_set1_ps(-0.0f), sign))
#define vsqrt(x) _mm512_sqrt_ps(x)
#define vexponent(x) _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(x), 23))
#define vlow(a, b) _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b)
#define vhigh(a, b) \
    _mm512_permutex2var_ps(a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b)
#define vload_part(p, n, fill) _mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)((1u << (n)) - 1), p)
#define vstore_masked(p, x, n) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (n)) - 1), x)

#elif defined(FL_AVX512)
#define vec __m512d
#define LANES 8
#define vset(x) _mm512_set1_pd(x)
#define vload(p) _mm512_loadu_pd(p)
#define vstore(p, x) _mm512_storeu_pd(p, x)
#define vfma(a, b, c) _mm512_fmadd_pd(a, b, c)
#define vmax(a, b) _mm512_max_pd(a, b)
#define vmin(a, b) _mm512_min_pd(a, b)
#define vgreater(x, y, a, b) _mm512_mask_mov_pd(b, _mm512_cmp_pd_mask(x, y, _CMP_GT_OQ), a)
#define vabs(x) _mm512_abs_pd(x)
#define vcopysign(x, sign) _mm512_or_pd(x, _mm512_and_pd(_mm512_set1_pd(-0.0), sign))
#define vsqrt(x) _mm512_sqrt_pd(x)
#define vexponent(x) _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(x), 52))
#define vlow(a, b) _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b)
#define vhigh(a, b) _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b)
#define vload_part(p, n, fill) _mm512_mask_loadu_pd(_mm512_set1_pd(fill), (__mmask8)((1u << (n)) - 1), p)
#define vstore_masked(p, x, n) _mm512_mask_storeu_pd(p, (__mmask8)((1u << (n)) - 1), x)

#elif defined(FL_AVX2) && !REAL_IS_DOUBLE
#define vec __m256
#define LANES 8
#define vset(x) _mm256_set1_ps(x)
#define vload(p) _mm256_loadu_ps(p)
#define vstore(p, x) _mm256_storeu_ps(p, x)
#define vfma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define vmax(a, b) _mm256_max_ps(a, b)
#define vmin(a, b) _mm256_min_ps(a, b)
#define vgreater(x, y, a, b) _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, y, _CMP_GT_OQ))
#define vabs(x) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x)
#define vcopysign(x, sign) _mm256_or_ps(x, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign))
#define vsqrt(x) _mm256_sqrt_ps(x)
#define vexponent(x) _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x), 23))
#define vlow(a, b) _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20)
#define vhigh(a, b) _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31)
#define vload_part(p, n, fill) \
    _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, NAME(first_lanes)(n)), \
                     _mm256_castsi256_ps(NAME(first_lanes)(n)))

#elif defined(FL_AVX2)
#define vec __m256d
#define LANES 4
#define vset(x) _mm256_set1_pd(x)
#define vload(p) _mm256_loadu_pd(p)
#define vstore(p, x) _mm256_storeu_pd(p, x)
#define vfma(a, b, c) _mm256_fmadd_pd(a, b, c)
#define vmax(a, b) _mm256_max_pd(a, b)
#define vmin(a, b) _mm256_min_pd(a, b)
#define vgreater(x, y, a, b) _mm256_blendv_pd(b, a, _mm256_cmp_pd(x, y, _CMP_GT_OQ))
#define vabs(x) _mm256_andnot_pd(_mm256_set1_pd(-0.0), x)
#define vcopysign(x, sign) _mm256_or_pd(x, _mm256_and_pd(_mm256_set1_pd(-0.0), sign))
#define vsqrt(x) _mm256_sqrt_pd(x)
#define vexponent(x) _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(x), 52))
#define vlow(a, b) _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x20)
#define vhigh(a, b) _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x31)
#define vload_part(p, n, fill) \
    _mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_maskload_pd(p, NAME(first_lanes)(n)), \
                     _mm256_castsi256_pd(NAME(first_lanes)(n)))

#elif defined(FL_NEON) && !REAL_IS_DOUBLE
#define vec float32x4_t
#define LANES 4
#define vset(x) vdupq_n_f32(x)
#define vload(p) vld1q_f32(p)
#define vstore(p, x) vst1q_f32(p, x)
#define vfma(a, b, c) vfmaq_f32(c, a, b)
#define vmax(a, b) vmaxq_f32(a, b) /* NaN where either is NaN, as vmin; the kernels only ask that of the second */
#define vmin(a, b) vminq_f32(a, b)
#define vgreater(x, y, a, b) vbslq_f32(vcgtq_f32(x, y), a, b)
#define vabs(x) vabsq_f32(x)
#define vcopysign(x, sign) vbslq_f32(vdupq_n_u32(UINT32_C(1) << 31), sign, x)
#define vsqrt(x) vsqrtq_f32(x)
#define vexponent(x) vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(x), 23))
#define vlow(a, b) vzip1q_f32(a, b)
#define vhigh(a, b) vzip2q_f32(a, b)

#elif defined(FL_NEON)
#define vec float64x2_t
#define LANES 2
#define vset(x) vdupq_n_f64(x)
#define vload(p) vld1q_f64(p)
#define vstore(p, x) vst1q_f64(p, x)
#define vfma(a, b, c) vfmaq_f64(c, a, b)
#define vmax(a, b) vmaxq_f64(a, b)
#define vmin(a, b) vminq_f64(a, b)
#define vgreater(x, y, a, b) vbslq_f64(vcgtq_f64(x, y), a, b)
#define vabs(x) vabsq_f64(x)
#define vcopysign(x, sign) vbslq_f64(vdupq_n_u64(UINT64_C(1) << 63), sign, x)
#define vsqrt(x) vsqrtq_f64(x)
#define vexponent(x) vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(x), 52))
#define vlow(a, b) vzip1q_f64(a, b)
#define vhigh(a, b) vzip2q_f64(a, b)

#else /* plain C: one lane. */
#define vec REAL
#define LANES 1
#define vset(x) ((REAL)(x))
#define vload(p) (*(p))
#define vstore(p, x) (*(p) = (x))
#define vfma(a, b, c) ((a) * (b) + (c))
#define vgreater(x, y, a, b) ((x) > (y) ? (a) : (b))
#define vmax(a, b) NAME(scalar_max)(a, b)
#define vmin(a, b) NAME(scalar_min)(a, b)
#define vexponent(x) NAME(scalar_exponent)(x)
#define vlow(a, b) (a)
#define vhigh(a, b) (b)
#if REAL_IS_DOUBLE
#define vabs(x) fabs(x)
#define vcopysign(x, sign) copysign(x, sign)
#define vsqrt(x) sqrt(x)
#define UINT uint64_t
#define EXPONENT_SHIFT 52
#else
#define vabs(x) fabsf(x)
#define vcopysign(x, sign) copysignf(x, sign)
#define vsqrt(x) sqrtf(x)
#define UINT uint32_t
#define EXPONENT_SHIFT 23
#endif

/* As the vector instructions: the second operand where either is NaN. */
FL_INLINE REAL NAME(scalar_max)(REAL a, REAL b) { return a > b ? a : b; }
FL_INLINE REAL NAME(scalar_min)(REAL a, REAL b) { return a < b ? a : b; }

/* The low bits of x moved into the exponent field. */
FL_INLINE REAL NAME(scalar_exponent)(REAL x)
{
    UINT bits;
    memcpy(&bits, &x, sizeof bits);
    bits <<= EXPONENT_SHIFT;
    memcpy(&x, &bits, sizeof x);
    return x;
}
#undef UINT
#undef EXPONENT_SHIFT
#endif

#if defined(FL_AVX2)
/* A mask of all bits in the first n lanes, none in the others. */
FL_INLINE __m256i NAME(first_lanes)(int64_t n)
{
    static const int32_t bits[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(bits + 8 - n * 8 / LANES));
}
#endif

#ifndef vload_part
#define vload_part(p, n, fill) NAME(partly_loaded)(p, n, fill)
FL_INLINE vec NAME(partly_loaded)(const REAL *p, int64_t n, REAL fill)
{
    REAL lanes[LANES];
    for (int k = 0; k < LANES; k++)
        lanes[k] = k < n ? p[k] : fill;
    return vload(lanes);
}
#endif

/* The first n <= LANES numbers at p, the rest `fill`. With a constant n == LANES this is one load. */
FL_INLINE vec NAME(load_part)(const REAL *p, int64_t n, REAL fill)
{
    return n == LANES ? vload(p) : vload_part(p, n, fill);
}

/* Stores the first n <= LANES numbers of x, in pieces: a load that meets a store with a mask waits until that is in the cache,
 * though it be for numbers that the mask leaves out, as the next row's are. */
FL_INLINE void NAME(store_part)(REAL *p, vec x, int64_t n)
{
    if (n == LANES) {
        vstore(p, x);
        return;
    }
    REAL lanes[LANES], *from = lanes;
    vstore(lanes, x);
#pragma GCC unroll 4
    for (int piece = LANES / 2; piece; piece /= 2)
        if (n & piece) {
            memcpy(p, from, (size_t)piece * sizeof(REAL));
            p += piece;
            from += piece;
        }
}

#ifndef vstore_masked
#define vstore_masked(p, x, n) NAME(store_part)(p, x, n)
#endif

/* The same of a tile's many vectors: with a mask where that is cheap. */
FL_INLINE void NAME(store_of_tile)(REAL *p, vec x, int64_t n)
{
    if (n == LANES)
        vstore(p, x);
    else
        vstore_masked(p, x, n);
}

/* to[k to_stride + j] = from[j from_stride + k] for LANES j and k. Each round of shuffles moves a bit of the number of a vector
 * to that of the place in it. */
FL_INLINE void NAME(transpose)(REAL *to, int64_t to_stride, const REAL *from, int64_t from_stride)
{
    vec x[LANES], y[LANES];
#pragma GCC unroll 16
    for (int j = 0; j < LANES; j++)
        x[j] = vload(from + j * from_stride);
#pragma GCC unroll 4
    for (int round = 1; round < LANES; round *= 2) {
#pragma GCC unroll 8
        for (int j = 0; j < LANES / 2; j++) {
            y[2 * j] = vlow(x[j], x[j + LANES / 2]);
            y[2 * j + 1] = vhigh(x[j], x[j + LANES / 2]);
        }
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++)
            x[j] = y[j];
    }
#pragma GCC unroll 16
    for (int j = 0; j < LANES; j++)
        vstore(to + j * to_stride, x[j]);
}

FL_INLINE REAL NAME(sum_lanes)(vec x)
{
    REAL lanes[LANES], sum = 0;
    vstore(lanes, x);
    for (int k = 0; k < LANES; k++)
        sum += lanes[k];
    return sum;
}

FL_INLINE REAL NAME(max_lanes)(vec x)
{
    REAL lanes[LANES];
    vstore(lanes, x);
    REAL most = lanes[0];
    for (int k = 1; k < LANES; k++)
        most = lanes[k] > most ? lanes[k] : most;
    return most;
}

/* Runs body(j, n) over 0 <= j < count: whole vectors first, then what is left. n is constant in the first call, so that
 * the compiler drops the partial loads there. */
#undef FOR_EACH_VEC
#define FOR_EACH_VEC(count, body)                                       \
    do {                                                                \
        int64_t whole_ = (count) - (count) % LANES;                     \
        for (int64_t j_ = 0; j_ < whole_; j_ += LANES)                  \
            body(j_, LANES);                                            \
        if (whole_ < (count))                                           \
            body(whole_, (count) - whole_);                             \
    } while (0)
