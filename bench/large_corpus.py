"""Memory of training on a text much larger than the model: a generated file, one whole pass.

    python bench/large_corpus.py [--megabytes 200] [--symbols characters] [--folder FOLDER]

Trains the same small model on the first megabyte of the file and on all of it, each in a process of its own, and tells
the peak of the resident set (Linux: VmHWM) of both. Pages of the mapped file of ids count in it while they are in
memory, though the system can take them back at any time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TRAIN = """
import json, sys, time
from pathlib import Path
import fastlstm
path, symbols = sys.argv[1:]
model = fastlstm.Model(hidden_size=16, num_layers=1, embedding=8, symbols=symbols, max_symbols=1000, seed=0)
began = time.monotonic()
record = model.fit(Path(path), epochs=1, batch_size=100, seq_length=100, validation=0.01, progress=False)[-1]
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
megabytes = {name: int(status[name].split()[0]) / 1024 for name in ("VmHWM", "RssAnon", "RssFile")}
print(json.dumps({"seconds": time.monotonic() - began, "loss": record["validation_loss"], **megabytes}))
"""


def generate(path: Path, megabytes: int) -> None:
    """Words of a fixed vocabulary of 20,000 with Zipf's frequencies, in lines of ten, a megabyte at a time."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(["".join(rng.choice(letters, 1 + rng.integers(9))) for _ in range(20_000)])
    frequencies = 1 / np.arange(1, len(words) + 1)
    frequencies /= frequencies.sum()
    with path.open("w") as file:
        while file.tell() < megabytes << 20:
            drawn = rng.choice(words, (20_000, 10), p=frequencies)
            file.write("".join(" ".join(line) + ".\n" for line in drawn))
        file.truncate(megabytes << 20)


def main() -> None:
    """Generate, train on both, tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=200, help="of the text (200)")
    parser.add_argument("--symbols", choices=("characters", "bytes", "words"), default="characters", help="(characters)")
    parser.add_argument("--folder", type=Path, help="for the text (the system's temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        large, small = Path(folder) / "large.txt", Path(folder) / "small.txt"
        began = time.monotonic()
        generate(large, args.megabytes)
        with large.open("rb") as file:
            small.write_bytes(file.read(1 << 20))
        print(f"{args.megabytes} MB written in {time.monotonic() - began:.0f} s", flush=True)
        peaks = []
        for path in (small, large):
            command = [sys.executable, "-c", TRAIN, str(path), args.symbols]
            told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            peaks.append(told["VmHWM"])
            print(
                f"{path.stem}: {told['seconds']:.0f} s, validation {told['loss']:.3f} nats; peak {told['VmHWM']:.0f} MB; "
                f"at the end {told['RssAnon']:.0f} MB of its own and {told['RssFile']:.0f} MB of mapped files",
                flush=True,
            )
        print(f"the large text takes {peaks[1] - peaks[0]:.0f} MB more")


if __name__ == "__main__":
    main()
