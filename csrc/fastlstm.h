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

/* In these structures `void` stands for the REAL of the kernels that they are given to: double where `real64`, else float. */

/* Bytes of a REAL. */
static inline int64_t fl_width(int real64) { return real64 ? sizeof(double) : sizeof(float); }

/* C (M, N) = A (M, K) B, plus C itself where `add`, or else plus the bias; the columns of the strips [begin, end) of B. */
typedef struct {
    void *C;                          /* (M, N)  out */
    const void *A, *packed, *bias;    /* (M, K), B packed from (K, N), (N,) or NULL; K >= 1 */
    const int64_t *C_rows, *A_rows;   /* (M,) which rows of the arrays C and A the M rows are; NULL: the first M */
    int64_t M, K, N, group, begin, end;
    int64_t A_stride;                 /* numbers from a row of A to the next; 0: K */
    const void *soon;                 /* (soon_count,) what is read after the product: fetched meanwhile; or NULL */
    int64_t soon_count;
    int add;
} fl_product;

/* Numbers from a row of its A to the next. */
static inline int64_t fl_A_stride(const fl_product *product) { return product->A_stride ? product->A_stride : product->K; }

/* What a cell does with its pre-activations a, in blocks of H each; s = the recurrent activation, phi = the activation.
 *     FL_LSTM  i f g o   i, f, o = s(a), g = phi(a);  c = f c_prev + i g;  h = o phi(c)
 *                        with peepholes: a_i + w_i c_prev, a_f + w_f c_prev, a_o + w_o c
 *                        coupled: f g o   i = 1 - f
 *     FL_GRU   r z n     r, z = s(a + u), n = phi(a + r u);  h = (1 - z) n + z h_prev;  u = U h_prev + a bias of its own
 *     FL_RNN   one       h = phi(a)
 * and parts of them, for cells that have a product in between; without products of their own:
 *     FL_LSTM_STATE      up to c; a_o is left alone               FL_LSTM_OUTPUT   from a_o and c on; no peepholes in either
 *     FL_GRU_RESET       r, z = s(a);  h = r h_prev               FL_GRU_UPDATE    n = phi(a);  h = (1 - z) n + z h_prev */
enum { FL_LSTM, FL_GRU, FL_RNN, FL_LSTM_STATE, FL_LSTM_OUTPUT, FL_GRU_RESET, FL_GRU_UPDATE };

typedef struct {
    int kind, coupled;          /* coupled: LSTMs only */
    int activation, recurrent;  /* FL_ activations */
    double clip;                /* pre-activations are clipped to +-clip; 0: they are not */
    const void *peepholes;      /* (3, H) w_i w_f w_o, or coupled (2, H) w_f w_o; NULL: none */
} fl_cell;

/* Its blocks of pre-activations: the G below. */
static inline int64_t fl_blocks(const fl_cell *cell)
{
    switch (cell->kind) {
    case FL_RNN: return 1;
    case FL_GRU:
    case FL_GRU_RESET:
    case FL_GRU_UPDATE: return 3;
    default: return cell->coupled ? 3 : 4;
    }
}

enum { FL_BESIDE = 12 }; /* rows of a product that steps of one row make beside their own */

/* A product that FL_BESIDE steps make together, and the part of it that one of them makes. */
typedef struct {
    const fl_product *product;  /* of FL_BESIDE rows, not listed and not added to C; or NULL: nothing */
    const void *columns;        /* forward: its A transposed (K, FL_BESIDE) */
    int64_t part;               /* of FL_BESIDE, in the strips of the product, one after another */
} fl_beside;

/* One step forward, for all rows and the units of the strips [begin, end) (see `pack`; all: `strip_count`).
 *     a = from + x W' + h_prev U', then what the cell does; FL_GRU: a = from + x W', u = recurrent_bias + h_prev U'
 * Without W and U it is that alone, for all units: `gates` hold a; from, tokens, begin, end are not read. */
