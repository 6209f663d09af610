"""The command line: `fastlstm demo | train | plot | sample | evaluate | surprisal | inspect | experiment | info`.

Progress goes to standard error, results to standard output. Exit status: 0 done, 1 failed, 2 wrong use, 130 Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import io
import os
import secrets
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import fastlstm
from fastlstm import _check, _json, cli_inspect, cli_text, cli_train, colours, corpus, experiments, plot, surprises, text, views
from fastlstm.cli_parser import parser
from fastlstm.model import Model
from fastlstm.progress import say
from fastlstm.threads import held_threads


def _demo(arguments: argparse.Namespace) -> None:
    from fastlstm.demo import run

    if arguments.out and arguments.out.exists() and not arguments.overwrite:
        raise ValueError(f"{arguments.out} is there already; choose another --out, or replace it (--overwrite)")
    result = run(arguments.seconds, arguments.out or Path("demo.safetensors"), arguments.seed)
    if arguments.json:
        _json.show(result)


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
        _json.show({"prompt": arguments.prompt, "text": written, "seed": seed})
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
    vocabulary = model.vocabulary
    ids = cli_text.encode(vocabulary, cli_text.sources(arguments))
    result = {"symbols": len(ids), **model.evaluate(ids)}
    about = ""
    if vocabulary.unknown is not None:
        result["unknown"] = float(corpus.count(ids, len(vocabulary))[vocabulary.unknown] / len(ids))
        about = f", {result['unknown']:.1%} of them unknown"
    if arguments.json:
        _json.show(result)
    else:
        print(
            f"{result['loss']:.4f} nats, {result['bits_per_symbol']:.4f} bits per symbol, perplexity "
            f"{result['perplexity']:.3f} over {result['symbols']:,} symbols{about}"
        )


def _surprisal(arguments: argparse.Namespace) -> None:
    model, n = Model.load(arguments.model), _check.count("lines", arguments.lines)
    worst: list[surprises.Line] = []
    for name, source in cli_text.sources(arguments):
        part = text.read(model.config["symbols"], source)
        with cli_text.named(name):
            found = surprises.lines(name, model.vocabulary.split(part), model.surprisal(model.vocabulary.encode(part)))
        worst = surprises.worst([*worst, *surprises.worst(found, n)], n)
    if arguments.json:
        told = [{"file": w.file, "line": w.number, "column": w.column, "bits": w.worst, "text": w.text} for w in worst]
        _json.show({"lines": told})
        return
    colour = colours.wanted(sys.stdout)
    for line in worst:
        print(surprises.render(line, colour))


def _experiment(arguments: argparse.Namespace) -> None:
    if arguments.html is not None:
        views.check_target(arguments.html)
    seed = _check.count("seed", arguments.seed, 0)
    report = experiments.run(arguments.name, seed, say, peephole=arguments.peephole)
    if arguments.html is not None:
        title = f"The {arguments.name} experiment, seed {seed}"
        parts = [views.words(title, report.words), *(view.html() for view in report.views)]
        views.write_page(arguments.html, views.page(title, parts))
    if arguments.json:
        _json.show(report.figures)
        return
    print("\n".join(report.words))
    colour = colours.wanted(sys.stdout)
    for view in report.views:
        print(f"\n{view.text(shutil.get_terminal_size().columns, colour=colour)}")


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
        _json.show(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else f"{value:.6g}" if isinstance(value, float) else value
        print(f"{name.replace('_', ' '):{width}}  {shown}")


def _plot(arguments: argparse.Namespace) -> None:
    picture = arguments.out or arguments.logs[0].with_suffix(".png")
    plot.check_picture(picture, arguments.logs)
    runs = [plot.load(path) for path in arguments.logs]
    plot.save(plot.draw(runs), picture)
    if arguments.json:
        best = [{"log": str(run.path), **run.records[run.best]} for run in runs]
        _json.show({"picture": str(picture), "best": best})
        return
    for run in runs:
        epoch, loss = run.point
        print(f"{run.path}: best {run.judge} loss {loss:.4f} nats after epoch {epoch:.0f}")
    print(picture)


COMMANDS = {
    "demo": _demo, "train": cli_train.run, "plot": _plot, "sample": _sample, "evaluate": _evaluate,
    "surprisal": _surprisal, "inspect": cli_inspect.run, "experiment": _experiment, "info": _info,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal of few characters gets the others as escapes
    arguments = parser().parse_args(argv)
    on_main_thread = threading.current_thread() is threading.main_thread()
    if on_main_thread:  # what containers and batch systems send ends a command as Ctrl-C does
        terminated = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(arguments)
    finally:
        if on_main_thread:
            signal.signal(signal.SIGTERM, terminated)


def _run(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    try:
        fastlstm.set_engine(getattr(arguments, "engine", None))
        threads = _check.optional(_check.count, "threads", getattr(arguments, "threads", None))
        with held_threads(threads), warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: say(f"fastlstm {arguments.command}: warning: {message}")
            COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        if arguments.command != "train":  # which has said how to go on
            say(f"fastlstm {arguments.command}: stopped")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left: nothing to say at exit
        return 0
    except (ValueError, TypeError, IndexError, FileNotFoundError, IsADirectoryError) as error:
        say(f"fastlstm {arguments.command}: error: {_one_line(error)}")
        return 2
    except (OSError, fastlstm.CheckpointError, FloatingPointError, MemoryError, RuntimeError) as error:
        say(f"fastlstm {arguments.command}: error: {_one_line(error)}")
        return 1
    return 0


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
