/* What several threads compute together: layers over all steps, stacks step by step, and single kernels. */
#include "fastlstm.h"

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* What one thread does of a layer: all units of some sequences, or some strips of units of all sequences. */
typedef struct {
    int64_t first, last; /* sequences */
    int64_t begin, end;  /* strips */
} fl_share;

/* The first sequence of the index-th of `count` shares: they have like numbers of steps. */
static int64_t first_sequence(const fl_layer *l, int64_t index, int64_t count)
{
    int64_t all = 0, before = 0, length = l->T, b = 0;
    for (int64_t t = 0; t < l->T; t++)
        all += l->batch_sizes[t];
    for (; b < l->B; b++) {
        while (length > 0 && l->batch_sizes[length - 1] <= b)
            length--;
        if ((before + length) * count > all * index)
            break;
        before += length;
    }
    return b;
}

static fl_share share_of(const fl_layer *l, int64_t strips, int64_t index, int64_t count)
{
    fl_share share = {0, l->B, 0, strips};
    if (l->divide_units) {
        share.begin = strips * index / count;
        share.end = strips * (index + 1) / count;
    } else {
        share.first = first_sequence(l, index, count);
        share.last = first_sequence(l, index + 1, count);
    }
    return share;
}

/* How many of the share's sequences have a step t: its first ones. */
static int64_t running(const fl_layer *l, int64_t t, const fl_share *share)
{
    const int64_t last = smaller(l->batch_sizes[t], share->last);
    return last > share->first ? last - share->first : 0;
}

static const fl_kernels_f32 *kernels_f32(const fl_row *row) { return row->f32; }
static const fl_kernels_f64 *kernels_f64(const fl_row *row) { return row->f64; }

#define REAL float
#define TYPED(name) name##_f32
#include "layer.inc.h"
#include "divided.inc.h"
#undef REAL
#undef TYPED

#define REAL double
#define TYPED(name) name##_f64
#include "layer.inc.h"
#include "divided.inc.h"

static void run_layer(fl_layer *layer, fl_task task, int64_t threads)
{
    fl_barrier barrier = {.arrivals = 0};
    layer->barrier = &barrier;
    if (layer->divide_units)
        fl_run_together(task, layer, threads);
    else
        fl_run(task, layer, threads);
}

void fl_layer_forward(fl_layer *layer, int64_t threads)
{
    run_layer(layer, layer->real64 ? forward_task_f64 : forward_task_f32, threads);
}

void fl_layer_backward(fl_layer *layer, int64_t threads)
{
    run_layer(layer, layer->real64 ? backward_task_f64 : backward_task_f32, threads);
}

void fl_layer_gradients(const fl_layer *layer, const fl_gradients *gradients, int64_t threads)
{
    (layer->real64 ? layer_gradients_f64 : layer_gradients_f32)(layer, gradients, threads);
}

static void layers_task(void *context, int64_t index, int64_t count)
{
    (void)count;
    fl_layer_forward((fl_layer *)context + index, 1);
}

void fl_layers_forward(fl_layer *layers, int64_t count) { fl_run(layers_task, layers, count); }

typedef struct {
    fl_layer *layers;
    const fl_gradients *gradients;
} fl_way_back;

static void layers_back_task(void *context, int64_t index, int64_t count)
{
    const fl_way_back *way = context;
    (void)count;
    fl_layer_backward(way->layers + index, 1);
    fl_layer_gradients(way->layers + index, way->gradients + index, 1);
}

void fl_layers_backward(fl_layer *layers, const fl_gradients *gradients, int64_t count)
{
    fl_way_back way = {layers, gradients};
    fl_run(layers_back_task, &way, count);
}

/* Layers, the steps that each goes on with before the next reads them, and where threads meet in between. */
typedef struct {
    const fl_layer *layers;
    int64_t count, steps;
    fl_barrier barrier;
} fl_wave;

