/* A stack of recurrent layers step by step, for one REAL. */

static void TYPED(stack_part)(const fl_stack *s, int64_t index, int64_t count)
{
    const TYPED(fl_kernels) *kernels = TYPED(kernels)(s->row);
    int64_t state = s->B * s->H, strips = kernels->strip_count(fl_blocks(s->cells) * s->H, s->H);
    REAL *all_h = s->h, *c = s->c;
    REAL *before = all_h + (s->turn & 1) * s->L * state, *after = all_h + (~s->turn & 1) * s->L * state;
    for (int64_t k = 0; k < s->L; k++, before += state, after += state) {
        REAL *own_c = c ? c + k * state : NULL;
        fl_forward_step step = {
            .cell = s->cells[k], .gates = s->gates, .recurrent = s->recurrent, .c = own_c, .h = after, .from = s->bias[k],
            .tokens = k ? NULL : s->tokens, .shared = k || !s->tokens, .x = k ? after - state : s->x, .W = s->W[k],
            .h_prev = before, .U = s->U[k], .c_prev = c ? own_c : before, .recurrent_bias = s->recurrent_bias[k],
            .rows = s->B, .I = k ? s->H : s->I, .H = s->H, .begin = strips * index / count,
            .end = strips * (index + 1) / count, .descending = s->turn & 1};
        kernels->cell_forward(&step);
        if (count > 1)
            fl_barrier_wait(s->barrier, count);
    }
}
