"""Layer stacks over time-major arrays, with PyTorch's parameter names, shapes and gate order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastlstm import _check, init
from fastlstm.engines import Shelf, current_engine
from fastlstm.parameters import Parameters
from fastlstm.reference import ACTIVATIONS

State = tuple[np.ndarray, np.ndarray]


def parameter_shapes(I: int, H: int, L: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of a stack of L layers of H units that reads I numbers."""
    shapes: dict[str, tuple[int, ...]] = {}
    for k in range(L):
        shapes[f"weight_ih_l{k}"] = (4 * H, H if k else I)
        shapes[f"weight_hh_l{k}"] = (4 * H, H)
        if bias:
            shapes[f"bias_ih_l{k}"] = shapes[f"bias_hh_l{k}"] = (4 * H,)
    return shapes


class Tape:
    """What one `LSTM.forward` kept for its `backward`; it serves once."""

    def __init__(self, stack: LSTM, engine: Any, saved: Any, x_shape: tuple[int, ...]) -> None:
        self.stack, self.engine, self.x_shape = stack, engine, x_shape
        self._version = stack.version
        self._saved = saved

    def take(self) -> Any:
        """What the engine saved, the first time; an error afterwards."""
        if self._saved is None:
            raise RuntimeError("this tape has already served a backward pass; run forward again")
        if self._version != self.stack.version:
            raise RuntimeError("the parameters have changed since this tape's forward; run forward again")
        saved, self._saved = self._saved, None
        return saved


