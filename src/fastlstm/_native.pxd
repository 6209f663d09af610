# Stacks of layers: with all steps at once, or step by step, also for the sampling loop.
from fastlstm._core cimport fl_layer, fl_stack, int64_t

cdef enum:
    LINE = 64  # bytes of a cache line

cdef char *taken(char **memory, size_t size) noexcept nogil
cdef void one_after_another(fl_layer *layers, int64_t L, char *h, char *c, size_t state, int64_t threads) noexcept nogil
cdef void in_both_directions(fl_layer *layers, int64_t cells, char *h, char *c, size_t state, int64_t threads, bint apart,
                             void *out, int64_t joined) noexcept nogil

cdef class Stack:
    cdef fl_stack stack
    cdef readonly int64_t wide  # GH
    cdef int64_t table_rows  # of the first layer's biases: how many tokens there are, where it reads them
    cdef object weights, dtype
    cdef int take(self, object x, Py_buffer *view, int ndim) except -1
    cdef tuple initial(self, object states, int64_t B)

cdef class Whole(Stack):
    cdef int64_t directions, joined
    cdef bint ahead
    cdef object idle
    cdef void lay_out(self, fl_layer *layers, char **memory, const fl_layer *alike, int64_t threads, int64_t own,
                      int64_t arrays) noexcept nogil

cdef class Steps(Stack):
    # (2, L, B, H) and (L, B, H), or None: the states, those before the next step in h[turn % 2]
    cdef readonly object h, c
    cdef readonly int64_t threads
    cdef object memory  # of the gates, the steps and their input
    cdef tuple output_shape
