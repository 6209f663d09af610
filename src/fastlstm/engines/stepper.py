"""Streams on engines, or of stacks, that have no faster way than a forward pass for each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastlstm.engines.compiled import CompiledEngine
    from fastlstm.engines.reference import ReferenceEngine
    from fastlstm.recurrent import Recurrent


class ForwardStepper:
    """One step at a time for B sequences, with the parameters as they are at each step; `state` is as engines take it."""

    def __init__(self, engine: CompiledEngine | ReferenceEngine, stack: Recurrent, B: int) -> None:
        self._engine, self._stack = engine, stack
        self.state = stack.zero_states(B)

    def try_step(self, x: object, out: np.ndarray | None) -> None:
        """See `NativeStepper`; here is no faster way for arrays that fit."""

    def step(self, x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Advance by the checked input x (B, I) or (B,); returns the output (B, ·), in `out` or fresh."""
        y, self.state, _ = self._engine.forward(self._stack, x[None], self.state, None, None, keep=False)
        if out is None:
            return y[0]
        out[...] = y[0]
        return out