class LSTM:
    """A stack of LSTM layers.

        i, f, g, o = σ(a_i), σ(a_f), φ(a_g), σ(a_o)    with    a = W x_t + b_ih + U h_{t-1} + b_hh
        c_t = f ∘ c_{t-1} + i ∘ g
        h_t = o ∘ φ(c_t)

    Layer k + 1 reads the outputs h of layer k. Source: Hochreiter & Schmidhuber 1997 with the forget gate of Gers,
    Schmidhuber & Cummins 2000; parameters as in `torch.nn.LSTM`.

    Computes on the engine in use (`fastlstm.set_engine`) and, where the work is worth it, on up to
    `fastlstm.get_threads()` threads: the same input on the same number of them gives the same bits.

    Args:
        input_size: I, numbers in each input vector, at least 1; for token input, how many tokens there are.
        hidden_size: H, units of each layer, at least 1.
        num_layers: L, at least 1.
        bias: whether the layers have `bias_ih` and `bias_hh`.
        dropout: probability in [0, 1) of dropping each output between layers, in `forward` only.
        activation: φ: "tanh", "sigmoid", "relu", "hard_sigmoid" (relu6(x + 3) / 6), "softsign" or "linear".
        recurrent_activation: σ, one of the same.
        initializer: of the parameters (`fastlstm.init`): "uniform" (all in ±1/√H), "xavier" (each gate's matrices in
            ±√(6 / (columns + H)), biases 0) or "orthogonal" (each gate's recurrent matrix orthogonal, else as "xavier").
            Forget-gate biases are 1 in all of them.
        dtype: "float32" or "float64", of parameters, outputs and states.
        seed: of the initial parameters and of dropout without a `dropout_seed`; None takes fresh entropy.

    >>> import numpy as np
    >>> rnn = LSTM(3, 4, num_layers=2, seed=0)
    >>> y, (h, c) = rnn(np.zeros((5, 2, 3)))
    >>> y.shape, h.shape, c.shape
    ((5, 2, 4), (2, 2, 4), (2, 2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, *, bias: bool = True, dropout: float = 0.0,
        activation: str = "tanh", recurrent_activation: str = "sigmoid", initializer: str = "uniform",
        dtype: DTypeLike = "float32", seed: int | None = None,
    ) -> None:
        self.input_size = _check.count("input_size", input_size)
        self.hidden_size = _check.count("hidden_size", hidden_size)
        self.num_layers = _check.count("num_layers", num_layers)
        self.bias = bool(bias)
        self.dropout = _check.number("dropout", dropout, 0, 1, open_ends=")")
        self.activation = _check.choice("activation", activation, ACTIVATIONS)
        self.recurrent_activation = _check.choice("recurrent_activation", recurrent_activation, ACTIVATIONS)
        self.initializer = _check.choice("initializer", initializer, init.INITIALIZERS)
        self.dtype = _check.float_dtype(dtype)
        I, H, L = self.input_size, self.hidden_size, self.num_layers
        _check.blas_dimensions(**{"input_size": I, "4 * hidden_size": 4 * H})
        _check.memory("the parameters", 4 * H * (I + (2 * L - 1) * H), self.dtype)
        self._rng = np.random.default_rng(seed)
        self.shelf = Shelf()
        self._parameters = Parameters(parameter_shapes(I, H, L, self.bias), self.dtype)
        init.INITIALIZERS[self.initializer](self._parameters, H, self._rng)
        init.forget_bias(self._parameters, H)

    # ---- parameters ----------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> Mapping[str, np.ndarray]:
        """Read-only arrays by PyTorch's names: `weight_ih_l0` (4H, I), `weight_hh_l0` (4H, H), `bias_ih_l0` (4H,), …"""
        return self._parameters.public

    @property
    def store(self) -> Parameters:
        """The parameters as the library's own code takes them."""
        return self._parameters

    @property
    def version(self) -> int:
        """How often the parameters have changed: what caches compare."""
        return self._parameters.version

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters by name."""
        return {name: array.copy() for name, array in self._parameters}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Copy all parameters from `state_dict`: exactly these names and shapes, or ValueError and nothing changes."""
        self._parameters.load(state_dict)

    def bind(self, parameters: Parameters) -> None:
        """Keep the parameters in `parameters` from now on (a model's common vector), with their present values."""
        parameters.load(self._parameters.arrays)
        self._parameters = parameters

    def __reduce__(self) -> tuple[Callable[..., LSTM], tuple[()], dict[str, Any]]:
        """Pickle and copy by the arguments, the parameters and the generator's state."""
        make = partial(
            LSTM, self.input_size, self.hidden_size, self.num_layers, bias=self.bias, dropout=self.dropout,
            activation=self.activation, recurrent_activation=self.recurrent_activation, dtype=self.dtype.name,
        )
        return make, (), {"initializer": self.initializer, "parameters": self.state_dict(), "generator": self._rng}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The other half of `__reduce__`."""
        self.initializer = state["initializer"]  # not given to be made with: the parameters it draws are replaced
        self.load_state_dict(state["parameters"])
        self._rng = state["generator"]

    # ---- running -------------------------------------------------------------------------------------------------

    def __call__(
        self, x: ArrayLike, state: tuple[ArrayLike, ArrayLike] | None = None, lengths: ArrayLike | None = None
    ) -> tuple[np.ndarray, State]:
        """Outputs of the last layer and the final state; nothing is dropped.

        Args:
            x: (T, B, I) numbers, or (T, B) integer token ids in [0, I), which stand for one-hot vectors.
            state: (h0, c0), each (L, B, H); None is zeros.
            lengths: (B,) integers in [0, T]: steps t >= lengths[b] are padding and are not looked at.

        Returns:
            y (T, B, H), zeros in the padding, and (h, c), each (L, B, H), after the last valid step.

        Raises:
            ValueError, TypeError, IndexError: naming the argument, what was expected and what came.
            MemoryError: y would not fit into this machine's memory.
        """
        x, (h0, c0), lengths = self._check_input(x, state, lengths)
        y, h, c, _ = current_engine().forward(self, x, h0, c0, lengths, None, keep=False)
        return y, (h, c)

    def forward(
        self, x: ArrayLike, state: tuple[ArrayLike, ArrayLike] | None = None, lengths: ArrayLike | None = None, *,
        dropout_seed: int | None = None,
    ) -> tuple[np.ndarray, State, Tape]:
        """As calling the stack, for training: drops outputs between layers and keeps what `backward` needs.

        Args:
            x, state, lengths: as in a call.
            dropout_seed: of the dropout masks; None draws them from the stack's own generator.

        Returns:
            y, (h, c) and the tape, which serves one `backward`.

        Raises:
            ValueError: among others, where T or B is 0: there is nothing to learn from.
        """
        x, (h0, c0), lengths = self._check_input(x, state, lengths)
        x = x.copy()  # the engine keeps it: the caller may refill the array, and checked tokens must stay checked
        for name, size in zip("TB", x.shape, strict=False):
            if size == 0:
                raise ValueError(f"x must not be empty in training, got {name} = 0")
        engine = current_engine()
        masks = self.dropout_masks(*x.shape[:2], dropout_seed)
        y, h, c, saved = engine.forward(self, x, h0, c0, lengths, masks, keep=True)
        return y.copy(), (h, c), Tape(self, engine, saved, x.shape)

    def backward(
        self, tape: Tape, dy: ArrayLike, dstate: tuple[ArrayLike, ArrayLike] | None = None
    ) -> tuple[np.ndarray | None, State, dict[str, np.ndarray]]:
        """Back-propagation through time: gradients of a loss with respect to x, the initial state and every parameter.

        Args:
            tape: of one `forward`, with the parameters unchanged since.
            dy: (T, B, H), gradient of the loss with respect to y; ignored in the padding.
            dstate: (dh, dc), each (L, B, H), with respect to the final state; None is zeros.

        Returns:
            dx (T, B, I), zeros in the padding (None for token input), (dh0, dc0), each (L, B, H), and the gradients by the
            names of `parameters`.

        Raises:
            RuntimeError: the tape has already been used, or the parameters have changed since.
            ValueError: the tape is another stack's, or an argument is wrong.
        """
        if tape.stack is not self:
            raise ValueError("tape must come from this stack's own forward")
        T, B = tape.x_shape[:2]
        dy = _check.array("dy", dy, (T, B, self.hidden_size), self.dtype)
        dh, dc = self._check_state(("dh", "dc"), dstate, B)
        gradients = {name: np.empty_like(array) for name, array in self._parameters}
        want_dx = len(tape.x_shape) == 3
        dx, dh0, dc0 = tape.engine.backward(self, tape.take(), dy, dh, dc, gradients, want_dx)
        return dx, (dh0, dc0), gradients

    def stream(self, batch_size: int = 1) -> Stream:
        """A `Stream`: one step at a time, the state carried."""
        B = _check.count("batch_size", batch_size)
        self._check_size("batch_size", B)
        return Stream(self, B)

    def dropout_masks(self, T: int, B: int, seed: int | np.random.SeedSequence | None) -> list[np.ndarray] | None:
        """Masks (T, B, H) for the outputs of all layers but the last: 0 with probability `dropout`, else 1/(1 - dropout)."""
        if self.dropout == 0 or self.num_layers == 1:
            return None
        rng = self._rng if seed is None else np.random.default_rng(seed)
        shape, kept = (T, B, self.hidden_size), self.dtype.type(1 / (1 - self.dropout))
        return [(rng.random(shape, self.dtype) >= self.dropout) * kept for _ in range(self.num_layers - 1)]

    def _check_input(
        self, x: ArrayLike, state: tuple[ArrayLike, ArrayLike] | None, lengths: ArrayLike | None
    ) -> tuple[np.ndarray, State, np.ndarray | None]:
        x = _check.any_array("x", x)
        if x.ndim > 1:
            self._check_size("T * B", x.shape[0] * x.shape[1])
        if x.ndim == 2 and x.dtype.kind in "iu":
            if lengths is not None:
                lengths = _check.lengths(lengths, *x.shape)
            x = _check.tokens("x", x, 2, self.input_size, lengths)
        else:
            x = _check.array("x", x, ("T", "B", self.input_size), self.dtype)
            if lengths is not None:
                lengths = _check.lengths(lengths, *x.shape[:2])
        return x, self._check_state(("h0", "c0"), state, x.shape[1]), lengths

    def _check_size(self, name: str, rows: int) -> None:
        """Refuse more rows than BLAS can address or outputs that memory cannot hold, before anything is made of them."""
        _check.blas_dimensions(**{name: rows})
        _check.memory(f"the output for {name} = {rows}", rows * self.hidden_size, self.dtype)

    def _check_state(self, names: tuple[str, str], state: tuple[ArrayLike, ArrayLike] | None, B: int) -> State:
        shape = (self.num_layers, B, self.hidden_size)
        if state is None:
            return np.zeros(shape, self.dtype), np.zeros(shape, self.dtype)
        if not isinstance(state, tuple | list) or len(state) != 2:
            size = f" of {len(state)}" if hasattr(state, "__len__") else ""
            raise TypeError(f"the state must be a pair ({', '.join(names)}), got {type(state).__name__}{size}")
        h, c = (_check.array(name, value, shape, self.dtype) for name, value in zip(names, state, strict=True))
        return h, c

    def __repr__(self) -> str:
        """The sizes, as they would be given."""
        return f"LSTM({self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, dtype={self.dtype.name!r})"


class Stream:
    """One step at a time through a stack, the state carried from call to call. Made by `LSTM.stream`."""

    def __init__(self, rnn: LSTM, batch_size: int) -> None:
        self._rnn, self._B = rnn, batch_size
        self._stepper = current_engine().stepper(rnn, batch_size)

    def step(self, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """Advance by one step.

        Args:
            x: (B, I) numbers, or (B,) token ids.
            out: (B, H), C-contiguous, of the stack's dtype, to receive the output; None makes a fresh array.

        Returns:
            The output of the last layer (B, H).
        """
        rnn = self._rnn
        if out is not None:
            _check.out("out", out, (self._B, rnn.hidden_size), rnn.dtype)
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
        """Copies of (h, c), each (L, B, H); assign a pair to continue from it."""
        h, c = self._stepper.state
        return h.copy(), c.copy()

    @state.setter
    def state(self, state: tuple[ArrayLike, ArrayLike]) -> None:
        h, c = self._rnn._check_state(("h0", "c0"), state, self._B)
        self._stepper.state = h.copy(), c.copy()

    def reset(self) -> None:
        """Back to the zero state."""
        self.state = None
