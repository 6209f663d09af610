# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The sampling loop: from symbol to symbol of several texts without the GIL."""

from libc.math cimport exp, isfinite
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport qsort
from libc.string cimport memset

from fastlstm._core cimport (
    barrier_wait, fl_barrier, fl_product, fl_stack, real, row, run_together, stack_output, stack_part,
)
from fastlstm._native cimport Steps

import numpy as np

cdef struct Candidate:
    double probability
    int64_t symbol


cdef int likeliest_first(const void *a, const void *b) noexcept nogil:
    cdef const Candidate *x = <const Candidate *>a
    cdef const Candidate *y = <const Candidate *>b
    if x.probability != y.probability:
        return -1 if x.probability > y.probability else 1
    return -1 if x.symbol < y.symbol else 1


cdef int64_t choose(Candidate *candidates, const real *logits, int64_t V, int64_t never, double temperature,
                    int64_t top_k, double top_p, double uniform) noexcept nogil:
    """Draw from softmax(logits / temperature) without `never`, cut to the top_k likeliest (0: all), then to the nucleus of
    mass top_p.

    Returns -1 where a logit is NaN or infinite.
    """
    cdef int64_t v, best = never == 0, kept = V
    cdef double total = 0, mass = 0
    for v in range(V):
        total += logits[v]
        if logits[v] > logits[best] and v != never:
            best = v
    if not isfinite(total):
        return -1
    total = 0
    if temperature == 0:
        return best
    for v in range(V):
        candidates[v].symbol = v
        candidates[v].probability = 0 if v == never else exp((<double>logits[v] - <double>logits[best]) / temperature)
        total += candidates[v].probability
    if 0 < top_k < V or top_p < 1:
        qsort(candidates, V, sizeof(Candidate), likeliest_first)
        if 0 < top_k < V:
            kept = top_k
            total = 0
            for v in range(kept):
                total += candidates[v].probability
        if top_p < 1:
            for v in range(kept):
                mass += candidates[v].probability
                if mass >= top_p * total:
                    kept = v + 1
                    break
            total = mass
    uniform *= total
    for v in range(kept):
        uniform -= candidates[v].probability
        if uniform < 0:
            return candidates[v].symbol
    return best  # the sum was rounded up


cdef struct Writing:
    # What the threads that write texts together share; numbers are of the type that stack.real64 tells.
    fl_stack *stack
    fl_product product        # of the last layer's outputs with the output weights: the logits (B, V)
    fl_barrier barrier
    Candidate *candidates     # (V,)
    int32_t *tokens           # (B,) the symbols chosen last: the stack's input
    int32_t *symbols          # (B, n) by strides in numbers
    const double *uniforms    # (n, B) likewise
    int64_t symbols_row, symbols_step, uniforms_step, uniforms_row
    int64_t n, never, top_k, done
    double temperature, top_p
    bint failed


cdef bint choose_all(Writing *w, const real *logits) noexcept nogil:
    """Choose a symbol for each text; whether all logits were finite."""
    cdef int64_t b, symbol
    for b in range(w.stack.B):
        symbol = choose(w.candidates, logits + b * w.product.N, w.product.N, w.never, w.temperature, w.top_k, w.top_p,
                        w.uniforms[w.done * w.uniforms_step + b * w.uniforms_row])
        if symbol < 0:
            return False
        w.tokens[b] = <int32_t>symbol
        w.symbols[b * w.symbols_row + w.done * w.symbols_step] = <int32_t>symbol
    return True


cdef void write(void *context, int64_t index, int64_t count) noexcept nogil:
    """One thread's part: its columns of the logits and its units of the layers; the first one chooses."""
    cdef Writing *w = <Writing *>context
    cdef fl_stack *stack = w.stack
    cdef fl_product product = w.product
    cdef int64_t strips = product.end
    product.begin, product.end = strips * index // count, strips * (index + 1) // count
    while True:
        product.A = stack_output(stack)
        if stack.real64:
            row.f64.product(&product)
        else:
            row.f32.product(&product)
        barrier_wait(&w.barrier, count)
        if index == 0:
            if stack.real64:
                w.failed = not choose_all(w, <double *>product.C)
            else:
                w.failed = not choose_all(w, <float *>product.C)
        barrier_wait(&w.barrier, count)
        if w.failed:
            return
        stack_part(stack, index, count)
        if index == 0:
            stack.turn += 1
            w.done += 1
        barrier_wait(&w.barrier, count)
        if w.done == w.n:
            return


def generate(int32_t[:, :] symbols, const double[:, :] uniforms, Steps steps, const real[::1] output_weight,
             const real[::1] output_bias, int64_t never, double temperature, int64_t top_k, double top_p) -> int:
    """Fill `symbols` (B, n), a text a row, drawing with `uniforms` (n, B); the symbol `never` (-1: none) is left out.

    The states of `steps` are those after the symbol before the first, and in the end those after the last one.
    output_weight is packed from (H, V). Returns n, or the place at which a logit is NaN or infinite.
    """
    cdef int64_t V = output_bias.shape[0], B = symbols.shape[0]
    cdef Writing w
    if symbols.shape[0] == 0 or symbols.shape[1] == 0:
        return symbols.shape[1]
    cdef real[:, ::1] logits = np.empty((B, V), steps.h.dtype)
    cdef char[::1] candidates = np.empty(V * sizeof(Candidate), np.int8)
    memset(&w, 0, sizeof(w))
    w.stack = &steps.stack
    w.stack.barrier = &w.barrier
    w.product.C, w.product.packed, w.product.bias = &logits[0, 0], &output_weight[0], &output_bias[0]
    w.product.M, w.product.K, w.product.N = B, w.stack.H, V
    w.product.end = row.f32.strip_count(V, 0) if real is float else row.f64.strip_count(V, 0)
    w.candidates, w.tokens = <Candidate *>&candidates[0], w.stack.tokens
    w.symbols, w.symbols_row, w.symbols_step = &symbols[0, 0], symbols.strides[0] // 4, symbols.strides[1] // 4
    w.uniforms, w.uniforms_step, w.uniforms_row = &uniforms[0, 0], uniforms.strides[0] // 8, uniforms.strides[1] // 8
    w.n, w.never, w.temperature, w.top_k, w.top_p = symbols.shape[1], never, temperature, top_k, top_p
    with nogil:
        run_together(write, &w, steps.threads)
    return w.done


def draw(int32_t[:] symbols, const real[:, ::1] logits, const double[:] uniforms, int64_t never, double temperature,
         int64_t top_k, double top_p) -> bool:
    """One symbol (B,) for each row of logits (B, V), drawn as `generate` does with uniforms (B,); False where a logit is NaN
    or infinite."""
    cdef int64_t b, symbol, V = logits.shape[1]
    cdef char[::1] candidates = np.empty(V * sizeof(Candidate), np.int8)
    for b in range(symbols.shape[0]):
        symbol = choose(<Candidate *>&candidates[0], &logits[b, 0], V, never, temperature, top_k, top_p, uniforms[b])
        if symbol < 0:
            return False
        symbols[b] = <int32_t>symbol
    return True
