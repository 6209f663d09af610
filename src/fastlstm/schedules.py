"""Learning-rate schedules: the factor of the rate in each epoch, from what has happened before.

A schedule is a function of the epoch and the losses so far and keeps no state, so that resuming needs nothing but it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import cos, pi
from typing import Any

from fastlstm import _check


class Schedule(ABC):
    """The factor the learning rate is multiplied by, epoch by epoch."""

    def __post_init__(self) -> None:
        """Check each argument: `rate` in (0, 1], `floor` in [0, 1], the others counts."""
        for name, value in vars(self).items():
            if name in ("rate", "floor"):
                _check.number(name, value, 0, 1, open_ends="(" if name == "rate" else "")
            else:
                _check.count(name, value)

    @abstractmethod
    def __call__(self, epoch: int, losses: Sequence[float]) -> float:
        """The factor in an epoch, the first being 0, after the losses (validation's if there is one) of those before."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values: the kind and the arguments."""
        return {"kind": type(self).__name__.lower(), **asdict(self)}


@dataclass(frozen=True)
class Step(Schedule):
    """The rate is multiplied by `rate` after every `every` epochs.

    Args:
        rate: in (0, 1].
        every: epochs, at least 1.
    """

    rate: float
    every: int

    def __call__(self, epoch: int, losses: Sequence[float]) -> float:
        """See `Schedule`."""
        return self.rate ** (epoch // self.every)


@dataclass(frozen=True)
class Exponential(Schedule):
    """The full rate for `after` epochs, then multiplied by `rate` once more in every epoch.

    Args:
        rate: in (0, 1].
        after: epochs, at least 1.
    """

    rate: float
    after: int = 1

    def __call__(self, epoch: int, losses: Sequence[float]) -> float:
        """See `Schedule`."""
        return self.rate ** max(0, epoch - self.after + 1)


@dataclass(frozen=True)
class Cosine(Schedule):
    """floor + (1 - floor) (1 + cos(π epoch / epochs)) / 2, and `floor` after `epochs` (Loshchilov & Hutter 2017).

    Args:
        epochs: at least 1.
        floor: in [0, 1].
    """

    epochs: int
    floor: float = 0.0

    def __call__(self, epoch: int, losses: Sequence[float]) -> float:
        """See `Schedule`."""
        return self.floor + (1 - self.floor) * (1 + cos(pi * min(epoch / self.epochs, 1))) / 2


@dataclass(frozen=True)
class Plateau(Schedule):
    """The rate is multiplied by `rate` when `patience` epochs in a row have brought no smaller loss; then it waits anew.

    Args:
        rate: in (0, 1].
        patience: epochs, at least 1.
    """

    rate: float
    patience: int

    def __call__(self, epoch: int, losses: Sequence[float]) -> float:
        """See `Schedule`."""
        factor, best, waited = 1.0, float("inf"), 0
        for loss in losses:
            if loss < best:
                best, waited = loss, 0
            else:
                waited += 1
            if waited == self.patience:
                factor, waited = factor * self.rate, 0
        return factor


SCHEDULES: dict[str, type[Schedule]] = {kind.__name__.lower(): kind for kind in (Step, Exponential, Cosine, Plateau)}


def from_json(values: dict[str, Any]) -> Schedule:
    """The inverse of `Schedule.to_json`."""
    arguments = dict(values)
    return SCHEDULES[_check.choice("schedule", arguments.pop("kind"), SCHEDULES)](**arguments)
