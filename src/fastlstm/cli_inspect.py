"""`fastlstm inspect`."""

from __future__ import annotations

import argparse
import random
import secrets
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from fastlstm import _check, _json, cli_text, python_check, structure
from fastlstm.cli_parser import STANDARD_LIBRARY
from fastlstm.model import Model
from fastlstm.novelty import SPAN, Corpus
from fastlstm.progress import say, show_sample
from fastlstm.text import read, standard_library_files

# Passages of the corpus that are judged beside the samples, drawn with a fixed seed, and words listed at most.
PASSAGES, MOST_WORDS = 100, 20
ENDINGS = {".py": "python", ".java": "java"}


def run(arguments: argparse.Namespace) -> None:
    """Write samples, and say what is copied in them, what is new, and what is valid."""
    model = Model.load(arguments.model)
    count, length = _check.count("samples", arguments.samples), _check.count("length", arguments.length, 8)
    if arguments.paths:
        texts = [(name, _text(source)) for name, source in cli_text.sources(arguments)]
        kind = arguments.kind or _kind(texts)
    else:
        texts = [(f"file {k} of {STANDARD_LIBRARY}", part) for k, part in enumerate(standard_library_files())]
        kind = arguments.kind or "python"
    corpus = Corpus(texts)
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    written = model.sample(length, [arguments.prompt] * count, temperature=arguments.temperature, seed=seed)
    samples = [_text(sample) for sample in written]
    if arguments.quiz:
        right, asked = quiz(texts, samples, seed)
        if arguments.json:
            _json.show({"right": right, "asked": asked, "seed": seed})
        else:
            print(f"{right} of {asked} right")
        return
    result: dict[str, Any] = {"seed": seed, "samples": [_novelty(corpus, sample) for sample in samples]}
    words = Counter[str]()
    for sample in samples:
        words += corpus.made_up(sample, arguments.prompt)
    result["made_up_words"] = dict(words.most_common(MOST_WORDS))
    if kind is not None:
        parts = [arguments.prompt + sample for sample in samples]
        judged = {"written": parts, "corpus": passages(texts, islice(cycle(map(len, parts)), PASSAGES), random.Random(0))}
        result["kind"] = kind
        result["structure"] = {who: structure.KINDS[kind](found) for who, found in judged.items()}
        if kind == "python":
            result["validity"] = {who: python_check.check(found)._asdict() for who, found in judged.items()}
    if arguments.json:
        _json.show(result)
    else:
        print("\n".join(_told(result)))


def passages(texts: list[tuple[str, str]], sizes: Iterable[int], rng: random.Random) -> list[str]:
    """Passages of so many characters from anywhere in the texts, which follow one another as a model reads and writes them."""
    whole = "".join(text for _, text in texts)
    starts = [(rng.randint(0, max(len(whole) - size, 0)), size) for size in sizes]
    return [whole[start : start + size] for start, size in starts]


def quiz(texts: list[tuple[str, str]], samples: list[str], seed: int) -> tuple[int, int]:
    """Ask which passages are real, one as long for each sample, all in one shuffled row; how many were told right."""
    rng = random.Random(seed)
    row = [(sample, False) for sample in samples] + [(real, True) for real in passages(texts, map(len, samples), rng)]
    rng.shuffle(row)
    right = asked = 0
    for passage, is_real in row:
        show_sample(passage)
        say("real or generated? [r/g, enter ends it]")
        answer = sys.stdin.readline().strip().lower() if sys.stdin else ""
        if not answer:
            break
        asked += 1
        right += answer.startswith("r") is is_real
        say(f"It is {'real' if is_real else 'generated'}.\n")
    return right, asked


def _text(source: Path | str | bytes) -> str:
    """The text, bytes that are no UTF-8 as question marks."""
    return read("bytes", source).decode(errors="replace")


def _kind(texts: list[tuple[str, str]]) -> str | None:
    """What most files are by their names."""
    found = Counter(ENDINGS.get(Path(name).suffix) for name, _ in texts)
    return found.most_common(1)[0][0]


def _novelty(corpus: Corpus, sample: str) -> dict[str, Any]:
    copy, nearest = corpus.longest_copy(sample), corpus.nearest(sample)
    return {"text": sample, "longest_copy": copy._asdict(), "nearest": nearest._asdict()}


def _told(result: dict[str, Any]) -> list[str]:
    """The findings in words."""
    lines = []
    for k, found in enumerate(result["samples"]):
        copy, nearest = found["longest_copy"], found["nearest"]
        alike = f"{nearest['share']:.0%}" if nearest["share"] >= 0.01 else "less than 1%"
        lines += [
            f"sample {k}: copied at most {copy['length']} of its {len(found['text'])} characters in one piece, from "
            f"{copy['source']}:",
            f"  {copy['text']!r}",
            f"  of the passage most like it, in {nearest['source']} from character {nearest['place']:,} on, {alike} of all "
            f"runs of {SPAN} characters are also in the sample" if nearest["share"] else
            f"  no {SPAN} characters in a row are in any text",
        ]
    words = ", ".join(f"{word} ({n})" if n > 1 else word for word, n in result["made_up_words"].items())
    lines.append(f"words of its own: {words or 'none'}")
    for name in ("structure", "validity"):
        if name in result:
            lines += ["", f"{name:44}{'written':>9}{'corpus':>9}"]
            written, corpus = result[name]["written"], result[name]["corpus"]
            lines += [f"  {what:42}{_shown(written[what]):>9}{_shown(corpus[what]):>9}" for what in written]
    return lines


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else "–" if value != value else f"{value:.1%}"
