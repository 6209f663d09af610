"""Looking inside: every gate and state of every neuron while a model reads a text."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm import _check
from fastlstm.colours import limits, wanted
from fastlstm.engines import Workspace
from fastlstm.find import Found, Probe, find, probe
from fastlstm.targets import Target, resolve
from fastlstm.views import Row, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastlstm.network import LanguageNetwork

# Steps read at once: what the engine keeps of them is all the memory that tracing works in.
WINDOW = 1024
# Steps of a view where it does not say how many: of one row, and of several.
MOST_STEPS, MOST_COLUMNS = 5000, 400


class TraceLayer:
    """The quantities of a layer, or of one of its directions, at every step: arrays as attributes, `cell_state`, …

    (T, H) of a model that reads a text, (T, B, H) of layers. `quantities` has those that were kept by name, in the order in
    which the cell computes them.

    Args:
        name: such as "layer 0".
        quantities: by name.
    """

    def __init__(self, name: str, quantities: dict[str, np.ndarray]) -> None:
        self._name = name
        self.quantities: Mapping[str, np.ndarray] = MappingProxyType(quantities)

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_"):  # while being copied there are no quantities to look at
            raise AttributeError(name)
        try:
            return self.quantities[name]
        except KeyError:
            kept = ", ".join(self.quantities) or "nothing"
            raise AttributeError(f"{self._name} of this trace has no {name!r}; it holds {kept}") from None

    def __reduce__(self) -> tuple[type[TraceLayer], tuple[str, dict[str, np.ndarray]]]:
        """Pickle and copy by the arrays."""
        return type(self), (self._name, dict(self.quantities))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.quantities]

    def __repr__(self) -> str:
        """The number and names of the quantities."""
        return f"<TraceLayer, {self._name}: {', '.join(self.quantities) or 'nothing kept'}>"


class Trace:
    """What a model computed while reading a text, step by step. Made by `Model.trace`.

    Attributes:
        symbols: the T symbols read; row t of every array is the state once `symbols[t]` has been read.
        tokens: (T,) int32, their ids.
        layers: one `TraceLayer` for each layer.
    """

    def __init__(
        self, network: LanguageNetwork, symbols: Sequence[str] | Sequence[bytes], tokens: np.ndarray,
        layers: list[TraceLayer],
    ) -> None:
        self.symbols, self.tokens, self.layers = symbols, tokens, layers
        self._network, self._version = network, network.parameters.version

    def __reduce__(self) -> tuple[type[Trace], tuple[Any, ...], bool]:
        """Pickle and copy with the network, as it is, for the probabilities."""
        return type(self), (self._network, self.symbols, self.tokens, self.layers), self._is_current

    def __setstate__(self, is_current: bool) -> None:
        """The other half of `__reduce__`."""
        if not is_current:
            self._version = -1

    @property
    def _is_current(self) -> bool:
        """Whether the network is the one that was traced."""
        return self._network.parameters.version == self._version

    def __len__(self) -> int:
        """T, the steps."""
        return len(self.tokens)

    def probabilities_at(self, steps: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """(n, V): how likely the model held each symbol to come next, after some of the steps only; (V,) after one.

        Args:
            steps: a step, a slice of them, or their numbers or a mask (T,).

        Raises:
            RuntimeError: the model has been trained since.
            IndexError: there is no such step.
        """
        if not self._is_current:
            raise RuntimeError("the model's parameters have changed since this trace; trace the text again")
        layers = self.layers if self._network.stack.skip else self.layers[-1:]
        is_one = isinstance(steps, int | np.integer)
        rows = [steps] if is_one else steps
        if not isinstance(rows, slice) and np.ndim(rows) != 1:
            raise ValueError(f"steps must be one step, a slice, or a list of steps, got shape {np.shape(rows)}")
        outputs = self._network.last_output(([layer.hidden_state[rows] for layer in layers],))
        found = self._network.probabilities(np.ascontiguousarray(outputs))
        return found[0] if is_one else found

    @property
    def probabilities(self) -> np.ndarray:
        """(T, V): row t is how likely the model held each symbol to come after `symbols[t]`. Computed at each use."""
        return self.probabilities_at(slice(None))

    def quantity(self, layer: int, name: str) -> np.ndarray:
        """`layers[layer].name` (T, H), with errors in words."""
        return self._layer(layer).quantities[_check.choice("quantity", name, self._layer(layer).quantities)]

    def arrays(self) -> Iterator[tuple[int, str, np.ndarray]]:
        """(layer, quantity, (T, H) array) of all that was kept."""
        for k, layer in enumerate(self.layers):
            for name, array in layer.quantities.items():
                yield k, name, array

    # ---- what it means ---------------------------------------------------------------------------------------------

    def target(self, target: Target) -> np.ndarray:
        """A target (T,) over this text: see `fastlstm.targets`."""
        return resolve(target, self.symbols)

    def find(
        self, target: Target, *, top: int = 10, quantities: str | Iterable[str] | None = None, shifts: int = 99, seed: int = 0
    ) -> list[Found]:
        """The neurons that follow a target most closely.

        Args:
            target: of `fastlstm.targets` (count, position, depth, countdown, one_of, matches), a regular expression, or
                an array (T,) of numbers or a mask; its NaN do not count.
            top: how many, at most.
            quantities: which to look through, one or several; None is all that were kept.
            shifts: how often the target is moved against the text, to see what correlation chance gives; less often where
                there are not so many different shifts.
            seed: of these shifts.

        Returns:
            [(layer, neuron, quantity, correlation, p_value)], the largest |correlation| first. `p_value` is that of the
            best of all that was looked through, so 0.05 is a bar that a trace without meaning passes once in twenty times
            (more often where target and neurons change only a few times in all of the text).

        Raises:
            ValueError: the target is none, does not vary or counts at too few steps, or a quantity was not kept.

        >>> from fastlstm import Model, targets
        >>> trace = Model(vocabulary="ab.", hidden_size=4, num_layers=1, seed=0).trace("aab.b." * 20)
        >>> trace.find(targets.count("a", reset="."), top=1)[0].layer
        0
        """
        kept = list(dict.fromkeys(name for _, name, _ in self.arrays()))
        chosen = kept if quantities is None else [_check.choice("quantities", name, kept) for name in _names(quantities)]
        arrays = [(k, name, array) for k, name, array in self.arrays() if name in chosen]
        return find(arrays, self.target(target), top, shifts, seed)

    def probe(
        self, target: Target, *, layers: int | Iterable[int] | None = None, quantity: str = "hidden_state", shifts: int = 99,
        seed: int = 0,
    ) -> Probe:
        """How well all neurons together tell a target on text they were not fitted to, against chance.

        Args:
            target, shifts, seed: as in `find`.
            layers: whose neurons, one or several; None is all that were kept.
            quantity: which of their quantities.

        Returns:
            The score on the last third of the text (R², or balanced accuracy where the target has two values), the mean
            score of targets moved against the text, and the p-value of the score among these.

        Raises:
            ValueError: as in `find`, or a layer was not kept.
            IndexError: a layer the model does not have.
        """
        kept = [k for k, layer in enumerate(self.layers) if layer.quantities]
        chosen = kept if layers is None else _check.layers(layers, len(self.layers))
        if not chosen:
            raise ValueError("there is nothing to probe: no layer was kept, or asked for")
        states = np.concatenate([self.quantity(k, quantity) for k in chosen], axis=1)
        return probe(states, self.target(target), shifts, seed)

    # ---- what it looks like ----------------------------------------------------------------------------------------

    def view(
        self, layer: int = 0, neuron: int | None = None, quantity: str | None = "cell_state", *, start: int = 0,
        stop: int | None = None,
    ) -> View:
        """A part of the text with the values of one quantity of one neuron, of all neurons, or of all quantities.

        Args:
            layer: counted from 0.
            neuron: None for all of the layer, with a line for each.
            quantity: None for all of the neuron's, with a line for each (projected outputs are of no single neuron); cells
                without `cell_state` show `hidden_state` for it.
            start, stop: steps shown; without `stop`, as many as are quickly seen.

        Returns:
            A view that prints in colours in a terminal, shows in a notebook, and has `text`, `html`, `to_html` and `plot`.

        Raises:
            ValueError: the layer or the quantity was not kept, or neuron and quantity are both None.
            IndexError: there is no such layer, neuron or step.
        """
        if quantity == "cell_state" and "c" not in self._network.stack.layout.states:
            quantity = "hidden_state"
        rows = self._rows(layer, neuron, quantity)
        if _check.count("start", start, 0) >= max(len(self), 1):
            raise IndexError(f"start {start} is outside [0, {len(self)})")
        most = MOST_STEPS if len(rows) == 1 else MOST_COLUMNS
        stop = min(len(self), start + most if stop is None else _check.count("stop", stop, start))
        what = "neuron view" if quantity is None else quantity.replace("_", " ")
        who = "all neurons" if neuron is None else f"neuron {neuron}"
        shown = [row._replace(values=row.values[start:stop]) for row in rows]
        return View(f"{what}, layer {layer}, {who}", self.symbols[start:stop], shown, max(len(self) - max(stop, start), 0))

    def show(
        self, layer: int, neuron: int | None, quantity: str | None = "cell_state", *, start: int = 0, stop: int | None = None,
        width: int | None = None, colour: bool | None = None, dark: bool = False,
    ) -> None:
        """Print the text, each symbol on the colour of the neuron's value when it has been read: red below 0, blue above.

        Args:
            layer, neuron, quantity, start, stop: as in `view`.
            width: columns; None is the terminal's.
            colour: None is colours in a terminal, unless NO_COLOR is set, and bars below the text elsewhere.
            dark: colours on black paper.

        Raises:
            ValueError, IndexError: as `view`.
        """
        width = shutil.get_terminal_size().columns if width is None else _check.count("width", width)
        colour = wanted(sys.stdout) if colour is None else colour
        print(self.view(layer, neuron, quantity, start=start, stop=stop).text(width, colour=colour, dark=dark))

    def plot(
        self, layer: int, neuron: int | None = None, quantity: str | None = "cell_state", *, start: int = 0,
        stop: int | None = None,
    ) -> Figure:
        """The same as a matplotlib figure: `figure.savefig(path)` writes it. RuntimeError where there is no matplotlib."""
        return self.view(layer, neuron, quantity, start=start, stop=stop).plot()

    def _repr_html_(self) -> str:
        kept = next(((k, name) for k, name, _ in reversed(list(self.arrays()))), None)
        return self.view(kept[0], None, kept[1]).html() if kept else f"<p>{escape(repr(self))}</p>"

    def _rows(self, layer: int, neuron: int | None, quantity: str | None) -> list[Row]:
        names = list(self._layer(layer).quantities) if quantity is None else [quantity]
        arrays = {name: self.quantity(layer, name) for name in names}
        H = max((array.shape[1] for array in arrays.values()), default=0)
        if neuron is None and quantity is None:
            raise ValueError("neuron and quantity cannot both be None: choose a neuron, or a quantity")
        if neuron is not None and _check.count("neuron", neuron, 0) >= H:
            raise IndexError(f"neuron {neuron} is outside [0, {H})")
        return [
            Row(str(n) if neuron is None else name, name, array[:, n], limits(name, array[:, n]))
            for name, array in arrays.items() if array.shape[1] == H for n in (range(H) if neuron is None else [neuron])
        ]

    def _layer(self, k: int) -> TraceLayer:
        _check.count("layer", k, 0)
        if k >= len(self.layers):
            raise IndexError(f"layer {k} is outside [0, {len(self.layers)})")
        if not self.layers[k].quantities:
            kept = [str(number) for number, layer in enumerate(self.layers) if layer.quantities]
            raise ValueError(f"layer {k} was not kept in this trace; it holds {', '.join(kept) or 'none'}")
        return self.layers[k]

    def __repr__(self) -> str:
        """The sizes."""
        return f"<Trace of {len(self):,} symbols through {len(self.layers)} layers>"


def _names(given: str | Iterable[str]) -> Iterable[str]:
    """One name as a list of it."""
    return [given] if isinstance(given, str) else given


def trace(
    network: LanguageNetwork, symbols: Sequence[str] | Sequence[bytes], tokens: np.ndarray, layers: int | Iterable[int] | None,
    quantities: str | Iterable[str] | None,
) -> Trace:
    """What the network computes on tokens (T,) from the zero state, `WINDOW` steps at a time.

    Args:
        network: reads the tokens.
        symbols: what they stand for.
        tokens: int32.
        layers, quantities: which to keep, one or several; None is all.
    """
    T, L = len(tokens), network.stack.num_layers
    chosen = _check.layers(layers, L)
    # Held gates are the whole stack's; else what is above the highest layer that is kept need not be computed.
    stack = network.stack if network.stack.held else network.stack.lowest(chosen[-1] + 1 if chosen else 1)
    state, workspace = stack.zero_states(1), Workspace()
    results: list[dict[str, np.ndarray]] = [{} for _ in range(L)]
    for start in range(0, max(T, 1), WINDOW):  # a text of nothing is read too, to know the quantities
        cells, state = network.quantities(stack, tokens[start : start + WINDOW, None], state, workspace)
        kept = [{name: array[:, 0] for name, array in cell.items()} for cell in cells]
        if start == 0:
            wanted = kept[0] if quantities is None else _names(quantities)
            names = [_check.choice("quantities", name, kept[0]) for name in wanted]
            shapes = [(T, *kept[k][name].shape[1:]) for k in chosen for name in names]
            _check.memory("the trace", sum(map(prod, shapes)), network.dtype)
            for k in chosen:
                results[k] = {name: np.empty((T, *a.shape[1:]), network.dtype) for name, a in kept[k].items() if name in names}
        for into, found in zip(results, kept, strict=False):
            for name, array in into.items():
                array[start : start + WINDOW] = found[name]
    return Trace(network, symbols, tokens, [TraceLayer(f"layer {k}", arrays) for k, arrays in enumerate(results)])
