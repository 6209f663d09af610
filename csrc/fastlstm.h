/* The whole C interface of fastlstm: a table of kernels per instruction set, and the choice of its row.
 *
 * Sizes are int64_t: T steps, B rows, H hidden units, V symbols, n elements. Arrays are C-contiguous and belong to the
 * caller, who has checked every size; kernels allocate nothing and keep nothing between calls. Arguments come as
 * outputs, inputs, sizes. Arrays of one call do not overlap unless its comment says so. */
#ifndef FASTLSTM_H
#define FASTLSTM_H

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
    const char *name;          /* "avx512", "avx2", "neon", "scalar": for FASTLSTM_ISA and fl_select */
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

#endif
