"""`fastlstm train`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from fastlstm import _check, _json, cli_text, fitting, log
from fastlstm.checkpoint import check_target
from fastlstm.cli_parser import DECAY_OPTIONS
from fastlstm.model import Model
from fastlstm.progress import say, show_sample
from fastlstm.schedules import SCHEDULES, Schedule
from fastlstm.session import Options

MODEL_OPTIONS = (
    "task", "cell", "hidden_size", "num_layers", "embedding", "tied", "bias", "dropout", "recurrent_dropout", "peephole",
    "coupled", "skip", "activation", "recurrent_activation", "clip", "proj_size", "reset_after", "nonlinearity", "initializer",
    "symbols", "max_symbols", "min_count", "dtype", "seed",
)
FIT_OPTIONS = (
    "epochs", "batch_size", "seq_length", "optimizer", "learning_rate", "clip_norm", "clip_value", "validation", "patience",
    "threads",
)


def _given(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The options among `names` that were given."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _schedule(arguments: argparse.Namespace, saved: Schedule | None, epochs: int) -> dict[str, Schedule | None]:
    """The schedule the options ask for, if any; what they leave open is that of `saved`, or the default."""
    given = {DECAY_OPTIONS[name][1]: value for name, value in _given(arguments, list(DECAY_OPTIONS)).items()}
    name = arguments.schedule or (type(saved).__name__.lower() if given and saved else None)
    if name is None and not given:
        return {}
    if name == "constant" and not given:
        return {"schedule": None}
    if name in (None, "constant"):
        raise ValueError("the options of --decay need --schedule step, exponential or plateau")
    kind = SCHEDULES[name]
    values = {"epochs": epochs, **{field: default for _, field, default, _ in DECAY_OPTIONS.values()}}
    if type(saved) is kind:
        values |= vars(saved)
    values |= given
    names = [field.name for field in fields(kind)]
    unused = sorted(given.keys() - set(names))
    if unused:
        raise ValueError(f"--schedule {name} has no {unused[0]}; its options are those of {', '.join(names)}")
    return {"schedule": kind(**{field: values[field] for field in names if field in values})}


def _resumed(arguments: argparse.Namespace) -> Model:
    """The model to go on with."""
    model = Model.load(arguments.resume)
    fixed = {**model.config, "seed": model.seed}
    for name, value in _given(arguments, MODEL_OPTIONS).items():
        if value != fixed.get(name):
            raise ValueError(f"--{name.replace('_', '-')} is fixed by the checkpoint; leave it out with --resume")
    if model.options is None:
        raise ValueError(f"{arguments.resume} holds no training to resume")
    return model


class Files(NamedTuple):
    """Where a training leaves the last state, the best weights and its log."""

    out: Path
    best: Path
    log: Path

    @classmethod
    def of(cls, out: Path, log_file: Path | None) -> Files:
        """Of a model at `out`; the log beside it, unless it is elsewhere."""
        return cls(out, out.with_name(f"{out.stem}.best{out.suffix}"), log_file or out.with_name(f"{out.stem}.jsonl"))


class Keeper:
    """Keeps the log and the best weights of a training beside its last state, which `fit` keeps.

    resumed: the file it goes on from, if any.
    """

    def __init__(self, files: Files, resumed: Path | None) -> None:
        self.files, self._in_place, self._before = files, files.out == resumed, _identity(files.out)
        self.has_best = self._in_place and files.best.exists()

    @property
    def saved(self) -> bool:
        """Whether what is at `out` is of this training."""
        return self._in_place or _identity(self.files.out) != self._before

    def epoch(self, model: Model, record: dict[str, Any]) -> None:
        """Called after each."""
        log.write(self.files.log, model.history)
        if record["best"]:
            model.save(self.files.best)
            self.has_best = True

    def end(self, model: Model) -> None:
        """What is there of another training goes, if the model is this one's."""
        if self.saved:
            log.write(self.files.log, model.history)
            if not self.has_best:
                self.files.best.unlink(missing_ok=True)


