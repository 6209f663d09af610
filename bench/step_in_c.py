"""The time of a step inside C: an LSTM layer that streams, without Python around it, beside RTNeural's.

    python bench/step_in_c.py [--rtneural PATH] [--turns 25] [--output FILE.md]

PATH is the source of RTNeural (https://github.com/jatinchowdhury18/RTNeural) with its submodule Eigen: C++ for sizes that are
fixed when it is compiled. Both are compiled here, and measured in turn, on one thread; a figure is the median of the turns.
"""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable
from ctypes import CDLL, POINTER, c_float, c_int64, c_void_p
from pathlib import Path
from statistics import median

import machine

machine.hold_threads(1)

import numpy as np  # noqa: E402

import fastlstm  # noqa: E402
from report import NOTHING, head, least_seconds, publish  # noqa: E402
from turns import turn  # noqa: E402

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent / "csrc"
# The arithmetic flags are those of setup.py, which builds the same files.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-pthread"]
GOALS = {8: 1.0, 16: 1.0, 32: 1.0, 64: 1.7, 128: 1.7}  # RTNeural's time by ours, by H
ROWS = 16  # of inputs, which come again and again: as near as what was just received
SECONDS, BOUND = 0.02, 1e-5
FLOATS = POINTER(c_float)


def built(folder: Path, name: str, *command: str) -> CDLL:
    """The shared library that the rest of a compiler's command makes."""
    target = folder / f"{name}.so"
    subprocess.run([*command, f"-DROWS={ROWS}", "-shared", "-fPIC", "-o", str(target)], check=True)
    library = CDLL(str(target))
    library.layer_new.restype, library.layer_new.argtypes = c_void_p, [c_int64, FLOATS, FLOATS, FLOATS]
    library.layer_run.restype, library.layer_run.argtypes = None, [c_void_p, FLOATS, FLOATS, c_int64]
    return library


def libraries(folder: Path, rtneural: Path | None) -> dict[str, CDLL]:
    """Ours, and RTNeural where its source is."""
    compiler, cpp = os.environ.get("CC", "cc").split(), os.environ.get("CXX", "c++").split()
    ours = [str(HERE / "step_in_c.c"), *map(str, sorted(CSRC.glob("*.c")))]
    found = {"fastlstm": built(folder, "ours", *compiler, "-std=gnu11", *FLAGS, f"-I{CSRC}", *ours, "-lm")}
    if rtneural:
        includes = [f"-I{rtneural / 'RTNeural'}", f"-I{rtneural / 'modules/Eigen'}"]
        peer = [str(HERE / "peers/rtneural.cpp"), "-std=c++17", "-O3", "-march=native", *includes]
        found["RTNeural"] = built(folder, "rtneural", *cpp, *peer)
    return found


def floats(array: np.ndarray) -> object:
    """Its address, for C."""
    return array.ctypes.data_as(FLOATS)


def prepare(found: dict[str, CDLL], H: int) -> dict[str, Callable[[int], None]]:
    """For every library what goes on by so many steps; all make the outputs that `fastlstm.LSTM` makes."""
    layer = fastlstm.LSTM(H, H, seed=H)
    parameters = {name.removesuffix("_l0"): np.ascontiguousarray(value) for name, value in layer.parameters.items()}
    x = np.random.default_rng(H).standard_normal((ROWS, H)).astype(np.float32)
    want = layer(x[:, None])[0][:, 0]
    weights = [parameters["weight_ih"], parameters["weight_hh"], parameters["bias_ih"] + parameters["bias_hh"]]
    calls = {}
    for name, library in found.items():
        net, h = library.layer_new(H, *map(floats, weights)), np.empty_like(x)
        library.layer_run(net, floats(x), floats(h), ROWS)
        if not np.abs(h - want).max() <= BOUND:
            raise SystemExit(f"{name}, H={H}: outputs differ by {np.abs(h - want).max():.1e}")
        calls[name] = lambda steps, run=library.layer_run, net=net, h=h: run(net, floats(x), floats(h), steps)
    return calls


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtneural", type=Path, metavar="PATH", help="its source; without it only our own time is told")
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    limits = machine.limits()
    lines = ["# A step inside C", "", *head(machine.describe(1), limits), ""]
    lines += [f"One LSTM layer, I = H, B = 1, float32, one thread. Medians of {options.turns} turns.", ""]
    lines += ["| H | fastlstm | RTNeural | ratio | goal | limit |", "| --- | --- | --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        found = libraries(Path(folder), options.rtneural)
        for H, goal in GOALS.items():
            calls = prepare(found, H)
            steps = {name: max(1, round(1000 * SECONDS / turn(lambda c=call: c(1000), 3))) for name, call in calls.items()}
            seconds = {name: [] for name in calls}
            for _ in range(options.turns):
                for name, call in calls.items():
                    seconds[name].append(turn(lambda c=call, n=steps[name]: c(n), 1) / steps[name])
            ours, theirs = median(seconds["fastlstm"]), median(seconds.get("RTNeural", [0]))
            peer = [f"{theirs * 1e9:.1f} ns", f"**{theirs / ours:.2f}×**"] if theirs else [NOTHING, NOTHING]
            numbers = 2 * 4 * H * H  # of W and U
            limit, _ = least_seconds(2 * numbers, 4 * numbers, 1, limits)
            cells = [str(H), f"{ours * 1e9:.1f} ns", *peer, f"{goal:g}×", f"{limit * 1e9:.0f} ns"]
            lines.append(f"| {' | '.join(cells)} |")
    publish("\n".join([*lines, ""]), options.output)


if __name__ == "__main__":
    main()
