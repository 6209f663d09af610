"""How often something is found where there is nothing to find.

    python bench/false_positives.py [SEEDS]

A model reads a shuffled text; its neurons are searched for a count in the text as it was, and probed for it. A p-value of
at most 0.05 is a find.
"""

import sys

import numpy as np

from fastlstm import Model, targets

WORDS = ["alpha", "beta", "(gamma (delta) epsilon)", "delta", "zeta\neta", "(theta)", "#iota\n"]
LEVEL, SHIFTS = 0.05, 39

seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 400
found = probed = 0
for seed in range(seeds):
    rng = np.random.default_rng(seed)
    text = " ".join(WORDS[k] for k in rng.integers(len(WORDS), size=200))
    model = Model(vocabulary=sorted(set(text)), hidden_size=6, num_layers=2, seed=seed)
    target = model.trace(text).target(targets.count("ae", reset="\n"))
    trace = model.trace("".join(rng.permutation(list(text))))
    found += trace.find(target, top=1, shifts=SHIFTS, seed=seed)[0].p_value <= LEVEL
    probed += trace.probe(target, shifts=SHIFTS, seed=seed).p_value <= LEVEL
print(f"p <= {LEVEL} in {seeds} shuffled texts: search {found / seeds:.1%}, probe {probed / seeds:.1%}")
