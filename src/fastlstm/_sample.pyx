# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The sampling loop: from symbol to symbol of several texts without the GIL."""

from libc.math cimport exp, isfinite
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport qsort
from libc.string cimport memcpy

from fastlstm._core cimport FL_SIGMOID, FL_TANH, flush_denormals, multiply, real, restore_denormals
from fastlstm._lstm cimport step_rows

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


def generate(int32_t[:, :] symbols, const double[:, :] uniforms, real[:, :, ::1] h, real[:, :, ::1] c,
             const real[:, ::1] table, const real[:, :, ::1] weight_ih, const real[:, ::1] bias,
             const real[:, :, ::1] weight_hh, const real[:, ::1] output_weight, const real[::1] output_bias,
             int64_t never, double temperature, int64_t top_k, double top_p) -> int:
    """Fill `symbols` (B, n), a text a row, drawing with `uniforms` (n, B); the symbol `never` (-1: none) is left out.

    The state h, c (L, B, H) is that after the symbol before the first, and in the end that after the last one. Returns n, or
    the place at which a logit is NaN or infinite.
    """
    cdef int64_t V = output_weight.shape[0], H = output_weight.shape[1], L = weight_hh.shape[0]
    cdef int64_t B = symbols.shape[0], n = 0, end = symbols.shape[1], k, b, symbol = 0
    cdef size_t gate_bytes = 4 * H * sizeof(real)
    cdef unsigned int mode
    if B == 0:
        return end
    dtype = np.float32 if real is float else np.float64
    cdef real[:, ::1] gates = np.empty((B, 4 * H), dtype), logits = np.empty((B, V), dtype)
    cdef char[::1] candidates = np.empty(V * sizeof(Candidate), np.int8)
    with nogil:
        mode = flush_denormals()
        while n < end:
            for b in range(B):
                memcpy(&logits[b, 0], &output_bias[0], V * sizeof(real))
            multiply(&logits[0, 0], &h[L - 1, 0, 0], &output_weight[0, 0], B, V, H, False, True, <real>1)
            for b in range(B):
                symbol = choose(<Candidate *>&candidates[0], &logits[b, 0], V, never, temperature, top_k, top_p,
                                uniforms[n, b])
                if symbol < 0:
                    break
                symbols[b, n] = <int32_t>symbol
                memcpy(&gates[b, 0], &table[symbol, 0], gate_bytes)
            if symbol < 0:
                break
            for k in range(L):
                if k:
                    for b in range(B):
                        memcpy(&gates[b, 0], &bias[k - 1, 0], gate_bytes)
                    multiply(&gates[0, 0], &h[k - 1, 0, 0], &weight_ih[k - 1, 0, 0], B, 4 * H, H, False, True, <real>1)
                step_rows(&gates[0, 0], &h[k, 0, 0], &c[k, 0, 0], &h[k, 0, 0], &c[k, 0, 0], &weight_hh[k, 0, 0], B, H,
                          FL_TANH, FL_SIGMOID)
            n += 1
        restore_denormals(mode)
    return n
