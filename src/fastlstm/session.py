"""A training session as data: how to train, and where training stands."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from fastlstm import _check
from fastlstm.engines import States
from fastlstm.optim import OPTIMIZERS
from fastlstm.schedules import SCHEDULES, Schedule, from_json


@dataclass(frozen=True)
class Options:
    """How to train: the arguments of `Model.fit` that a checkpoint keeps, and their defaults there."""

    epochs: int = 50
    batch_size: int = 50
    seq_length: int = 50
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    schedule: Schedule | None = None
    clip_norm: float | None = 5.0
    clip_value: float | None = None
    validation: float | None = 0.05  # the fraction; None for none or for data of its own
    patience: int | None = None
    restore_best: bool = False
    threads: int | None = None

    def checked(self) -> "Options":
        """The same with plain numbers, each in its range."""
        if self.schedule is not None and type(self.schedule) not in SCHEDULES.values():  # a file has them by name
            raise TypeError(
                f"schedule must be None or one of fastlstm.schedules, such as Cosine(epochs=50), got {self.schedule!r}"
            )
        return replace(
            self,
            epochs=_check.count("epochs", self.epochs, 0),
            batch_size=_check.count("batch_size", self.batch_size),
            seq_length=_check.count("seq_length", self.seq_length),
            optimizer=_check.choice("optimizer", self.optimizer, OPTIMIZERS),
            learning_rate=_check.number("learning_rate", self.learning_rate, 0, open_ends="("),
            clip_norm=_check.optional(_check.number, "clip_norm", self.clip_norm, 0, open_ends="("),
            clip_value=_check.optional(_check.number, "clip_value", self.clip_value, 0, open_ends="("),
            validation=_check.optional(_check.number, "validation", self.validation, 0, 1, open_ends=")"),
            patience=_check.optional(_check.count, "patience", self.patience),
            restore_best=_check.flag("restore_best", self.restore_best),
            threads=_check.optional(_check.count, "threads", self.threads),
        )

    def resuming(self, saved: "Options", given: Collection[str]) -> "Options":
        """The saved options, but those named in `given` as they are here; ValueError where these cut the text otherwise."""
        changed = {f.name: getattr(self, f.name) for f in fields(self) if f.name in given}
        if changed.get("threads", 0) is None:  # no number, but whatever there was
            del changed["threads"]
        for name in ("batch_size", "seq_length", "validation"):
            before, now = getattr(saved, name), changed.get(name, getattr(saved, name))
            if before != now:
                raise ValueError(f"{name} must be {before} to resume this checkpoint, got {now}")
        return replace(saved, **changed)

    def factor(self, position: "Position") -> float:
        """What the schedule makes of the learning rate in the epoch of `position`."""
        return self.schedule(position.epoch, position.losses) if self.schedule else 1.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "schedule": self.schedule.to_json() if self.schedule else None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Options":
        """The inverse of `to_json`."""
        schedule = values["schedule"]
        return cls(**{**values, "schedule": from_json(schedule) if schedule else None}).checked()


def judged(record: dict[str, Any]) -> float:
    """The loss that an epoch is judged by: on the held-out text if there is one."""
    return record.get("validation_loss", record["loss"])


VECTORS = ("best_weights", "last_weights")  # of a Position, like the parameters


@dataclass
class Position:
    """Where training stands: everything but the weights and moments that the next window depends on."""

    epoch: int = 0             # epochs finished
    window: int = 0            # windows of the present epoch done
    loss_sum: float = 0.0      # nats of the present epoch's symbols so far
    symbols: int = 0           # how many those were
    seconds: float = 0.0       # trained so far, in all sessions
    fingerprint: int = 0       # of the training text
    held_out: int | None = None  # that of the text held out, 0 where there is none; None: not known, in older files
    best_loss: float | None = None  # of all epochs, on the held-out text if there is one
    history: list[dict[str, Any]] = field(default_factory=list)
    state: States | None = None  # carried from window to window; None is zero
    best_weights: np.ndarray | None = None  # the vector of parameters at best_loss, where it is to be restored
    last_weights: np.ndarray | None = None  # where it has been restored, what to go on from

    def to_json(self) -> dict[str, Any]:
        """All but the arrays as JSON values."""
        return {name: value for name, value in vars(self).items() if name not in ("state", *VECTORS)}

    @property
    def losses(self) -> list[float]:
        """What the finished epochs are judged by."""
        return [judged(record) for record in self.history[: self.epoch]]

    @property
    def epochs_since_best(self) -> int:
        """How many epochs in a row have brought no smaller loss."""
        losses = self.losses
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Position":
        """The inverse of `to_json`."""
        if values.keys() & {"state", *VECTORS}:
            raise ValueError("the position holds what must be arrays")
        position = cls(**values)
        for name in ("epoch", "window", "symbols", "fingerprint"):
            _check.number(name, _check.count(name, getattr(position, name), 0), 0, 2**64)
        for name in ("loss_sum", "seconds"):
            _check.number(name, getattr(position, name), 0)
        _check.optional(_check.number, "best_loss", position.best_loss, 0)
        _check.optional(_check.count, "held_out", position.held_out, 0)
        if not (isinstance(position.history, list) and all(isinstance(record, dict) for record in position.history)):
            raise TypeError("history must be a list of records")
        for record in position.history:
            _check.count("the epoch of a record", record["epoch"])
            for name in ("loss", *(["validation_loss"] if "validation_loss" in record else [])):
                _check.number(f"{name} of a record", record[name], 0)
        if position.epoch > len(position.history):
            raise ValueError(f"{position.epoch} epochs are finished, but there are only {len(position.history)} records")
        return position