static void wave_task(void *context, int64_t index, int64_t count)
{
    fl_wave *wave = context;
    const int64_t T = wave->layers->T, B = wave->layers->B, size = fl_width(wave->layers->real64);
    for (int64_t at = 0; at < T + (wave->count - 1) * wave->steps; at += wave->steps) {
        for (int64_t k = index; k < wave->count; k += count) {
            int64_t first = at - k * wave->steps;
            if (first < 0 || first >= T)
                continue;
            fl_layer part = wave->layers[k];
            part.T = smaller(T - first, wave->steps);
            part.batch_sizes += first;
            part.x = (const char *)part.x + first * B * part.I * size;
            part.h = (char *)part.h + first * B * part.H * size;
            fl_layer_forward(&part, 1);
        }
        if (count > 1)
            fl_barrier_wait(&wave->barrier, count);
    }
}

void fl_wave_forward(const fl_layer *layers, int64_t count, int64_t threads)
{
    enum { PARTS = 16, LEAST_ROWS = 12 }; /* of a layer's steps: few wait at the ends then, and tiles of rows are thick */
    int64_t steps = (layers->T + PARTS - 1) / PARTS, least = (LEAST_ROWS + layers->B - 1) / layers->B;
    fl_wave wave = {.layers = layers, .count = count, .steps = steps > least ? steps : least};
    fl_run_together(wave_task, &wave, smaller(threads, count));
}

void fl_stack_prepare(fl_stack *s)
{
    const int64_t size = fl_width(s->real64), state = s->B * s->H * size;
    const int64_t wide = fl_blocks(s->cells) * s->H;
    const int64_t strips = s->real64 ? s->row->f64->strip_count(wide, s->H) : s->row->f32->strip_count(wide, s->H);
    s->forward = s->real64 ? s->row->f64->cell_forward : s->row->f32->cell_forward;
    for (int64_t turn = 0; turn < 2; turn++) {
        char *before = (char *)s->h + turn * s->L * state, *after = (char *)s->h + (1 - turn) * s->L * state;
        for (int64_t k = 0; k < s->L; k++, before += state, after += state) {
            void *c = s->c ? (char *)s->c + k * state : NULL;
            s->steps[turn * s->L + k] = (fl_forward_step){
                .cell = s->cells[k], .gates = s->gates, .recurrent = s->recurrent, .c = c, .h = after, .from = s->bias[k],
                .tokens = k || s->W[0] ? NULL : s->tokens, .shared = k || s->W[0], .x = k ? after - state : s->x,
                .W = s->W[k], .h_prev = before, .U = s->U[k], .c_prev = c ? c : before,
                .recurrent_bias = s->recurrent_bias[k], .rows = s->B, .I = k ? s->H : s->I, .H = s->H,
                .end = strips, .descending = turn};
        }
    }
}

void fl_stack_part(const fl_stack *s, int64_t index, int64_t count)
{
    const fl_forward_step *steps = s->steps + (s->turn & 1) * s->L;
    for (int64_t k = 0; k < s->L; k++) {
        if (count == 1) {
            s->forward(steps + k);
            continue;
        }
        fl_forward_step part = steps[k];
        part.begin = part.end * index / count;
        part.end = part.end * (index + 1) / count;
        s->forward(&part);
        fl_barrier_wait(s->barrier, count);
    }
}

static void stack_task(void *context, int64_t index, int64_t count) { fl_stack_part(context, index, count); }

void fl_stack_step(fl_stack *stack, int64_t threads)
{
    fl_barrier barrier; /* not cleared with all that keeps it apart, which takes longer than some steps */
    atomic_init(&barrier.arrivals, 0);
    stack->barrier = &barrier;
    fl_run_together(stack_task, stack, threads);
    stack->turn++;
}

void *fl_stack_output(const fl_stack *s)
{
    int64_t layer = (s->turn & 1) * s->L + s->L - 1, size = fl_width(s->real64);
    return (char *)s->h + layer * s->B * s->H * size;
}
