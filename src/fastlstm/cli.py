"""The command line: `fastlstm demo | train | sample | evaluate | info`.

Progress goes to standard error, results to standard output. Exit status: 0 done, 1 failed, 2 wrong use, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

import fastlstm
from fastlstm import text
from fastlstm.checkpoint import check_target
from fastlstm.engines import NAMES as ENGINES
from fastlstm.model import CELLS, TASKS, Model
from fastlstm.optim import OPTIMIZERS
from fastlstm.progress import Quiet
from fastlstm.schedules import SCHEDULES, Schedule
from fastlstm.session import Options

STANDARD_LIBRARY = "the standard library of this Python"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with a suggestion for what was misspelt."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, formatter_class=Formatter, **kwargs)
        self.commands: dict[str, Parser] = {}

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:
        """Parse; an unknown option is an error of its command's parser, with the nearest known one."""
        found, unknown = self.parse_known_args(args)
        if unknown:
            command = self.commands[found.command]
            hint = _did_you_mean(unknown[0].split("=")[0], command._option_string_actions)
            command.error(f"unrecognized argument {unknown[0]}{hint or f'; see {command.prog} --help'}")
        return found

    def error(self, message: str) -> NoReturn:
        """One line on standard error, exit status 2."""
        if "invalid choice: " in message:
            _, _, rest = message.partition("invalid choice: ")
            given, _, choices = rest.partition(" (choose from ")
            message += _did_you_mean(given.strip("'"), choices.rstrip(")").replace("'", "").split(", "))
        self.exit(2, f"{self.prog}: error: {message}\n")


