"""What every cell does after its products, for every instruction set and dtype: plain NumPy formulas and their differences."""

import numpy as np
import pytest

from fastlstm import _core, reference
from test_core import KINDS, TRUTHS, guarded, random_arrays

UNITS, ROWS = (1, 17, 65), (1, 3, 23)
PAIRS = (("tanh", "sigmoid"), ("softsign", "hard_sigmoid"), ("sigmoid", "tanh"))
CASES = [("lstm", coupled, peepholes) for coupled in (False, True) for peepholes in (False, True)]
CASES += [(kind, coupled, False) for kind in ("lstm_state", "lstm_output") for coupled in (False, True)]
CASES += [(kind, False, False) for kind in ("gru", "rnn", "gru_reset", "gru_update")]
# For each kind: the blocks whose gradients it makes.
BLOCKS = {"gru": "rzn", "rnn": "a", "gru_reset": "r", "gru_update": "zn", "lstm_state": "ifg", "lstm_output": "o"}


def formula(kind, coupled, a, u, before, c, w, phi, sigma, squash):
    """Activated gates by name, c and h, of pre-activations by name; `c` is the state of FL_LSTM_OUTPUT, squash is φ of it."""
    g, h = dict(a), None
    if kind in ("lstm", "lstm_state"):
        g["f"] = sigma(a["f"] + w.get("f", 0) * before)
        g["i"] = 1 - g["f"] if coupled else sigma(a["i"] + w.get("i", 0) * before)
        g["g"] = phi(a["g"])
        c = g["f"] * before + g["i"] * g["g"]
    if kind in ("lstm", "lstm_output"):
        g["o"] = sigma(a["o"] + w.get("o", 0) * c)
        h = g["o"] * squash(c)
    if kind in ("gru", "gru_reset"):
        g["r"], g["z"] = sigma(a["r"] + u.get("r", 0)), sigma(a["z"] + u.get("z", 0))
        h = g["r"] * before
    if kind == "gru":
        g["n"] = phi(a["n"] + g["r"] * u["n"])
    if kind == "gru_update":
        g["n"] = phi(a["n"])  # z comes activated
    if kind in ("gru", "gru_update"):
        h = (1 - g["z"]) * g["n"] + g["z"] * before
    if kind == "rnn":
        g["a"] = h = phi(a["a"])
    return g, c, h


class Case:
    """Random arrays of one cell, and what it makes of them by the formulas, in float64."""

    def __init__(self, kind, coupled, peepholes, names, clip, rows, H, dtype):
        self.kind, self.coupled, self.dtype = kind, coupled, dtype
        limit = clip or np.inf
        self.phi, self.sigma = (lambda a, f=TRUTHS[name]: f(np.clip(a, -limit, limit)) for name in names)
        self.squash, self.slope = TRUTHS[names[0]], reference.clipped(reference.ACTIVATIONS[names[1]], limit).slope
        self.blocks = "rzn" if kind.startswith("gru") else "a" if kind == "rnn" else "fgo" if coupled else "ifgo"
        G = len(self.blocks)
        self.gates, u, self.before, self.c, self.dh, self.dc, self.dy = random_arrays(
            dtype, (rows, G * H), (rows, 3 * H), *[(rows, H)] * 5, seed=H + rows
        )
        self.recurrent = u if kind == "gru" else None
        self.w = random_arrays(dtype, (G - 1, H), seed=1)[0] if peepholes else None
        if kind == "gru_update":
            self.gates[:, H : 2 * H] = self.sigma(self.gates[:, H : 2 * H].astype(np.float64) / 9)  # none at a limit
        if not kind.startswith("lstm"):
            self.c = None
        self.cell = _core.Cell(kind, *[KINDS[name] for name in names], coupled, self.w, clip)

    def truth(self, **given):
        """The formulas' results for `given` arrays in place of the case's."""
        arrays = {name: getattr(self, name) for name in ("gates", "recurrent", "before", "c", "w")} | given
        gates, recurrent, before, c, w = (None if v is None else np.asarray(v, np.float64) for v in arrays.values())
        H = before.shape[1]
        a = {name: gates[:, k * H : (k + 1) * H] for k, name in enumerate(self.blocks)}
        u = {} if recurrent is None else {name: recurrent[:, k * H : (k + 1) * H] for k, name in enumerate("rzn")}
        peepholes = {} if w is None else dict(zip("fo" if self.coupled else "ifo", w, strict=True))
        g, c, h = formula(self.kind, self.coupled, a, u, before, c, peepholes, self.phi, self.sigma, self.squash)
        return np.concatenate([g[name] for name in self.blocks], axis=1), c, h

    def forward(self):
        """The kernel's gates, c and h."""
        (gates, guard), (h, h_guard) = guarded(self.gates), guarded(np.full_like(self.before, np.nan))
        c = None if self.c is None else guarded(self.c if self.kind == "lstm_output" else np.full_like(self.c, np.nan))
        recurrent = None if self.recurrent is None else self.recurrent.copy()
        _core.cell_forward(self.cell, gates, recurrent, c and c[0], h, self.before)
        assert (guard == 12345).all()
        assert (h_guard == 12345).all()
        assert c is None or (c[1] == 12345).all()
        return gates, c and c[0], h


