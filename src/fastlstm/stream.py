"""A stack of layers that goes on step by step."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastlstm import _check
from fastlstm.engines import copies, engine_called

if TYPE_CHECKING:
    from fastlstm.recurrent import Recurrent
    from fastlstm.states import State


class Stream:
    """One step at a time through a stack, the state carried from call to call. Made by `LSTM.stream`."""

    def __init__(self, rnn: Recurrent, batch_size: int, engine: str, state: State | None = None) -> None:
        self._rnn, self._B, self._engine = rnn, batch_size, engine
        self._stepper: Any = engine_called(engine).stepper(rnn, batch_size)
        self.state = state

    def step(self, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """Advance by one step.

        Args:
            x: (B, I) numbers, or (B,) token ids in [0, I).
            out: (B, ·), C-contiguous, of the stack's dtype, to receive the output; None makes a fresh array.

        Returns:
            The output of the stack (B, ·): H numbers for each sequence, or what `proj_size` and `skip` make of them.

        Raises:
            ValueError, TypeError, IndexError: naming the argument, what was expected and what came.
        """
        rnn = self._rnn
        if out is not None:
            _check.out("out", out, (self._B, rnn.layout.output_size), rnn.dtype)
        y = self._stepper.try_step(x, out)
        if y is not None:
            return y
        x = _check.any_array("x", x)
        if x.ndim == 1 and x.dtype.kind in "iu":
            x = _check.tokens("x", x, 1, rnn.input_size)
            if len(x) != self._B:
                raise ValueError(f"x must have shape ({self._B},), got ({len(x)},)")
        else:
            x = _check.array("x", x, (self._B, rnn.input_size), rnn.dtype)
        return self._stepper.step(x, out)

    @property
    def state(self) -> State:
        """A copy of the state, as a call of the stack returns it; assign one to continue from it."""
        return self._rnn.public_state(tuple(map(copy, self._stepper.state)))

    @state.setter
    def state(self, state: State | None) -> None:
        states = self._rnn.checked_state("", "0", state, self._B)
        self._stepper.state = copies(states)

    def reset(self) -> None:
        """Back to the zero state."""
        self.state = None

    def __repr__(self) -> str:
        """The call that makes one like it."""
        return f"{self._rnn!r}.stream({self._B})"

    def __reduce__(self) -> tuple[type[Stream], tuple[Any, ...]]:
        """Pickle and copy by the layers, the engine and the state."""
        return Stream, (self._rnn, self._B, self._engine, self.state)