def run(arguments: argparse.Namespace) -> None:
    """Train a model on a text, or go on."""
    model = _resumed(arguments) if arguments.resume else Model(**_given(arguments, MODEL_OPTIONS))
    options = _given(arguments, FIT_OPTIONS)
    before = model.options or Options()
    epochs = options.get("epochs", before.epochs)
    options |= _schedule(arguments, before.schedule, epochs)
    length = _check.count("sample_length", arguments.sample_length, 0)
    out = arguments.out or arguments.resume or Path("model.safetensors")
    check_target(out)
    files = Files.of(out, arguments.log)
    _check_files(files, arguments, model)
    sources = cli_text.sources(arguments)
    say(f"training on {cli_text.describe(sources)}{'' if arguments.paths else '; name a PATH for another text'}")
    if arguments.resume and model.epochs_finished < epochs:
        say(f"resuming after {model.epochs_finished} of {epochs} epochs")

    def sample(model: Model, record: dict[str, Any]) -> None:
        try:
            show_sample(model.sample(length, seed=record["epoch"]))  # a seed of its own: the model's generator stays as it is
        except FloatingPointError as error:
            say(f"no sample: {error}")

    keeper, to_go_on = Keeper(files, arguments.resume), shlex.join(_to_go_on(arguments, files.out))
    try:
        records = fitting.fit(
            model, [part for _, part in sources], None, Options(**options), options, resume=arguments.resume is not None,
            max_seconds=arguments.max_seconds, checkpoint=files.out, checkpoint_every=arguments.checkpoint_every,
            callbacks=[keeper.epoch, *([sample] if length else [])], progress=True,
        )
    except KeyboardInterrupt:
        keeper.end(model)
        say(f"stopped; go on with: {to_go_on}" if keeper.saved else "stopped before anything was saved")
        raise
    keeper.end(model)
    if not records and model.epochs_finished >= epochs > 0:
        say(f"nothing to do: --epochs is {epochs}, and {model.epochs_finished} were done")
    elif reason := _why_it_ended(model, to_go_on):
        say(reason)
    if arguments.json:
        _json.show({"model": str(files.out), **(model.history[-1] if model.history else {}), "history": model.history})
    else:
        _tell(model, keeper)


def _tell(model: Model, keeper: Keeper) -> None:
    """How good the model is, where it and its best weights are, and what to do with them."""
    files = keeper.files
    if not model.history:
        print(f"{files.out}: untrained")
        return
    last = model.history[-1]
    # No record is marked as the best where the best epoch was cut off and was not as good once it was finished.
    of_best = next((record for record in reversed(model.history) if record["best"]), last)
    better = "" if of_best is last else f" ({_loss(of_best)} after epoch {of_best['epoch']})"
    vocabulary = model.vocabulary
    if vocabulary.unknown is not None and vocabulary.counts[vocabulary.unknown]:
        share = vocabulary.counts[vocabulary.unknown] / vocabulary.counts.sum()
        say(f"{share:.1%} of the {vocabulary.kind} it was trained on are unknown to it, one symbol for all of them")
    print(f"{files.out}: {_loss(last)}{f'; best weights{better} in {files.best}' if keeper.has_best else ''}")
    say(f"next: {shlex.join(['fastlstm', 'sample', str(files.best if better and keeper.has_best else files.out)])}")


def _check_files(files: Files, arguments: argparse.Namespace, model: Model) -> None:
    """Refuse files that cannot be written, are others' or, without --overwrite, of another training than that of `model`."""
    if log.check_target(files.log) in (check_target(files.out), check_target(files.best)):
        raise ValueError(f"{files.log} would be both the log and a model; choose another name with --log")
    if arguments.overwrite:
        return
    own = Files.of(arguments.resume, None) if arguments.resume else ()
    for path, what in zip(files, ("model", "best weights", "log"), strict=True):
        if path in own or not _identity(path) or (what == "log" and arguments.resume and log.is_of(path, model.history)):
            continue
        other = {"model": "go on with it (--resume), choose another --out", "log": "choose another --log"}
        instead = other.get(what, "choose another --out")
        raise ValueError(f"{path} holds the {what} of another training; {instead}, or replace it (--overwrite)")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at `path` from one that replaces it; None where there is none, or an empty one."""
    found = path.stat() if path.exists() else None
    return (found.st_ino, found.st_mtime_ns) if found and found.st_size else None


def _loss(record: dict[str, Any]) -> str:
    """The loss that decides, in nats and bits."""
    part = "validation_" if "validation_loss" in record else ""
    return f"{part.replace('_', ' ')}loss {record[part + 'loss']:.4f} nats, {record[part + 'bits_per_symbol']:.3f} bits"


def _why_it_ended(model: Model, to_go_on: str) -> str | None:
    """Why not all epochs were trained, if not."""
    done, options = model.epochs_finished, model.options
    epochs = f"{done} of {options.epochs} epochs"
    in_vain = next((k for k, record in enumerate(reversed(model.history)) if record["best"]), 0)
    if done >= options.epochs:
        return None
    if options.patience is not None and in_vain >= options.patience:
        return f"stopped after {epochs}: none of the last {in_vain} brought a smaller loss (--patience {options.patience})"
    return f"time is up after {epochs}; go on with: {to_go_on}"


def _to_go_on(arguments: argparse.Namespace, out: Path) -> list[str]:
    """The command that goes on from `out`."""
    options = [("--glob", arguments.glob, "*"), ("--log", arguments.log, None)]
    given = [part for name, value, default in options if value != default for part in (name, str(value))]
    return ["fastlstm", "train", "--resume", str(out), *given, *arguments.paths]
