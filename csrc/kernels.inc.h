/* Every kernel for one instruction set and one REAL; REAL_IS_DOUBLE says which. */
#undef REAL
#undef REAL_NAME
#undef NAME
#if REAL_IS_DOUBLE
#define REAL double
#define REAL_NAME f64
#else
#define REAL float
#define REAL_NAME f32
#endif
#define NAME(x) FL_JOIN3(x, REAL_NAME, FL_ISA)

#include "vec.h"

#include "math.inc.h"

#include "panels.inc.h"
#include "tile.inc.h"
#include "product.inc.h"
#include "beside.inc.h"
#include "cell.inc.h"
#include "lstm.inc.h"
#include "gru.inc.h"
#include "rnn.inc.h"
#include "step.inc.h"
#include "optim.inc.h"
#include "softmax.inc.h"
#include "tokens.inc.h"

const FL_JOIN3(fl, kernels, REAL_NAME) NAME(fl_kernels) = {
    .strip_columns = PANEL,
    .strip_count = NAME(strip_count),
    .packed_size = NAME(packed_size),
    .scratch_size = NAME(scratch_size),
    .pack = NAME(pack),
    .product = NAME(product),
    .product_transposed = NAME(product_transposed),
    .cell_forward = NAME(cell_forward),
    .cell_backward = NAME(cell_backward),
    .softmax_cross_entropy = NAME(softmax_cross_entropy),
    .sgd = NAME(sgd),
    .rmsprop = NAME(rmsprop),
    .adam = NAME(adam),
    .sum_of_squares = NAME(sum_of_squares),
    .scatter_add = NAME(scatter_add),
    .activate = NAME(activate),
};
#undef REAL_IS_DOUBLE
