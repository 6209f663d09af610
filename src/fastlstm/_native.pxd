# Stacks of layers; those that go on step by step are for the sampling loop.
from fastlstm._core cimport fl_stack, int64_t

cdef class Stack:
    cdef fl_stack stack
    cdef readonly int64_t wide  # GH
    cdef object weights, dtype, idle

cdef class Steps(Stack):
    # (2, L, B, H) and (L, B, H), or None: the states, those before the next step in h[turn % 2]
    cdef readonly object h, c
    cdef readonly int64_t threads
    cdef object scratch
    cdef bytes format
    cdef object advance(self, object out)
