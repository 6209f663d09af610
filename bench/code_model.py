"""What a character model of the standard library has learnt: neurons, bits, and how valid and how new its code is.

    python bench/code_model.py MODEL [--held-out 0.02] [--pictures DIR] [--samples 40] [--length 5000] [--temperatures …]

MODEL was trained on the running Python's standard library without the last part of it (see docs/code-model.md). Neurons are
looked for in the first half of a piece of that part and judged on the second. Written code is judged beside passages as long
from the part held out and, by their beginnings, beside files of the whole corpus. Prints Markdown.
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

import fastlstm
from fastlstm import python_check, structure
from fastlstm.find import find
from fastlstm.novelty import Corpus, whole_words
from fastlstm.text import standard_library_files
from fastlstm.trace import Trace

# Symbols that neurons are looked for in, of both halves together, and of a picture.
PIECE, PICTURE = 40_000, 700
# Columns from which on a line is long, and of an indentation.
LONG, STEP = 60, 4
QUANTITIES = ("cell_state", "hidden_state")
# Of a text: at every symbol of its spans the steps that are left to the last, NaN elsewhere; and those since the first.
Countdown = Callable[[str], tuple[np.ndarray, np.ndarray]]


class Line(NamedTuple):
    """Of each symbol its line's (T,): columns of indentation and of all, and its own column; the line end belongs to it."""

    indent: np.ndarray
    width: np.ndarray
    column: np.ndarray


@cache
def lines(text: str) -> Line:
    """The lines of a text."""
    found = re.findall(r"[^\n]*\n|[^\n]+", text)
    sizes = list(map(len, found))
    indents = [len(line) - len(line.lstrip(" ")) for line in found]
    return Line(
        np.repeat(indents, sizes).astype(float), np.repeat([len(line.rstrip("\n")) for line in found], sizes),
        np.concatenate([np.arange(size) for size in sizes]),
    )


def depth(text: str) -> np.ndarray:
    """Indentation of the line, in steps, at what comes after it: there it has to be remembered."""
    at = lines(text)
    return np.where((at.column >= at.indent) & (at.width > 0), at.indent / STEP, np.nan)


def in_lines(least: int) -> Countdown:
    """The countdown to the line's end in lines of so many columns and more."""

    def of(text: str) -> tuple[np.ndarray, np.ndarray]:
        at = lines(text)
        return np.where(at.width >= least, at.width - at.column, np.nan), at.column

    return of


def spans(pattern: str) -> Countdown:
    """The countdown in the matches of a regular expression."""

    def of(text: str) -> tuple[np.ndarray, np.ndarray]:
        left, place = np.full(len(text), np.nan), np.zeros(len(text))
        for begin, end in (match.span() for match in re.finditer(pattern, text)):
            place[begin:end] = np.arange(end - begin)
            left[begin:end] = place[begin:end][::-1]
        return left, place

    return of


COUNTDOWNS: Mapping[str, Countdown] = {
    "to the line's end": in_lines(1),
    f"to the line's end, lines of {LONG} columns and more": in_lines(LONG),
    "to the end of the indentation": spans(r"(?m)^ +(?=\S)"),
    "to the end of the word": spans(r"\w+"),
    "to the closing quote": spans(r"'[^'\n]+'|\"[^\"\n]+\""),
    "to the closing bracket, none inside": spans(r"\([^()\n]+\)"),
}


class Follows(NamedTuple):
    """The neuron that follows a target most closely in the first half; what is true of it in the second."""

    layer: int
    neuron: int
    quantity: str
    found: float    # its r in the first half
    judged: float   # in the second, with its p
    p_value: float
    beyond: float   # in the second, what is left of r when the place in the span is known: partial correlation


def best(trace: Trace, target: np.ndarray, place: np.ndarray | None = None) -> Follows:
    """Find it in the first half, judge it in the second."""
    half = len(trace) // 2
    first, second = target.copy(), target.copy()
    first[half:], second[:half] = np.nan, np.nan
    layer, neuron, quantity, found, _ = trace.find(first, top=1)[0]
    values = trace.quantity(layer, quantity)[:, neuron]
    one = find([(layer, quantity, values[:, None])], second, 1, 999, 0)[0]
    beyond = float("nan")
    if place is not None:
        counts = ~np.isnan(second)
        r = np.corrcoef([values[counts], second[counts], place[counts]])
        beyond = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    return Follows(layer, neuron, quantity, found, one.correlation, one.p_value, float(beyond))


def shown_at(text: str, target: np.ndarray) -> int:
    """Where a picture of `PICTURE` symbols begins: the line of the second half from which on the target varies most."""
    half = len(text) // 2
    begins = [half + k + 1 for k, symbol in enumerate(text[half : -PICTURE - 1]) if symbol == "\n"]
    variation = []
    for begin in begins:
        part = target[begin : begin + PICTURE]
        known = part[~np.isnan(part)]
        variation.append(known.std() * len(known) if len(known) > PICTURE / 10 else 0)
    return begins[int(np.argmax(variation))]


