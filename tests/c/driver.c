/* Runs every kernel of every row of the table without Python, for run.sh to build under sanitizers.
 *
 * Every array lies in a malloc'd block of exactly its size, so that AddressSanitizer sees any access beyond it. Results
 * are checked against plain loops in double with libm, and some against golden.h; cell_backward in double also against
 * central differences of cell_forward, for every cell. checks.inc.h holds the checks, once for float and once for double. */
#include "checking.h"
#include "golden.h"

static const int64_t widths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65, 1025};
static const int64_t units[] = {1, 3, 7, 8, 9, 17, 65, 171};
static const int64_t beside_units[] = {1, 17, 100, 171};
static const int64_t batches[] = {1, 2, 5};
static const int64_t depths[] = {1, 2, 15, 17, 64, 65, 700}; /* 700 is more than a block of K */
static const int64_t columns[] = {1, 2, 15, 16, 17, 31, 64, 65, 130};
static const int64_t products_of[] = {1, 2, 3, 4, 5, 6, 7, 8, 13, 200}; /* rows */
static const int64_t vocabularies[] = {1, 2, 65};
static const int kinds[][2] = {{FL_TANH, FL_SIGMOID}, {FL_SOFTSIGN, FL_HARD_SIGMOID}, {FL_RELU, FL_LINEAR}};

static double activation(int kind, double x)
{
    switch (kind) {
    case FL_TANH: return tanh(x);
    case FL_SIGMOID: return 1 / (1 + exp(-x));
    case FL_RELU: return x > 0 ? x : 0;
    case FL_HARD_SIGMOID: return fmin(fmax(x + 3, 0), 6) / 6;
    case FL_SOFTSIGN: return x / (1 + fabs(x));
    default: return x;
    }
}

/* The derivative of an activation from its value. */
static double slope(int kind, double y)
{
    switch (kind) {
    case FL_TANH: return 1 - y * y;
    case FL_SIGMOID: return y * (1 - y);
    case FL_RELU: return y > 0 ? 1 : 0;
    case FL_HARD_SIGMOID: return y > 0 && y < 1 ? 1 / 6. : 0;
    case FL_SOFTSIGN: return (1 - fabs(y)) * (1 - fabs(y));
    default: return 1;
    }
}

#define REAL float
#define BOUND (16 * FLT_EPSILON)
#define NAME(x) x##_f32
#include "checks.inc.h"
#undef REAL
#undef BOUND
#undef NAME
#define REAL double
#define BOUND (16 * DBL_EPSILON)
#define NAME(x) x##_f64
#include "checks.inc.h"

static const fl_cell cells[] = {
    {.kind = FL_LSTM}, {.kind = FL_LSTM, .coupled = 1}, {.kind = FL_GRU}, {.kind = FL_RNN}, {.kind = FL_GRU_UPDATE},
};

/* The sum of dh h + dc c after one step from the pre-activations and states `from`: gates, recurrent, c_prev one after
 * another. `step` has space for what it writes. */
static double loss(const fl_kernels_f64 *kernels, const fl_forward_step *step, const double *from, const double *dh,
                   const double *dc)
{
    size_t narrow = (size_t)(step->rows * step->H), wide = (size_t)fl_blocks(&step->cell) * narrow;
    double *h = step->h, *c = step->c, sum = 0;
    fl_forward_step moved = *step;
    memcpy(step->gates, from, wide * sizeof *from);
    memcpy(step->recurrent, from + wide, 3 * narrow * sizeof *from);
    moved.c_prev = from + wide + 3 * narrow;
    kernels->cell_forward(&moved);
    for (size_t j = 0; j < narrow; j++)
        sum += dh[j] * h[j] + (step->cell.kind == FL_LSTM ? dc[j] * c[j] : 0);
    return sum;
}

