/* Runs layers, stacks and the divided kernels on several threads without Python, for run.sh to build under sanitizers:
 * TSan for the order in which threads read what others wrote, ASan and UBSan for the bounds.
 *
 * Layers and stacks are checked against their steps in double, whose products are plain loops; divided kernels must equal themselves on one thread to the
 * bit. layers.inc.h holds the checks, once for float and once for double. */
#include "checking.h"


typedef struct {
    int64_t T, B, I, H;        /* I = 0: tokens */
    int64_t batch_sizes[40];
    int kind, coupled, peepholes, activation, recurrent;
} layer_case;

static const layer_case layer_cases[] = {
    {5, 1, 3, 171, {1, 1, 1, 1, 1}, FL_LSTM, 0, 0, FL_TANH, FL_SIGMOID},
    {6, 5, 3, 33, {5, 5, 5, 5, 5, 5}, FL_LSTM, 0, 0, FL_TANH, FL_SIGMOID},
    {6, 7, 5, 171, {6, 6, 4, 3, 3, 1}, FL_LSTM, 0, 0, FL_TANH, FL_SIGMOID}, /* one sequence is empty */
    {5, 4, 0, 17, {4, 3, 3, 1, 0}, FL_LSTM, 0, 0, FL_TANH, FL_SIGMOID},    /* a step is padding for all */
    {4, 3, 0, 1, {3, 3, 3, 3}, FL_LSTM, 0, 1, FL_SOFTSIGN, FL_HARD_SIGMOID},
    {3, 8, 17, 34, {8, 8, 2}, FL_LSTM, 1, 1, FL_RELU, FL_HARD_SIGMOID},
    {3, 3, 5, 171, {3, 2, 2}, FL_LSTM, 1, 0, FL_TANH, FL_SIGMOID},
    {1, 2, 1, 9, {2}, FL_LSTM, 0, 0, FL_TANH, FL_SIGMOID},
    {5, 7, 5, 70, {7, 6, 4, 4, 1}, FL_GRU, 0, 0, FL_TANH, FL_SIGMOID},
    {4, 1, 5, 70, {1, 1, 1, 1}, FL_GRU, 0, 0, FL_TANH, FL_SIGMOID},
    {4, 3, 0, 171, {3, 3, 2, 1}, FL_GRU, 0, 0, FL_SOFTSIGN, FL_HARD_SIGMOID},
    {5, 5, 3, 33, {5, 5, 3, 3, 1}, FL_RNN, 0, 0, FL_TANH, FL_TANH},
    {5, 1, 7, 65, {1, 1, 1, 1, 1}, FL_RNN, 0, 0, FL_TANH, FL_TANH},
    {3, 1, 0, 150, {1, 1, 1}, FL_RNN, 0, 0, FL_RELU, FL_TANH},
};

static fl_cell cell_of(const layer_case *l, const void *peepholes)
{
    return (fl_cell){.kind = l->kind, .coupled = l->coupled, .activation = l->activation, .recurrent = l->recurrent,
                     .peepholes = l->peepholes ? peepholes : NULL};
}

/* One layer step by step in double, rows packed as fl_layer's: states (B + N, H) begin with the initial ones. */
typedef struct {
    double *gates, *recurrent, *h, *c; /* (N, GH), (N, 3H), (B + N, H), (B + N, H) */
} layer_truth;

#define REAL float
#define IS_DOUBLE 0
#define BOUND (128 * FLT_EPSILON)
#define NAME(x) x##_f32
#include "layers.inc.h"
#undef REAL
#undef IS_DOUBLE
#undef BOUND
#undef NAME
#define REAL double
#define IS_DOUBLE 1
#define BOUND (128 * DBL_EPSILON)
#define NAME(x) x##_f64
#include "layers.inc.h"

static void do_nothing(void *context, int64_t index, int64_t count) { (void)context, (void)index, (void)count; }

int main(void)
{
    size_t count;
    const fl_row *rows = fl_rows(&count);
    check("three threads run together", (double)fl_run_together(do_nothing, NULL, 3), 3, 0);
    for (size_t k = 0; k < count; k++) {
        const fl_row *row = fl_select(rows[k].name);
        if (!row) {
            printf("%-8s not on this processor\n", rows[k].name);
            continue;
        }
        int before = passed;
        row_failed = 0;
        random_state = 88172645463325252u;
        check_all_f32(row);
        check_all_f64(row);
        printf("%-8s %d passed, %d failed\n", row->name, passed - before, row_failed);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
