"""The LSTM with its variants: peepholes, coupled gates, projection."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fastlstm.reference.activations import Array
from fastlstm.reference.equations import Equations, affine, affine_back


class LSTMTape(NamedTuple):
    """What a step of the LSTM keeps: arrays (B, ·)."""

    x: Array
    fed: Array
    c: Array  # c_{t-1}
    input_gate: Array
    forget_gate: Array
    candidate: Array
    output_gate: Array
    cell_state: Array
    squashed: Array  # φ(c_t)
    hidden_state: Array


class LSTM(Equations):
    """The LSTM (Hochreiter & Schmidhuber 1997) with forget gate (Gers, Schmidhuber & Cummins 2000), as `torch.nn.LSTM`:

        i, f, g, o = σ(a_i), σ(a_f), φ(a_g), σ(a_o)    with    a = W x_t + b_ih + U h_{t-1} + b_hh
        c_t = f ∘ c_{t-1} + i ∘ g
        h_t = o ∘ φ(c_t)

    W is `weight_ih` (4H, I), U is `weight_hh` (4H, H), their blocks in the order i, f, g, o. Its variants:

        peephole (Gers & Schmidhuber 2000):         a_i += P_i c_{t-1},  a_f += P_f c_{t-1},  a_o += P_o c_t
        coupled (Greff et al. 2017, "CIFG"):        i = 1 - f, without weights of its own: the blocks are f, g, o
        projected (Sak, Senior & Beaufays 2014):    h_t = R (o ∘ φ(c_t))

    P is `weight_ci`, `weight_cf`, `weight_co`, (H,) for a diagonal matrix or (H, H); R is `weight_hr` (proj_size, H).
    """

    def step(
        self, p: Mapping[str, Array], x: Array, state: Sequence[Array], fed: Array
    ) -> tuple[tuple[Array, ...], LSTMTape]:
        """See `Equations`."""
        _, c = state
        blocks = np.split(affine(p, "ih", x) + affine(p, "hh", fed), len(self.cell.gates), axis=1)
        a = dict(zip(self.cell.gates, blocks, strict=True))
        f = self.gate("forget_gate", a["f"] + _peep(p, "f", c))
        i = 1 - f if self.cell.coupled else self.gate("input_gate", a["i"] + _peep(p, "i", c))
        g = self.gate("candidate", a["g"])
        c_t = f * c + i * g
        o = self.gate("output_gate", a["o"] + _peep(p, "o", c_t))
        squashed = self.phi.value(c_t)
        h_t = affine(p, "hr", o * squashed) if self.cell.proj_size else o * squashed
        return (h_t, c_t), LSTMTape(x, fed, c, i, f, g, o, c_t, squashed, h_t)

    def step_back(
        self, p: Mapping[str, Array], tape: LSTMTape, dstate: Sequence[Array], gradients: dict[str, Array]
    ) -> tuple[Array, tuple[Array, ...], Array]:
        """See `Equations`."""
        dh, dc = dstate
        i, f, g, o = tape.input_gate, tape.forget_gate, tape.candidate, tape.output_gate
        read = affine_back(p, "hr", o * tape.squashed, dh, gradients) if self.cell.proj_size else dh  # at o ∘ φ(c_t)
        da = {"o": self.gate_back("output_gate", o, read * tape.squashed)}
        dc = dc + read * o * self.phi.slope(tape.squashed) + _peep_back(p, "o", tape.cell_state, da["o"], gradients)
        da["g"] = self.gate_back("candidate", g, dc * i)
        if self.cell.coupled:
            da["f"] = self.gate_back("forget_gate", f, dc * (tape.c - g))
        else:
            da["f"] = self.gate_back("forget_gate", f, dc * tape.c)
            da["i"] = self.gate_back("input_gate", i, dc * g)
        dc_before = dc * f + sum(_peep_back(p, gate, tape.c, da[gate], gradients) for gate in da if gate in "if")
        blocks = np.concatenate([da[gate] for gate in self.cell.gates], axis=1)
        dx = affine_back(p, "ih", tape.x, blocks, gradients)
        return dx, (np.zeros_like(dh), dc_before), affine_back(p, "hh", tape.fed, blocks, gradients)


def _peep(p: Mapping[str, Array], gate: str, c: Array) -> Array | float:
    """P c of this gate, 0 without peepholes."""
    weight = p.get(f"weight_c{gate}")
    if weight is None:
        return 0.0
    return c * weight if weight.ndim == 1 else c @ weight.T


def _peep_back(p: Mapping[str, Array], gate: str, c: Array, da: Array, gradients: dict[str, Array]) -> Array | float:
    """The gradient at c, from da at the pre-activation of this gate; adds that at P to `gradients`."""
    weight = p.get(f"weight_c{gate}")
    if weight is None:
        return 0.0
    diagonal = weight.ndim == 1
    gradients[f"weight_c{gate}"] += (da * c).sum(axis=0) if diagonal else da.T @ c
    return da * weight if diagonal else da @ weight
