# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The sampling loop: from symbol to symbol without the GIL."""

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


cdef int64_t choose(Candidate *candidates, const real *logits, int64_t V, double temperature, int64_t top_k,
                    double top_p, double uniform) noexcept nogil:
    """Draw from softmax(logits / temperature), cut to the top_k likeliest (0: all), then to the nucleus of mass top_p.

    Returns -1 where a logit is NaN or infinite.
    """
    cdef int64_t v, best = 0, kept = V
    cdef double total = 0, mass = 0
    for v in range(V):
        total += logits[v]
        if logits[v] > logits[best]:
            best = v
    if not isfinite(total):
        return -1
    total = 0
    if temperature == 0:
        return best
    for v in range(V):
        candidates[v].symbol = v
        candidates[v].probability = exp((<double>logits[v] - <double>logits[best]) / temperature)
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
    for v in range(kept - 1):
        uniform -= candidates[v].probability
        if uniform < 0:
            return candidates[v].symbol
    return candidates[kept - 1].symbol


def generate(int32_t[::1] symbols, int64_t begin, const double[::1] uniforms, real[:, ::1] h, real[:, ::1] c,
             const real[:, ::1] table, const real[:, :, ::1] weight_ih, const real[:, ::1] bias,
             const real[:, :, ::1] weight_hh, const real[:, ::1] output_weight, const real[::1] output_bias,
             double temperature, int64_t top_k, double top_p, const int32_t[::1] stop) -> int:
    """Write one symbol for each of `uniforms` into `symbols` from place `begin`; return the place after the last.

    The state h, c (L, H) is that after the symbol before `begin`, and in the end that after the last one written. Ends
    early when the symbols written so far, `begin` and before included, end with `stop`.
    """
    cdef int64_t V = output_weight.shape[0], H = output_weight.shape[1], L = weight_hh.shape[0], S = stop.shape[0]
    cdef int64_t n = begin, end = begin + uniforms.shape[0], k, s, gate_bytes = 4 * H * sizeof(real)
    cdef int64_t symbol = 0
    cdef bint stopped = False
    cdef unsigned int mode
    dtype = np.float32 if real is float else np.float64
    cdef real[::1] gates = np.empty(4 * H, dtype), logits = np.empty(V, dtype)
    cdef char[::1] candidates = np.empty(V * sizeof(Candidate), np.int8)
    with nogil:
        mode = flush_denormals()
        while n < end and not stopped:
            memcpy(&logits[0], &output_bias[0], V * sizeof(real))
            multiply(&logits[0], &h[L - 1, 0], &output_weight[0, 0], 1, V, H, False, True, <real>1)
            symbol = choose(<Candidate *>&candidates[0], &logits[0], V, temperature, top_k, top_p, uniforms[n - begin])
            if symbol < 0:
                break
            symbols[n] = <int32_t>symbol
            n += 1
            memcpy(&gates[0], &table[symbol, 0], gate_bytes)
            for k in range(L):
                if k:
                    memcpy(&gates[0], &bias[k - 1, 0], gate_bytes)
                    multiply(&gates[0], &h[k - 1, 0], &weight_ih[k - 1, 0, 0], 1, 4 * H, H, False, True, <real>1)
                step_rows(&gates[0], &h[k, 0], &c[k, 0], &h[k, 0], &c[k, 0], &weight_hh[k, 0, 0], 1, H, FL_TANH,
                          FL_SIGMOID)
            if 0 < S <= n:
                stopped = True
                for s in range(S):
                    if symbols[n - S + s] != stop[s]:
                        stopped = False
                        break
        restore_denormals(mode)
    if symbol < 0:
        raise FloatingPointError(f"the network's output is NaN or infinite after {n} symbols")
    return n
