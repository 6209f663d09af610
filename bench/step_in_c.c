/* fastlstm's kernels for step_in_c.h, as a program in C would call them. */
#include "step_in_c.h"

#include "fastlstm.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    fl_stack stack;
    fl_cell cell;
    fl_forward_step steps[2];
    const void *W, *U, *bias, *recurrent_bias;
} layer;

/* Memory for n numbers that begins a line of the caches and holds whole ones. */
static float *numbers(int64_t n)
{
    size_t bytes = ((size_t)n * sizeof(float) + 63) / 64 * 64;
    float *start = aligned_alloc(64, bytes);
    if (!start)
        abort();
    memset(start, 0, bytes);
    return start;
}

static float *packed(const fl_kernels_f32 *kernels, const float *weights, int64_t H)
{
    float *out = numbers(kernels->packed_size(H, 4 * H, H));
    kernels->pack(out, weights, H, 4 * H, 1, H, H, 0, 1);
    return out;
}

void *layer_new(int64_t H, const float *W, const float *U, const float *bias)
{
    layer *l = calloc(1, sizeof *l);
    if (!l)
        abort();
    const fl_row *row = fl_select(getenv("FASTLSTM_ISA"));
    float *own_bias = numbers(4 * H);
    memcpy(own_bias, bias, (size_t)(4 * H) * sizeof *bias);
    l->cell = (fl_cell){.kind = FL_LSTM, .activation = FL_TANH, .recurrent = FL_SIGMOID};
    l->W = packed(row->f32, W, H);
    l->U = packed(row->f32, U, H);
    l->bias = own_bias;
    l->stack = (fl_stack){.row = row, .L = 1, .B = 1, .I = H, .H = H, .cells = &l->cell, .W = &l->W, .bias = &l->bias, .U = &l->U,
                          .recurrent_bias = &l->recurrent_bias, .gates = numbers(4 * H), .h = numbers(2 * H),
                          .c = numbers(H), .x = numbers(H), .steps = l->steps};
    fl_stack_prepare(&l->stack);
    return l;
}

void layer_run(void *layer_, const float *x, float *h, int64_t steps)
{
    fl_stack *stack = &((layer *)layer_)->stack;
    const size_t row = (size_t)stack->H * sizeof(float);
    unsigned int mode = fl_flush_denormals();
    for (int64_t t = 0; t < steps; t++) {
        memcpy(stack->x, x + t % ROWS * stack->H, row);
        fl_stack_part(stack, 0, 1);
        stack->turn++;
        memcpy(h + t % ROWS * stack->H, fl_stack_output(stack), row);
    }
    fl_restore_denormals(mode);
}
