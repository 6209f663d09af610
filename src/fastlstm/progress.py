"""What training says while it runs: a bar in a terminal, plain lines elsewhere, a word when something goes wrong."""

import contextlib
import sys
import time
from typing import Any, TextIO

from fastlstm.session import judged
from fastlstm.training import bits

# Seconds between two plain lines.
PLAIN_INTERVAL = 10.0
# Share of the past that the shown loss keeps from window to window.
SMOOTHING = 0.98
# The loss has exploded when it is this many times its best, and has stopped falling after PATIENCE epochs without
# 0.1% less.
EXPLODED = 1.5
PATIENCE, LEAST_FALL = 5, 0.999


class Quiet:
    """A text stream whose reader may leave: what is written then is lost, without an error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if somebody reads."""
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush, if somebody reads."""
        with contextlib.suppress(BrokenPipeError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        return getattr(self._stream, name)


def say(text: str) -> None:
    """Print on standard error, if somebody reads."""
    print(text, file=Quiet(sys.stderr), flush=True)


def show_sample(written: str | bytes) -> None:
    """Print what a model wrote, marked, in lines that fit 80 columns; what does not print is a dot."""
    text = written.decode(errors="replace") if isinstance(written, bytes) else written
    shown = "".join(c if c.isprintable() or c == "\n" else "·" for c in text)
    lines = [line[start : start + 76] for line in shown.splitlines() for start in range(0, max(1, len(line)), 76)]
    say("\n".join(f"  | {line}" for line in lines))


class Progress:
    """Shows a training run.

    Args:
        epochs: how many there will be.
        epoch: epochs already finished.
        symbols: in each epoch.
        done: symbols of the present epoch already trained on.
        stream: where to write; standard error by default.
    """

    def __init__(self, epochs: int, epoch: int, symbols: int, done: int, stream: TextIO | None = None) -> None:
        from tqdm import tqdm

        self._stream = Quiet(stream or sys.stderr)
        self._epochs, self._epoch, self._symbols = epochs, epoch, symbols
        self._plain = not self._stream.isatty()
        self._bar = tqdm(
            total=symbols * epochs, initial=symbols * epoch + done, unit=" symbols", unit_scale=True,
            file=self._stream, disable=self._plain, dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {rate_fmt}, {remaining} left",
        )
        self._loss, self._best = 0.0, float("inf")
        self._windows = 0
        self._warned = False
        self._best_epoch_loss, self._epochs_without_fall = float("inf"), 0
        self._began = self._last_line = time.monotonic()
        self._first = self._done = symbols * epoch + done

    def window(self, symbols: int, loss: float) -> None:
        """After each window: how many symbols, and their mean loss in nats."""
        self._done += symbols
        keep = SMOOTHING * (1 - SMOOTHING**self._windows) / (1 - SMOOTHING ** (self._windows + 1))
        self._loss = keep * self._loss + (1 - keep) * loss
        self._windows += 1
        self._best = min(self._best, self._loss)
        if self._loss > EXPLODED * self._best and not self._warned:
            self._warned = True
            self.say(f"the loss has grown from {self._best:.3f} to {self._loss:.3f}: try a smaller learning rate")
        if not self._plain:
            self._bar.set_description_str(self._status(), refresh=False)
            self._bar.update(symbols)
        elif time.monotonic() - self._last_line >= PLAIN_INTERVAL:
            self._last_line = time.monotonic()
            self.say(f"{self._status()}, {self._speed():,.0f} symbols/s, {self._time_left()} left")

    def epoch(self, record: dict[str, Any], *, cut_off: bool = False) -> None:
        """After each epoch: its record, and whether its time was up before its end."""
        self._epoch += not cut_off
        which = f"{'part of ' if cut_off else ''}epoch {record['epoch']}/{self._epochs}"
        line = f"{which}: loss {record['loss']:.4f} ({record['bits_per_symbol']:.3f} bits)"
        if "validation_loss" in record:
            line += f", validation {record['validation_loss']:.4f} ({record['validation_bits_per_symbol']:.3f} bits)"
        self.say(f"{line}, {record['symbols_per_second'] / 1000:.1f}k/s")
        loss = judged(record)
        if loss < LEAST_FALL * self._best_epoch_loss:
            self._best_epoch_loss, self._epochs_without_fall = loss, 0
        else:
            self._epochs_without_fall += 1
            if self._epochs_without_fall == PATIENCE:
                self.say(f"the loss has stopped falling: {PATIENCE} epochs without a better one")

    def say(self, line: str) -> None:
        """One line in the place of the bar, which comes back with the next window."""
        self._bar.clear()
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.leave = False
        self._bar.close()

    def _status(self) -> str:
        return f"epoch {min(self._epoch + 1, self._epochs)}/{self._epochs} loss {self._loss:.3f} ({bits(self._loss):.2f} bits)"

    def _speed(self) -> float:
        return (self._done - self._first) / max(time.monotonic() - self._began, 1e-9)

    def _time_left(self) -> str:
        seconds = round((self._symbols * self._epochs - self._done) / max(self._speed(), 1e-9))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
