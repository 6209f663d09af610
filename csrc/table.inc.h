/* The kernels of one instruction set for one REAL type. fastlstm.h includes this once for float and once for double. */

typedef struct {
    /* Packed matrices: the numbers of B (K, N) in the order that products read them, in strips of columns.
     * group: 0 for any matrix; H for weights of G gates (N = GH), of which a strip has all gates of the same units
     * strip_count  strips of B;  packed_size  REALs of `packed`, whose address should be a multiple of 64 bytes;
     *         scratch_size  REALs that product_transposed works in
     * strip_columns  of every strip but the last where group is 0
     * pack    fills the strips of part `part` of `parts`; B[k, n] is at B[k k_stride + n n_stride]
     * product_transposed  rows [begin, end) of C (M, N) = A' B, plus C itself where `add`, for A (K, M) and B (K, N), both
     *         plain, and unless it is NULL likewise sums (M,) = A' 1; scratch (scratch_size(K, N),)
     * A number of C is always summed in the same order, but in another where its row is multiplied alone. */
    int64_t strip_columns;
    int64_t (*strip_count)(int64_t N, int64_t group);
    int64_t (*packed_size)(int64_t K, int64_t N, int64_t group);
    int64_t (*scratch_size)(int64_t K, int64_t N);
    void (*pack)(REAL *packed, const REAL *B, int64_t K, int64_t N, int64_t k_stride, int64_t n_stride, int64_t group,
                 int64_t part, int64_t parts);
    void (*product)(const fl_product *product);
    void (*product_transposed)(REAL *C, REAL *sums, const REAL *A, const REAL *B, REAL *scratch, int64_t begin, int64_t end,
                               int64_t M, int64_t K, int64_t N, int add);

    void (*cell_forward)(const fl_forward_step *step);
    void (*cell_backward)(const fl_backward_step *step);

    /* Row-wise softmax cross-entropy.  losses[r] = log(sum_v exp(logits[r, v])) - logits[r, targets[r]]
     * losses  (rows,)     out, double, in nats
     * logits  (rows, V)   in: logits; out: gradient of scale * sum(losses)
     * targets (rows,)     in, each in [0, V)
     * targets NULL: losses[r] = log(sum_v exp(logits[r, v])), and what comes out is scale * softmax(logits) */
    void (*softmax_cross_entropy)(double *losses, REAL *logits, const int32_t *targets, double scale, int64_t rows,
                                  int64_t V);

    /* One step of an optimiser over n parameters, g being gradient_scale * gradients.
     *     sgd      u = beta1 u + g;  parameters -= learning_rate u            first_moment NULL: u = g
     *     rmsprop  v = beta2 v + (1 - beta2) g^2;  parameters -= learning_rate g / (sqrt(v) + epsilon)
     *     adam     parameters *= 1 - learning_rate weight_decay, then Adam's step with all the others
     * parameters, first_moment (u, m), second_moment (v)  (n,)  in and out
     * gradients (n,)                                            in */
    void (*sgd)(REAL *parameters, REAL *first_moment, const REAL *gradients, const fl_update *options, int64_t n);
    void (*rmsprop)(REAL *parameters, REAL *second_moment, const REAL *gradients, const fl_update *options, int64_t n);
    void (*adam)(REAL *parameters, REAL *first_moment, REAL *second_moment, const REAL *gradients,
                 const fl_update *options, int64_t n);

    /* Sum of squares of x (n,), summed in double over short blocks: NaN and Inf show in the result. */
    double (*sum_of_squares)(const REAL *x, int64_t n);

    /* table[tokens[r]] += rows[r] for every row r, in order, in the columns [begin, end).
     * table   (·, width)  in and out
     * rows    (n, width)  in;  tokens (n,) in, each a row of the table, or NULL: all go to its first row */
    void (*scatter_add)(REAL *table, const REAL *rows, const int32_t *tokens, int64_t n, int64_t width, int64_t begin,
                        int64_t end);

    /* y = kind(x) element by element; y may be x. The same code as inside the cells, so that tests reach it. */
    void (*activate)(REAL *y, const REAL *x, int kind, int64_t n);
} TYPED(fl_kernels);
#undef REAL
#undef TYPED
