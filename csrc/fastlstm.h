/* The whole C interface of fastlstm: kernels per instruction set, the choice of a row of them, a pool of threads.
 *
 * Sizes are int64_t: T steps, B rows, H hidden units, V symbols, n elements. Arrays are C-contiguous and belong to the
 * caller, who has checked every size; kernels allocate nothing and keep nothing between calls. Arguments come as
 * outputs, inputs, sizes. Arrays of one call do not overlap unless its comment says so. */
#ifndef FASTLSTM_H
#define FASTLSTM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Activation functions of the cells, the order of `fastlstm.reference.ACTIVATIONS`. */
enum { FL_TANH, FL_SIGMOID, FL_RELU, FL_HARD_SIGMOID, FL_SOFTSIGN, FL_LINEAR };

/* Hyperparameters of one optimiser step; each kernel says which it reads besides the learning rate and gradient_scale. */
typedef struct {
    double learning_rate;   /* step size, already multiplied by the schedule */
    double beta1, beta2;    /* decay of the first and second moment, in [0, 1) */
    double epsilon;         /* added to the root of the second moment */
    double weight_decay;    /* share of each parameter taken off, times the learning rate */
    double gradient_scale;  /* every gradient is multiplied by this first: the clipping factor */
    int64_t step;           /* number of this step, from 1: corrects the bias of the moments */
} fl_update;

#define REAL float
#define FL_KERNELS fl_kernels_f32
#include "table.inc.h"
#define REAL double
#define FL_KERNELS fl_kernels_f64
#include "table.inc.h"

/* One row of the table: an instruction set and its kernels. */
typedef struct {
    const char *name;          /* "scalar", "avx2", "avx512": what FASTLSTM_ISA and fl_select take */
    const fl_kernels_f32 *f32;
    const fl_kernels_f64 *f64;
    int (*supported)(void);    /* whether this processor can run the row */
} fl_row;

/* Rows compiled into this library, best first, ending with scalar; *count receives their number. */
const fl_row *fl_rows(size_t *count);

/* The row called `name`, or the best supported one where `name` is NULL. NULL: no such row, or this processor lacks it. */
const fl_row *fl_select(const char *name);

/* Makes this thread treat denormal floats as zero; returns the mode to hand back to fl_restore_denormals. */
unsigned int fl_flush_denormals(void);
void fl_restore_denormals(unsigned int mode);

/* ---- threads ----
 *
 * One pool of threads per process. A job is `count` tasks. Thread 0 is the caller, threads 1, 2, ... are workers:
 * made when a job first needs them, never ended, asleep between jobs. Task k always goes to thread k, so that each
 * core keeps its own part of the weights in its cache. How many tasks suit the machine is the caller's to say.
 *
 * Any thread may call. While the pool works for one caller, every other one (a task that calls, too) runs its job
 * alone. Tasks run with denormals flushed; the caller's mode is restored. What the caller wrote before the call,
 * the tasks see; what they wrote, it sees after the call. A forked child has an idle pool without workers, whatever
 * other threads of the parent were doing; only a task must not fork. */

/* One task of a job: `context` is the caller's, index in [0, count). */
typedef void (*fl_task)(void *context, int64_t index, int64_t count);

enum { FL_MOST_THREADS = 256 };  /* of one job, the caller included */

/* Runs task(context, k, count) once for each k in [0, count) and returns when all are done. They may run at the
 * same time or one after another, so none may wait for another. With n < count threads (FL_MOST_THREADS, or the
 * system makes no more) thread j runs tasks j, j + n, j + 2n, ...; a job that runs alone has n = 1. */
void fl_run(fl_task task, void *context, int64_t count);

/* The same for tasks that wait for each other: runs either all `count` tasks at the same time, each on a thread of
 * its own, or, where that cannot be, only task(context, 0, 1), which then does all the work. Returns the number of
 * tasks that ran: count or 1; 0 for count = 0. */
int64_t fl_run_together(fl_task task, void *context, int64_t count);

/* Where tasks of fl_run_together meet. A barrier of zeros is ready for use, and after use for the next job of as
 * many tasks. The count stands so far from other data that they share no cache line, wherever a barrier lies. */
typedef struct {
    char before[120];
    _Atomic uint64_t arrivals;
    char after[120];
} fl_barrier;

/* Returns once each of the `count` tasks (the number a task is given) has called it as often as this one, which then
 * sees what they wrote before. Keeps its processor busy: for steps of microseconds, not for long waits. */
void fl_barrier_wait(fl_barrier *barrier, int64_t count);

#endif
