"""What is timed: for each row of the comparison the same work done by fastlstm and by PyTorch, on the same numbers.

The goals are ratios of speed to the fastest peer known, on one thread. FLOPs are those of the textbook, whatever is
saved by cleverness: 2·T·B·4H·(I + H) for each layer forward, a one-hot input counted as I = V, 2·T·B·H·V for the output
layer, and three times the sum for a training step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

import fastlstm

Call = Callable[[], Any]


@dataclass(frozen=True)
class Scenario:
    """One row.

    `ours` and `peer` prepare everything and return what is timed. Where `same`, the first results of both agree.
    """

    name: str
    goal: str
    flops: float  # of one call
    units: int    # in one call: symbols or steps; 1 where the time of the call itself is of interest
    per_second: bool  # whether speed is told as units per second, else as time per unit
    ours: Callable[[], Call]
    peer: Callable[[], Call]
    same: bool = True


HAS_TORCH = find_spec("torch") is not None


def set_threads(n: int) -> None:
    """Both libraries compute on n threads."""
    fastlstm.set_threads(n)
    if HAS_TORCH:
        import peers

        peers.set_threads(n)


def stack_flops(T: int, B: int, I: int, H: int, L: int = 1) -> float:
    """Of L layers forward."""
    return sum(2.0 * T * B * 4 * H * ((H if k else I) + H) for k in range(L))


def normal(*shape: int) -> np.ndarray:
    """The same numbers for both."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


# ---- language models ------------------------------------------------------------------------------------------------

def language_model(L: int, H: int, V: int, E: int | None) -> fastlstm.Model:
    """An untrained model of V symbols."""
    return fastlstm.Model(
        hidden_size=H, num_layers=L, embedding=E, vocabulary=[chr(0x100 + v) for v in range(V)], seed=0
    )


def training(L: int, H: int, V: int, T: int, B: int, goal: str, windows: int, E: int | None = None) -> Scenario:
    """An epoch of a text of so many windows: forward, loss, back, clip to norm 5, Adam."""
    ids = np.random.default_rng(0).integers(V, size=windows * T * B + 1).astype(np.int32)

    def ours() -> Call:
        model = language_model(L, H, V, E)

        def epoch() -> float:
            history = model.fit(ids, epochs=1, batch_size=B, seq_length=T, validation=None, progress=False)
            return history[-1]["loss"]

        return epoch

    def peer() -> Call:
        import peers

        model = peers.LanguageModel(language_model(L, H, V, E).parameters, L)
        tokens, targets = (
            peers.tensor(part.reshape(B, windows * T).T.astype(np.int64)) for part in (ids[:-1], ids[1:])
        )
        return lambda: model.train_epoch(tokens, targets, T)

    symbols = windows * T * B
    flops = 3 * (stack_flops(1, symbols, E or V, H, L) + 2.0 * symbols * H * V)
    name = f"training {L}x{H} V={V}{f' E={E}' if E else ''} T={T} B={B}"
    return Scenario(name, goal, flops, symbols, True, ours, peer)


def sampling(L: int, H: int, V: int, goal: str, length: int = 500) -> Scenario:
    """One text, symbol by symbol, at temperature 1."""

    def ours() -> Call:
        model = language_model(L, H, V, None)
        return lambda: model.sample(length)

    def peer() -> Call:
        import peers

        model = peers.LanguageModel(language_model(L, H, V, None).parameters, L)
        return lambda: model.sample(length)

    flops = stack_flops(length, 1, V, H, L) + 2.0 * length * H * V
    return Scenario(f"sampling {L}x{H} V={V}", goal, flops, length, True, ours, peer, same=False)


# ---- layers ---------------------------------------------------------------------------------------------------------

def streaming(H: int, goal: str) -> Scenario:
    """One step of one layer through Python, the state carried."""

    def ours() -> Call:
        stream, x = fastlstm.LSTM(H, H, seed=0).stream(), normal(1, H)
        return lambda: stream.step(x)

    def peer() -> Call:
        import peers

        stream, x = peers.Stream(fastlstm.LSTM(H, H, seed=0).parameters), peers.tensor(normal(1, H))
        return lambda: stream.step(x)

    return Scenario(f"streaming step H={H}", goal, stack_flops(1, 1, H, H), 1, False, ours, peer)


def inference(T: int, B: int, H: int, goal: str) -> Scenario:
    """A whole sequence through one layer."""

    def ours() -> Call:
        rnn, x = fastlstm.LSTM(H, H, seed=0), normal(T, B, H)
        return lambda: rnn(x)[0]

    def peer() -> Call:
        import peers

        module, x = peers.lstm(fastlstm.LSTM(H, H, seed=0).parameters), peers.tensor(normal(T, B, H))
        return lambda: peers.run(module, x)

    return Scenario(f"inference T={T} B={B} H={H}", goal, stack_flops(T, B, H, H), 1, False, ours, peer)


def layer_training(T: int, B: int, H: int, goal: str) -> Scenario:
    """Forward and back through one layer: gradients of the input and of every parameter."""

    def ours() -> Call:
        rnn, x, dy = fastlstm.LSTM(H, H, seed=0), normal(T, B, H), normal(T, B, H)

        def step() -> np.ndarray:
            _, _, tape = rnn.forward(x)
            return rnn.backward(tape, dy)[2]["weight_hh_l0"]

        return step

    def peer() -> Call:
        import peers

        module = peers.lstm(fastlstm.LSTM(H, H, seed=0).parameters)
        x, dy = peers.tensor(normal(T, B, H)).requires_grad_(), peers.tensor(normal(T, B, H))
        return lambda: peers.gradients(module, x, dy)[2]

    name = f"forward and back T={T} B={B} H={H}"
    return Scenario(name, goal, 3 * stack_flops(T, B, H, H), 1, False, ours, peer)


LANGUAGE = [
    training(2, 128, V=65, T=50, B=50, goal="1.5×", windows=4),
    training(2, 256, V=65, E=64, T=100, B=32, goal="1.5×", windows=2),
    training(2, 512, V=65, T=100, B=64, goal="1.35× (2 threads: 1.5×)", windows=1),
    training(1, 10, V=20, T=22, B=16, goal="6×", windows=30),
    sampling(2, 128, V=65, goal="4× the best"),
    sampling(2, 512, V=65, goal="1.7× the best"),
]
LAYERS = [
    streaming(64, "3× the best"),
    streaming(128, "2× the best"),
    streaming(512, "1.2× the best"),
    inference(100, 1, 64, "2× the best"),
    inference(100, 1, 128, "1.6× the best"),
    inference(100, 1, 256, "1.3× the best"),
    inference(50, 32, 128, "1.05× the best"),
    inference(50, 32, 512, "1× the best, 92% of peak"),
    layer_training(50, 32, 128, "1.2×"),
]
SCENARIOS = LANGUAGE + LAYERS