/* The gradients of `loss`, by central differences of cell_forward. */
static void check_differences(const fl_kernels_f64 *kernels, fl_cell cell, int64_t rows, int64_t H)
{
    size_t narrow = (size_t)(rows * H), wide = (size_t)fl_blocks(&cell) * narrow, all = wide + 4 * narrow;
    double *from = random_f64(all), *dh = random_f64(narrow), *dc = random_f64(narrow), *peepholes = random_f64((size_t)(3 * H));
    double *gates = random_f64(wide), *recurrent = random_f64(3 * narrow), *c = random_f64(narrow), *h = random_f64(narrow);
    double *d_h = copy_f64(dh, narrow), *d_c = copy_f64(dc, narrow), epsilon = 1e-5;
    cell.peepholes = cell.kind == FL_LSTM ? peepholes : NULL;
    fl_forward_step step = {.cell = cell, .gates = gates, .recurrent = recurrent, .c = c, .h = h, .rows = rows, .H = H};
    loss(kernels, &step, from, dh, dc);
    fl_backward_step back = {.cell = cell, .gates = gates, .recurrent = recurrent, .dh = d_h, .dc = d_c, .c = c,
                             .c_prev = from + wide + 3 * narrow, .rows = rows, .H = H};
    kernels->cell_backward(&back);
    double *d_gates = copy_f64(gates, wide), *d_recurrent = copy_f64(recurrent, 3 * narrow);
    const double *d_before = cell.kind == FL_LSTM ? d_c : d_h;
    for (size_t k = 0; k < all; k++) {
        if (cell.kind == FL_GRU_UPDATE && k < wide && k / (size_t)H % 3 < 2) /* r is not its own, z comes activated */
            continue;
        double kept = from[k], sides[2], got = k < wide ? d_gates[k] : d_before[(k - wide) % narrow];
        if (k >= wide && k < wide + 3 * narrow)
            got = cell.kind == FL_GRU ? d_recurrent[k - wide] : 0;
        else if (k >= wide && cell.kind == FL_RNN)
            got = 0;
        for (int side = 0; side < 2; side++) {
            from[k] = kept + (side ? -epsilon : epsilon);
            sides[side] = loss(kernels, &step, from, dh, dc);
        }
        from[k] = kept;
        check("cell_backward by differences", got, (sides[0] - sides[1]) / (2 * epsilon), 1e-6); /* softsign bends at 0 */
    }
    free(from), free(dh), free(dc), free(peepholes), free(gates), free(recurrent), free(c), free(h), free(d_h), free(d_c);
    free(d_gates), free(d_recurrent);
}

static void check_mode(void)
{
    volatile double tiny = DBL_MIN, quarter;
    unsigned int mode = fl_flush_denormals();
    quarter = tiny / 4;
    fl_restore_denormals(mode);
#if defined(__x86_64__) || defined(__aarch64__)
    check("denormals after fl_flush_denormals", quarter, 0, 0);
#else
    (void)quarter;
#endif
    check("denormals after fl_restore_denormals", tiny / 4 > 0, 1, 0);
}

int main(void)
{
    size_t count, run = 0;
    const fl_row *rows = fl_rows(&count);
    check("the last row is scalar", strcmp(rows[count - 1].name, "scalar"), 0, 0);
    check("no such row", fl_select("sse9") == NULL, 1, 0);
    for (size_t k = 0; k < count; k++) {
        const fl_row *row = fl_select(rows[k].name);
        if (!row) {
            printf("%-8s not on this processor\n", rows[k].name);
            continue;
        }
        check("the row asked for", row == rows + k, 1, 0);
        check("the best row comes first", run || fl_select(NULL) == row, 1, 0);
        int before = passed;
        row_failed = 0;
        random_state = 88172645463325252u;
        check_all_f32(row->f32);
        check_all_f64(row->f64);
        FOR_EACH(int64_t, H, units)
            for (size_t pair = 0; pair < COUNT(kinds); pair++)
                FOR_EACH(fl_cell, cell, cells) {
                    cell.activation = kinds[pair][0], cell.recurrent = kinds[pair][1];
                    check_differences(row->f64, cell, 2, H);
                }
        printf("%-8s %d passed, %d failed\n", row->name, passed - before, row_failed);
        run++;
    }
    check_mode();
    printf("%d passed, %d failed\n", passed, failed);
    return failed || !run;
}
