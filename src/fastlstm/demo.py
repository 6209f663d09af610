"""The main job from end to end: learn to write Python from the standard library, in under three minutes on two cores."""

import shutil
import sys
import time
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from fastlstm import _check, colours, ngram, targets
from fastlstm.checkpoint import check_target
from fastlstm.model import Model
from fastlstm.progress import say, show_sample
from fastlstm.schedules import Exponential
from fastlstm.targets import Target, Text
from fastlstm.text import standard_library
from fastlstm.threads import get_threads
from fastlstm.training import bits
from fastlstm.vocabulary import Vocabulary

# Chosen by trying: what reaches the fewest bits per character in two minutes on two cores.
HIDDEN_SIZE, NUM_LAYERS = 256, 1
BATCH_SIZE, SEQ_LENGTH = 32, 32
LEARNING_RATE, DECAY = 8e-3, 0.5
EPOCHS = 4
WARM_UP_SECONDS = 4.0
HELD_OUT = 100_000
LEAST_TEXT, MOST_TEXT = 500_000, 2_000_000
# Share of the time that goes to evaluating, not training.
OVERHEAD = 0.1
# How much longer than planned training may take, where the machine turns out to be slower than at first.
SLACK = 1.2
PROMPT = "\n\ndef "
# Held-out characters in which a neuron is looked for, lines of them that are shown, and the largest p-value that counts as more
# than chance.
LOOKED_AT, LINES, CHANCE = 20_000, 16, 0.01


def _indentation(text: Text) -> np.ndarray:
    """How many spaces the line of each character begins with."""
    lines = "".join(text).splitlines(keepends=True)
    return np.concatenate([np.full(len(line), len(line) - len(line.lstrip(" "))) for line in lines])


# What a neuron may follow.
MEANINGS: dict[str, Target] = {
    "how far from the beginning of the line it is": targets.position("\n"),
    "how far the line is indented": _indentation,
    "how many brackets are open": targets.depth("([{", ")]}"),
    "whether it is inside a string": targets.matches(r"'[^'\n]*'|\"[^\"\n]*\""),
    "whether it is inside a comment": targets.matches("#.*"),
}


def run(seconds: float, out: Path, seed: int) -> dict[str, Any]:
    """Train, sample, compare with counting, save; returns the figures.

    Args:
        seconds: how long to train, more than the 4 of the warm-up.
        out: where the model goes.
        seed: of weights and samples.
    """
    _check.number("seconds", seconds, WARM_UP_SECONDS, open_ends="(")
    check_target(out)
    text = standard_library()
    vocabulary = Vocabulary.of("characters", text)
    say(
        f"The source of Python {sys.version.split()[0]}'s standard library: {len(text):,} characters, "
        f"{len(vocabulary)} of them\ndifferent. "
        f"The network, {NUM_LAYERS}x{HIDDEN_SIZE}, reads one after another and guesses the next.\n"
        f"Untrained, it writes:"
    )
    model = Model(hidden_size=HIDDEN_SIZE, num_layers=NUM_LAYERS, vocabulary=vocabulary.symbols, seed=seed)
    _show_sample(model, seed)
    held_out, rest = text[-HELD_OUT:], text[:-HELD_OUT]
    options = {"batch_size": BATCH_SIZE, "seq_length": SEQ_LENGTH, "learning_rate": LEARNING_RATE}

    began = time.monotonic()
    warm_up = model.fit(rest, epochs=1, validation=None, max_seconds=WARM_UP_SECONDS, progress=False, **options)
    say(f"After {WARM_UP_SECONDS:g} seconds of training on {get_threads()} threads:")
    _show_sample(model, seed)

    # As much text as this machine can read EPOCHS times in the time that is left.
    left = (seconds - WARM_UP_SECONDS) * (1 - OVERHEAD)
    size = int(min(max(warm_up[0]["symbols_per_second"] * left / EPOCHS, LEAST_TEXT), MOST_TEXT, len(rest)))
    train = rest[-size:]
    say(f"Now {EPOCHS} times through {size:,} characters of it; {HELD_OUT:,} others are only measured.")
    history = model.fit(
        train, epochs=EPOCHS, validation=held_out, schedule=Exponential(DECAY), progress=True,
        callbacks=[lambda model, _: _show_sample(model, seed)], max_seconds=SLACK * left, **options,
    )
    trained = time.monotonic() - began
    model.save(out)

    say("Counting instead of learning: an interpolated Witten-Bell n-gram, 5 characters of\ncontext, same text …")
    lstm = history[-1]["validation_bits_per_symbol"]
    counted = bits(ngram.held_out_nats(vocabulary.encode(train), vocabulary.encode(held_out), len(vocabulary)))
    say(
        f"\nHeld-out bits per character (less is better):\n"
        f"  n-gram  {counted:.3f}\n"
        f"  LSTM    {lstm:.3f}   {abs(counted - lstm):.3f} {'fewer' if lstm < counted else 'more'}, after {trained:.0f} seconds"
    )
    neuron = _show_neuron(model, held_out[:LOOKED_AT])
    say(
        f"\nThe model is in {out}. Try:\n"
        f"  fastlstm sample {out} --prompt \"class Reader:\" --temperature 0.7\n"
        f"  fastlstm sample {out} --prompt \"import \" --temperature 0\n"
        f"  fastlstm info {out}\n"
        f"  fastlstm train PATH_TO_YOUR_TEXT --out mine.safetensors"
    )
    return {
        "model": str(out), "characters": size, "bits_per_symbol": lstm, "ngram_bits_per_symbol": counted,
        "seconds": trained, "neuron": neuron, "history": history,
    }


