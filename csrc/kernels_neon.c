#if defined(__aarch64__)
#define FL_ISA neon
#define FL_NEON
#include "isa.h"

#define REAL_IS_DOUBLE 0
#include "kernels.inc.h"
#define REAL_IS_DOUBLE 1
#include "kernels.inc.h"
#endif
