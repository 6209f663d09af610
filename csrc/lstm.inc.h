/* Gate arithmetic of the LSTM (Hochreiter & Schmidhuber 1997, forget gate of Gers et al. 2000), forward and backward.
 * The products with the weights are done outside. */

/* `count` units from unit j of one row. */
FL_INLINE void NAME(lstm_forward_part)(REAL *gates, REAL *c, REAL *h, const REAL *c_prev, int64_t H, int64_t j,
                                       int64_t count, int activation, int recurrent)
{
    vec i = NAME(activation)(recurrent, NAME(load_part)(gates + j, count, 0));
    vec f = NAME(activation)(recurrent, NAME(load_part)(gates + H + j, count, 0));
    vec g = NAME(activation)(activation, NAME(load_part)(gates + 2 * H + j, count, 0));
    vec o = NAME(activation)(recurrent, NAME(load_part)(gates + 3 * H + j, count, 0));
    vec state = vfma(f, NAME(load_part)(c_prev + j, count, 0), i * g);
    NAME(store_part)(gates + j, i, count);
    NAME(store_part)(gates + H + j, f, count);
    NAME(store_part)(gates + 2 * H + j, g, count);
    NAME(store_part)(gates + 3 * H + j, o, count);
    NAME(store_part)(c + j, state, count);
    NAME(store_part)(h + j, o * NAME(activation)(activation, state), count);
}

FL_INLINE void NAME(lstm_backward_part)(REAL *gates, REAL *dc, const REAL *c, const REAL *c_prev, const REAL *dh,
                                        const REAL *dy, int64_t H, int64_t j, int64_t count, int activation,
                                        int recurrent)
{
    vec i = NAME(load_part)(gates + j, count, 0);
    vec f = NAME(load_part)(gates + H + j, count, 0);
    vec g = NAME(load_part)(gates + 2 * H + j, count, 0);
    vec o = NAME(load_part)(gates + 3 * H + j, count, 0);
    vec squashed = NAME(activation)(activation, NAME(load_part)(c + j, count, 0));
    vec out = NAME(load_part)(dh + j, count, 0);
    if (dy)
        out = out + NAME(load_part)(dy + j, count, 0);
    vec state = vfma(out * o, NAME(activation_slope)(activation, squashed), NAME(load_part)(dc + j, count, 0));
    vec d_i = state * g * NAME(activation_slope)(recurrent, i);
    vec d_f = state * NAME(load_part)(c_prev + j, count, 0) * NAME(activation_slope)(recurrent, f);
    vec d_g = state * i * NAME(activation_slope)(activation, g);
    vec d_o = out * squashed * NAME(activation_slope)(recurrent, o);
    NAME(store_part)(gates + j, d_i, count);
    NAME(store_part)(gates + H + j, d_f, count);
    NAME(store_part)(gates + 2 * H + j, d_g, count);
    NAME(store_part)(gates + 3 * H + j, d_o, count);
    NAME(store_part)(dc + j, state * f, count);
}

FL_INLINE void NAME(lstm_forward_rows)(REAL *gates, REAL *c, REAL *h, const REAL *c_prev, int64_t rows, int64_t H,
                                       int activation, int recurrent)
{
    for (int64_t b = 0; b < rows; b++, gates += 4 * H, c += H, h += H, c_prev += H) {
#define BODY(j, count) NAME(lstm_forward_part)(gates, c, h, c_prev, H, j, count, activation, recurrent)
        FOR_EACH_VEC(H, BODY);
#undef BODY
    }
}

FL_INLINE void NAME(lstm_backward_rows)(REAL *gates, REAL *dc, const REAL *c, const REAL *c_prev, const REAL *dh,
                                        const REAL *dy, int64_t rows, int64_t H, int activation, int recurrent)
{
    for (int64_t b = 0; b < rows; b++, gates += 4 * H, dc += H, c += H, c_prev += H, dh += H, dy = dy ? dy + H : dy) {
#define BODY(j, count) NAME(lstm_backward_part)(gates, dc, c, c_prev, dh, dy, H, j, count, activation, recurrent)
        FOR_EACH_VEC(H, BODY);
#undef BODY
    }
}

/* The usual activations are named as constants, so that the compiler makes a branch-free copy for them. */
static void NAME(lstm_forward)(REAL *gates, REAL *c, REAL *h, const REAL *c_prev, int64_t rows, int64_t H,
                               int activation, int recurrent)
{
    if (activation == FL_TANH && recurrent == FL_SIGMOID)
        NAME(lstm_forward_rows)(gates, c, h, c_prev, rows, H, FL_TANH, FL_SIGMOID);
    else
        NAME(lstm_forward_rows)(gates, c, h, c_prev, rows, H, activation, recurrent);
}

static void NAME(lstm_backward)(REAL *gates, REAL *dc, const REAL *c, const REAL *c_prev, const REAL *dh,
                                const REAL *dy, int64_t rows, int64_t H, int activation, int recurrent)
{
    if (activation == FL_TANH && recurrent == FL_SIGMOID)
        NAME(lstm_backward_rows)(gates, dc, c, c_prev, dh, dy, rows, H, FL_TANH, FL_SIGMOID);
    else
        NAME(lstm_backward_rows)(gates, dc, c, c_prev, dh, dy, rows, H, activation, recurrent);
}
