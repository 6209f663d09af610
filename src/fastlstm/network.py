"""The language network: tokens, a recurrent stack, and a distribution over the next token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastlstm import _check, _core, _sample, init
from fastlstm._native import Steps
from fastlstm.cells import CELL_OPTIONS, Cell, Layout
from fastlstm.engines import States, Workspace, current_engine, tokens
from fastlstm.engines.native import ENGINE as NATIVE
from fastlstm.engines.native import packed
from fastlstm.layers import GRU, LSTM, RNN
from fastlstm.parameters import Parameters
from fastlstm.recurrent import Recurrent
from fastlstm.threads import threads_for

STACKS: dict[str, type[Recurrent]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
# Options of a model that its stack takes as they are, if its cells have them.
STACK_OPTIONS = (*CELL_OPTIONS, "nonlinearity", "dropout", "recurrent_dropout", "skip", "initializer", "dtype")

# Logits are computed, turned into gradients and used up in blocks of about this many elements: few enough to stay in the
# cache, and of 10,000 words still enough rows that their product with the output weights is fast.
LOGIT_BLOCK = 1 << 22
# Blocks up to which weights that the logits are made of are packed anew for each; for more, they are kept packed.
MOST_PACKINGS = 2
NOT_FINITE = "the network's output is NaN or infinite"  # what errors say
# Floating-point operations that an exponential is worth, for choosing threads.
EXPONENTIAL_WORK = 20


def _layout(input_size: int, config: Mapping[str, Any]) -> Layout:
    """The stack of a model; what `config` leaves out has its default."""
    H, L = config["hidden_size"], config["num_layers"]
    options = {name: config[name] for name in CELL_OPTIONS if name in config}
    widths = tuple(H) if isinstance(H, list | tuple) else (H,) * L
    return Layout.stacked(Cell(config["cell"], input_size, 0, **options), widths, skip=config.get("skip", False))


def output_size(config: Mapping[str, Any]) -> int:
    """Numbers that the output layer of a `LanguageNetwork` reads."""
    return _layout(1, config).output_size


def network_shapes(V: int, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of a `LanguageNetwork`; what `config` leaves out has its default."""
    E = config["embedding"]
    layout = _layout(E or V, config)
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (V, E)} if E else {}
    shapes |= {f"{config['cell']}.{name}": shape for name, shape in layout.shapes().items()}
    if not config.get("tied"):
        shapes["output.weight"] = (V, layout.output_size)
    return shapes | {"output.bias": (V,)}


