/* Kernels whose work several threads divide, for one REAL type: fastlstm.h includes this once for float and once for
 * double. The results are the same to the bit with the same number of threads, whatever else runs. */

/* The kernels named here, each with the arguments it has in table.inc.h, their work divided among `threads` threads:
 *     fl_pack                 pack, all parts
 *     fl_multiply             product, without C_rows and A_rows
 *     fl_multiply_transposed  product_transposed, all rows of C; scratch (threads, scratch_size(K, N),)
 *     fl_cross_entropy        softmax_cross_entropy
 *     fl_scatter              scatter_add, all columns
 *     fl_squares              sum_of_squares
 *     fl_optimise             sgd, rmsprop or adam, as `kind` (FL_SGD, ...) says; a moment that it has not is NULL */
void TYPED(fl_pack)(const TYPED(fl_kernels) *kernels, int64_t threads, REAL *packed, const REAL *B, int64_t K, int64_t N,
                    int64_t k_stride, int64_t n_stride, int64_t group);
void TYPED(fl_multiply)(const TYPED(fl_kernels) *kernels, int64_t threads, const fl_product *product);
/* The product with a B that is packed on the way, `depth` rows of `strips` of its strips at a time; B[k, n] is at
 * B[k k_stride + n n_stride].
 * product   A, bias, C, M, K and N; not added to C
 * scratch   (strips, depth strip_columns), its address a multiple of 64 bytes */
void TYPED(fl_multiply_plain)(const TYPED(fl_kernels) *kernels, int64_t threads, const fl_product *product, const REAL *B,
                              int64_t k_stride, int64_t n_stride, REAL *scratch, int64_t strips, int64_t depth);
void TYPED(fl_multiply_transposed)(const TYPED(fl_kernels) *kernels, int64_t threads, REAL *C, REAL *sums, const REAL *A,
                                   const REAL *B, REAL *scratch, int64_t M, int64_t K, int64_t N, int add);
void TYPED(fl_cross_entropy)(const TYPED(fl_kernels) *kernels, int64_t threads, double *losses, REAL *logits,
                             const int32_t *targets, double scale, int64_t rows, int64_t V);
void TYPED(fl_scatter)(const TYPED(fl_kernels) *kernels, int64_t threads, REAL *table, const REAL *rows,
                       const int32_t *tokens, int64_t n, int64_t width);
double TYPED(fl_squares)(const TYPED(fl_kernels) *kernels, int64_t threads, const REAL *x, int64_t n);
void TYPED(fl_optimise)(const TYPED(fl_kernels) *kernels, int64_t threads, int kind, REAL *parameters, REAL *first_moment,
                        REAL *second_moment, const REAL *gradients, const fl_update *options, int64_t n);
#undef REAL
#undef TYPED
