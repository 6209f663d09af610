# Stacks that go on step by step, for the sampling loop.
from fastlstm._core cimport fl_stack, int64_t

cdef class Steps:
    cdef fl_stack stack
    # (2, L, B, H) and (L, B, H), or None: the states, those before the next step in h[turn % 2]
    cdef readonly object h, c
    cdef readonly int64_t threads
    cdef object arrays, dtype
    cdef bytes format
    cdef object advance(self, object out)
