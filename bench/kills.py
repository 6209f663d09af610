"""Kill -9 a process that saves without pause, many times: a loadable file must be there each time.

    python bench/kills.py 200
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_checkpoint import kill_while_saving

times = int(sys.argv[1]) if len(sys.argv) > 1 else 200
began = time.monotonic()
with tempfile.TemporaryDirectory() as directory:
    strays = kill_while_saving(Path(directory) / "m.safetensors", times, np.random.default_rng(0))
print(
    f"{times} kills in {time.monotonic() - began:.0f} s: {times} loadable files; {strays} kills fell inside a write "
    "(a temporary file was left, and replaced by the next save)"
)
