"""The most memory a training window takes, against what it cannot do without.

    python bench/memory.py

What it cannot do without: the saved activations (gates, h and c: 6 H numbers for each layer, step and row), the weights, their
gradients and the optimiser's moments. Measured: all memory of arrays while a model trains, as `tracemalloc` counts it.
"""

import tracemalloc

import fastlstm
from scenarios import SCENARIOS
from work import FLOAT_BYTES, LanguageTraining


def needed(work: LanguageTraining) -> int:
    """Bytes of activations, weights, gradients and Adam's two moments."""
    weights = sum(array.size for array in work.parameters().values())
    activations = 6 * work.L * work.T * work.B * work.H
    return FLOAT_BYTES * (activations + 4 * weights)


def taken(work: LanguageTraining) -> int:
    """Bytes at the peak of an epoch, the model included, its text not."""
    text = work.text()
    tracemalloc.start()
    model = work.model()
    model.fit(text, epochs=1, batch_size=work.B, seq_length=work.T, validation=None, progress=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


print(f"engine {fastlstm.cpu_info()['engine']}, {fastlstm.get_threads()} thread(s)")
for scenario in SCENARIOS:
    if isinstance(scenario.work, LanguageTraining):
        work = scenario.work
        taken(work)  # imports and caches
        least, most = needed(work), taken(work)
        print(f"{work.name:45} needs {least / 2**20:7.1f} MB, takes {most / 2**20:7.1f} MB: {most / least:.2f} times")
