"""Learning quality: one recipe on one text, whose losses in PyTorch are known.

    python bench/tinyshakespeare.py PATH [--output LOG.jsonl] [--threads N] [--seed 1] [--epochs 30] [--pytorch-epochs N]

2 layers of 128, one-hot characters, T = B = 50, Adam 2e-3, clipping to norm 5, decay 0.97 after epoch 10, 30 epochs;
the first 90% of the text are trained on, the next 5% are validation, the last 5% test. PyTorch reaches 1.516 nats per
character in validation and 1.683 in test (after epoch 1 2.244, after epoch 10 1.642 in validation).

The log has a line for machine and recipe, one for each epoch, and one for the result. --cell, --peephole and --coupled
take another cell than the LSTM. With --pytorch-epochs PyTorch, from the same weights, trains on the same windows for so
many epochs, one after each of fastlstm's, for its time and loss; it has no peepholes and no coupled gates.
"""

import argparse
import contextlib
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import machine

FIT = {"batch_size": 50, "seq_length": 50, "optimizer": "adam", "learning_rate": 2e-3, "clip_norm": 5.0}
MODEL = {"hidden_size": 128, "num_layers": 2, "embedding": None}


def parts(path: Path) -> tuple[str, str, str]:
    """The text to train on, that of validation, and that of the test."""
    text = path.read_bytes().decode()
    cuts = [len(text) * percent // 100 for percent in (0, 90, 95, 100)]
    train, validation, test = (text[a:b] for a, b in pairwise(cuts))
    return train, validation, test


class Beside:
    """PyTorch's training of an untrained model, an epoch after each of the first of ours: a callback of `fit`."""

    def __init__(self, model: Any, train: str, validation: str, threads: int, epochs: int) -> None:
        from peers import pytorch

        pytorch.set_threads(threads)
        self.peer = pytorch.LanguageModel(model.network.stack.layout, model.parameters)
        self.windows = pytorch.windows(model.vocabulary.encode(train), FIT["seq_length"], FIT["batch_size"])
        self.validation, self.epochs = model.vocabulary.encode(validation), epochs
        self.records: list[dict[str, float]] = []
        self.seconds = 0.0

    def __call__(self, model: Any, record: dict[str, Any]) -> None:
        """An epoch at the learning rate of ours."""
        if len(self.records) == self.epochs:
            return
        for group in self.peer.optimizer.param_groups:
            group["lr"] = record["learning_rate"]
        began = time.perf_counter()
        self.peer.train_epoch(self.windows)
        speed = sum(tokens.numel() for tokens, _ in self.windows) / (time.perf_counter() - began)
        self.records.append({"symbols_per_second": speed, "validation_loss": self.peer.evaluate(self.validation)})
        self.seconds += time.perf_counter() - began


def fit(
    model: Any, train: str, validation: str, epochs: int, threads: int, pytorch_epochs: int = 0,
    log: Callable[[dict[str, Any]], object] = lambda record: None, **changed: Any,
) -> dict[str, float]:
    """Train an untrained model by the recipe, but for what is `changed`; the seconds, the last losses and median speeds."""
    beside = Beside(model, train, validation, threads, pytorch_epochs) if pytorch_epochs else None
    began = time.perf_counter()
    history = model.fit(
        train, **FIT | changed, epochs=epochs, schedule=schedule(), validation=validation, progress=True,
        callbacks=[lambda _, record: log(record), *([beside] if beside else [])],
    )
    told = {"training_seconds": round(time.perf_counter() - began - (beside.seconds if beside else 0), 1)}
    for name, records in (("", history), ("pytorch_", beside.records if beside else [])):
        if records:
            told[f"{name}validation_nats"] = records[-1]["validation_loss"]
            told[f"{name}symbols_per_second"] = round(median(record["symbols_per_second"] for record in records))
    return told


def schedule() -> Any:
    """Of the learning rate."""
    import fastlstm

    return fastlstm.Exponential(0.97, after=10)


def main() -> None:
    """Train and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, metavar="PATH", help="the text, UTF-8")
    parser.add_argument("--output", type=Path, metavar="LOG.jsonl", help="receives the log")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="(1)")
    parser.add_argument("--seed", type=int, default=1, help="of the initial weights (1)")
    parser.add_argument("--epochs", type=int, default=30, help="(30)")
    parser.add_argument("--cell", default="lstm", help="lstm, gru or rnn (lstm)")
    parser.add_argument("--peephole", help="diagonal or full, of the LSTM (none)")
    parser.add_argument("--coupled", action="store_true", help="couple the LSTM's input and forget gates")
    parser.add_argument("--pytorch-epochs", type=int, default=0, help="for comparison (0)")
    args = parser.parse_args()
    if args.pytorch_epochs and (args.peephole or args.coupled):
        parser.error("PyTorch has no peepholes and no coupled gates: leave out --pytorch-epochs")

    machine.hold_threads(args.threads)  # before any of them is imported
    import fastlstm

    fastlstm.set_threads(args.threads)
    train, validation, test = parts(args.path)
    config = MODEL | {"cell": args.cell, "peephole": args.peephole, "coupled": args.coupled, "seed": args.seed}
    recipe = config | FIT | {"schedule": repr(schedule()), "epochs": args.epochs,
                             "characters": [len(train), len(validation), len(test)], "file": args.path.name}

    with contextlib.ExitStack() as stack:
        log = stack.enter_context(args.output.open("w")) if args.output else None

        def write(record: dict[str, Any]) -> str:
            line = json.dumps(record)
            if log:
                print(line, file=log, flush=True)
            return line

        write({"machine": machine.describe(args.threads), "recipe": recipe})
        model = fastlstm.Model(**config, vocabulary=sorted(set(train + validation + test)))
        told = fit(model, train, validation, args.epochs, args.threads, args.pytorch_epochs, write)
        print(write(told | {"test_nats": model.evaluate(test)["loss"]}))


if __name__ == "__main__":
    main()
