/* Gate arithmetic of the GRU (Cho et al. 2014), forward and backward; its reset gate after the product with U, or before. */

FL_INLINE void NAME(gru_forward_part)(const NAME(forward_row) *at, int64_t j, int64_t count, const fl_cell cell)
{
    const int kind = cell.kind, phi = cell.activation, sigma = cell.recurrent;
    const REAL *a = at->from + j, *u = at->recurrent;
    REAL *r_at = at->gates + j, *z_at = r_at + at->H, *n_at = z_at + at->H;
    vec before = LOAD(at->c_prev + j), z = LOAD(a + at->H), n = LOAD(a + 2 * at->H);
    if (kind != FL_GRU_UPDATE) {
        vec r = LOAD(a);
        if (kind == FL_GRU) {
            r = r + LOAD(u + j);
            z = z + LOAD(u + at->H + j);
        }
        r = NAME(gate)(&cell, sigma, r);
        z = NAME(gate)(&cell, sigma, z);
        if (kind == FL_GRU)
            n = vfma(r, LOAD(u + 2 * at->H + j), n);
        STORE(r_at, r);
        STORE(z_at, z);
        if (kind == FL_GRU_RESET) {
            STORE(at->h + j, r * before);
            return;
        }
    }
    n = NAME(gate)(&cell, phi, n);
    STORE(n_at, n);
    STORE(at->h + j, vfma(z, before - n, n));
}

FL_INLINE void NAME(gru_backward_part)(const NAME(backward_row) *at, int64_t j, int64_t count, const fl_cell cell)
{
    const int kind = cell.kind, phi = cell.activation, sigma = cell.recurrent;
    REAL *r_at = at->gates + j, *z_at = r_at + at->H, *n_at = z_at + at->H, *dh_at = at->dh + j;
    vec before = LOAD(at->c_prev + j), out = LOAD(dh_at);
    if (kind == FL_GRU_RESET) {
        vec r = LOAD(r_at), d_product = LOAD(at->dc + j);
        STORE(r_at, d_product * before * NAME(gate_slope)(&cell, sigma, r));
        STORE(dh_at, vfma(d_product, r, out));
        return;
    }
    if (at->dy)
        out = out + LOAD(at->dy + j);
    vec z = LOAD(z_at), n = LOAD(n_at);
    vec d_z = out * (before - n) * NAME(gate_slope)(&cell, sigma, z);
    vec d_n = out * (vset(1) - z) * NAME(gate_slope)(&cell, phi, n);
    STORE(z_at, d_z);
    STORE(n_at, d_n);
    STORE(dh_at, z * out);
    if (kind == FL_GRU) {
        REAL *u_r = at->recurrent + j, *u_z = u_r + at->H, *u_n = u_z + at->H;
        vec r = LOAD(r_at), d_r = d_n * LOAD(u_n) * NAME(gate_slope)(&cell, sigma, r);
        STORE(r_at, d_r);
        STORE(u_r, d_r);
        STORE(u_z, d_z);
        STORE(u_n, d_n * r);
    }
}

CELL(gru, forward, FL_GRU, FL_GRU, FL_GRU)
CELL(gru, backward, FL_GRU, FL_GRU, FL_GRU)
