"""What is timed, who takes part, and how far ahead fastlstm has to be."""

from dataclasses import dataclass

from peers import JAX, ONNX_RUNTIME, OPENVINO, PYTORCH, PYTORCH_PACKED, Library
from work import Import, Inference, LanguageTraining, LayerTraining, Sampling, Streaming, Work, even_lengths


@dataclass(frozen=True)
class Goal:
    """What is wanted; None where nothing is.

    Attributes:
        ratio: the fastest peer's time by ours, on one thread.
        two_threads: the same, both on two threads.
        share: of the machine's limit, on one thread.
        seconds: of a call at most.
    """

    ratio: float | None = None
    two_threads: float | None = None
    share: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Scenario:
    """One row of the report."""

    work: Work
    goal: Goal
    peers: tuple[Library, ...]


STEPPERS = (PYTORCH, ONNX_RUNTIME, OPENVINO)
RUNNERS = (*STEPPERS, JAX)
TRAINERS = (PYTORCH, JAX)
RAGGED = even_lengths(100, 32)

SCENARIOS = [
    Scenario(Streaming(1, 1, 64), Goal(3), STEPPERS),
    Scenario(Streaming(1, 1, 128), Goal(2), STEPPERS),
    Scenario(Streaming(1, 1, 512), Goal(1.2), STEPPERS),

    Scenario(Inference(100, 1, 32), Goal(2.5), RUNNERS),
    Scenario(Inference(100, 1, 64), Goal(2), RUNNERS),
    Scenario(Inference(100, 1, 128), Goal(1.6), RUNNERS),
    Scenario(Inference(100, 1, 256), Goal(1.3), RUNNERS),
    Scenario(Inference(100, 1, 512), Goal(1.15, two_threads=1.15), RUNNERS),
    Scenario(Inference(100, 1, 1024), Goal(1.15, two_threads=1.15), RUNNERS),
    Scenario(Inference(100, 16, 256), Goal(1.03, share=0.9), RUNNERS),
    Scenario(Inference(50, 32, 128), Goal(1.05), RUNNERS),
    Scenario(Inference(50, 32, 512), Goal(1.0, share=0.92), RUNNERS),

    Scenario(LayerTraining(100, 1, 64), Goal(2.5), TRAINERS),
    Scenario(LayerTraining(100, 1, 512), Goal(2), TRAINERS),
    Scenario(LayerTraining(50, 32, 128), Goal(1.2), TRAINERS),
    Scenario(LayerTraining(50, 32, 512), Goal(1.2), TRAINERS),

    Scenario(Inference(50, 32, 100), Goal(), RUNNERS),  # units that do not fill vectors
    Scenario(LayerTraining(50, 32, 100), Goal(), TRAINERS),

    Scenario(LanguageTraining(2, 128, 65, T=50, B=50, windows=4), Goal(1.5, two_threads=1.5), (PYTORCH,)),
    Scenario(LanguageTraining(2, 256, 65, E=64, T=100, B=32, windows=2), Goal(1.5), (PYTORCH,)),
    Scenario(LanguageTraining(2, 512, 65, T=100, B=64), Goal(1.35, two_threads=1.5), (PYTORCH,)),
    Scenario(LanguageTraining(2, 200, 10_000, E=200, T=20, B=20, windows=4), Goal(2.5), (PYTORCH,)),
    Scenario(LanguageTraining(1, 10, 20, T=22, B=16, windows=30), Goal(6), (PYTORCH,)),

    Scenario(Sampling(2, 128, 65), Goal(4), (PYTORCH, ONNX_RUNTIME)),
    Scenario(Sampling(2, 512, 65), Goal(1.7), (PYTORCH, ONNX_RUNTIME)),

    Scenario(Import(), Goal(seconds=0.2), (PYTORCH, ONNX_RUNTIME)),

    Scenario(Inference(100, 1, 64, "gru"), Goal(12), STEPPERS),
    Scenario(Inference(100, 1, 256, "gru"), Goal(2.5), STEPPERS),
    Scenario(Inference(50, 32, 256, "gru"), Goal(2.4), STEPPERS),
    Scenario(LayerTraining(100, 1, 64, "gru"), Goal(25), (PYTORCH,)),
    Scenario(LayerTraining(100, 1, 256, "gru"), Goal(5), (PYTORCH,)),
    Scenario(LayerTraining(50, 32, 256, "gru"), Goal(2.2), (PYTORCH,)),

    Scenario(Inference(100, 1, 64, "rnn"), Goal(12), STEPPERS),
    Scenario(Inference(50, 32, 256, "rnn"), Goal(2), STEPPERS),
    Scenario(LayerTraining(100, 1, 64, "rnn"), Goal(20), (PYTORCH,)),
    Scenario(LayerTraining(50, 32, 256, "rnn"), Goal(2), (PYTORCH,)),

    Scenario(Inference(100, 32, 256, lengths=RAGGED), Goal(2.5), (PYTORCH, PYTORCH_PACKED, ONNX_RUNTIME, OPENVINO)),
    Scenario(LayerTraining(100, 32, 256, lengths=RAGGED), Goal(3.5), (PYTORCH, PYTORCH_PACKED)),

    Scenario(Inference(100, 1, 64, bidirectional=True), Goal(2, two_threads=3), (PYTORCH, ONNX_RUNTIME)),
    Scenario(Inference(50, 32, 256, bidirectional=True), Goal(1.03, share=0.9), (PYTORCH, ONNX_RUNTIME)),
    Scenario(LayerTraining(100, 1, 64, bidirectional=True), Goal(2.5, two_threads=3), (PYTORCH,)),
    Scenario(LayerTraining(50, 32, 256, bidirectional=True), Goal(1.2), (PYTORCH,)),
]
