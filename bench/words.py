"""A model of 10,000 words: one pass over the standard library's docstrings and comments, beside PyTorch.

    python bench/words.py [--threads N] [--output FILE]

2 layers of 200 over learnt vectors of 200, T = B = 20, Adam 2e-3, clipping to norm 5; the last 5% of the text are held out.
Both start from the same weights and see the same windows of words in the same order, each in a process of its own, whose
peak resident set (Linux: VmHWM) is told with and without what the imports take.
"""

import argparse
import ast
import io
import json
import subprocess
import sys
import tempfile
import time
import tokenize
from pathlib import Path

import numpy as np

import machine
from report import publish

T = B = 20
MODEL = {"symbols": "words", "hidden_size": 200, "num_layers": 2, "embedding": 200, "seed": 0}


def prose(source: str) -> str:
    """The docstrings and comments of a module, in their order."""
    found = {
        node.body[0].lineno: ast.get_docstring(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node)
    }
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.string.strip("# "):
            found[token.start[0]] = token.string.lstrip("# ")
    return "".join(found[line] + "\n" for line in sorted(found))


def megabytes(name: str) -> float:
    """Of this process's memory: see `machine.resident`."""
    return machine.resident(name) / 2**20


def ours(folder: Path, threads: int) -> dict[str, float]:
    """One pass of fastlstm."""
    import fastlstm

    fastlstm.set_threads(threads)
    fastlstm.LSTM(2, 2)(np.zeros((1, 1, 2)))  # loads the engine's modules
    before, ids = megabytes("VmRSS"), np.load(folder / "ids.npy", mmap_mode="r")
    model = fastlstm.Model(**MODEL, vocabulary=json.loads((folder / "words.json").read_text()))
    began = time.perf_counter()
    [record] = model.fit(ids, epochs=1, batch_size=B, seq_length=T, validation=None, progress=False)
    seconds = time.perf_counter() - began
    told = {"loss": record["loss"], "symbols": (len(ids) - 1) // B * B, "seconds": seconds, "peak": megabytes("VmHWM")}
    held_out = model.evaluate(np.load(folder / "held_out.npy"))["loss"]
    weights = sum(array.nbytes for array in model.parameters.values())
    return {**told, "imports": before, "held_out": held_out, "weights": weights}


def theirs(folder: Path, threads: int) -> dict[str, float]:
    """One pass of PyTorch from the same weights."""
    import torch

    torch.set_num_threads(threads)
    from peers import pytorch
    from work import stack

    parameters = dict(np.load(folder / "parameters.npz"))
    before = megabytes("VmRSS")
    layout = stack("lstm", MODEL["embedding"], MODEL["hidden_size"], MODEL["num_layers"])
    model = pytorch.LanguageModel(layout, parameters)
    windows = pytorch.windows(np.load(folder / "ids.npy"), T, B)
    began = time.perf_counter()
    loss = model.train_epoch(windows)
    return {
        "loss": loss, "symbols": len(windows) * T * B, "seconds": time.perf_counter() - began, "peak": megabytes("VmHWM"),
        "imports": before,
    }


def prepare(folder: Path) -> str:
    """Write words, ids and the initial weights; returns a line about them."""
    import fastlstm
    from fastlstm import corpus
    from fastlstm.text import standard_library_files
    from fastlstm.vocabulary import Vocabulary

    text = "\n".join(map(prose, standard_library_files()))
    cut = text.rindex("\n", 0, int(0.95 * len(text)))
    vocabulary = Vocabulary.of("words", text[:cut])
    ids, held_out = (corpus.encode(vocabulary, part) for part in (text[:cut], text[cut:]))
    ids = ids[: (len(ids) - 1) // (T * B) * T * B + 1]  # whole windows only: both libraries cut them alike
    np.save(folder / "ids.npy", ids)
    np.save(folder / "held_out.npy", held_out)
    (folder / "words.json").write_text(json.dumps(vocabulary.symbols))
    np.savez(folder / "parameters.npz", **fastlstm.Model(**MODEL, vocabulary=vocabulary.symbols).parameters)
    unknown = vocabulary.counts[vocabulary.unknown] / len(ids)
    return f"{len(text):,} characters, {len(ids):,} words to train on, {len(vocabulary):,} different, {unknown:.1%} unknown"


def report(about: str, results: dict[str, dict[str, float]], threads: int) -> list[str]:
    """The lines of the table."""
    d = machine.describe(threads)
    lines = [
        f"- {d['date']}, commit {d['commit']}; {d['cpu']}, {threads} thread(s), load average {d['load']}",
        f"- docstrings and comments of Python {d['python']}'s standard library: {about}",
        "- 2 layers of 200, vectors of 200, T = B = 20, Adam 2e-3, one pass",
        "",
        "| | symbols/s | seconds | loss of the pass, nats | peak memory | without imports |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {r['symbols'] / r['seconds']:,.0f} | {r['seconds']:.0f} | {r['loss']:.3f} | {r['peak']:.0f} MB | "
        f"{r['peak'] - r['imports']:.0f} MB |"
        for name, r in results.items()
    ]
    r = results["fastlstm"]
    lines += ["", f"Held out: {r['held_out']:.3f} nats a word, perplexity {np.exp(r['held_out']):.0f} (fastlstm). "
              f"The weights are {r['weights'] / 2**20:.0f} MB; with gradients and Adam's moments four times that."]
    if "PyTorch" in results:
        lines.append(f"Speed against PyTorch: {results['PyTorch']['seconds'] / r['seconds']:.2f}×.")
    return lines


def main() -> None:
    """Prepare, run both, tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of both libraries (1)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="receives the table too")
    parser.add_argument("--run", nargs=2, metavar=("LIBRARY", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    machine.hold_threads(args.threads)
    if args.run:
        library, folder = args.run
        print(json.dumps((ours if library == "fastlstm" else theirs)(Path(folder), args.threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        about, results = prepare(Path(folder)), {}
        for library in ("fastlstm", "PyTorch"):
            command = [sys.executable, __file__, "--threads", str(args.threads), "--run", library, folder]
            results[library] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(library, results[library], file=sys.stderr, flush=True)
    lines = report(about, results, args.threads)
    publish("\n".join([*lines, ""]), args.output)


if __name__ == "__main__":
    main()
