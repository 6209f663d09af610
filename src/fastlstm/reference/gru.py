"""The gated recurrent unit."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fastlstm.reference.activations import Array
from fastlstm.reference.equations import Equations, affine, affine_back


class GRUTape(NamedTuple):
    """What a step of the GRU keeps: arrays (B, ·)."""

    x: Array
    fed: Array
    h: Array  # h_{t-1}
    reset_gate: Array
    update_gate: Array
    candidate: Array
    product: Array  # of U_n, and b_hn
    hidden_state: Array


class GRU(Equations):
    """The gated recurrent unit (Cho et al. 2014), the weights' blocks in the order r, z, n:

        r, z = σ(a_r), σ(a_z)    with    a = W x_t + b_ih + U h_{t-1} + b_hh
        n = φ(W_n x_t + b_in + r ∘ (U_n h_{t-1} + b_hn))      with `reset_after`, as in `torch.nn.GRU`
        n = φ(W_n x_t + b_in + U_n (r ∘ h_{t-1}) + b_hn)      without, as published
        h_t = (1 - z) ∘ n + z ∘ h_{t-1}

    W is `weight_ih` (3H, I), U is `weight_hh` (3H, H). Recurrent dropout is in all that U multiplies, not in
    z ∘ h_{t-1}.
    """

    def _blocks(self) -> tuple[slice, slice]:
        """The rows of r and z, and those of n."""
        H = self.cell.hidden_size
        return slice(0, 2 * H), slice(2 * H, 3 * H)

    def step(
        self, p: Mapping[str, Array], x: Array, state: Sequence[Array], fed: Array
    ) -> tuple[tuple[Array, ...], GRUTape]:
        """See `Equations`."""
        (h,), (rz, new) = state, self._blocks()
        a_r, a_z = np.split(affine(p, "ih", x, rz) + affine(p, "hh", fed, rz), 2, axis=1)
        r, z = self.gate("reset_gate", a_r), self.gate("update_gate", a_z)
        product = affine(p, "hh", fed if self.cell.reset_after else r * fed, new)
        n = self.gate("candidate", affine(p, "ih", x, new) + (r * product if self.cell.reset_after else product))
        h_t = (1 - z) * n + z * h
        return (h_t,), GRUTape(x, fed, h, r, z, n, product, h_t)

    def step_back(
        self, p: Mapping[str, Array], tape: GRUTape, dstate: Sequence[Array], gradients: dict[str, Array]
    ) -> tuple[Array, tuple[Array, ...], Array]:
        """See `Equations`."""
        (dh,), (rz, new) = dstate, self._blocks()
        r, z, n, fed = tape.reset_gate, tape.update_gate, tape.candidate, tape.fed
        da_n = self.gate_back("candidate", n, dh * (1 - z))
        if self.cell.reset_after:
            dr, dfed = da_n * tape.product, affine_back(p, "hh", fed, da_n * r, gradients, new)
        else:
            d_reset = affine_back(p, "hh", r * fed, da_n, gradients, new)
            dr, dfed = d_reset * fed, d_reset * r
        da_r, da_z = self.gate_back("reset_gate", r, dr), self.gate_back("update_gate", z, dh * (tape.h - n))
        da = np.concatenate([da_r, da_z, da_n], axis=1)
        dfed = dfed + affine_back(p, "hh", fed, da[:, rz], gradients, rz)
        return affine_back(p, "ih", tape.x, da, gradients), (dh * z,), dfed
