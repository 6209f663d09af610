"""Every cell at one task: 2 layers of 128 by the recipe of `tinyshakespeare.py`, and PyTorch where it has the cell.

    python bench/cells.py PATH [--threads N] [--epochs 10] [--learning-rate 2e-3] [--seed 1] [--output FILE.md]

Both libraries start from the same weights and see the same windows, an epoch each in turn. Few epochs say as much about the
learning rate as about the cell: LSTMs want a greater one than GRUs.
"""

import argparse
from pathlib import Path
from typing import Any

import machine
from report import NOTHING, publish, table
from tinyshakespeare import FIT, MODEL, fit, parts

CELLS: dict[str, dict[str, Any]] = {
    "plain": {"cell": "rnn"},
    "LSTM": {"cell": "lstm"},
    "LSTM, diagonal peepholes": {"cell": "lstm", "peephole": "diagonal"},
    "LSTM, full peepholes": {"cell": "lstm", "peephole": "full"},
    "LSTM, coupled gates": {"cell": "lstm", "coupled": True},
    "GRU": {"cell": "gru"},
}
TITLES = ["cell", "parameters", "validation, nats", "symbols/s", "PyTorch's validation", "PyTorch's symbols/s", "ratio"]


def row(name: str, weights: int, told: dict[str, float]) -> list[str]:
    """The line of a cell."""
    line = [name, f"{weights:,}", f"{told['validation_nats']:.3f}", f"{told['symbols_per_second']:,}"]
    if "pytorch_validation_nats" not in told:
        return line + [NOTHING] * 3
    ratio = told["symbols_per_second"] / told["pytorch_symbols_per_second"]
    return [
        *line, f"{told['pytorch_validation_nats']:.3f}", f"{told['pytorch_symbols_per_second']:,}", f"**{ratio:.2f}×**",
    ]


def main() -> None:
    """Train each, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, metavar="PATH", help="the text, UTF-8")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of both libraries (1)")
    parser.add_argument("--epochs", type=int, default=10, help="(10)")
    parser.add_argument("--learning-rate", type=float, default=FIT["learning_rate"], metavar="RATE", help="of Adam (2e-3)")
    parser.add_argument("--seed", type=int, default=1, help="of the initial weights (1)")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="receives the table too")
    args = parser.parse_args()
    machine.hold_threads(args.threads)  # before any of them is imported
    import fastlstm

    fastlstm.set_threads(args.threads)
    d = machine.describe(args.threads)
    train, validation, test = parts(args.path)
    lines = [
        f"- {d['date']}, commit {d['commit']}; {d['cpu']}, {args.threads} thread(s), load average {d['load']}",
        f"- fastlstm {d['fastlstm']}: {d['instruction_set']} kernels, {d['engine']} engine; "
        f"PyTorch {d['peers']['PyTorch']}",
        f"- 2 layers of 128, one-hot characters of {args.path.name}, T = B = 50, Adam {args.learning_rate:g}, "
        f"{args.epochs} epochs, seed {args.seed}",
        "",
    ]
    rows = [TITLES]
    for name, options in CELLS.items():
        model = fastlstm.Model(**MODEL, **options, vocabulary=sorted(set(train + validation + test)), seed=args.seed)
        known = options.keys() == {"cell"}  # to PyTorch
        pytorch_epochs = args.epochs if known else 0
        told = fit(model, train, validation, args.epochs, args.threads, pytorch_epochs, learning_rate=args.learning_rate)
        weights = sum(array.size for array in model.parameters.values())
        rows.append(row(name, weights, told))
    publish("\n".join([*lines, *table(rows), ""]), args.output)


if __name__ == "__main__":
    main()
