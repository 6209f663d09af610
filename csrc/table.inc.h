/* The kernels of one instruction set for one REAL type. fastlstm.h includes this once for float and once for double. */
typedef struct {
    /* Gates, cell state and output of one LSTM step, for `rows` rows.
     *     i, f, o = recurrent(gates), g = activation(gates);  c = f * c_prev + i * g;  h = o * activation(c)
     * gates   (rows, 4H)  in: pre-activations, blocks i f g o; out: the activated gates
     * c, h    (rows, H)   out; c may be c_prev
     * c_prev  (rows, H)   in
     * activation, recurrent: one of the FL_ activations */
    void (*lstm_forward)(REAL *gates, REAL *c, REAL *h, const REAL *c_prev, int64_t rows, int64_t H, int activation,
                         int recurrent);

    /* Gradient of one LSTM step with respect to its pre-activations and its previous cell state.
     *     dh is the whole gradient of this step's h: what the next step sent back plus `dy`
     * gates   (rows, 4H)  in: activated gates; out: gradients of the pre-activations
     * dc      (rows, H)   in: gradient of c sent back by the next step; out: gradient of c_prev
     * c, c_prev (rows, H) in: states after and before the step
     * dh, dy  (rows, H)   in: gradients of h from the next step and from the output; dy may be NULL */
    void (*lstm_backward)(REAL *gates, REAL *dc, const REAL *c, const REAL *c_prev, const REAL *dh, const REAL *dy,
                          int64_t rows, int64_t H, int activation, int recurrent);

    /* Row-wise softmax cross-entropy.  losses[r] = log(sum_v exp(logits[r, v])) - logits[r, targets[r]]
     * losses  (rows,)     out, double, in nats
     * logits  (rows, V)   in: logits; out: gradient of scale * sum(losses)
     * targets (rows,)     in, each in [0, V) */
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

    /* table[tokens[r]] += rows[r] for every row r, in order.
     * table   (·, width)  in and out
     * rows    (n, width)  in;  tokens (n,) in, each a row of the table */
    void (*scatter_add)(REAL *table, const REAL *rows, const int32_t *tokens, int64_t n, int64_t width);

    /* y = kind(x) element by element; y may be x. The same code as inside the cells, so that tests reach it. */
    void (*activate)(REAL *y, const REAL *x, int kind, int64_t n);
} FL_KERNELS;
#undef REAL
#undef FL_KERNELS
