#if defined(__x86_64__)
#define FL_ISA avx512
#define FL_AVX512
#include "isa.h"

#define REAL_IS_DOUBLE 0
#include "kernels.inc.h"
#define REAL_IS_DOUBLE 1
#include "kernels.inc.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
