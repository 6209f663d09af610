"""What LSTM, GRU and RNN have in common: parameters, running forwards and backwards, looking inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastlstm import _check, init, results
from fastlstm.cells import MERGES, Cell, Layout, Masks
from fastlstm.engines import Shelf, States, Workspace, copies, current_name, engine_called
from fastlstm.held import Held, held_of, holding
from fastlstm.parameters import Parameters
from fastlstm.stack_options import checked_cell, layer_widths, one_or_all, warn_of_dropout
from fastlstm.states import State, checked_state, public_state, zero_states
from fastlstm.stream import Stream

if TYPE_CHECKING:
    from fastlstm.trace import TraceLayer


class Tape:
    """What one `forward` kept for its `backward`; it serves once."""

    def __init__(self, stack: Recurrent, engine: Any, saved: Any, x_shape: tuple[int, ...]) -> None:
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

    def __reduce__(self) -> NoReturn:
        """Two copies would work in the same memory."""
        raise TypeError("a tape cannot be copied or pickled; run forward again")


class Recurrent:
    """A stack of recurrent layers over time-major arrays; see `fastlstm.LSTM`, `fastlstm.GRU` and `fastlstm.RNN`.

    store: the parameters as the library's own code takes them.

    cell: of every layer but for its sizes; its `input_size` is that of the stack.
    options: the arguments the stack was made with, to copy it by.
    """

    def __init__(
        self, cell: Cell, hidden_size: int | Sequence[int], num_layers: int, *, dropout: float,
        recurrent_dropout: float, bidirectional: bool, merge: str, skip: bool, initializer: str, dtype: DTypeLike,
        seed: int | None, options: dict[str, Any],
    ) -> None:
        self.dtype = _check.float_dtype(dtype)
        self._options = {**options, "dtype": self.dtype.name}
        widths = layer_widths(hidden_size, num_layers, self.dtype, default=1)
        self.num_layers = len(widths)
        self.hidden_size = one_or_all(widths)
        cell = checked_cell(cell, widths)
        self.input_size, self.bias, self.clip = cell.input_size, cell.bias, cell.clip
        self.activation, self.recurrent_activation = cell.activation, cell.recurrent_activation
        self.skip, self.bidirectional = _check.flag("skip", skip), _check.flag("bidirectional", bidirectional)
        self.dropout = _check.number("dropout", dropout, 0, 1, open_ends=")")
        self.recurrent_dropout = _check.number("recurrent_dropout", recurrent_dropout, 0, 1, open_ends=")")
        self.merge = _check.choice("merge", merge, MERGES)
        self.initializer = _check.choice("initializer", initializer, init.INITIALIZERS)
        self.layout = Layout.stacked(cell, widths, bidirectional=self.bidirectional, merge=self.merge, skip=self.skip)
        self.places = list(self.layout.places())
        gates = len(cell.gates)
        _check.blas_dimension("input_size", self.input_size)
        _check.blas_dimension(f"{gates} * hidden_size", gates * max(widths))
        shapes = self.layout.shapes()
        _check.memory("the parameters", sum(int(np.prod(shape, dtype=object)) for shape in shapes.values()), self.dtype)
        self._rng = np.random.default_rng(_check.optional(_check.count, "seed", seed, 0))
        self.shelf = Shelf()
        self.store = Parameters(shapes, self.dtype)
        init.stack(self.store, self.places, self.initializer, self._rng)

    # ---- parameters ----------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> Mapping[str, np.ndarray]:
        """Read-only arrays by PyTorch's names, `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, …, their gates one after another.

        Rows are those of i, f, g, o in the LSTM (f, g, o with coupled gates) and of r, z, n in the GRU; names of the reverse
        direction end with `_reverse`.
        """
        return self.store.public

    @property
    def version(self) -> int:
        """How often the parameters have changed: what caches compare."""
        return self.store.version

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters by name."""
        return {name: array.copy() for name, array in self.store}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Copy all parameters from `state_dict`: exactly these names and shapes, or ValueError and nothing changes."""
        self.store.load(state_dict)

    def lowest(self, layers: int) -> Recurrent:
        """A stack of the first so many layers, which shares their parameters."""
        stack = object.__new__(type(self))
        layout = replace(self.layout, layers=self.layout.layers[:layers])
        hidden_size = one_or_all(tuple(layer[0].hidden_size for layer in layout.layers))
        stack.__dict__ |= {
            **self.__dict__, "num_layers": layers, "hidden_size": hidden_size, "layout": layout,
            "places": list(layout.places()), "store": self.store.renamed({name: name for name in layout.shapes()}),
            "_options": {**self._options, "num_layers": layers, "hidden_size": hidden_size},
        }
        return stack

    def bind(self, parameters: Parameters) -> None:
        """Keep the parameters in `parameters` from now on (a model's common vector), with their present values."""
        parameters.load(self.store.arrays)
        self.store = parameters

    def __reduce__(self) -> tuple[Callable[..., Recurrent], tuple[()], dict[str, Any]]:
        """Pickle and copy by the arguments, the parameters and the generator's state."""
        self.refuse_copies()
        made_with = {**self._options, "initializer": "uniform"}  # the parameters it draws are replaced
        return partial(type(self), **made_with), (), {
            "initializer": self.initializer, "parameters": self.state_dict(), "generator": self._rng.bit_generator.state,
        }

    def refuse_copies(self) -> None:
        """TypeError inside the `with` block of `hold`, as a copy would hold nothing."""
        if self.held:
            raise TypeError("gates are held by hand: copies and pickles are made outside the `with` block of hold")

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The other half of `__reduce__`."""
        self.initializer = self._options["initializer"] = state["initializer"]
        self.load_state_dict(state["parameters"])
        self._rng.bit_generator.state = state["generator"]

    # ---- running -------------------------------------------------------------------------------------------------

    def __call__(
        self, x: ArrayLike, state: State | None = None, lengths: ArrayLike | None = None
    ) -> tuple[np.ndarray, State]:
        """Outputs of the stack and the final state; nothing is dropped.

        Args:
            x: (T, B, I) numbers, or (T, B) integer token ids in [0, I), which stand for one-hot vectors.
            state: the initial state, (h0, c0) for the LSTM and h0 for GRU and RNN: each (L*D, B, H), D the directions, or
                where widths differ by layer a list of (D, B, H_k); None is zeros.
            lengths: (B,) integers in [0, T]: steps t >= lengths[b] are padding and are not looked at.

        Returns:
            y (T, B, D*H), the outputs of the last layer (T, B, H with merge "sum"; all layers' one after another with `skip`;
            `proj_size` stands for H where there is one), zeros in the padding, and the state after the last valid step; of the
            reverse direction, after the first one.

        Raises:
            ValueError, TypeError, IndexError: naming the argument, what was expected and what came.
            MemoryError: y would not fit into this machine's memory.
        """
        engine = self.engine
        found = engine.try_call(self, x) if state is None and lengths is None else None
        if found is None:
            x, states, lengths = self._check_input(x, state, lengths)
            found = engine.forward(self, x, states, lengths, None, keep=False)
        return found[0], self.public_state(found[1])

    def forward(
        self, x: ArrayLike, state: State | None = None, lengths: ArrayLike | None = None, *,
        dropout_seed: int | None = None,
    ) -> tuple[np.ndarray, State, Tape]:
        """As calling the stack, for training: drops outputs between layers and keeps what `backward` needs.

        Args:
            x, state, lengths: as in a call.
            dropout_seed: of the dropout masks; None draws them from the stack's own generator.

        Returns:
            y, the final state and the tape, which serves one `backward`.

        Raises:
            ValueError: among others, where T or B is 0: there is nothing to learn from.
        """
        x, states, lengths = self._check_input(x, state, lengths)
        x = results.copy(x)  # the engine keeps it: the caller may refill the array, and checked tokens must stay checked
        if 0 in x.shape[:2]:
            raise ValueError(f"x must not be empty in training, got {'TB'[x.shape.index(0)]} = 0")
        warn_of_dropout(self.dropout, self.num_layers, stacklevel=2)
        engine = self.engine
        masks = self.dropout_masks(*x.shape[:2], dropout_seed)
        y, states, saved = engine.forward(self, x, states, lengths, masks, keep=True)
        return y, self.public_state(states), Tape(self, engine, saved, x.shape)

    def backward(
        self, tape: Tape, dy: ArrayLike, dstate: State | None = None
    ) -> tuple[np.ndarray | None, State, dict[str, np.ndarray]]:
        """Back-propagation through time: gradients of a loss with respect to x, the initial state and every parameter.

        Args:
            tape: of one `forward`, with the parameters unchanged since.
            dy: as y, gradient of the loss with respect to it; ignored in the padding.
            dstate: as the state, with respect to the final state; None is zeros.

        Returns:
            dx (T, B, I), zeros in the padding (None for token input), the gradients of the initial state, and those of the
            parameters by name.

        Raises:
            RuntimeError: the tape has already been used, or the parameters have changed since.
            ValueError: the tape is another stack's, or an argument is wrong.
            TypeError: the tape is none.
        """
        if not isinstance(tape, Tape):
            raise TypeError(f"tape must be what forward returned last, got {type(tape).__name__}")
        if tape.stack is not self:
            raise ValueError("tape must come from this stack's own forward")
        T, B = tape.x_shape[:2]
        dy = _check.array("dy", dy, (T, B, self.layout.output_size), self.dtype)
        dstates = self.zero_states(B) if dstate is None else copies(self.checked_state("d", "", dstate, B))
        gradients = {name: results.empty(array.shape, array.dtype) for name, array in self.store}
        want_dx = len(tape.x_shape) == 3
        dx, dstates = tape.engine.backward(self, tape.take(), dy, dstates, gradients, want_dx)
        return dx, self.public_state(dstates), gradients

    def trace(self, x: ArrayLike, state: State | None = None, lengths: ArrayLike | None = None) -> list[TraceLayer]:
        """Every gate and state of every unit at every step, to look inside; nothing is dropped.

        Args:
            x, state, lengths: as in a call.

        Returns:
            For each layer, and each direction where there are two, in the order of the state: an object whose attributes are
            arrays (T, B, H): `cell_state`, `hidden_state`, `forget_gate`, …, and for GRU and RNN their own. Those of the
            reverse direction are in the order of x's steps too; zeros in the padding.

        Raises:
            ValueError, TypeError, IndexError, MemoryError: as a call.

        >>> import fastlstm, numpy as np
        >>> rnn = fastlstm.GRU(3, 4, bidirectional=True, seed=0)
        >>> forwards, backwards = rnn.trace(np.ones((5, 2, 3)))
        >>> backwards.reset_gate.shape
        (5, 2, 4)
        """
        from fastlstm.trace import TraceLayer  # with all that shows traces, which layers do not need

        x, states, lengths = self._check_input(x, state, lengths)
        T, B = x.shape[:2]
        kept = T * B * sum(len(place.cell.quantities) * place.cell.hidden_size for place in self.places)
        _check.memory("the trace", kept, self.dtype)
        engine, workspace = self.engine, Workspace()  # of this call alone: arrays of the trace may be its own
        _, _, saved = engine.forward(self, x, states, lengths, None, keep=True, workspace=workspace)
        names = [f"layer {place.layer}" + (", reverse" if place.direction else "") for place in self.places]
        return [TraceLayer(*one) for one in zip(names, engine.quantities(self, saved), strict=True)]

    @property
    def engine(self) -> Any:
        """The engine in use; gates held by hand are for the reference."""
        return engine_called(self._engine_name)

    @property
    def _engine_name(self) -> str:
        return "reference" if self.held else current_name()

    def stream(self, batch_size: int = 1) -> Stream:
        """A `Stream`: one step at a time, the state carried.

        `copy.copy` of it goes on from the same state with the same layers, `copy.deepcopy` and pickles with copies of them.

        Args:
            batch_size: B, sequences side by side.

        Raises:
            ValueError: the stack is bidirectional.

        >>> import copy, fastlstm, numpy as np
        >>> stream = fastlstm.LSTM(3, 4, seed=0).stream()
        >>> branch = copy.copy(stream)
        >>> _ = branch.step(np.ones((1, 3)))
        >>> stream.state[0].any(), branch.state[0].any()
        (np.False_, np.True_)
        """
        B = _check.count("batch_size", batch_size)
        if self.bidirectional:
            raise ValueError("a bidirectional stack cannot be streamed: its reverse direction begins at the end")
        self._check_size("batch_size", B)
        return Stream(self, B, self._engine_name)

    def hold(self, *, layers: int | Iterable[int] | None = None, **gates: ArrayLike) -> AbstractContextManager[None]:
        """Hold gates at values of your own inside a `with` block, in this thread or task; for experiments.

        A held gate has this value whatever its weights say, and passes no gradient to them. Computed by the reference
        engine, some hundred times slower than the others. A stream holds them if it was made, and steps, inside the block.

        Args:
            layers: which, one or several, in both directions; None is all.
            gates: a finite number, or (H,) where these layers have H units, for each of `input_gate`, `forget_gate`,
                `candidate`, `output_gate` (LSTM), `reset_gate`, `update_gate`, `candidate` (GRU). Coupled gates have no input
                gate of their own.

        Returns:
            What `with` takes: outside of it nothing is held.

        Raises:
            ValueError: naming the gate, what was expected and what came.
            IndexError: a layer the stack does not have.

        >>> import fastlstm, numpy as np
        >>> rnn = fastlstm.LSTM(3, 4, seed=0)
        >>> with rnn.hold(forget_gate=1.0, input_gate=0.0):
        ...     _, (h, c) = rnn(np.ones((1000, 1, 3)), (np.zeros((1, 1, 4)), np.full((1, 1, 4), 0.3)))
        >>> c.tolist() == np.full((1, 1, 4), 0.3, np.float32).tolist()
        True
        """
        return holding(self, layers, gates)

    @property
    def held(self) -> Held:
        """The gates that are held by hand, by layer and name."""
        return held_of(self)

    # ---- dropout, states, checks ---------------------------------------------------------------------------------

    def dropout_masks(self, T: int, B: int, seed: int | tuple[int, int] | None) -> Masks | None:
        """Masks of 0, with probability `dropout` or `recurrent_dropout`, and else 1 / (1 - probability)."""
        layout, outputs, recurrent = self.layout, [], []
        between = [] if self.dropout == 0 else [(T, B, layout.layer_size(k)) for k in range(self.num_layers - 1)]
        inside = [] if self.recurrent_dropout == 0 else [(B, place.cell.output_size) for place in self.places]
        if not between and not inside:
            return None
        rng = self._rng if seed is None else np.random.default_rng(seed)
        for shapes, masks, probability in (
            (between, outputs, self.dropout), (inside, recurrent, self.recurrent_dropout),
        ):
            kept = self.dtype.type(1 / (1 - probability))
            masks.extend((rng.random(shape, self.dtype) >= probability) * kept for shape in shapes)
        return Masks(outputs, recurrent)

    def zero_states(self, B: int) -> States:
        """Zeros for B sequences, as engines take states."""
        return zero_states(self.layout, B, self.dtype)

    def public_state(self, states: States) -> State:
        """States, which are an engine's, as callers see them."""
        return public_state(self.layout, states)

    def checked_state(self, before: str, after: str, state: State | None, B: int) -> States:
        """A caller's state, or zeros for None, as engines take it; messages name its parts with `before` and `after`."""
        if state is None:
            return self.zero_states(B)
        called = {name: f"{before}{name}{after}" for name in self.layout.states}
        return checked_state(self.layout, called, state, B, self.dtype)

    def _check_input(
        self, x: ArrayLike, state: State | None, lengths: ArrayLike | None
    ) -> tuple[np.ndarray, States | None, np.ndarray | None]:
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
        return x, None if state is None else self.checked_state("", "0", state, x.shape[1]), lengths

    def _check_size(self, name: str, rows: int) -> None:
        """Refuse more rows than BLAS can address or outputs that memory cannot hold, before anything is made of them."""
        _check.blas_dimension(name, rows)
        _check.memory(f"the output for {name} = {rows}", rows * self.layout.output_size, self.dtype)

    def __repr__(self) -> str:
        """The call that makes one like it, without the defaults."""
        defaults = {name: parameter.default for name, parameter in signature(type(self)).parameters.items()}
        sizes = f"{self.input_size}, {self._options['hidden_size']}"
        given = [f"{name}={value!r}" for name, value in self._options.items() if value != defaults[name]]
        return f"{type(self).__name__}({', '.join([sizes, *given[2:]])})"
