"""Learning quality: one recipe on one text, whose losses in PyTorch are known.

    python bench/tinyshakespeare.py PATH [--output LOG.jsonl] [--threads N] [--seed 1] [--epochs 30] [--pytorch-epochs N]

2 layers of 128, one-hot characters, T = B = 50, Adam 2e-3, clipping to norm 5, decay 0.97 after epoch 10, 30 epochs;
the first 90% of the text are trained on, the next 5% are validation, the last 5% test. PyTorch reaches 1.516 nats per
character in validation and 1.683 in test (after epoch 1 2.244, after epoch 10 1.642 in validation).

The log has a line for machine and recipe, one for each epoch, and one for the result. With --pytorch-epochs PyTorch then
trains for so many epochs on the same windows, for its time.
"""

import argparse
import contextlib
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import machine

FIT = {"batch_size": 50, "seq_length": 50, "optimizer": "adam", "learning_rate": 2e-3, "clip_norm": 5.0}
MODEL = {"hidden_size": 128, "num_layers": 2, "embedding": None}


def main() -> None:
    """Train and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, metavar="PATH", help="the text, UTF-8")
    parser.add_argument("--output", type=Path, metavar="LOG.jsonl", help="receives the log")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="(1)")
    parser.add_argument("--seed", type=int, default=1, help="of the initial weights (1)")
    parser.add_argument("--epochs", type=int, default=30, help="(30)")
    parser.add_argument("--pytorch-epochs", type=int, default=0, help="for comparison of the time (0)")
    args = parser.parse_args()

    machine.hold_threads(args.threads)  # before any of them is imported
    import fastlstm

    fastlstm.set_threads(args.threads)
    text = args.path.read_bytes().decode()
    cuts = [len(text) * percent // 100 for percent in (0, 90, 95, 100)]
    train, validation, test = (text[a:b] for a, b in pairwise(cuts))
    schedule = fastlstm.Exponential(0.97, after=10)
    recipe = MODEL | FIT | {"schedule": repr(schedule), "seed": args.seed, "epochs": args.epochs,
                            "characters": [len(train), len(validation), len(test)], "file": args.path.name}

    with contextlib.ExitStack() as stack:
        log = stack.enter_context(args.output.open("w")) if args.output else None

        def write(record: dict[str, Any]) -> str:
            line = json.dumps(record)
            if log:
                print(line, file=log, flush=True)
            return line

        write({"machine": machine.describe(args.threads), "recipe": recipe})
        began = time.perf_counter()
        model = fastlstm.Model(**MODEL, vocabulary=sorted(set(text)), seed=args.seed)
        history = model.fit(
            train, **FIT, epochs=args.epochs, schedule=schedule, validation=validation, progress=True,
            callbacks=[lambda _, record: write(record)],
        )
        trained = time.perf_counter() - began
        print(write({
            "validation_nats": history[-1]["validation_loss"],
            "test_nats": model.evaluate(test)["loss"],
            "training_seconds": round(trained, 1),
            "seconds": round(time.perf_counter() - began, 1),
        }))
        if args.pytorch_epochs:
            speeds = sorted(record["symbols_per_second"] for record in history)
            print(write({
                "symbols_per_second": round(speeds[len(speeds) // 2]),
                "pytorch_symbols_per_second": round(pytorch_speed(model, train, args.threads, args.pytorch_epochs)),
            }))


def pytorch_speed(model: Any, text: str, threads: int, epochs: int) -> float:
    """Symbols a second, the median of so many epochs on the same windows."""
    import torch

    from peers import pytorch

    pytorch.set_threads(threads)
    ids = torch.from_numpy(model.vocabulary.encode(text)).long()
    T, B = FIT["seq_length"], FIT["batch_size"]
    steps = (len(ids) - 1) // (B * T) * T
    tokens, targets = (part[: B * steps].reshape(B, steps).T.contiguous() for part in (ids[:-1], ids[1:]))
    peer, speeds = pytorch.LanguageModel(model.parameters, MODEL["num_layers"]), []
    for _ in range(epochs):
        began = time.perf_counter()
        peer.train_epoch(tokens, targets, T)
        speeds.append(tokens.numel() / (time.perf_counter() - began))
    return sorted(speeds)[len(speeds) // 2]


if __name__ == "__main__":
    main()
