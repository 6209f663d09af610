"""`fastlstm train`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from fastlstm import _check, _json, cli_text, log
from fastlstm.checkpoint import check_target
from fastlstm.cli_parser import DECAY_OPTIONS
from fastlstm.model import Model
from fastlstm.progress import say, show_sample
from fastlstm.schedules import SCHEDULES, Schedule
from fastlstm.session import Options

MODEL_OPTIONS = (
    "task", "cell", "hidden_size", "num_layers", "embedding", "tied", "dropout", "recurrent_dropout", "peephole", "coupled",
    "skip", "initializer", "symbols", "max_symbols", "min_count", "dtype", "seed",
)
FIT_OPTIONS = (
    "epochs", "batch_size", "seq_length", "optimizer", "learning_rate", "clip_norm", "clip_value", "validation", "patience",
    "max_seconds", "threads",
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
    changed = [name for name in MODEL_OPTIONS if getattr(arguments, name) is not None]
    if changed:
        raise ValueError(f"--{changed[0].replace('_', '-')} is fixed by the checkpoint; leave it out with --resume")
    model = Model.load(arguments.resume)
    if model.options is None:
        raise ValueError(f"{arguments.resume} holds no training to resume")
    return model


def run(arguments: argparse.Namespace) -> None:
    """Train a model on a text, or go on."""
    model = _resumed(arguments) if arguments.resume else Model(**_given(arguments, MODEL_OPTIONS))
    options = _given(arguments, FIT_OPTIONS)
    before = model.options or Options()
    epochs = options.get("epochs", before.epochs)
    options |= _schedule(arguments, before.schedule, epochs)
    out = arguments.out or arguments.resume or Path("model.safetensors")
    length = _check.count("sample_length", arguments.sample_length, 0)
    target = check_target(out)
    best = out.with_name(f"{out.stem}.best{out.suffix}")
    log_file = arguments.log or out.with_name(f"{out.stem}.jsonl")
    if log.check_target(log_file) in (target, check_target(best)):
        raise ValueError(f"{log_file} would be both the log and a model; choose another name with --log")
    if not arguments.overwrite and (arguments.resume is None or check_target(arguments.resume) != target):
        _refuse_to_replace(out, best, log_file)
    sources = cli_text.sources(arguments)
    say(f"training on {cli_text.describe(sources)}{'' if arguments.paths else '; name a PATH for another text'}")
    if arguments.resume and model.epochs_finished < epochs:
        say(f"resuming after {model.epochs_finished} of {epochs} epochs")

    def keep(model: Model, record: dict[str, Any]) -> None:
        log.write(log_file, model.history)
        if record["best"]:
            model.save(best)

    def sample(model: Model, record: dict[str, Any]) -> None:
        try:
            show_sample(model.sample(length, seed=record["epoch"]))  # a seed of its own: the model's generator stays as it is
        except FloatingPointError as error:
            say(f"no sample: {error}")

    try:
        records = model.fit(
            [part for _, part in sources], **options, checkpoint=out, checkpoint_every=arguments.checkpoint_every,
            resume=arguments.resume is not None, callbacks=[keep, *([sample] if length else [])], progress=True,
        )
    except KeyboardInterrupt:
        if model.options is None:
            say("stopped before training began")
        else:
            log.write(log_file, model.history)
            _forget_another_runs(best, model)
            say(f"stopped; go on with: {shlex.join(_to_go_on(arguments, out))}")
        raise
    log.write(log_file, model.history)
    _forget_another_runs(best, model)
    reason = _why_it_ended(model, records, epochs, shlex.join(_to_go_on(arguments, out)))
    if reason:
        say(reason)
    if arguments.json:
        _json.show({"model": str(out), **(model.history[-1] if model.history else {}), "history": model.history})
        return
    if not model.history:
        print(f"{out}: untrained")
        return
    last = model.history[-1]
    # None is marked where the best epoch was cut off, and not as good once it was finished.
    of_best = next((record for record in reversed(model.history) if record["best"]), last)
    better = "" if of_best is last else f" ({_loss(of_best)} after epoch {of_best['epoch']})"
    print(f"{out}: {_loss(last)}; best weights{better} in {best}")
    say(f"next: {shlex.join(['fastlstm', 'sample', str(best if better else out)])}")


def _loss(record: dict[str, Any]) -> str:
    """The loss that decides, in nats and bits."""
    part = "validation_" if "validation_loss" in record else ""
    return f"{part.replace('_', ' ')}loss {record[part + 'loss']:.4f} nats, {record[part + 'bits_per_symbol']:.3f} bits"


def _why_it_ended(model: Model, records: list[dict[str, Any]], wanted: int, to_go_on: str) -> str | None:
    """Why not all `wanted` epochs were trained now, if not."""
    done, options = model.epochs_finished, model.options
    epochs = f"{done} of {wanted} epochs"
    in_vain = next((k for k, record in enumerate(reversed(model.history)) if record["best"]), 0)
    if done >= wanted:
        return None if records else f"nothing to do: --epochs is {wanted}, and {done} were done"
    if options.patience is not None and in_vain >= options.patience:
        return f"stopped after {epochs}: none of the last {in_vain} brought a smaller loss (--patience {options.patience})"
    return f"time is up after {epochs}; go on with: {to_go_on}"


def _refuse_to_replace(*paths: Path) -> None:
    """Refuse to begin where files of another training lie."""
    taken = next((path for path in paths if path.exists() and path.stat().st_size), None)
    if taken is not None:
        raise ValueError(
            f"{taken} holds another training; go on with it (--resume), choose another --out, or replace it (--overwrite)"
        )


def _forget_another_runs(best: Path, model: Model) -> None:
    """Best weights that lie there while this run has none yet are those of another."""
    if not model.history:
        best.unlink(missing_ok=True)


def _to_go_on(arguments: argparse.Namespace, out: Path) -> list[str]:
    """The command that goes on from `out`."""
    options = [("--glob", arguments.glob, "*"), ("--log", arguments.log, None)]
    given = [part for name, value, default in options if value != default for part in (name, str(value))]
    return ["fastlstm", "train", "--resume", str(out), *given, *arguments.paths]