class LanguageNetwork:
    """p(token_{t+1} | tokens up to t) = softmax(W y_t + b), y_t the stack's output.

    Parameters: `embedding.weight` (V, E) if there is an embedding, `lstm.…` (or `gru.…`, `rnn.…`) as in the stack,
    `output.weight` (V, H) unless it is the embedding's, and `output.bias` (V,), all in one vector.

    Args:
        V: tokens.
        rng: draws the initial parameters.
        cell: "lstm", "gru" or "rnn".
        hidden_size, num_layers: of the stack; hidden_size may be a sequence, of each layer.
        embedding: E, width of the token vectors; None feeds one-hot vectors, which are never built.
        tied: the token vectors are the output layer's weights too (Press & Wolf 2017); E is then the width of the output.
        options: of the stack, those of `STACK_OPTIONS`; `initializer` is the output layer's too.
    """

    def __init__(
        self, V: int, rng: np.random.Generator, *, cell: str = "lstm", hidden_size: int | Sequence[int] = 128,
        num_layers: int = 2, embedding: int | None = None, tied: bool = False, **options: Any,
    ) -> None:
        self.V, self.embedding = V, _check.optional(_check.count, "embedding", embedding)
        self.stack = STACKS[cell](embedding or V, hidden_size, num_layers, seed=int(rng.integers(2**63)), **options)
        self.dtype, initializer = self.stack.dtype, self.stack.initializer
        self.output = "embedding.weight" if tied else "output.weight"
        self._untied = self.embedding is not None and not tied  # token vectors that are not the output's weights
        layout = self.stack.layout
        self.output_size, width = layout.output_size, layout.layer_size(len(layout.layers) - 1)
        self._options = config = {
            "cell": cell, "hidden_size": hidden_size, "num_layers": num_layers, "embedding": embedding, "tied": tied, **options,
        }
        self._section = f"{cell}."
        self.parameters = Parameters(network_shapes(V, config), self.dtype)
        init.section(self.parameters.section("output."), width, initializer, rng)
        if tied:  # logits want small weights
            init.section(self.parameters.section("embedding."), width, initializer, rng)
        elif embedding:
            self.parameters.arrays["embedding.weight"][...] = rng.standard_normal((V, embedding))
        self.stack.bind(self.parameters.section(self._section))
        self.workspace = Workspace(training=True)  # which one caller does at a time
        self._gradients: Parameters | None = None
        self._written: np.ndarray | None = None  # the tokens whose vectors' gradients are not 0 there; None: maybe all

    def __reduce__(self) -> tuple[Callable[..., LanguageNetwork], tuple[()], dict[str, np.ndarray]]:
        """Pickle and copy by the options and the parameters."""
        self.stack.refuse_copies()
        return partial(type(self), self.V, np.random.default_rng(0), **self._options), (), dict(self.parameters)

    def __setstate__(self, parameters: dict[str, np.ndarray]) -> None:
        """The other half of `__reduce__`."""
        self.parameters.load(parameters)

    @property
    def training_gradients(self) -> Parameters:
        """Memory for the gradients of training, made at first use and then kept."""
        if self._gradients is None:
            self._gradients = self.parameters.zeros_like()
        return self._gradients

    def zero_state(self, B: int) -> States:
        """(h, c), or (h,), each (L, B, H), all zero."""
        return self.stack.zero_states(B)

    @property
    def vectors(self) -> np.ndarray | None:
        """The token vectors (V, E); None: tokens are one-hot."""
        return self.parameters.arrays["embedding.weight"] if self.embedding else None

    def advance(self, ids: np.ndarray, state: States, lengths: np.ndarray | None = None) -> tuple[np.ndarray, States]:
        """The stack's outputs (T, B, ·) for tokens (T, B), and the state after them or after `lengths` (B,) of them."""
        y, state, _ = self.stack.engine.forward(
            self.stack, ids, state, lengths, None, keep=False, embedding=self.vectors
        )
        return y, state

    def last_output(self, state: States) -> np.ndarray:
        """The stack's output (B, ·) of the step that led to this state."""
        return np.concatenate(list(state[0]), axis=1) if self.stack.skip else state[0][-1]

    def quantities(
        self, stack: Recurrent, ids: np.ndarray, state: States, workspace: Workspace
    ) -> tuple[list[dict[str, np.ndarray]], States]:
        """What every cell computes on tokens (T, B), as `engines` has it, until the workspace is used again; and the state.

        stack: the network's, or its lowest layers.
        """
        engine = stack.engine
        _, state, saved = engine.forward(
            stack, ids, state, None, None, keep=True, workspace=workspace, embedding=self.vectors
        )
        return engine.quantities(stack, saved), state

    def log_probabilities(self, h: np.ndarray, never: int | None = None) -> np.ndarray:
        """Log p (B, V) of each token but `never` to be the next one, for outputs h (B, H) of the last layer."""
        logits = self._logits(h)
        if never is not None:
            logits[:, never] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def probabilities(self, h: np.ndarray) -> np.ndarray:
        """P (B, V) of each token to be the next one, for outputs h (B, H) of the last layer; rows of NaN where it has none."""
        found = self._logits(h)
        _core.softmax_cross_entropy(np.empty(len(h)), found, None, 1, threads_for(EXPONENTIAL_WORK * found.size))
        return found

    def _logits(self, h: np.ndarray) -> np.ndarray:
        """(B, V), for outputs h (B, H) of the last layer."""
        logits = np.empty((len(h), self.V), self.dtype)
        current_engine().affine(logits, h, self.parameters, self.output, self.parameters.arrays["output.bias"])
        return logits

    def losses(self, ids: np.ndarray, targets: np.ndarray, state: States) -> tuple[np.ndarray, States]:
        """Nats (T, B) of each target given the tokens up to its place, and the state after them; nothing is dropped."""
        y, state = self.advance(ids, state)
        workspace = self.stack.shelf.take()
        losses, _ = self._head(y.reshape(-1, self.output_size), targets.ravel(), workspace)
        self.stack.shelf.give_back(workspace)
        return losses.reshape(targets.shape), state

    def gradients(
        self, ids: np.ndarray, targets: np.ndarray, state: States, scale: float, gradients: Parameters,
        dropout_seed: tuple[int, int],
    ) -> tuple[float, States]:
        """One window forward and back.

        Args:
            ids, targets: tokens (T, B) int32.
            state: before the window; its gradient is not followed further back.
            scale: the gradients are those of scale * (sum of the losses).
            gradients: receives them, under the names of `parameters`.
            dropout_seed: of this window's masks.

        Returns:
            The sum of the losses in nats, and the state after the window.
        """
        stack, engine, workspace = self.stack, self.stack.engine, self.workspace
        masks = stack.dropout_masks(*ids.shape, dropout_seed)
        y, state, saved = engine.forward(
            stack, ids, state, None, masks, keep=True, workspace=workspace, embedding=self.vectors
        )
        losses, dy = self._head(y.reshape(-1, self.output_size), targets.ravel(), workspace, scale, gradients)
        d_embedding = gradients.arrays["embedding.weight"] if self.embedding else None
        if self._untied:  # else the output layer's part is in it
            self._clear(d_embedding, ids.ravel(), kept=gradients is self._gradients)
        engine.backward(
            stack, saved, dy.reshape(y.shape), None, gradients.section(self._section).arrays, want_dx=False,
            d_embedding=d_embedding,
        )
        return float(losses.sum()), state

    def _clear(self, d_embedding: np.ndarray, ids: np.ndarray, *, kept: bool) -> None:
        """Zeros for the gradients of the token vectors; of those that are `kept` only what the last window wrote is cleared."""
        if kept and self._written is not None:
            d_embedding[self._written] = 0
        else:
            d_embedding.fill(0)
        if kept:
            self._written = ids if len(ids) < self.V else None

    def _place(self, gradients: Parameters, size: int) -> np.ndarray | None:
        """Memory (·, V) for `size` rows of logits, or half as many at least, where gradients of the layers below will be.

        It is that of the stack, or if that is too small of the token vectors as well; None where fewer rows fit.
        """
        free = gradients.section(self._section).flat
        with_vectors = len(free) < size * self.V and self._untied
        if with_vectors:
            free = gradients.flat[: -gradients.section("output.").flat.size]
        rows = min(size, len(free) // self.V)
        if 2 * rows < size:
            return None
        if with_vectors and gradients is self._gradients:
            self._written = None
        return free[: rows * self.V].reshape(rows, self.V)

    def _head(
        self, rows: np.ndarray, targets: np.ndarray, workspace: Workspace, scale: float = 1.0,
        gradients: Parameters | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Losses (N,) of rows (N, H); with `gradients`, fills the output layer's and returns that of the rows.

        Then the logits are where gradients of the layers below will be, if half as many as would be made at a time fit there.
        """
        engine, bias = current_engine(), self.parameters.arrays["output.bias"]
        losses = np.empty(len(rows))
        size = max(1, min(len(rows), LOGIT_BLOCK // self.V))
        d_rows, memory = None, None
        if gradients is not None:
            d_rows = workspace.empty("d_rows", rows.shape, self.dtype)
            d_weight, d_bias = gradients.arrays[self.output], gradients.arrays["output.bias"]
            memory = self._place(gradients, size)
        if memory is None:
            memory = workspace.empty("logits", (size, self.V), self.dtype)
        blocks = max(1, -(-len(rows) // len(memory)))
        size = max(1, -(-len(rows) // blocks))
        packs_anew = workspace if blocks <= MOST_PACKINGS else None
        for start in range(0, len(rows), size):
            block = slice(start, start + size)
            logits = memory[: len(rows[block])]
            engine.affine(logits, rows[block], self.parameters, self.output, bias, workspace=packs_anew)
            threads = threads_for(EXPONENTIAL_WORK * logits.size)
            _core.softmax_cross_entropy(losses[block], logits, targets[block], scale, threads)
            if gradients is not None:
                engine.outer(d_weight, logits, rows[block], workspace, add=start > 0, sums=d_bias)
                engine.back_affine(d_rows[block], logits, self.parameters, self.output, packs_anew)
        return losses, d_rows

    def write(
        self, symbols: np.ndarray, uniforms: np.ndarray, state: States, *, never: int, temperature: float, top_k: int,
        top_p: float,
    ) -> tuple[int, States]:
        """Go on with B texts from a state, symbol by symbol.

        Args:
            symbols: (B, n) int32, receives them.
            uniforms: (n, B) in [0, 1), what they are drawn with.
            state: after the symbol before the first.
            never: a symbol that is left out, or -1.
            temperature, top_k, top_p: see `fastlstm.sample.Generator`.

        Returns:
            n, or the place at which a logit is NaN or infinite, and the state after the last symbol.
        """
        choice = never, temperature, top_k, top_p
        if NATIVE.has_steps(self.stack) and not self.stack.held:
            steps, *output = self.writer(state)
            return _sample.generate(symbols, uniforms, steps, *output, *choice), steps.state
        bias = self.parameters.arrays["output.bias"]
        logits = np.empty((len(symbols), self.V), self.dtype)
        for k in range(symbols.shape[1]):
            current_engine().affine(logits, self.last_output(state), self.parameters, self.output, bias)
            if not _sample.draw(symbols[:, k], logits, uniforms[k], *choice):
                return k, state
            _, state = self.advance(symbols[None, :, k].copy(), state)
        return symbols.shape[1], state

    def writer(self, state: States) -> tuple[Steps, np.ndarray, np.ndarray]:
        """What the sampling loop (`_sample.generate`) goes on with from a state: the stack, the output layer's weights."""
        table = tokens.table(NATIVE, self.stack, self.stack.places[0], self.vectors)
        steps = NATIVE.steps(self.stack, len(state[0][0]), table)
        steps.state = state
        return steps, packed(self.parameters, self.output), self.parameters.arrays["output.bias"]
