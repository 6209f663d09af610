/* Opens the region of one instruction set. A kernels_*.c file defines
 *     FL_ISA     suffix of its function names and of its table
 *     FL_AVX2    for the AVX2+FMA row
 *     FL_AVX512  for the AVX-512 row (F and DQ)
 *     FL_NEON    for the row of AArch64, all of which have NEON; none of the three means plain C
 * then includes this and kernels.inc.h once per REAL. The target is set here, after the system headers, because
 * setuptools has no flags per source file. */
#include "fastlstm.h"

#include <math.h>
#include <string.h>
#if defined(FL_AVX2) || defined(FL_AVX512)
#include <immintrin.h>
#elif defined(FL_NEON)
#include <arm_neon.h>
#endif
#if defined(FL_AVX2) || defined(FL_AVX512) || defined(FL_NEON)
#define FL_FUSED 1 /* vfma rounds once */
#else
#define FL_FUSED 0
#endif
#if defined(FL_AVX2) && defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(FL_AVX2)
#pragma GCC target("avx2,fma")
#elif defined(FL_AVX512) && defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq"))), apply_to = function)
#elif defined(FL_AVX512)
#pragma GCC target("avx512f,avx512dq")
#endif

/* A tile of a product keeps TILE_ROWS x VECS sums in registers: 24 of 32, 12 of 16; VECS is a power of 2. vkeep(x) has x
 * stay in its register, which compilers else give up to load it again for every use. FETCHES: tiles fetch what they
 * come to into the L1 cache, where that was measured to help. */
#if defined(FL_AVX512)
#define TILE_ROWS 6
#define VECS 4
#define FETCHES 1
#define vkeep(x) __asm__("" : "+v"(x))
#elif defined(FL_NEON)
#define TILE_ROWS 6
#define VECS 4
#define vkeep(x) __asm__("" : "+w"(x))
#elif defined(FL_AVX2)
#define TILE_ROWS 6
#define VECS 2
#define vkeep(x) __asm__("" : "+x"(x))
#else
#define TILE_ROWS 2
#define VECS 4
#define vkeep(x) ((void)(x))
#endif

#ifndef FETCHES
#define FETCHES 0
#endif

#define FL_JOIN_(a, b) a##_##b
#define FL_JOIN(a, b) FL_JOIN_(a, b)
#define FL_JOIN3_(a, b, c) a##_##b##_##c
#define FL_JOIN3(a, b, c) FL_JOIN3_(a, b, c)
#define FL_INLINE static inline __attribute__((always_inline))