def _did_you_mean(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


class Formatter(argparse.HelpFormatter):
    """Help with each default shown."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=min(100, shutil.get_terminal_size().columns))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, argparse.SUPPRESS) or not action.option_strings:
            return action.help
        return f"{action.help} (default: %(default)s)"


def _parser() -> Parser:
    parser = Parser(prog="fastlstm", description="Train LSTMs on text and write with them, fast on a CPU.")
    parser.add_argument("--version", action="version", version=f"fastlstm {fastlstm.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    demo = commands.add_parser("demo", help=f"learn to write Python from {STANDARD_LIBRARY}, in under three minutes")
    demo.add_argument("--seconds", type=float, default=120.0, help="how long to train")
    demo.add_argument("--out", type=Path, default=Path("demo.safetensors"), help="where the model goes")

    train = commands.add_parser("train", help="train a language model on files")
    _add_text(train, STANDARD_LIBRARY)
    _add_training(train)

    sample = commands.add_parser("sample", help="write text with a model")
    sample.add_argument("model", type=Path, metavar="FILE", help="a model file")
    sample.add_argument("--length", type=int, default=500, help="symbols to write")
    sample.add_argument("--prompt", default="", help="text to go on from; $'a\\nb' in a shell has a line end")
    sample.add_argument("--temperature", type=float, default=1.0, help="below 1 safer, above wilder, 0 the likeliest")
    sample.add_argument("--top-k", type=int, help="keep only this many of the likeliest symbols")
    sample.add_argument("--top-p", type=float, help="keep only the likeliest symbols that reach this probability")
    sample.add_argument("--stop", help="end when this has been written")

    evaluate = commands.add_parser("evaluate", help="measure how well a model predicts a text")
    evaluate.add_argument("model", type=Path, metavar="FILE", help="a model file")
    _add_text(evaluate, STANDARD_LIBRARY)

    info = commands.add_parser("info", help="describe a model file, or this machine")
    info.add_argument("model", type=Path, nargs="?", metavar="FILE", help="a model file")

    for command in (demo, train, sample):
        command.add_argument("--seed", type=int, help="same seed, same result (default: a new one)")
    for command in (demo, train, sample, evaluate):
        command.add_argument("--engine", choices=ENGINES, default="blas", help="what computes")
    for command in (demo, train):
        command.add_argument("--threads", type=int, help="threads; without it, one for each processor")
    for command in (demo, train, sample, evaluate, info):
        command.add_argument("--json", action="store_true", help="print exactly one JSON object on standard output")
    parser.commands = commands.choices
    return parser


def _add_text(command: Parser, default: str) -> None:
    command.add_argument(
        "paths", nargs="*", metavar="PATH", help=f"files, directories, or - for standard input; nothing is {default}"
    )
    command.add_argument("--glob", default="*", help="which files of directories to take, such as '*.py'")


def _add_training(train: Parser) -> None:
    train.add_argument("--out", type=Path, help="file for the model (default: model.safetensors, or the one resumed)")
    train.add_argument("--resume", type=Path, metavar="FILE", help="go on where this checkpoint stopped, on the same text")
    train.add_argument("--checkpoint-every", type=float, metavar="SECONDS", help="save inside the epochs too")
    # Options without a default here take it from Model and Model.fit, or from the checkpoint resumed.
    model = train.add_argument_group("the model")
    model.add_argument("--task", choices=TASKS, help="what to learn (default: language)")
    model.add_argument("--cell", choices=CELLS, help="kind of cell (default: lstm)")
    model.add_argument("--hidden-size", type=int, help="units of each layer (default: 128)")
    model.add_argument("--num-layers", type=int, help="layers (default: 2)")
    model.add_argument("--embedding", type=int, help="width of a learnt vector for each symbol (default: one-hot)")
    model.add_argument("--dropout", type=float, help="probability of dropping outputs between layers (default: 0)")
    model.add_argument("--symbols", choices=text.SYMBOLS, help="what a symbol is (default: characters)")
    model.add_argument("--dtype", choices=("float32", "float64"), help="precision (default: float32)")
    fit = train.add_argument_group("the training")
    fit.add_argument("--epochs", type=int, help="passes over the text, with --resume in all (default: 50, or as before)")
    fit.add_argument("--batch-size", type=int, help="streams read side by side (default: 50)")
    fit.add_argument("--seq-length", type=int, help="steps gradients are followed back (default: 50)")
    fit.add_argument("--optimizer", choices=OPTIMIZERS, help="(default: adam)")
    fit.add_argument("--learning-rate", type=float, help="(default: 0.002)")
    fit.add_argument(
        "--schedule", choices=("constant", *SCHEDULES),
        help="of the learning rate (default: constant): step by --decay every --decay-every epochs, exponential by "
        "--decay in each epoch after --decay-after, cosine to 0 over the --epochs, plateau by --decay after "
        "--decay-patience epochs in vain",
    )
    for name, (kind, _, default, what) in DECAY_OPTIONS.items():
        fit.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"{what} (default: {default})")
    fit.add_argument("--clip-norm", type=float, help="largest norm of the gradients (default: 5)")
    fit.add_argument("--clip-value", type=float, help="largest size of each gradient (default: none)")
    fit.add_argument("--validation", type=float, help="fraction at the end held out (default: 0.05)")
    fit.add_argument("--patience", type=int, metavar="EPOCHS", help="stop after so many in vain (default: never)")
    fit.add_argument("--max-seconds", type=float, help="stop after about this time")


MODEL_OPTIONS = ("task", "cell", "hidden_size", "num_layers", "embedding", "dropout", "symbols", "dtype", "seed")
FIT_OPTIONS = (
    "epochs", "batch_size", "seq_length", "optimizer", "learning_rate", "clip_norm", "clip_value", "validation", "patience",
    "max_seconds", "threads",
)
# Options of the schedules: type, name there, default, meaning.
DECAY_OPTIONS: dict[str, tuple[type, str, float, str]] = {
    "decay": (float, "rate", 0.97, "factor of the schedule"),
    "decay_after": (int, "after", 10, "exponential: epochs at the full rate"),
    "decay_every": (int, "every", 10, "step: epochs between"),
    "decay_patience": (int, "patience", 3, "plateau: epochs without a smaller loss"),
}


def _given(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The options among `names` that were given."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _source(arguments: argparse.Namespace, kind: str) -> text.TextSource:
    """The text the paths name."""
    if not arguments.paths:
        return text.standard_library()
    parts: list[str | bytes | Path] = []
    for path in arguments.paths:
        parts += [_standard_input()] if path == "-" else text.find_files([Path(path)], arguments.glob)
    return text.read(kind, parts)


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    return sys.stdin.buffer.read()


def _print_json(value: dict[str, Any]) -> None:
    finite = {name: None if isinstance(v, float) and not isfinite(v) else v for name, v in value.items()}
    print(json.dumps(finite, allow_nan=False))


def _say(line: str) -> None:
    print(line, file=Quiet(sys.stderr), flush=True)


def _demo(arguments: argparse.Namespace) -> None:
    from fastlstm.demo import run

    fastlstm.set_threads(arguments.threads)
    result = run(arguments.seconds, arguments.out, 0 if arguments.seed is None else arguments.seed)
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
    best = out.with_name(f"{out.stem}.best{out.suffix}")
    check_target(out)
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
            source, **options, checkpoint=out, checkpoint_every=arguments.checkpoint_every,
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
    result = {"symbols": len(source), **model.evaluate(source)}
    if arguments.json:
        _print_json(result)
    else:
        print(
            f"{result['loss']:.4f} nats, {result['bits_per_symbol']:.4f} bits per symbol, perplexity "
            f"{result['perplexity']:.3f} over {result['symbols']:,} symbols"
        )


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


COMMANDS = {"demo": _demo, "train": _train, "sample": _sample, "evaluate": _evaluate, "info": _info}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    arguments = _parser().parse_args(argv)
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
