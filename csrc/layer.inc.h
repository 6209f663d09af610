/* The time loops of one recurrent layer, for one REAL. */

/* The input's part of the pre-activations, of rows that are to be said. */
static fl_product TYPED(projection)(const fl_layer *l, const fl_share *s)
{
    return (fl_product){.packed = l->W, .bias = l->bias, .K = l->I, .N = fl_blocks(&l->cell) * l->H, .group = l->H,
                        .begin = s->begin, .end = s->end};
}

/* Multiplies the M rows of x that `rows` lists with W, into the same rows of the layer's gates, or one after another into the
 * scratch. */
static void TYPED(project)(const fl_layer *l, const fl_share *s, REAL *gates, const int64_t *rows, int64_t M)
{
    fl_product product = TYPED(projection)(l, s);
    product.C = gates;
    product.C_rows = l->gates ? rows : NULL;
    product.A = l->x;
    product.A_rows = rows;
    product.M = M;
    TYPED(kernels)(l->row)->product(&product);
}

/* Lists the thread's rows of as many steps from *t on, the first of them at `start`, as fit into a block; returns how many
 * rows, and in *t the step after them. */
static int64_t TYPED(list_rows)(const fl_layer *l, const fl_share *s, int64_t *rows, int64_t *t, int64_t start)
{
    int64_t listed = 0;
    while (*t < l->T && listed + running(l, *t, s) <= l->block) {
        for (int64_t b = 0, count = running(l, *t, s); b < count; b++)
            rows[listed++] = start + s->first + b;
        start += l->batch_sizes[(*t)++];
    }
    return listed;
}

enum { TYPED(MOST_COLUMNS) = 512 }; /* inputs of FL_BESIDE rows that a thread has on its stack */

/* Whether a product of the input is worth making beside the steps: in layers of one sequence whose U comes from beyond the L1
 * cache, if W is of like size and both have at most so many bytes. */
static int TYPED(pays_beside)(const fl_layer *l, int64_t most_bytes)
{
    enum { LEAST_BYTES = 48 << 10 };
    int64_t row = fl_blocks(&l->cell) * l->H * (int64_t)sizeof(REAL);
    return l->ahead && l->B == 1 && l->I >= l->H / 2 && l->I <= 2 * l->H && row * l->H >= LEAST_BYTES &&
           row * (l->I + l->H) <= most_bytes;
}

/* Forward, as long as both stay in the L3 cache. */
static int TYPED(works_ahead)(const fl_layer *l)
{
    return !l->tokens && l->I <= TYPED(MOST_COLUMNS) && TYPED(pays_beside)(l, 8 << 20);
}

/* From the (listed % FL_BESIDE)-th step of a block of `listed` on, every FL_BESIDE steps make the input's part of as many after
 * them: sets what step t makes, which `used` steps of its block precede. */
static void TYPED(work_ahead)(const fl_layer *l, fl_forward_step *step, fl_product *later, REAL *columns, int64_t t,
                              int64_t used, int64_t listed)
{
    int64_t first = listed % FL_BESIDE, part = (used - first) % FL_BESIDE, rows = FL_BESIDE - part;
    step->beside.product = used >= first && used + rows < listed ? later : NULL;
    if (!step->beside.product)
        return;
    const REAL *x = (const REAL *)l->x + (t + rows) * l->I;
    later->A = x;
    later->C = (REAL *)step->gates + rows * later->N;
    step->beside.columns = columns;
    step->beside.part = part;
    if (part == 0)
        for (int64_t k = 0; k < l->I; k++)
            for (int64_t r = 0; r < FL_BESIDE; r++)
                columns[k * FL_BESIDE + r] = x[r * l->I + k];
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
    const int works_ahead = TYPED(works_ahead)(l);
    REAL columns[FL_BESIDE * TYPED(MOST_COLUMNS)];
    fl_product later = TYPED(projection)(l, &s);
    later.M = FL_BESIDE;
    int64_t projected = 0, listed = 0, used = 0; /* steps in blocks so far, rows of the present block and those gone through */
    for (int64_t t = 0, start = 0, before = 0; t < l->T; start += l->batch_sizes[t++]) {
        int64_t current = l->B + start;
        if (!l->tokens && t == projected) {
            listed = TYPED(list_rows)(l, &s, rows, &projected, start);
            int64_t now = works_ahead && listed > FL_BESIDE ? FL_BESIDE + listed % FL_BESIDE : listed;
            TYPED(project)(l, &s, gates ? gates : scratch, rows, now);
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
        if (works_ahead)
            TYPED(work_ahead)(l, &step, &later, columns, t, used, listed);
        kernels->cell_forward(&step);
        used += l->tokens ? 0 : step.rows;
        before = current;
        if (l->divide_units)
            fl_barrier_wait(l->barrier, count);
    }
}

/* The product that makes the gradient of x. */
static fl_product TYPED(input_gradient)(const fl_layer *l)
{
    return (fl_product){.C = l->dx, .A = l->gates, .packed = l->W, .M = l->N, .K = fl_blocks(&l->cell) * l->H, .N = l->I,
                        .end = TYPED(kernels)(l->row)->strip_count(l->I, 0)};
}

/* How many of the last steps have their dx made beside earlier steps, FL_BESIDE beside the FL_BESIDE before them. */
static int64_t TYPED(steps_made_beside)(const fl_layer *l)
{
    const int pays = l->dx && !l->divide_units && TYPED(pays_beside)(l, 6 << 20);
    return pays ? (l->T - FL_BESIDE + 1) / FL_BESIDE * FL_BESIDE : 0;
}

/* Sets what step t makes, `made` as above: rows from `first` on, all later than its own, so that dx may be the memory of dy. */
static void TYPED(work_beside)(const fl_layer *l, fl_backward_step *step, fl_product *later, int64_t t, int64_t made)
{
    int64_t since = l->T - FL_BESIDE - 1 - t, part = since % FL_BESIDE, first = t + 1 + part;
    step->beside.product = since >= 0 && since < made ? later : NULL;
    if (!step->beside.product)
        return;
    later->A = (REAL *)l->gates + first * later->K;
    later->C = (REAL *)l->dx + first * later->N;
    step->beside.part = part;
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
    const int64_t made = TYPED(steps_made_beside)(l);
    fl_product later = TYPED(input_gradient)(l);
    later.M = FL_BESIDE;
    for (int64_t t = l->T - 1; t >= -1; t--) { /* at -1 only dh is left to do */
        int64_t rows = t < 0 ? next : running(l, t, &s), after = start;
        start -= t < 0 ? 0 : l->batch_sizes[t];
        int64_t before = t > 0 ? l->B + start - l->batch_sizes[t - 1] : 0;
        step.descending = t & 1;
        TYPED(work_beside)(l, &step, &later, t, made);
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

static void TYPED(layer_gradients)(const fl_layer *l, const fl_gradients *g, int64_t threads)
{
    const TYPED(fl_kernels) *kernels = TYPED(kernels)(l->row);
    const int64_t wide = fl_blocks(&l->cell) * l->H;
    const REAL *gates = l->gates, *sums = l->recurrent ? l->recurrent : gates;
    TYPED(fl_multiply_transposed)(kernels, threads, g->U, g->recurrent_bias, sums, l->h, g->scratch, wide, l->N, l->H, 0);
    TYPED(fl_multiply_transposed)(kernels, threads, g->W, g->bias, gates, l->x, g->scratch, wide, l->N, l->I, 0);
    fl_product product = TYPED(input_gradient)(l);
    product.M -= TYPED(steps_made_beside)(l);
    TYPED(fl_multiply)(kernels, threads, &product);
}
