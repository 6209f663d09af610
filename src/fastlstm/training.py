"""The training loop of language models: windows of text, resumable at any window."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from math import isfinite, log
from typing import Any

import numpy as np

from fastlstm.corpus import Windows
from fastlstm.network import NOT_FINITE, LanguageNetwork
from fastlstm.optim import Optimizer
from fastlstm.session import Options, Position, judged
from fastlstm.threads import held_threads

# Steps of text evaluated at once.
EVALUATION_WINDOW = 1024


def bits(nats: float) -> float:
    """Nats as bits."""
    return nats / log(2)


def metrics(nats: float) -> dict[str, float]:
    """The measures of a language model that needs `nats` a symbol on average."""
    with np.errstate(over="ignore"):  # a perplexity beyond all numbers is infinite
        return {"loss": nats, "bits_per_symbol": bits(nats), "perplexity": float(np.exp(nats))}


def losses(network: LanguageNetwork, ids: np.ndarray) -> Iterator[np.ndarray]:
    """Nats of every symbol but the first, given all before it, some at a time: one stream from the zero state.

    Raises:
        FloatingPointError: they are NaN or infinite.
    """
    state = network.zero_state(1)
    for start in range(0, len(ids) - 1, EVALUATION_WINDOW):
        part = np.ascontiguousarray(ids[start : start + EVALUATION_WINDOW + 1], np.int32)[:, None]
        found, state = network.losses(part[:-1], part[1:], state)
        if not isfinite(found.sum()):
            raise FloatingPointError(NOT_FINITE)
        yield found[:, 0]


def evaluate(network: LanguageNetwork, ids: np.ndarray) -> float:
    """Mean of `losses`."""
    return sum(float(part.sum()) for part in losses(network, ids)) / (len(ids) - 1)


class Interruptible:
    """While the block runs, Ctrl-C waits for the end of a function called in it, so that what changes there stays whole.

    with Interruptible() as interruptible:
        ...
        interruptible.whole(function, ...)
    """

    def __enter__(self) -> "Interruptible":
        self._held = self._caught = False
        # Handlers of the program's own, or none, are left alone; the command line has SIGTERM as Ctrl-C.
        self._signals = []
        if threading.current_thread() is threading.main_thread():
            both = (signal.SIGINT, signal.SIGTERM)
            self._signals = [number for number in both if signal.getsignal(number) is signal.default_int_handler]
        for number in self._signals:
            signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._signals:
            signal.signal(number, signal.default_int_handler)

    def _handle(self, *_: object) -> None:
        self._caught = True
        if not self._held:
            raise KeyboardInterrupt

    def whole(self, change: Callable[..., None], *arguments: Any) -> None:
        """Call the function, which changes things; KeyboardInterrupt is raised at its end."""
        self._held = True
        try:
            change(*arguments)
        finally:
            self._held = False
        if self._caught:
            raise KeyboardInterrupt


class Trainer:
    """Trains a network on the windows of a text, from a position to the end of the last epoch.

    Args:
        network, optimizer: changed in place.
        position: where to start; kept up to date.
        options: see `Options`; `threads` is a number.
        windows: of the training text.
        held_out: ids to evaluate after each epoch; None for no validation.
        seed: of the dropout masks.
        on_window: called after each window with the number of its symbols and its mean loss.
        on_epoch: called after each epoch with its record.
        max_seconds: training stops after the window in which this time is over; None never.
    """

    def __init__(
        self, network: LanguageNetwork, optimizer: Optimizer, position: Position, options: Options, windows: Windows,
        held_out: np.ndarray | None, seed: int, on_window: Callable[[int, float], None],
        on_epoch: Callable[[dict[str, Any]], None], max_seconds: float | None,
    ) -> None:
        self.network, self.optimizer, self.position, self.options = network, optimizer, position, options
        self.held_out, self._seed, self._max_seconds = held_out, seed, max_seconds
        self._on_window, self._on_epoch = on_window, on_epoch
        self.windows = windows

    def run(self) -> list[dict[str, Any]]:
        """Train; returns the records of the epochs finished here."""
        position, options = self.position, self.options
        first_epoch, began, seconds_before = position.epoch, time.monotonic(), position.seconds

        def out_of_time() -> bool:
            position.seconds = seconds_before + time.monotonic() - began
            return self._max_seconds is not None and time.monotonic() - began >= self._max_seconds

        with Interruptible() as interruptible, held_threads(options.threads):
            while position.epoch < options.epochs and not (self._patience_is_over() or out_of_time()):
                epoch_began, symbols_before, rate = time.monotonic(), position.symbols, self.learning_rate
                with np.errstate(invalid="ignore", over="ignore"):  # the loss tells, with its place
                    while position.window < len(self.windows) and not out_of_time():
                        interruptible.whole(self._window, rate)
                if position.symbols:
                    speed = (position.symbols - symbols_before) / max(time.monotonic() - epoch_began, 1e-9)
                    record = self._judge(speed)
                    interruptible.whole(self._count, record)
                    self._on_epoch(record)
        return [record for record in position.history if record["epoch"] > first_epoch]

    def _window(self, learning_rate: float) -> None:
        position, options = self.position, self.options
        tokens, targets = self.windows[position.window]
        state = position.state or self.network.zero_state(options.batch_size)
        gradients = self.network.training_gradients
        loss, state = self.network.gradients(
            tokens, targets, state, 1 / tokens.size, gradients, (self._seed, self.optimizer.steps)
        )
        if not isfinite(loss):
            cause = self._overflowed_weight()
            hint = f" (before it, {cause} held NaN or Inf: the learning rate is too large)" if cause else ""
            raise FloatingPointError(f"the loss is {loss} in {self._place}; the weights are unchanged{hint}")
        try:
            self.optimizer.advance(gradients, learning_rate, options.clip_norm, options.clip_value)
        except FloatingPointError as error:
            raise FloatingPointError(f"{error} in {self._place}; the weights are unchanged") from None
        position.state, position.window = state, position.window + 1
        position.loss_sum += loss
        position.symbols += tokens.size
        self._on_window(tokens.size, loss / tokens.size)

    @property
    def _place(self) -> str:
        return f"epoch {self.position.epoch + 1}, window {self.position.window}"

    @property
    def learning_rate(self) -> float:
        """The rate in the present epoch."""
        return self.options.learning_rate * self.options.factor(self.position)

    def _patience_is_over(self) -> bool:
        patience = self.options.patience
        return patience is not None and self.position.epochs_since_best >= patience

    def check_weights(self) -> None:
        """FloatingPointError where a weight is NaN or infinite, as after a step far too large."""
        name = self._overflowed_weight()
        if name:
            raise FloatingPointError(
                f"{name} holds NaN or Inf after {self.optimizer.steps} steps: the learning rate is too large, and the last "
                "checkpoint is the last good state"
            )

    def _overflowed_weight(self) -> str | None:
        """Name of the first array that is not finite."""
        return next((name for name, array in self.network.parameters if not np.isfinite(array).all()), None)

    def _judge(self, symbols_per_second: float) -> dict[str, Any]:
        """The record of the epoch, or of the part of it that there was time for."""
        self.check_weights()
        position = self.position
        loss = position.loss_sum / position.symbols
        record = {
            "epoch": position.epoch + 1,
            "loss": loss,
            "bits_per_symbol": bits(loss),
            "learning_rate": self.learning_rate,
            "symbols_per_second": symbols_per_second,
        }
        if self.held_out is not None:
            try:
                held_out_loss = evaluate(self.network, self.held_out)
            except FloatingPointError as error:
                place = f"on the validation text after epoch {position.epoch + 1}"
                raise FloatingPointError(f"{error} {place}: the last checkpoint is the last good state") from None
            record |= {"validation_loss": held_out_loss, "validation_bits_per_symbol": bits(held_out_loss)}
        record["best"] = position.best_loss is None or judged(record) < position.best_loss
        record["seconds"] = position.seconds
        return record

    def _count(self, record: dict[str, Any]) -> None:
        """Enter the record, and begin the next epoch, unless it is of a part: that is judged again when it is whole."""
        position = self.position
        whole = position.window == len(self.windows)
        if record["best"] and whole:
            if self.options.restore_best:
                position.best_weights = self.network.parameters.flat.copy()
            position.best_loss = judged(record)
        if position.history and position.history[-1]["epoch"] == record["epoch"]:
            position.history.pop()  # written when max_seconds cut this epoch off
        position.history.append(record)
        if whole:
            position.epoch, position.window, position.loss_sum, position.symbols = position.epoch + 1, 0, 0.0, 0
            position.state = None


