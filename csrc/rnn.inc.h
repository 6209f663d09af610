/* The plain recurrent cell (Elman 1990), forward and backward. */

FL_INLINE void NAME(rnn_forward_part)(const NAME(forward_row) *at, int64_t j, int64_t count, const fl_cell cell)
{
    vec h = NAME(gate)(&cell, cell.activation, LOAD(at->gates + j));
    STORE(at->gates + j, h);
    STORE(at->h + j, h);
}

FL_INLINE void NAME(rnn_backward_part)(const NAME(backward_row) *at, int64_t j, int64_t count, const fl_cell cell)
{
    vec out = LOAD(at->dh + j);
    if (at->dy)
        out = out + LOAD(at->dy + j);
    STORE(at->gates + j, out * NAME(gate_slope)(&cell, cell.activation, LOAD(at->gates + j)));
}

CELL(rnn, forward, FL_RNN, FL_RNN, FL_RNN)
CELL(rnn, backward, FL_RNN, FL_RNN, FL_RNN)
