#define FL_ISA scalar
#include "isa.h"

#define REAL_IS_DOUBLE 0
#include "kernels.inc.h"
#define REAL_IS_DOUBLE 1
#include "kernels.inc.h"
