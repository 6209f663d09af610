"""The command line: `fastlstm demo | train | sample | evaluate | surprisal | info`.

Progress goes to standard error, results to standard output. Exit status: 0 done, 1 failed, 2 wrong use, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import Any

import fastlstm
from fastlstm import _check, surprises, text
from fastlstm.checkpoint import check_target
from fastlstm.cli_parser import DECAY_OPTIONS, STANDARD_LIBRARY, parser
from fastlstm.model import Model
from fastlstm.progress import Quiet
from fastlstm.schedules import SCHEDULES, Schedule
from fastlstm.session import Options

MODEL_OPTIONS = ("task", "cell", "hidden_size", "num_layers", "embedding", "dropout", "symbols", "dtype", "seed")
FIT_OPTIONS = (
    "epochs", "batch_size", "seq_length", "optimizer", "learning_rate", "clip_norm", "clip_value", "validation", "patience",
    "max_seconds", "threads",
)


def _given(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The options among `names` that were given."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _sources(arguments: argparse.Namespace, kind: str) -> list[tuple[str, str | bytes]]:
    """Name and text of everything the paths name."""
    if not arguments.paths:
        return [("standard library", text.read(kind, text.standard_library()))]
    found: list[tuple[str, str | bytes]] = []
    for path in arguments.paths:
        if path == "-":
            found.append(("-", text.read(kind, _standard_input())))
        else:
            found += [(str(file), text.read(kind, file)) for file in text.find_files([Path(path)], arguments.glob)]
    return found


def _source(arguments: argparse.Namespace, kind: str) -> str | bytes:
    """The text the paths name, all of it."""
    return text.read(kind, [part for _, part in _sources(arguments, kind)])


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    return sys.stdin.buffer.read()


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(_finite(value), allow_nan=False))


def _finite(value: Any) -> Any:
    """The value with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _say(line: str) -> None:
    print(line, file=Quiet(sys.stderr), flush=True)


def _demo(arguments: argparse.Namespace) -> None:
    from fastlstm.demo import run

    fastlstm.set_threads(arguments.threads)
    result = run(arguments.seconds, arguments.out, arguments.seed)
    if arguments.json:
        _print_json(result)


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


def _train(arguments: argparse.Namespace) -> None:
    model = _resumed(arguments) if arguments.resume else Model(**_given(arguments, MODEL_OPTIONS))
    options = _given(arguments, FIT_OPTIONS)
    before = model.options or Options()
    options |= _schedule(arguments, before.schedule, options.get("epochs", before.epochs))
    out = arguments.out or arguments.resume or Path("model.safetensors")
    check_target(out)
    best = out.with_name(f"{out.stem}.best{out.suffix}")
    source = _source(arguments, model.config["symbols"])
    where = "" if arguments.paths else f" of {STANDARD_LIBRARY}; name a PATH for another text"
    _say(f"training on {len(source):,} symbols{where}")
    if arguments.resume:
        _say(f"resuming after {model.epochs_finished} of {options.get('epochs', before.epochs)} epochs")
    elif out.exists():
        _say(f"replacing {out}")

    def keep_best(model: Model, record: dict[str, Any]) -> None:
        if record["best"]:
            model.save(best)

    try:
        model.fit(
            [source], **options, checkpoint=out, checkpoint_every=arguments.checkpoint_every,
            resume=arguments.resume is not None, callbacks=[keep_best], progress=True,
        )
    except KeyboardInterrupt:
        if model.network:
            model.save(out)
            glob = ["--glob", arguments.glob] if arguments.glob != "*" else []
            _say(f"stopped; go on with: {shlex.join(['fastlstm', 'train', '--resume', str(out), *glob, *arguments.paths])}")
        raise
    last = model.history[-1] if model.history else {}
    if arguments.json:
        _print_json({"model": str(out), **last, "history": model.history})
        return
    part = "validation_" if "validation_loss" in last else ""
    loss = f"{part}loss {last[part + 'loss']:.4f} nats, {last[part + 'bits_per_symbol']:.3f} bits" if last else "untrained"
    print(f"{out}: {loss.replace('_', ' ')}{f'; best weights in {best}' if best.exists() else ''}")
    _say(f"next: fastlstm sample {out}")


