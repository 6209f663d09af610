"""The main job from end to end: learn to write Python from the standard library, in under three minutes on two cores."""

import sys
import time
from pathlib import Path
from typing import Any

from fastlstm import _check, ngram
from fastlstm.checkpoint import check_target
from fastlstm.model import Model
from fastlstm.progress import say, show_sample
from fastlstm.schedules import Exponential
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
        f"  LSTM    {lstm:.3f}   {counted - lstm:.3f} fewer, after {trained:.0f} seconds\n\n"
        f"The model is in {out}. Try:\n"
        f"  fastlstm sample {out} --prompt \"class Reader:\" --temperature 0.7\n"
        f"  fastlstm sample {out} --prompt \"import \" --temperature 0\n"
        f"  fastlstm info {out}\n"
        f"  fastlstm train PATH_TO_YOUR_TEXT --out mine.safetensors"
    )
    return {
        "model": str(out), "characters": size, "bits_per_symbol": lstm, "ngram_bits_per_symbol": counted,
        "seconds": trained, "history": history,
    }


def _show_sample(model: Model, seed: int) -> None:
    show_sample(PROMPT.lstrip() + model.sample(320, prompt=PROMPT, temperature=0.7, seed=seed))
    say("")
