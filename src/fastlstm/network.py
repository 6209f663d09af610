"""The language network: tokens, an LSTM stack, and a distribution over the next token."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastlstm import _check, _core, init
from fastlstm._native import Steps
from fastlstm.engines import Workspace, current_engine
from fastlstm.engines.native import ENGINE as NATIVE
from fastlstm.engines.native import packed
from fastlstm.layers import LSTM, State, parameter_shapes
from fastlstm.parameters import Parameters
from fastlstm.threads import threads_for

# Logits are computed, turned into gradients and used up in blocks of about this many elements: few enough to stay in the
# cache, and of 10,000 words still enough rows that their product with the output weights is fast.
LOGIT_BLOCK = 1 << 22
# Floating-point operations that an exponential is worth, for choosing threads.
EXPONENTIAL_WORK = 20


def network_shapes(V: int, H: int, L: int, E: int | None, tied: bool) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of a `LanguageNetwork`."""
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (V, E)} if E else {}
    shapes |= {f"lstm.{name}": shape for name, shape in parameter_shapes(E or V, H, L).items()}
    if not tied:
        shapes["output.weight"] = (V, H)
    return shapes | {"output.bias": (V,)}


class LanguageNetwork:
    """p(token_{t+1} | tokens up to t) = softmax(W h_t + b), h_t the last layer's output.

    Parameters: `embedding.weight` (V, E) if there is an embedding, `lstm.…` as in `LSTM`, `output.weight` (V, H) unless it
    is the embedding's, and `output.bias` (V,), all in one vector.

    Args:
        V: tokens.
        hidden_size, num_layers, dropout, dtype: of the stack.
        initializer: of the stack and the output layer.
        embedding: E, width of the token vectors; None feeds one-hot vectors, which are never built.
        tied: the token vectors are the output layer's weights too (Press & Wolf 2017); E is H.
        rng: draws the initial parameters.
    """

    def __init__(
        self, V: int, hidden_size: int, num_layers: int, embedding: int | None, tied: bool, dropout: float,
        initializer: str, dtype: DTypeLike, rng: np.random.Generator,
    ) -> None:
        self.V, self.embedding = V, _check.optional(_check.count, "embedding", embedding)
        self.lstm = LSTM(
            embedding or V, hidden_size, num_layers, dropout=dropout, initializer=initializer, dtype=dtype,
            seed=int(rng.integers(2**63)),
        )
        self.dtype = self.lstm.dtype
        self.output = "embedding.weight" if tied else "output.weight"
        self.parameters = Parameters(network_shapes(V, hidden_size, num_layers, embedding, tied), self.dtype)
        init.INITIALIZERS[initializer](self.parameters.section("output."), hidden_size, rng)
        if tied:  # logits want small weights
            init.INITIALIZERS[initializer](self.parameters.section("embedding."), hidden_size, rng)
        elif embedding:
            self.parameters.arrays["embedding.weight"][...] = rng.standard_normal((V, embedding))
        self.lstm.bind(self.parameters.section("lstm."))
        self.workspace = Workspace()  # of training, which one caller does at a time
        self._gradients: Parameters | None = None

    @property
    def training_gradients(self) -> Parameters:
        """Memory for the gradients of training, made at first use and then kept."""
        if self._gradients is None:
            self._gradients = self.parameters.zeros_like()
        return self._gradients

    def zero_state(self, B: int) -> State:
        """(h, c), each (L, B, H), all zero."""
        shape = (self.lstm.num_layers, B, self.lstm.hidden_size)
        return np.zeros(shape, self.dtype), np.zeros(shape, self.dtype)

    @property
    def _vectors(self) -> np.ndarray | None:
        return self.parameters.arrays["embedding.weight"] if self.embedding else None

    def advance(self, tokens: np.ndarray, state: State, lengths: np.ndarray | None = None) -> tuple[np.ndarray, State]:
        """The last layer's outputs (T, B, H) for tokens (T, B), and the state after them or after `lengths` (B,) of them."""
        y, h, c, _ = current_engine().forward(
            self.lstm, tokens, *state, lengths, None, keep=False, embedding=self._vectors
        )
        return y, (h, c)

    def advance_kept(self, tokens: np.ndarray, state: State, workspace: Workspace) -> tuple[Any, State]:
        """What the engine keeps of tokens (T, B) for a backward pass, in the workspace, and the state after them."""
        _, h, c, saved = current_engine().forward(
            self.lstm, tokens, *state, None, None, keep=True, workspace=workspace, embedding=self._vectors
        )
        return saved, (h, c)

    def log_probabilities(self, h: np.ndarray, never: int | None = None) -> np.ndarray:
        """Log p (B, V) of each token but `never` to be the next one, for outputs h (B, H) of the last layer."""
        logits = np.empty((len(h), self.V), self.dtype)
        current_engine().affine(logits, h, self.parameters, self.output, self.parameters.arrays["output.bias"])
        if never is not None:
            logits[:, never] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def losses(self, tokens: np.ndarray, targets: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Nats (T, B) of each target given the tokens up to its place, and the state after them; nothing is dropped."""
        y, state = self.advance(tokens, state)
        rows = y.reshape(-1, self.lstm.hidden_size)
        losses, _ = self._head(rows, targets.ravel(), 1.0, None, Workspace())
        return losses.reshape(targets.shape), state

    def gradients(
        self, tokens: np.ndarray, targets: np.ndarray, state: State, scale: float, gradients: Parameters,
        dropout_seed: np.random.SeedSequence,
    ) -> tuple[float, State]:
        """One window forward and back.

        Args:
            tokens, targets: (T, B) int32.
            state: before the window; its gradient is not followed further back.
            scale: the gradients are those of scale * (sum of the losses).
            gradients: receives them, under the names of `parameters`.
            dropout_seed: of this window's masks.

        Returns:
            The sum of the losses in nats, and the state after the window.
        """
        engine, lstm, workspace = current_engine(), self.lstm, self.workspace
        masks = lstm.dropout_masks(*tokens.shape, dropout_seed)
        y, h, c, saved = engine.forward(
            lstm, tokens, *state, None, masks, keep=True, workspace=workspace, embedding=self._vectors
        )
        losses, dy = self._head(y.reshape(-1, lstm.hidden_size), targets.ravel(), scale, gradients.arrays, workspace)
        d_embedding = gradients.arrays["embedding.weight"] if self.embedding else None
        if self.embedding and self.output != "embedding.weight":  # else the output layer's part is in it
            d_embedding.fill(0)
        nothing = np.zeros_like(h)
        engine.backward(
            lstm, saved, dy.reshape(y.shape), nothing, nothing, gradients.section("lstm.").arrays, want_dx=False,
            d_embedding=d_embedding,
        )
        return float(losses.sum()), (h, c)

    def _head(
        self, rows: np.ndarray, targets: np.ndarray, scale: float, gradients: dict[str, np.ndarray] | None,
        workspace: Workspace,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Losses (N,) of rows (N, H); with `gradients`, fills the output layer's and returns that of the rows."""
        engine, bias = current_engine(), self.parameters.arrays["output.bias"]
        losses = np.empty(len(rows))
        d_rows = None
        if gradients is not None:
            d_rows = workspace.empty("d_rows", rows.shape, self.dtype)
            d_weight, d_bias = gradients[self.output], gradients["output.bias"]
            d_bias.fill(0)
        size = max(1, LOGIT_BLOCK // self.V)
        for start in range(0, len(rows), size):
            block = slice(start, start + size)
            logits = workspace.empty("logits", (len(rows[block]), self.V), self.dtype)
            engine.affine(logits, rows[block], self.parameters, self.output, bias)
            threads = threads_for(EXPONENTIAL_WORK * logits.size)
            _core.softmax_cross_entropy(losses[block], logits, targets[block], scale, threads)
            if gradients is not None:
                engine.outer(d_weight, logits, rows[block], workspace, add=start > 0)
                _core.scatter_add(d_bias[None], logits, None, threads)
                engine.back_affine(d_rows[block], logits, self.parameters, self.output)
        return losses, d_rows

    def writer(self, state: State) -> tuple[Steps, np.ndarray, np.ndarray]:
        """What the sampling loop (`_sample.generate`) goes on with from a state: the stack, the output layer's weights."""
        steps = NATIVE.steps(self.lstm, state[0].shape[1], NATIVE.table(self.lstm, self._vectors))
        for own, given in zip(steps.state, state, strict=True):
            own[...] = given
        return steps, packed(self.parameters, self.output), self.parameters.arrays["output.bias"]