def _sample(arguments: argparse.Namespace) -> None:
    model = Model.load(arguments.model)
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    pieces = model.sample_iter(
        arguments.length, arguments.prompt, temperature=arguments.temperature, top_k=arguments.top_k,
        top_p=arguments.top_p, stop=arguments.stop, seed=seed,
    )
    if arguments.json:
        written = model.vocabulary.join(pieces)
        if isinstance(written, bytes):
            written = written.decode(errors="backslashreplace")
        _print_json({"prompt": arguments.prompt, "text": written, "seed": seed})
        return
    if sys.stdout.isatty():
        print(arguments.prompt, end="", flush=True)
    for piece in pieces:
        sys.stdout.buffer.write(piece if isinstance(piece, bytes) else piece.encode(errors="surrogatepass"))
        if sys.stdout.isatty():
            sys.stdout.flush()
    if sys.stdout.isatty():
        print()


def _evaluate(arguments: argparse.Namespace) -> None:
    model = Model.load(arguments.model)
    source = _source(arguments, model.config["symbols"])
    result = {"symbols": len(source), **model.evaluate([source])}
    if arguments.json:
        _print_json(result)
    else:
        print(
            f"{result['loss']:.4f} nats, {result['bits_per_symbol']:.4f} bits per symbol, perplexity "
            f"{result['perplexity']:.3f} over {result['symbols']:,} symbols"
        )


def _surprisal(arguments: argparse.Namespace) -> None:
    model = Model.load(arguments.model)
    found: list[surprises.Line] = []
    for name, part in _sources(arguments, model.config["symbols"]):
        try:
            found += surprises.lines(name, model.vocabulary.split(part), model.surprisal([part]))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    worst = surprises.worst(found, _check.count("lines", arguments.lines))
    if arguments.json:
        told = [{"file": w.file, "line": w.number, "column": w.column, "bits": w.worst, "text": w.text} for w in worst]
        _print_json({"lines": told})
        return
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in worst:
        print(surprises.render(line, colour))


def _info(arguments: argparse.Namespace) -> None:
    if arguments.model is None:
        facts = {"version": fastlstm.__version__, **fastlstm.cpu_info()}
    else:
        model = Model.load(arguments.model)
        facts = {
            **model.config,
            "seed": model.seed,
            "vocabulary": len(model.vocabulary),
            "parameters": sum(array.size for array in model.parameters.values()),
            "epochs": model.epochs_finished,
        }
        if model.history:
            facts |= {name: value for name, value in model.history[-1].items() if name != "epoch"}
    if arguments.json:
        _print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else f"{value:.6g}" if isinstance(value, float) else value
        print(f"{name.replace('_', ' '):{width}}  {shown}")


COMMANDS = {
    "demo": _demo, "train": _train, "sample": _sample, "evaluate": _evaluate, "surprisal": _surprisal, "info": _info,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    arguments = parser().parse_args(argv)
    try:
        fastlstm.set_engine(getattr(arguments, "engine", "blas"))
        COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        if arguments.command != "train":  # which has said how to go on
            _say(f"fastlstm {arguments.command}: stopped")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left: nothing to say at exit
        return 0
    except (ValueError, TypeError, IndexError, FileNotFoundError, IsADirectoryError) as error:
        _say(f"fastlstm {arguments.command}: error: {_one_line(error)}")
        return 2
    except (OSError, fastlstm.CheckpointError, FloatingPointError, MemoryError, RuntimeError) as error:
        _say(f"fastlstm {arguments.command}: error: {_one_line(error)}")
        return 1
    return 0


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
