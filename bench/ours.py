"""The work as fastlstm does it (the functions are told in `peers`)."""

import numpy as np

import fastlstm
from work import Call, Inference, LanguageTraining, LayerTraining, Sampling, Streaming


def set_threads(n: int) -> None:
    """Compute on n threads."""
    fastlstm.set_threads(n)


def streaming(work: Streaming) -> Call:
    """A step."""
    stream, x = work.layer().stream(), work.input()[0]
    return lambda: stream.step(x)


def inference(work: Inference) -> Call:
    """A sequence."""
    rnn, x = work.layer(), work.input()
    return lambda: rnn(x, lengths=work.lengths)[0]


def layer_training(work: LayerTraining) -> Call:
    """Forward and back."""
    rnn, x, dy = work.layer(), work.input(), work.output_gradient()

    def step() -> tuple[np.ndarray, ...]:
        _, _, tape = rnn.forward(x, lengths=work.lengths)
        dx, _, gradients = rnn.backward(tape, dy)
        return dx, *gradients.values()

    return step


def language_training(work: LanguageTraining) -> Call:
    """An epoch."""
    model, text = work.model(), work.text()

    def epoch() -> float:
        history = model.fit(
            text, epochs=1, batch_size=work.B, seq_length=work.T, validation=None, progress=False
        )
        return history[-1]["loss"]

    return epoch


def sampling(work: Sampling) -> Call:
    """A text."""
    model = work.model()
    return lambda: model.sample(work.length)
