/* What the bodies of all cells share: the arithmetic of a step, element by element, after its products. A cell's `part` is
 * that of one row for up to LANES units. */
#undef LOAD
#undef STORE
#undef CELL
#undef FROM_ROW
#define LOAD(p) NAME(load_part)(p, count, 0)
#define STORE(p, x) NAME(store_part)(p, x, count)

/* Where one row of a step is; NULL where the step has no such array. */
typedef struct {
    REAL *gates, *recurrent, *c, *h;
    const REAL *c_prev, *from; /* from: the input's part of the pre-activations, where it is kept apart */
    int64_t H;
} NAME(forward_row);

typedef struct {
    REAL *gates, *recurrent, *dh, *dc;
    const REAL *c, *c_prev, *dy;
    int64_t H;
} NAME(backward_row);

/* Which row of `from` row r of a forward step starts from. */
#define FROM_ROW(s, r) ((s)->shared ? 0 : (s)->tokens ? (s)->tokens[r] : (r))
#define ROW(array, size) (s->array ? (REAL *)s->array + r * (size) : NULL)

FL_INLINE NAME(forward_row) NAME(forward_row_of)(const fl_forward_step *s, int64_t r, int64_t wide)
{
    const REAL *from = s->U && !s->W ? (const REAL *)s->from + FROM_ROW(s, r) * wide : ROW(gates, wide);
    return (NAME(forward_row)){ROW(gates, wide), ROW(recurrent, wide), ROW(c, s->H), ROW(h, s->H), ROW(c_prev, s->H),
                               from, s->H};
}

FL_INLINE NAME(backward_row) NAME(backward_row_of)(const fl_backward_step *s, int64_t r, int64_t wide)
{
    return (NAME(backward_row)){ROW(gates, wide), ROW(recurrent, wide), ROW(dh, s->H), ROW(dc, s->H),
                                ROW(c, s->H),     ROW(c_prev, s->H),    ROW(dy, s->H), s->H};
}
#undef ROW

/* The activation of a gate or candidate, and its derivative from its value y. */
FL_INLINE vec NAME(gate)(const fl_cell *cell, int kind, vec a)
{
    if (cell->clip)
        a = vmin(vset((REAL)cell->clip), vmax(vset((REAL)-cell->clip), a));
    return NAME(activation)(kind, a);
}

FL_INLINE vec NAME(gate_slope)(const fl_cell *cell, int kind, vec y)
{
    vec slope = NAME(activation_slope)(kind, y), zero = vset(0);
    if (!cell->clip)
        return slope;
    vec lowest = NAME(gate)(cell, kind, vset((REAL)-cell->clip)), highest = NAME(gate)(cell, kind, vset((REAL)cell->clip));
    return vgreater(y, lowest, vgreater(highest, y, slope, zero), zero);
}

/* Whether the compiler has a branch-free copy of a cell's body for these settings. */
FL_INLINE int NAME(is_usual)(const fl_cell *cell)
{
    return cell->kind <= FL_RNN && !cell->coupled && !cell->clip && !cell->peepholes && cell->activation == FL_TANH &&
           (cell->recurrent == FL_SIGMOID || cell->kind == FL_RNN);
}

/* Rows between two stages: lines of more, which may share sets of the L1 cache, would have left it before the second. */
enum { NAME(STAGED_ROWS) = 8 };

/* Defines the body of a cell out of its part: `rows` rows from `row`, `units` units from `unit`. A cell of KIND is made in two
 * stages, as the kinds FIRST and LAST, unless both are KIND: a stage has shorter chains of results that wait for each other, so
 * that the processor has more units under way. The usual settings are named as constants for that copy. */
#define CELL(name, direction, KIND, FIRST, LAST)                                                                    \
    FL_INLINE void NAME(name##_##direction##_stage)(const fl_##direction##_step *s, int64_t row, int64_t rows,      \
                                                    int64_t unit, int64_t units, const fl_cell cell)                \
    {                                                                                                               \
        const int64_t wide = fl_blocks(&cell) * s->H, whole = unit + units - units % LANES, end = unit + units;     \
        for (int64_t r = row; r < row + rows; r++) {                                                                \
            const NAME(direction##_row) at = NAME(direction##_row_of)(s, r, wide);                                  \
            for (int64_t j = unit; j < whole; j += LANES)                                                           \
                NAME(name##_##direction##_part)(&at, j, LANES, cell);                                               \
            if (whole < end)                                                                                        \
                NAME(name##_##direction##_part)(&at, whole, end - whole, cell);                                     \
        }                                                                                                           \
    }                                                                                                               \
                                                                                                                    \
    FL_INLINE void NAME(name##_##direction##_stages)(const fl_##direction##_step *s, int64_t row, int64_t rows,     \
                                                     int64_t unit, int64_t units, fl_cell cell)                     \
    {                                                                                                               \
        const int first = cell.kind == KIND ? FIRST : cell.kind, last = cell.kind == KIND ? LAST : cell.kind;       \
        for (int64_t r = row; r < row + rows; r += NAME(STAGED_ROWS)) {                                             \
            const int64_t count = AT_MOST(row + rows - r, NAME(STAGED_ROWS));                                       \
            cell.kind = first;                                                                                      \
            NAME(name##_##direction##_stage)(s, r, count, unit, units, cell);                                       \
            if (last == first)                                                                                      \
                continue;                                                                                           \
            cell.kind = last;                                                                                       \
            NAME(name##_##direction##_stage)(s, r, count, unit, units, cell);                                       \
        }                                                                                                           \
    }                                                                                                               \
                                                                                                                    \
    static void NAME(name##_##direction)(const fl_##direction##_step *s, int64_t row, int64_t rows, int64_t unit,   \
                                         int64_t units)                                                             \
    {                                                                                                               \
        const fl_cell usual = {.kind = KIND, .activation = FL_TANH, .recurrent = FL_SIGMOID};                       \
        if (NAME(is_usual)(&s->cell))                                                                               \
            NAME(name##_##direction##_stages)(s, row, rows, unit, units, usual);                                    \
        else                                                                                                        \
            NAME(name##_##direction##_stages)(s, row, rows, unit, units, s->cell);                                  \
    }
