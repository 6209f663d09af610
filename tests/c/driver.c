/* Runs every kernel of every row of the table without Python, for run.sh to build under sanitizers.
 *
 * Every array lies in a malloc'd block of exactly its size, so that AddressSanitizer sees any access beyond it. Results
 * are checked against plain loops in double with libm, and some against golden.h; cell_backward in double also against
 * central differences of cell_forward. checks.inc.h holds the checks, once for float and once for double. */
#include "checking.h"
#include "golden.h"

static const int64_t widths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65, 1025};
static const int64_t units[] = {1, 3, 7, 8, 9, 17, 65};
static const int64_t batches[] = {1, 2, 5};
static const int64_t depths[] = {1, 2, 15, 17, 64, 65, 700}; /* 700 is more than a block of K */
static const int64_t columns[] = {1, 2, 15, 16, 17, 31, 64, 65, 130};
static const int64_t products_of[] = {1, 2, 3, 4, 5, 6, 7, 8, 13, 200}; /* rows */
static const int64_t vocabularies[] = {1, 2, 65};
static const int kinds[][2] = {{FL_TANH, FL_SIGMOID}, {FL_SOFTSIGN, FL_HARD_SIGMOID}, {FL_RELU, FL_LINEAR}};

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

/* dL/d(gates before) and dL/d(c_prev) of L = sum(dh h + dc c), by central differences of cell_forward. */
static void check_differences(const fl_kernels_f64 *kernels, int64_t rows, int64_t H, int activation, int recurrent)
{
    size_t wide = (size_t)(rows * 4 * H), narrow = (size_t)(rows * H);
    double *before = random_f64(wide), *c_prev = random_f64(narrow), *dh = random_f64(narrow), *dc = random_f64(narrow);
    double *gates = copy_f64(before, wide), *c = random_f64(narrow), *h = random_f64(narrow);
    double *d_c_prev = copy_f64(dc, narrow), epsilon = 1e-5;
    fl_forward_step step = {.gates = gates, .c = c, .h = h, .from = gates, .c_prev = c_prev, .rows = rows, .H = H,
                            .cell = {.activation = activation, .recurrent = recurrent}};
    fl_backward_step back = {.gates = gates, .dh = dh, .dc = d_c_prev, .c = c, .c_prev = c_prev, .rows = rows, .H = H,
                             .cell = step.cell};
    kernels->cell_forward(&step);
    kernels->cell_backward(&back);
    double *work = random_f64(wide);
    step.gates = work, step.from = work;
    for (size_t k = 0; k < wide + narrow; k++) {
        double *variable = k < wide ? before + k : c_prev + (k - wide), kept = *variable, sides[2];
        for (int side = 0; side < 2; side++) {
            *variable = kept + (side ? -epsilon : epsilon);
            memcpy(work, before, wide * sizeof *work);
            kernels->cell_forward(&step);
            sides[side] = 0;
            for (size_t j = 0; j < narrow; j++)
                sides[side] += dh[j] * h[j] + dc[j] * c[j];
        }
        *variable = kept;
        check(k < wide ? "lstm_backward, gates by differences" : "lstm_backward, dc by differences",
              k < wide ? gates[k] : d_c_prev[k - wide], (sides[0] - sides[1]) / (2 * epsilon), 1e-8);
    }
    free(before), free(c_prev), free(dh), free(dc), free(gates), free(c), free(h), free(d_c_prev), free(work);
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
                check_differences(row->f64, 2, H, kinds[pair][0], kinds[pair][1]);
        printf("%-8s %d passed, %d failed\n", row->name, passed - before, row_failed);
        run++;
    }
    check_mode();
    printf("%d passed, %d failed\n", passed, failed);
    return failed || !run;
}