def bound(dtype):
    return 16 * np.finfo(dtype).eps


@pytest.fixture(params=CASES, ids=lambda case: " ".join([case[0], *np.array(["coupled", "peepholes"])[list(case[1:])]]))
def cases(request, dtype):
    """Cases of one kind in every odd size, the activations changing in turn, and whether pre-activations are clipped."""
    sizes = [(rows, H) for H in UNITS for rows in ROWS]
    return [Case(*request.param, PAIRS[turn % 3], turn % 2 * 0.6, *size, dtype) for turn, size in enumerate(sizes)]


def test_forward_equals_the_formulas(isa, cases):
    for case in cases:
        for got, want in zip(case.forward(), case.truth(), strict=True):
            if want is not None:
                np.testing.assert_allclose(got, want, rtol=bound(case.dtype), atol=bound(case.dtype))


def loss(case, **given):
    """What `cell_backward` gives the gradients of, unit by unit, the arrays `given` in place of the case's."""
    _, c, h = case.truth(**given)
    if case.kind == "gru_reset":
        return case.dc * h + case.dh * given.get("before", 0)
    above = 0 if h is None else (case.dh.astype(np.float64) + case.dy) * h
    return above if c is None else above + case.dc * c


def differences(case, name):
    """Of `loss` by the array `name`, each unit and row being independent of the others: all at once, block by block."""
    start, epsilon, H = getattr(case, name).astype(np.float64), 1e-5, case.before.shape[1]
    result = np.zeros_like(start)
    for first in range(0, start.shape[1], H):
        sides = []
        for sign in (1, -1):
            moved = start.copy()
            moved[:, first : first + H] += sign * epsilon
            sides.append(loss(case, **{name: moved}))
        result[:, first : first + H] = (sides[0] - sides[1]) / (2 * epsilon)
    return result


def test_backward_equals_central_differences(isa, cases):
    for case in cases:
        kind, H = case.kind, case.before.shape[1]
        gates, c, _ = case.forward()
        d_gates, guard = guarded(gates)
        recurrent, dh = None if case.recurrent is None else case.recurrent.copy(), case.dh.copy()
        dc = case.dc.copy() if kind.startswith("lstm") or kind == "gru_reset" else None
        if kind == "gru":
            recurrent[:, : 2 * H] = np.nan  # only block n is read
        _core.cell_backward(case.cell, d_gates, recurrent, dh, dc, c, case.before, case.dy)
        assert (guard == 12345).all()
        limits = {"rtol": 4 * bound(case.dtype), "atol": 4 * bound(case.dtype) + 1e-8}
        want = differences(case, "gates")
        if kind == "gru_update":  # z was activated before
            want[:, H : 2 * H] *= case.slope(gates[:, H : 2 * H].astype(np.float64))
        changed = np.repeat([name in BLOCKS.get(kind, "ifgo") for name in case.blocks], H)
        np.testing.assert_allclose(d_gates[:, changed], want[:, changed], **limits)
        np.testing.assert_array_equal(d_gates[:, ~changed], gates[:, ~changed])
        if kind == "gru":
            np.testing.assert_allclose(recurrent, differences(case, "recurrent"), **limits)
        if kind != "rnn":
            state = dh if kind.startswith("gru") else dc
            np.testing.assert_allclose(state, differences(case, "c" if kind == "lstm_output" else "before"), **limits)
