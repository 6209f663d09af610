/* Opens the region of one instruction set. A kernels_*.c file defines
 *     FL_ISA     suffix of its function names and of its table
 *     FL_AVX2    for the AVX2+FMA row; no such macro means plain C
 * then includes this and kernels.inc.h once per REAL. The target is set here, after the system headers, because
 * setuptools has no flags per source file. */
#include "fastlstm.h"

#include <math.h>
#include <string.h>
#if defined(FL_AVX2)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#endif

#define FL_JOIN3_(a, b, c) a##_##b##_##c
#define FL_JOIN3(a, b, c) FL_JOIN3_(a, b, c)
#define FL_INLINE static inline __attribute__((always_inline))
