"""Train a character model on a text, watch it learn, stop with Ctrl-C, go on by starting this again.

    python examples/character_model.py TEXT [MODEL]
"""

import sys
from pathlib import Path

import fastlstm

text = Path(sys.argv[1])
path = Path(sys.argv[2] if len(sys.argv) > 2 else "model.safetensors")


def show(model: fastlstm.Model, record: dict) -> None:
    """After each epoch, what the model writes now."""
    print(f"--- after epoch {record['epoch']}:", model.sample(200, temperature=0.8, seed=0), sep="\n", flush=True)


resume = path.exists()
model = fastlstm.Model.load(path) if resume else fastlstm.Model(hidden_size=128, num_layers=2, seed=1)
try:
    model.fit(text, epochs=20, checkpoint=path, checkpoint_every=30, resume=resume, callbacks=[show])
except KeyboardInterrupt:
    model.save(path)
    sys.exit(f"stopped; start again to go on from {path}")
print(model.evaluate(text))
