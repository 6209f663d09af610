"""The options of the command line, and their errors."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import fastlstm
from fastlstm import _check
from fastlstm.cells import PEEPHOLES
from fastlstm.config import CELLS, TASKS
from fastlstm.engines import NAMES as ENGINES
from fastlstm.experiments import EXPERIMENTS
from fastlstm.init import INITIALIZERS
from fastlstm.optim import OPTIMIZERS
from fastlstm.reference import ACTIVATIONS
from fastlstm.schedules import SCHEDULES
from fastlstm.structure import KINDS as STRUCTURES
from fastlstm.vocabulary import SYMBOLS

STANDARD_LIBRARY = "the standard library of this Python"
# Options of the schedules: type, name there, default, meaning.
DECAY_OPTIONS: dict[str, tuple[type, str, float, str]] = {
    "decay": (float, "rate", 0.97, "factor of the schedule"),
    "decay_after": (int, "after", 10, "exponential: epochs at the full rate"),
    "decay_every": (int, "every", 10, "step: epochs between"),
    "decay_patience": (int, "patience", 3, "plateau: epochs without a smaller loss"),
}


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
    close = _check.nearest(given, known)
    return f"; did you mean {close}?" if close else ""


class Formatter(argparse.HelpFormatter):
    """Help with each default shown."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=min(100, shutil.get_terminal_size().columns))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.default is not None and action.default is not False and action.default not in ("", argparse.SUPPRESS)
        if not (shown and action.option_strings):
            return action.help
        return f"{action.help} (default: %(default)s)"