typedef struct {
    fl_cell cell;
    void *gates;                /* (rows, GH)  out: the activated gates */
    void *recurrent;            /* (rows, 3H)  FL_GRU: u; in where U is NULL, else out */
    void *c, *h;                /* (rows, H)   out; c, LSTMs only, may be c_prev; h is not h_prev where U is given */
    const void *from;           /* in: row r (GH,) is from + GH r, or from + GH tokens[r]; may be gates */
    const int32_t *tokens;      /* (rows,)     in, or NULL */
    int shared;                 /* `from` is one row (GH,) for all, such as a bias */
    const void *x, *W;          /* (rows, I), W packed from (I, GH) with group H; W NULL: no such term */
    const void *h_prev, *U;     /* (rows, H), U packed from (H, GH) with group H; U NULL: no such term */
    const void *c_prev;         /* (rows, H)   in: the state before the step: c, or the GRUs' h */
    const void *recurrent_bias; /* (3H,)       FL_GRU, or NULL */
    int64_t rows, I, H, begin, end;
    int descending;             /* the last strip first: the weights that the step before left in the cache */
    fl_beside beside;           /* of one row without W; packed as U is */
} fl_forward_step;

/* One step backward, for all rows and the units of the strips [begin, end) of U as packed here.
 *     dh = next U (FL_GRU: dh + next U), then the gradients of this step's pre-activations and of c_prev, from dh + dy and dc
 * With gates NULL, dh is all there is to do. Without U the gradients are, from dh as it stands, for all units.
 *     FL_LSTM          dc: in, from the next step; out, of c_prev
 *     FL_GRU           gates: out, of a; recurrent: in, u's block n; out, of u; dh: out, z (dh + dy), what goes to h_prev
 *                      past u
 *     FL_LSTM_OUTPUT   gates: out, o's block;  dc: in, from the next step; out, of c
 *     FL_LSTM_STATE    gates: out, the other blocks;  dc: in, of c; out, of c_prev;  dh, dy are not read
 *     FL_GRU_UPDATE    gates: out, z and n;  dh: out, z (dh + dy)
 *     FL_GRU_RESET     gates: out, r's block;  dc: in, of r h_prev;  dh: out, plus dc r;  dy is not read */
typedef struct {
    fl_cell cell;
    void *gates;                /* (rows, GH)  in: activated gates; out: gradients of the pre-activations */
    void *recurrent;            /* (rows, 3H)  FL_GRU */
    void *dh;                   /* (rows, H)   gradient of h from the next step: out; in for FL_GRU, or where next is NULL */
    void *dc;                   /* (rows, H)   LSTMs: gradient of c */
    const void *c, *c_prev;     /* (rows, H)   in: the states after and before the step; GRUs: c_prev is h before it */
    const void *dy;             /* (rows, H)   in: gradient of h from above, or NULL */
    const void *next, *U;       /* (rows, GH)  in: gradients of the next step's pre-activations, FL_GRU: of its u, or NULL;
                                   U packed from (GH, H) with group 0 */
    int64_t rows, H, begin, end;
    int descending;             /* as forward; one row's sums begin with the last rows of U too, as long as a strip is whole */
    fl_beside beside;           /* of one row that has `next`; packed with group 0 */
} fl_backward_step;

#define REAL float
#define TYPED(name) name##_f32
#include "table.inc.h"
#define REAL double
#define TYPED(name) name##_f64
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

/* ---- what threads compute together ----
 *
 * `threads` is how many may be used; with the same number the results are the same to the bit, whatever else runs. */

/* All steps of one layer. Rows of sequences are packed by step: the rows of step t are the first batch_sizes[t] sequences,
 * the longest first, and follow those of step t - 1; N rows in all. States have B rows before them: the initial ones. */
typedef struct {
    const fl_row *row;            /* of the kernel table */
    int real64;                   /* REAL is double, else float */
    int64_t T, B, N, I, H;
    const int64_t *batch_sizes;   /* (T,), not increasing */
    fl_cell cell;
    int divide_units;             /* threads divide the units of every step and meet after it; else the sequences */
    int keep;                     /* forward, for a later backward: c has all states; else only the latest */
    const void *U;                /* packed from (H, GH), group H; backward: from (GH, H), group 0 */
    void *gates;                  /* (N, GH)  forward: out, activated, or NULL where not kept; backward: in, the activated
                                     gates; out, the gradients of the pre-activations */
    void *recurrent;              /* FL_GRU, (N, 3H), without `keep` (B, 3H) of scratch: forward: out, u; backward: in, u's
                                     block n; out, the gradients of u */
    void *h;                      /* (B + N, H)  forward: in, the initial states; out, the others; backward: in, but for
                                     LSTMs; fl_layer_gradients: in */
    void *c;                      /* LSTMs: likewise, backward: in; without `keep` (B, H): in, the initial; out, the final
                                     states */
    /* forward, but for x in fl_layer_gradients, and for `ahead` and another W where there is dx: */
    const void *x, *W, *bias;     /* (N, I), packed from (I, GH) with group H, (GH,) */
    const void *recurrent_bias;   /* (3H,) FL_GRU, or NULL */
    const int32_t *tokens;        /* (N,)  instead of x and W, of which `bias` (·, GH) then has a row for every token */
    int ahead;                    /* a sequence alone: where it is worth it, steps make the input's part of later ones
                                     meanwhile; backward, dx of later ones */
    int64_t block;                /* rows of x multiplied at a time by one thread, at least B */
    int64_t *rows;                /* scratch (threads, block) */
    void *scratch;                /* (threads, block, GH) where gates are not kept */
    /* backward only: */
    void *dx;                     /* (N, I)  where fl_layer_gradients follows, out: the gradient of x, once that is done;
                                     else NULL. It may be the memory of dy. W then: packed from (GH, I), group 0 */
    void *dh, *dc;                /* (B, H)  in: gradients of the final states; out: of the initial ones; dc: LSTMs */
    const void *dy;               /* (N, H)  in: gradient of each h from above */
    fl_barrier *barrier;          /* set by the functions */
} fl_layer;

