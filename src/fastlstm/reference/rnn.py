"""The plain recurrent cell."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fastlstm.reference.activations import Array
from fastlstm.reference.equations import Equations, affine, affine_back


class RNNTape(NamedTuple):
    """What a step of the RNN keeps: arrays (B, ·)."""

    x: Array
    fed: Array
    hidden_state: Array


class RNN(Equations):
    """The plain recurrent cell (Elman 1990), as in `torch.nn.RNN`:

        h_t = φ(W x_t + b_ih + U h_{t-1} + b_hh)

    W is `weight_ih` (H, I), U is `weight_hh` (H, H).
    """

    def step(
        self, p: Mapping[str, Array], x: Array, state: Sequence[Array], fed: Array
    ) -> tuple[tuple[Array, ...], RNNTape]:
        """See `Equations`."""
        h = self.gate("hidden_state", affine(p, "ih", x) + affine(p, "hh", fed))
        return (h,), RNNTape(x, fed, h)

    def step_back(
        self, p: Mapping[str, Array], tape: RNNTape, dstate: Sequence[Array], gradients: dict[str, Array]
    ) -> tuple[Array, tuple[Array, ...], Array]:
        """See `Equations`."""
        (dh,) = dstate
        da = self.gate_back("hidden_state", tape.hidden_state, dh)
        dx = affine_back(p, "ih", tape.x, da, gradients)
        return dx, (np.zeros_like(dh),), affine_back(p, "hh", tape.fed, da, gradients)
