"""Planted bugs: does a wrong variable name in a file the model never saw stand out by its surprisal?

    python bench/planted.py MODEL [--held-out 0.01] [--bugs 200] [--show]

MODEL was trained on the running Python's standard library without the last part of it, as by

    fastlstm train --hidden-size 512 --num-layers 1 --batch-size 64 --seq-length 100 --learning-rate 0.003
        --schedule cosine --epochs 8 --validation 0.01 --out MODEL

In the files of that part one use of a variable at a time is replaced by a wrong name, of three kinds: misspelt (two
letters exchanged, or one lost or doubled), from another file, or another variable of the same file. A bug's rank is that
of its most surprising symbol among all symbols of its file; told is the share of bugs in the top 1%.
"""

import argparse
import ast
import keyword
from pathlib import Path
from typing import NamedTuple

import numpy as np

import fastlstm
from fastlstm.text import standard_library_files


class Use(NamedTuple):
    """A place where a variable is read: offsets in the text, and its name."""

    start: int
    end: int
    name: str


def uses(source: str) -> list[Use]:
    """Every reading of a variable of more than two letters."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    if not source.isascii():  # columns of the syntax tree are bytes
        return []
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and len(node.id) > 2:
            start = lines[node.lineno - 1] + node.col_offset
            found.append(Use(start, start + len(node.id), node.id))
    return sorted(found)


def misspelt(name: str, rng: np.random.Generator) -> str:
    """The name with two neighbours exchanged, a letter lost, or a letter doubled."""
    while True:
        k = int(rng.integers(len(name) - 1))
        wrong = [name[:k] + name[k + 1] + name[k] + name[k + 2 :], name[:k] + name[k + 1 :], name[:k] + name[k] + name[k:]]
        chosen = wrong[rng.integers(3)]
        if chosen != name and chosen.isidentifier() and not keyword.iskeyword(chosen):
            return chosen


def rank(nats: np.ndarray, start: int, end: int) -> float:
    """Share of the symbols that surprise at least as much as the worst one in [start, end)."""
    return float((nats >= nats[start:end].max()).mean())


def main() -> None:
    """Plant, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    parser.add_argument("--held-out", type=float, default=0.01, help="share at the end it was not trained on (0.01)")
    parser.add_argument("--bugs", type=int, default=200, help="of each kind (200)")
    parser.add_argument("--show", action="store_true", help="tell each bug")
    args = parser.parse_args()

    model = fastlstm.Model.load(args.model)
    texts = standard_library_files()
    total, sizes = sum(map(len, texts)), np.cumsum([len(text) for text in texts[::-1]])
    held_out = texts[len(texts) - int(np.searchsorted(sizes, args.held_out * total)) :]
    found = [(text, uses(text)) for text in held_out]
    found = [(text, places) for text, places in found if len(places) > 20 and len({use.name for use in places}) > 10]
    names = [[use.name for use in places] for _, places in found]
    known = [model.surprisal(text) for text, _ in found]
    print(
        f"{len(found)} files held out, {sum(len(text) for text, _ in found):,} symbols, "
        f"{np.concatenate(known).mean() / np.log(2):.3f} bits per symbol"
    )
    rng = np.random.default_rng(0)
    for kind in ("misspelt", "from another file", "another of the same file"):
        ranks = []
        for _ in range(args.bugs):
            f = int(rng.integers(len(found)))
            text, places = found[f]
            use = places[rng.integers(len(places))]
            if kind == "misspelt":
                wrong = misspelt(use.name, rng)
            else:
                others = [n for k, own in enumerate(names) if (k == f) == (kind != "from another file") for n in own]
                others = sorted(set(others) - {use.name} - (set() if kind == "another of the same file" else set(names[f])))
                wrong = others[rng.integers(len(others))]
            planted = text[: use.start] + wrong + text[use.end :]
            nats = model.surprisal(planted)
            differs = next(k for k, (a, b) in enumerate(zip(wrong + "\0", use.name + "\1", strict=False)) if a != b)
            ranks.append(rank(nats, use.start + differs, use.start + len(wrong) + 1))
            if args.show:
                line = planted[planted.rfind("\n", 0, use.start) + 1 : planted.find("\n", use.start)].strip()
                print(f"  {ranks[-1]:7.3%}  {use.name} -> {wrong}: {line[:90]}")
        share = np.mean(np.array(ranks) <= 0.01)
        print(f"{kind}: {share:.0%} of {args.bugs} in the top 1%; median rank {np.median(ranks):.2%}", flush=True)


if __name__ == "__main__":
    main()
