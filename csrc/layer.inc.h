/* The time loops of one recurrent layer, for one REAL. */

/* The input's part of the pre-activations of M rows of the layer, which `rows` lists; into those rows of the layer's gates,
 * or one after another into the scratch. */
static void TYPED(project)(const fl_layer *l, const fl_share *s, REAL *gates, const int64_t *rows, int64_t M)
{
    fl_product product = {.C = gates, .A = l->x, .packed = l->W, .bias = l->bias, .C_rows = l->gates ? rows : NULL,
                          .A_rows = rows, .M = M, .K = l->I, .N = fl_blocks(&l->cell) * l->H, .group = l->H,
                          .begin = s->begin, .end = s->end};
    TYPED(kernels)(l->row)->product(&product);
}

static void TYPED(forward_task)(void *context, int64_t index, int64_t count)
{
    const fl_layer *l = context;
    const TYPED(fl_kernels) *kernels = TYPED(kernels)(l->row);
    int64_t H = l->H, wide = fl_blocks(&l->cell) * H, *rows = l->rows + index * l->block;
    fl_share s = share_of(l, kernels->strip_count(wide, H), index, count);
    REAL *all_h = l->h, *all_c = l->c, *gates = l->gates, *scratch = l->scratch, *recurrent = l->recurrent;
    if (!gates && !l->divide_units) /* else each thread has its columns of the same scratch */
        scratch += index * l->block * wide;
    fl_forward_step step = {.cell = l->cell, .H = H, .U = l->U, .recurrent_bias = l->recurrent_bias, .begin = s.begin,
                            .end = s.end};
    int64_t ahead = 0, used = 0; /* steps projected, and rows of theirs gone through */
    for (int64_t t = 0, start = 0, before = 0; t < l->T; start += l->batch_sizes[t++]) {
        int64_t current = l->B + start;
        if (!l->tokens && t == ahead) {
            int64_t next = start, listed = 0;
            while (ahead < l->T && listed + running(l, ahead, &s) <= l->block) {
                for (int64_t b = 0; b < running(l, ahead, &s); b++)
                    rows[listed++] = next + s.first + b;
                next += l->batch_sizes[ahead++];
            }
            TYPED(project)(l, &s, gates ? gates : scratch, rows, listed);
            used = 0;
        }
        step.rows = running(l, t, &s);
        step.gates = gates ? gates + (start + s.first) * wide : scratch + used * wide;
        step.from = l->tokens ? l->bias : step.gates;
        step.tokens = l->tokens ? l->tokens + start + s.first : NULL;
        step.h = all_h + (current + s.first) * H;
        step.h_prev = all_h + (before + s.first) * H;
        step.c_prev = step.h_prev;
        if (all_c) {
            step.c = all_c + ((l->keep ? current : 0) + s.first) * H;
            step.c_prev = all_c + ((l->keep ? before : 0) + s.first) * H;
        }
        if (recurrent)
            step.recurrent = recurrent + ((l->keep ? start : 0) + s.first) * wide;
        step.descending = t & 1;
        kernels->cell_forward(&step);
        used += l->tokens ? 0 : step.rows;
        before = current;
        if (l->divide_units)
            fl_barrier_wait(l->barrier, count);
    }
}

static void TYPED(backward_task)(void *context, int64_t index, int64_t count)
{
    const fl_layer *l = context;
    const TYPED(fl_kernels) *kernels = TYPED(kernels)(l->row);
    int64_t H = l->H, wide = fl_blocks(&l->cell) * H, start = l->N, next = 0;
    fl_share s = share_of(l, kernels->strip_count(H, 0), index, count);
    REAL *gates = l->gates, *recurrent = l->recurrent, *dh = l->dh, *dc = l->dc, *c = l->c ? l->c : l->h;
    const REAL *dy = l->dy, *sums = recurrent ? recurrent : gates; /* the gradients of what U's product is added to */
    fl_backward_step step = {.cell = l->cell, .U = l->U, .H = H, .begin = s.begin, .end = s.end};
    for (int64_t t = l->T - 1; t >= -1; t--) { /* at -1 only dh is left to do */
        int64_t rows = t < 0 ? next : running(l, t, &s), after = start;
        start -= t < 0 ? 0 : l->batch_sizes[t];
        int64_t before = t > 0 ? l->B + start - l->batch_sizes[t - 1] : 0;
        step.descending = t & 1;
        /* The sequences that go on after this step, then those that end with it. */
        for (int ends = 0; ends < 2; ends++) {
            int64_t first = s.first + (ends ? next : 0);
            step.rows = ends ? rows - next : next;
            step.next = ends ? NULL : sums + (after + first) * wide;
            step.gates = t < 0 ? NULL : gates + (start + first) * wide;
            step.recurrent = recurrent ? recurrent + (start + first) * wide : NULL;
            step.dh = dh + first * H;
            step.dc = dc ? dc + first * H : NULL;
            step.dy = dy + (start + first) * H;
            step.c = c + (l->B + start + first) * H;
            step.c_prev = c + (before + first) * H;
            if (step.rows > 0)
                kernels->cell_backward(&step);
        }
        next = rows;
        if (l->divide_units)
            fl_barrier_wait(l->barrier, count);
    }
}
