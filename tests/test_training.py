"""The pieces of the training loop."""

import os
import signal

import numpy as np
import pytest

from fastlstm import Model
from fastlstm.training import Interruptible

FIT = {"batch_size": 4, "seq_length": 20, "progress": False, "threads": 1}


def test_interrupt_waits_for_the_end_of_the_function():
    done = []

    def change(value):
        os.kill(os.getpid(), signal.SIGINT)
        done.append(value)

    def block():
        with Interruptible() as interruptible:
            interruptible.whole(change, True)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done

    def between():
        with Interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(False)

    with pytest.raises(KeyboardInterrupt):
        between()
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_model_is_whole_after_an_interrupt_inside_a_window(tmp_path):
    """Ctrl-C while gradients are computed: position and weights agree, so that resuming equals not having stopped."""
    text = "abcd" * 300
    model, whole = (Model(hidden_size=4, seed=0, vocabulary="abcd") for _ in range(2))
    original, calls = model.network.gradients, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*args)

    model.network.gradients = interrupted
    with pytest.raises(KeyboardInterrupt):
        model.fit(text, epochs=1, **FIT)
    assert model._position.window == 3
    model.fit(text, epochs=1, resume=True, **FIT)
    whole.fit(text, epochs=1, **FIT)
    assert np.array_equal(model.network.parameters.flat, whole.network.parameters.flat)
