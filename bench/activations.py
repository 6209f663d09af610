"""The error of tanh and the sigmoid for every float32 there is, on each instruction set, in units in the last place.

    python bench/activations.py

The truth is NumPy's in float64. Results below the smallest normal float may be 0. Takes about ten minutes.
"""

import numpy as np

from fastlstm import _core
from fastlstm.reference import ACTIVATIONS

CHUNK = 1 << 24
SMALLEST = float(np.finfo(np.float32).smallest_normal)


def worst(kind: int, name: str) -> tuple[float, float, int]:
    """The largest error in ULP, the argument it is at, and how many results are NaN where the truth is not."""
    most, place, wrong = 0.0, 0.0, 0
    for start in range(0, 1 << 32, CHUNK):
        x = np.arange(start, start + CHUNK, dtype=np.uint64).astype(np.uint32).view(np.float32)
        y = np.empty_like(x)
        _core.activate(y, x, kind)
        with np.errstate(all="ignore"):
            truth = ACTIVATIONS[name].value(x.astype(np.float64))
            size = np.maximum(np.abs(truth), SMALLEST)
            ulp = np.exp2(np.floor(np.log2(size)) - 23)
            error = np.abs(y - truth) / ulp
        error[np.abs(truth) < SMALLEST] = 0  # may be flushed
        wrong += int((np.isnan(y) != np.isnan(truth)).sum())
        error[np.isnan(truth)] = 0
        k = int(error.argmax())
        if error[k] > most:
            most, place = float(error[k]), float(x[k])
    return most, place, wrong


for isa in _core.available_isas():
    _core.use_isa(isa)
    for kind, name in enumerate(ACTIVATIONS):
        if name in ("tanh", "sigmoid"):
            most, place, wrong = worst(kind, name)
            print(f"{isa:7} {name:8} all 2^32 floats: worst {most:.3f} ULP at {place!r}; {wrong} misplaced NaN", flush=True)