def parser() -> Parser:
    """The parser of the whole command line."""
    root = Parser(prog="fastlstm", description="Train recurrent networks on text and write with them, fast on a CPU.")
    root.add_argument("--version", action="version", version=f"fastlstm {fastlstm.__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    demo = commands.add_parser("demo", help=f"learn to write Python from {STANDARD_LIBRARY}, in under three minutes")
    demo.add_argument("--seconds", type=float, default=120.0, help="how long to train")
    demo.add_argument("--seed", type=int, default=0, help="of weights and samples")
    demo.add_argument("--out", type=Path, help="where the model goes (default: demo.safetensors, of the last demo)")
    demo.add_argument("--overwrite", action="store_true", help="replace the model that is at --out")

    train = commands.add_parser("train", help="train a language model on files")
    _add_text(train)
    _add_training(train)

    plot = commands.add_parser("plot", help="draw the learning curves of training logs")
    plot.add_argument("logs", type=Path, nargs="+", metavar="LOG", help="logs of train, such as model.jsonl")
    plot.add_argument("--out", type=Path, help="the picture: .png, .svg or .pdf (default: <first LOG's stem>.png)")

    sample = commands.add_parser("sample", help="write text with a model")
    _add_model(sample)
    _add_sampling(sample, 500)
    sample.add_argument("--top-k", type=int, help="keep only this many of the likeliest symbols")
    sample.add_argument("--top-p", type=float, help="keep only the likeliest symbols that reach this probability")
    sample.add_argument("--stop", help="end when this has been written")

    evaluate = commands.add_parser("evaluate", help="measure how well a model predicts a text")
    _add_model(evaluate)
    _add_text(evaluate)

    surprisal = commands.add_parser("surprisal", help="show the lines of a text that a model finds most unexpected")
    _add_model(surprisal)
    _add_text(surprisal)
    surprisal.add_argument("--lines", type=int, default=20, help="how many, by their most unexpected symbol")

    inspect = commands.add_parser("inspect", help="write samples, and tell what they copy, make up and get right")
    _add_model(inspect)
    _add_text(inspect)
    inspect.add_argument("--samples", type=int, default=5, help="how many")
    _add_sampling(inspect, 2000)
    inspect.add_argument("--kind", choices=STRUCTURES, help="what the text should be (default: by the files' names)")
    inspect.add_argument("--quiz", action="store_true", help="instead, ask which of its samples and as many passages are real")

    experiment = commands.add_parser("experiment", help="train a small network on made-up lines, and look what its neurons do")
    experiment.add_argument(
        "name", choices=EXPERIMENTS, metavar="NAME",
        help="counting (aᴺXbᴺ), selective (X's among the a's), state (A or B, x's, the same letter), copy (three letters) or "
        "messages (#hashtags, addresses, names, quotations)",
    )
    experiment.add_argument("--seed", type=int, default=0, help="of lines and weights")
    experiment.add_argument("--peephole", choices=PEEPHOLES, help="let the gates see the cell (default: they do not)")
    experiment.add_argument("--html", type=Path, metavar="FILE", help="file for a page with the pictures")

    info = commands.add_parser("info", help="describe a model file, or this machine")
    info.add_argument("model", type=Path, nargs="?", metavar="FILE", help="a model file")

    for command in (train, sample, inspect):
        command.add_argument("--seed", type=int, help="same seed, same result (default: a new one)")
    for command in (demo, train, sample, evaluate, surprisal, inspect, experiment):
        command.add_argument("--engine", choices=ENGINES, help="what computes (default: the fastest on this processor)")
        command.add_argument(
            "--threads", type=int, help="threads at most (default: FASTLSTM_NUM_THREADS, or one for each processor)"
        )
    for command in (demo, train, plot, sample, evaluate, surprisal, inspect, experiment, info):
        command.add_argument("--json", action="store_true", help="print exactly one JSON object on standard output")
    root.commands = commands.choices
    return root


def _add_model(command: Parser) -> None:
    command.add_argument("model", type=Path, metavar="FILE", help="a model file")


def _add_sampling(command: Parser, length: int) -> None:
    command.add_argument("--length", type=int, default=length, help="symbols to write")
    command.add_argument("--prompt", default="", help="text to go on from; $'a\\nb' in a shell has a line end")
    command.add_argument("--temperature", type=float, default=1.0, help="below 1 safer, above wilder, 0 the likeliest")


def _add_text(command: Parser) -> None:
    command.add_argument(
        "paths", nargs="*", metavar="PATH", help=f"files, directories, or - for standard input; nothing is {STANDARD_LIBRARY}"
    )
    command.add_argument("--glob", default="*", help="which files of directories to take, such as '*.py'")


def _sizes(text: str) -> int | list[int]:
    """A number, or several between commas."""
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, or several between commas, got {text!r}") from None
    return sizes if len(sizes) > 1 else sizes[0]


def _add_training(train: Parser) -> None:
    train.add_argument("--out", type=Path, help="file for the model (default: model.safetensors, or the one resumed)")
    train.add_argument("--resume", type=Path, metavar="FILE", help="go on where this checkpoint stopped, on the same text")
    train.add_argument("--overwrite", action="store_true", help="replace the model that is at --out, its best weights and log")
    train.add_argument("--checkpoint-every", type=float, metavar="SECONDS", help="save inside the epochs too")
    train.add_argument(
        "--log", type=Path, metavar="FILE", help="file for a line of JSON of each epoch (default: <stem of --out>.jsonl)"
    )
    train.add_argument("--sample-length", type=int, default=200, help="symbols of a sample after each epoch, 0 for none")
    # Options without a default here take it from Model and Model.fit, or from the checkpoint resumed.
    model = train.add_argument_group("the model")
    model.add_argument("--task", choices=TASKS, help="what to learn (default: language)")
    model.add_argument("--cell", choices=CELLS, help="kind of cell (default: lstm)")
    model.add_argument("--hidden-size", type=_sizes, metavar="H", help="units of each layer, or 64,128,32 (default: 128)")
    model.add_argument("--num-layers", type=int, help="layers (default: 2)")
    model.add_argument("--embedding", type=int, help="width of a learnt vector for each symbol (default: one-hot)")
    model.add_argument("--tied", action="store_true", default=None, help="use such vectors as output weights too")
    model.add_argument("--dropout", type=float, help="probability of dropping outputs between layers (default: 0)")
    model.add_argument("--recurrent-dropout", type=float, help="and inside the recurrence (default: 0)")
    model.add_argument("--peephole", choices=PEEPHOLES, help="let the LSTM's gates see c, their own unit's or all")
    model.add_argument("--coupled", action="store_true", default=None, help="let the LSTM write only as much as it forgets")
    model.add_argument("--proj-size", type=int, help="project the LSTM's outputs to fewer numbers (default: no)")
    model.add_argument("--activation", choices=ACTIVATIONS, help="of candidates, in LSTM and GRU (default: tanh)")
    model.add_argument("--recurrent-activation", choices=ACTIVATIONS, help="of their gates (default: sigmoid)")
    model.add_argument(
        "--reset-after", action=argparse.BooleanOptionalAction,
        help="whether the GRU resets after the product, not before it (default: after)"
    )
    model.add_argument("--nonlinearity", choices=ACTIVATIONS, help="of the plain cell (default: tanh)")
    model.add_argument("--bias", action=argparse.BooleanOptionalAction, help="whether cells have biases (default: they do)")
    model.add_argument("--clip", type=float, help="clip what gates are made of to this size (default: no)")
    model.add_argument("--skip", action="store_true", default=None, help="let all layers read the input and reach the output")
    model.add_argument("--initializer", choices=INITIALIZERS, help="of the weights (default: uniform)")
    model.add_argument("--symbols", choices=SYMBOLS, help="what a symbol is (default: characters)")
    model.add_argument("--max-symbols", type=int, metavar="V", help="keep the most frequent (default: all, 10000 words)")
    model.add_argument("--min-count", type=int, metavar="N", help="keep those that occur so often (default: 1)")
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
    fit.add_argument("--validation", type=float, help="fraction at the end held out, below 1 (default: 0.05)")
    fit.add_argument(
        "--patience", type=int, metavar="EPOCHS",
        help="stop after so many without a smaller loss, validation's if there is one (default: never)",
    )
    fit.add_argument("--max-seconds", type=float, help="stop after about this time")
