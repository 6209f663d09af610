"""The cost of tracing: time against plain inference, and memory beyond the result's.

    python bench/trace_cost.py [--characters 100000] [--layers 3] [--hidden-size 512] [--turns 3] [--threads 1] [--no-memory]

Plain inference is `Model.evaluate`, the cheapest public way to compute all outputs of one text: it reads the same symbols
from the same state in windows of the same size, keeps no quantity, and adds the losses. The traces are whole, of one quantity,
and of one layer. Times are medians of turns, A B C A B C …, of the clock and of the processor (user and system), which other
work on the machine disturbs less. Memory is the peak of the resident set (Linux: VmHWM) in a process of its own, less what it
was before and less the arrays of the result.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import fastlstm
import machine

V = 100


def model_and_text(characters: int, layers: int, hidden_size: int) -> tuple[fastlstm.Model, np.ndarray]:
    """An untrained model, for which the time is the same, and random symbols."""
    vocabulary = [chr(32 + k) for k in range(V)]
    model = fastlstm.Model(vocabulary=vocabulary, hidden_size=hidden_size, num_layers=layers, seed=0)
    return model, np.random.default_rng(0).integers(0, V, characters).astype(np.int32)


def seconds(call: Callable) -> tuple[float, float, float]:
    """Of the clock, and of the processor in user and system mode; giving the result's memory back does not count."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    result = call()
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    del result
    return clock, after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime


def times(characters: int, layers: int, hidden_size: int, turns: int) -> None:
    """Measure in turn, and tell as a table."""
    model, ids = model_and_text(characters, layers, hidden_size)
    top = layers - 1
    calls = {
        "plain inference": lambda: model.evaluate(ids),
        "trace": lambda: model.trace(ids),
        "trace of `cell_state`": lambda: model.trace(ids, quantities=["cell_state"]),
        f"trace of layer {top}, `hidden_state`": lambda: model.trace(ids, layers=[top], quantities=["hidden_state"]),
        "trace of layer 0": lambda: model.trace(ids, layers=[0]),
    }
    model.trace(ids[:2000])
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            found[name].append(seconds(call))
    plain = np.array(found["plain inference"])
    print("| | clock, s | user, s | system, s | clock, ratio | processor, ratio |\n|---|---|---|---|---|---|")
    for name, parts in found.items():
        clock, user, system = (median(column) for column in zip(*parts, strict=True))
        ratios = np.median(np.array(parts)[:, 0] / plain[:, 0]), np.median(
            np.array(parts)[:, 1:].sum(axis=1) / plain[:, 1:].sum(axis=1)
        )
        print(f"| {name} | {clock:.1f} | {user:.1f} | {system:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)


def memory(characters: int, layers: int, hidden_size: int) -> dict[str, int]:
    """Of a whole trace in this process: the bytes of the result's arrays, and the peak beyond them."""
    model, ids = model_and_text(characters, layers, hidden_size)
    model.evaluate(ids[:2000])
    before = machine.resident("VmRSS")
    trace = model.trace(ids)
    kept = sum(array.nbytes for *_, array in trace.arrays())
    return {"kept": kept, "beyond": machine.resident("VmHWM") - before - kept}


def main() -> None:
    """Measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--characters", type=int, default=100_000, help="(100000)")
    parser.add_argument("--layers", type=int, default=3, help="(3)")
    parser.add_argument("--hidden-size", type=int, default=512, help="(512)")
    parser.add_argument("--turns", type=int, default=3, help="(3)")
    parser.add_argument("--threads", type=int, default=1, help="(1)")
    parser.add_argument("--no-memory", action="store_true", help="times only")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    fastlstm.set_threads(args.threads)
    sizes = args.layers, args.hidden_size
    if args.memory_of:
        print(json.dumps(memory(args.memory_of, *sizes)))
        return
    print(f"{args.characters:,} characters, {args.layers} layers of {args.hidden_size}, {args.threads} thread(s)\n")
    times(args.characters, *sizes, args.turns)
    if not args.no_memory:
        print()
    for characters in () if args.no_memory else (args.characters, 2 * args.characters):
        command = [sys.executable, *sys.argv, "--memory-of", str(characters)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"- Memory of {characters:,} characters: {told['kept'] / 1e9:.2f} GB of results and {told['beyond'] / 1e6:.0f} MB.",
            flush=True,
        )


if __name__ == "__main__":
    main()