def _show_sample(model: Model, seed: int) -> None:
    show_sample(PROMPT.lstrip() + model.sample(320, prompt=PROMPT, temperature=0.7, seed=seed))
    say("")


def _show_neuron(model: Model, text: str) -> dict[str, Any] | None:
    """Show a part of the text, coloured by the cell that follows one of `MEANINGS` most closely; which, and how closely."""
    trace = model.trace(text, quantities=["cell_state"])
    values = {meaning: trace.target(target) for meaning, target in MEANINGS.items()}
    found = {meaning: trace.find(target, top=1)[0] for meaning, target in values.items() if target.min() < target.max()}
    found = {meaning: one for meaning, one in found.items() if one.p_value <= CHANCE}
    if not found:
        say("\nNo single one of its memory cells follows anything that has a simple name.")
        return None
    meaning = max(found, key=lambda meaning: abs(found[meaning].correlation))
    layer, neuron, _, r, _ = found[meaning]
    told = (
        f"Nobody told it what a line, a bracket or a string is. But one of its memory cells, cell {neuron}, follows {meaning}: "
        f"r = {r:+.2f} over {len(text):,} characters that it was not trained on. Where that shows most clearly, blue above 0 "
        f"and red below:"
    )
    say("\n" + fill(told, 80))
    start, stop = _clearest(text, values[meaning], np.sign(r) * trace.layers[layer].cell_state[:, neuron])
    colour = colours.wanted(sys.stderr)
    width = shutil.get_terminal_size().columns
    view = trace.view(layer, neuron, "cell_state", start=start, stop=stop)
    view.more = 0  # it is a passage
    say(view.text(width, colour=colour))
    return {"follows": meaning, "layer": layer, "neuron": neuron, "correlation": r}


def _clearest(text: str, values: np.ndarray, states: np.ndarray) -> tuple[int, int]:
    """Beginning and end of the `LINES` lines over which values and states (T,) vary most together: their covariance."""
    starts = np.concatenate([[0], np.flatnonzero(np.array(list(text)) == "\n") + 1])
    parts = list(zip(starts, starts[LINES:], strict=False)) or [(0, len(text))]
    start, stop = max(parts, key=lambda part: np.cov(values[slice(*part)], states[slice(*part)], bias=True)[0, 1])
    return int(start), int(stop)
