/* Gate arithmetic of the LSTM (Hochreiter & Schmidhuber 1997, forget gate of Gers et al. 2000, peepholes of Gers &
 * Schmidhuber 2000), forward and backward. */

/* Blocks i f g o, of which a coupled cell has no i; its peepholes w_i w_f w_o likewise. */
#define LSTM_BLOCKS                                                                                     \
    const int kind = cell.kind, phi = cell.activation, sigma = cell.recurrent;                          \
    const int64_t before_f = cell.coupled ? 0 : at->H;                                                  \
    REAL *i_at = at->gates + j, *f_at = i_at + before_f, *g_at = f_at + at->H, *o_at = g_at + at->H;    \
    const REAL *w = cell.peepholes, *w_i = w ? w + j : NULL, *w_f = w ? w_i + before_f : NULL,          \
               *w_o = w ? w_f + at->H : NULL;

FL_INLINE void NAME(lstm_forward_part)(const NAME(forward_row) *at, int64_t j, int64_t count, const fl_cell cell)
{
    LSTM_BLOCKS
    vec state = vset(0);
    if (kind == FL_LSTM_OUTPUT)
        state = LOAD(at->c + j);
    else {
        vec before = LOAD(at->c_prev + j), f = LOAD(f_at), g = NAME(gate)(&cell, phi, LOAD(g_at)), i;
        if (w)
            f = vfma(LOAD(w_f), before, f);
        f = NAME(gate)(&cell, sigma, f);
        if (cell.coupled)
            i = vset(1) - f;
        else {
            i = LOAD(i_at);
            if (w)
                i = vfma(LOAD(w_i), before, i);
            i = NAME(gate)(&cell, sigma, i);
            STORE(i_at, i);
        }
        state = vfma(f, before, i * g);
        STORE(f_at, f);
        STORE(g_at, g);
        STORE(at->c + j, state);
    }
    if (kind == FL_LSTM_STATE)
        return;
    vec o = LOAD(o_at);
    if (w)
        o = vfma(LOAD(w_o), state, o);
    o = NAME(gate)(&cell, sigma, o);
    STORE(o_at, o);
    STORE(at->h + j, o * NAME(activation)(phi, state));
}

FL_INLINE void NAME(lstm_backward_part)(const NAME(backward_row) *at, int64_t j, int64_t count, const fl_cell cell)
{
    LSTM_BLOCKS
    vec state = LOAD(at->dc + j); /* the gradient of c */
    if (kind != FL_LSTM_STATE) {
        vec o = LOAD(o_at), squashed = NAME(activation)(phi, LOAD(at->c + j)), out = LOAD(at->dh + j);
        if (at->dy)
            out = out + LOAD(at->dy + j);
        vec d_o = out * squashed * NAME(gate_slope)(&cell, sigma, o);
        state = vfma(out * o, NAME(activation_slope)(phi, squashed), state);
        if (w)
            state = vfma(d_o, LOAD(w_o), state);
        STORE(o_at, d_o);
    }
    if (kind != FL_LSTM_OUTPUT) {
        vec before = LOAD(at->c_prev + j), f = LOAD(f_at), g = LOAD(g_at), i = vset(1) - f, forgotten = before - g;
        if (!cell.coupled) {
            i = LOAD(i_at);
            forgotten = before;
        }
        vec d_f = state * forgotten * NAME(gate_slope)(&cell, sigma, f), d_before = state * f;
        STORE(f_at, d_f);
        STORE(g_at, state * i * NAME(gate_slope)(&cell, phi, g));
        if (w)
            d_before = vfma(d_f, LOAD(w_f), d_before);
        if (!cell.coupled) {
            vec d_i = state * g * NAME(gate_slope)(&cell, sigma, i);
            STORE(i_at, d_i);
            if (w)
                d_before = vfma(d_i, LOAD(w_i), d_before);
        }
        state = d_before;
    }
    STORE(at->dc + j, state);
}
#undef LSTM_BLOCKS

/* The stages have peepholes, which cells of these two kinds by themselves have not. */
CELL(lstm, forward, FL_LSTM, FL_LSTM_STATE, FL_LSTM_OUTPUT)
CELL(lstm, backward, FL_LSTM, FL_LSTM_OUTPUT, FL_LSTM_STATE)