void fl_layer_forward(fl_layer *layer, int64_t threads);
void fl_layer_backward(fl_layer *layer, int64_t threads);

/* Where the gradients of a layer's parameters go. */
typedef struct {
    void *W, *U;                  /* (GH, I), (GH, H)  out */
    void *bias, *recurrent_bias;  /* (GH,)    out, of what is added to either product; or both NULL */
    void *scratch;                /* (threads, scratch_size(N, I or H, whichever is larger)) */
} fl_gradients;

/* Computes them and dx, after fl_layer_backward, of a layer that has read vectors in sequences without padding and whose x
 * and h are as they were. */
void fl_layer_gradients(const fl_layer *layer, const fl_gradients *gradients, int64_t threads);

/* Layers side by side, each on a thread, with arrays and scratch of its own, which do not read each other's outputs. */
void fl_layers_forward(fl_layer *layers, int64_t count);

/* fl_layer_backward and then fl_layer_gradients of such layers; gradients (count,). */
void fl_layers_backward(fl_layer *layers, const fl_gradients *gradients, int64_t count);

/* Layers as above, but that each reads the outputs of the one before, of sequences without padding and with nothing kept: as a
 * wave, every layer some steps behind the one that it reads. */
void fl_wave_forward(const fl_layer *layers, int64_t count, int64_t threads);

/* A stack of layers that goes on step by step. Its states change places: those before step `turn` are h + (turn % 2) L B H. */
typedef struct {
    const fl_row *row;
    int real64;
    int64_t L, B, I, H;
    const fl_cell *cells;         /* (L,) alike but for the peepholes */
    const void *const *W;         /* (L,) packed from (I or H, GH), group H; W[0] NULL: reads tokens */
    const void *const *bias;      /* (L,) each (GH,); without W[0], bias[0] (·, GH) has a row for every token */
    const void *const *U;         /* (L,) packed from (H, GH), group H */
    const void *const *recurrent_bias; /* (L,) each (3H,) or NULL: FL_GRU */
    void *gates, *recurrent;      /* scratch (B, GH), and FL_GRU (B, 3H) */
    void *h;                      /* (2, L, B, H)  in and out */
    void *c;                      /* (L, B, H)     in and out: LSTMs */
    void *x;                      /* (B, I)  what each step finds there is its input; or */
    int32_t *tokens;              /* (B,)    likewise */
    int64_t turn;                 /* counts the steps; at any number first */
    fl_forward_step *steps;       /* (2, L)  for fl_stack_prepare: what even and odd turns do */
    void (*forward)(const fl_forward_step *step); /* set by it */
    fl_barrier *barrier;          /* zeros, where several threads take part */
} fl_stack;

/* To be called before the first step, and again where anything but `turn` and `barrier` has changed. */
void fl_stack_prepare(fl_stack *stack);

/* Part `index` of `count` of one step, all of which run at the same time (fl_run_together); the caller then counts `turn`. */
void fl_stack_part(const fl_stack *stack, int64_t index, int64_t count);

/* One whole step. */
void fl_stack_step(fl_stack *stack, int64_t threads);

/* Where the last layer's output (B, H) of the step before `turn` is. */
void *fl_stack_output(const fl_stack *stack);

enum { FL_SGD, FL_RMSPROP, FL_ADAM };

#define REAL float
#define TYPED(name) name##_f32
#include "divided_table.inc.h"
#define REAL double
#define TYPED(name) name##_f64
#include "divided_table.inc.h"

#endif
