from fastlstm._core cimport int64_t, real

# One step in place for `rows` rows: gates (rows, 4H) hold the input's part; h and c (rows, H) go from before to after.
cdef void step_rows(real *gates, real *h, real *c, const real *h_prev, const real *c_prev, const real *weight_hh,
                    int64_t rows, int64_t H, int activation, int recurrent) noexcept nogil
