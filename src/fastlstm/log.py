"""The log of a training run: JSON lines, the records of `Model.fit`, one for each epoch."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from fastlstm import _json, checkpoint

Record = dict[str, Any]
# What is read of a line to tell a log from another file.
MOST_LINE = 1 << 16
MOST_EPOCHS = 1 << 31


def check_target(path: str | os.PathLike) -> Path:
    """Where `write` would put the log, symbolic links followed; an error where it could not, or would destroy another file."""
    return checkpoint.check_target(path, "log", _is_log)


def write(path: str | os.PathLike, history: list[Record]) -> None:
    """Write the records of a model: whole, or not at all, so that the log is always that of one moment."""
    checkpoint.replace(check_target(path), "".join(_json.dumps(record) + "\n" for record in history).encode())


def read(path: str | os.PathLike) -> list[Record]:
    """The records of a log by epoch, the last one of each; what is not finite is None.

    Raises:
        ValueError: a line that is no record, or no record at all.
        OSError: the file cannot be read.
    """
    records: dict[int, Record] = {}
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            record = _record(line)
            if record is None:
                raise ValueError(f"{path}: line {number} is not a training record, which is JSON with an epoch and its loss")
            records[record["epoch"]] = record
    if not records:
        raise ValueError(f"{path}: no epoch has been logged yet")
    return [records[epoch] for epoch in sorted(records)]


def is_of(path: str | os.PathLike, history: list[Record]) -> bool:
    """Whether the log is that of a model with these records, or was before it went on, or once went further."""
    logged = read(path)
    return all(one == other for one, other in zip(logged, history, strict=False))


def _record(line: bytes) -> Record | None:
    """The record on a line, if it is one."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or "loss" not in record:
        return None
    epoch = record.get("epoch")
    losses = (record["loss"], record.get("validation_loss"))
    counts = isinstance(epoch, int) and not isinstance(epoch, bool) and 0 < epoch < MOST_EPOCHS
    return record if counts and all(loss is None or _is_number(loss) for loss in losses) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_log(path: Path) -> bool:
    """Whether the file begins with a record of ours."""
    with open(path, "rb") as file:
        record = _record(file.readline(MOST_LINE))
    return record is not None and "bits_per_symbol" in record