def told_neurons(model: fastlstm.Model, text: str, pictures: Path | None) -> None:
    """The indentation neuron and the countdown neurons; pictures of the first and of the best of the others."""
    trace = model.trace(text, quantities=QUANTITIES)
    wanted = {"indentation, after it": (depth(text), None), **{name: of(text) for name, of in COUNTDOWNS.items()}}
    found = {name: best(trace, *targets) for name, targets in wanted.items()}
    print("| target | steps | layer, neuron | quantity | r, first half | r, second half | p | r beyond the place |")
    print("|---|---|---|---|---|---|---|---|")
    for name, one in found.items():
        steps = int(np.isfinite(wanted[name][0]).sum())
        place = f"{one.layer}, {one.neuron} | {one.quantity}"
        correlations = f"{one.found:+.3f} | {one.judged:+.3f} | {one.p_value:.3f} | {shown(one.beyond, '+.3f')}"
        print(f"| {name} | {steps:,} | {place} | {correlations} |")
    countdown = max(COUNTDOWNS, key=lambda name: abs(found[name].beyond))
    print(f"\nThe best countdown, beyond the place, is that {countdown}.")
    if pictures is None:
        return
    for file, name in (("indentation", "indentation, after it"), ("countdown", countdown)):
        start = shown_at(text, wanted[name][0])
        figure = trace.plot(found[name].layer, found[name].neuron, found[name].quantity, start=start, stop=start + PICTURE)
        figure.savefig(pictures / f"code-model-{file}.png", dpi=90)
    print(f"The pictures begin at the line whose next {PICTURE} symbols vary most in the target, in the second half.")


def shown(value: float, form: str) -> str:
    """A figure in a table."""
    return f"{value:,}" if isinstance(value, int) else "–" if np.isnan(value) else f"{value:{form}}"


def parts(text: str, length: int, most: int) -> list[str]:
    """Passages as long, one after another from the beginning."""
    return [text[start : start + length] for start in range(0, len(text) - length + 1, length)][:most]


def told_code(written: Mapping[str, list[str]]) -> None:
    """Validity and structure of several sets of texts, side by side."""
    rates = {}
    for name, texts in written.items():
        ended = (function + "0\n" for text in texts for function in python_check.functions(text))
        rates[name] = python_check.check(ended)._asdict() | structure.python(texts)
    print("| | " + " | ".join(rates) + " |\n|" + "---|" * (len(rates) + 1))
    for what in next(iter(rates.values())):
        print(f"| {what} | " + " | ".join(shown(found[what], ".1%") for found in rates.values()) + " |")


def spaced(text: str) -> str:
    """The text with all white space as single spaces."""
    return " ".join(text.split())


def told_novelty(corpus: Corpus, written: Mapping[str, list[str]]) -> None:
    """Copies from the training text and words that it has not, of several sets of texts; the longest copies.

    White space counts as one space: else the longest copies would be indentations.
    """
    print("| | longest copy: median | most | made-up words |\n|---|---|---|---|")
    longest = {}
    for name, texts in written.items():
        copies = [corpus.longest_copy(spaced(text)) for text in texts]
        longest[name] = max(copies, key=lambda copy: copy.length)
        words = sum(len(whole_words(text)) for text in texts)
        made_up = sum((corpus.made_up(text) for text in texts), Counter())
        print(
            f"| {name} | {median(copy.length for copy in copies):.0f} | {longest[name].length} | "
            f"{made_up.total() / words:.1%} of {words:,}, such as {', '.join(word for word, _ in made_up.most_common(6))} |"
        )
    for name, copy in longest.items():
        print(f"\nThe longest of {name}: {copy.text!r}")


def main() -> None:
    """Look, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    parser.add_argument("--held-out", type=float, default=0.02, help="share at the end it was not trained on (0.02)")
    parser.add_argument("--pictures", type=Path, help="folder for them")
    parser.add_argument("--samples", type=int, default=40, help="texts written at each temperature (40)")
    parser.add_argument("--length", type=int, default=5000, help="symbols of each (5000)")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.5, 0.8, 1.0], help="(0.5 0.8 1.0)")
    args = parser.parse_args()

    model = fastlstm.Model.load(args.model)
    files = standard_library_files()
    text = "".join(files)
    cut = len(text) - int(len(text) * args.held_out)
    held_out = text[cut:]
    bits = model.evaluate(held_out)["bits_per_symbol"]
    print(f"{bits:.3f} bits per character on the {len(held_out):,} held out.\n\n## Neurons\n", flush=True)
    told_neurons(model, held_out[:PIECE], args.pictures)
    print("\n## Written code\n", flush=True)
    written = {
        f"temperature {t:g}": model.sample(args.length, [""] * args.samples, temperature=t, seed=0) for t in args.temperatures
    }
    judged = {**written, "held out": parts(held_out, args.length, args.samples)}
    order = np.random.default_rng(0).permutation(len(files))[: args.samples]
    told_code({**judged, "files, as long": [files[k][: args.length] for k in order]})
    print("\n## Copies and words\n", flush=True)
    told_novelty(Corpus([("the training text", spaced(text[:cut]))]), judged)
    print("\n## A sample\n\n```python\n" + written[f"temperature {args.temperatures[0]:g}"][0][:1200] + "\n```")


if __name__ == "__main__":
    main()
