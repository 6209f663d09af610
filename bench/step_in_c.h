/* What a library is to do for step_in_c.py, which defines ROWS: an LSTM layer of H inputs and H units that goes on step by step, on
 * one thread. */
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)
/* W, U (4H, H) and bias (4H,) as PyTorch has them, gates i f g o. */
void *layer_new(int64_t H, const float *W, const float *U, const float *bias);

/* Goes on by so many steps; step t reads row t % ROWS of x and writes that of h, both (ROWS, H). */
void layer_run(void *layer, const float *x, float *h, int64_t steps);
#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
