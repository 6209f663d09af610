"""The work as ONNX Runtime does it, every input and output bound to an array once.

Tried on one thread, and dropped for being slower:
- a step fed with dictionaries: 1.5 to 1.7 times the time at H = 64 and 128. The state goes to and fro between two sets
  of arrays, by two bindings;
- writing a text with one call a symbol (2 layers of 128, V = 65), bound too: 22 µs a symbol where NumPy draws, 21 µs
  where the graph draws, 18 µs where one call scans over all symbols.
"""

import numpy as np
import onnxruntime
from onnx import ModelProto

from peers import Later, onnx_graphs
from work import Call, Inference, Sampling, Streaming

OPTIONS = onnxruntime.SessionOptions()
OPTIONS.inter_op_num_threads = 1
OPTIONS.add_session_config_entry("session.force_spinning_stop", "1")  # no thread takes time from the others' turns


def set_threads(n: int) -> None:
    """Compute on n threads."""
    OPTIONS.intra_op_num_threads = n


def _session(model: ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])


def _bound(
    session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]
) -> onnxruntime.IOBinding:
    """The arrays' own memory is read and written."""
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    for name, array in outputs.items():
        binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    binding.arrays = inputs, outputs  # being bound does not keep them alive
    return binding


def streaming(work: Streaming) -> Call:
    """A step."""
    session, x = _session(onnx_graphs.step(work.layout, work.parameters())), work.input()
    states = [{name: np.zeros((1, 1, work.H), np.float32) for name in ("h", "c")} for _ in range(2)]
    bindings = [
        _bound(session, {"x": x, **before}, {f"new_{name}": array for name, array in after.items()})
        for before, after in (states, states[::-1])
    ]
    steps = 0

    def step() -> np.ndarray:
        nonlocal steps
        session.run_with_iobinding(bindings[steps & 1])
        steps += 1
        return states[steps & 1]["h"][0]

    return step


def inference(work: Inference) -> Call:
    """A sequence."""
    session = _session(onnx_graphs.sequence(work.layout, work.parameters(), work.T, work.B, work.lengths))
    y = np.empty((work.T, len(work.layout.layers[0]), work.B, work.H), np.float32)
    binding = _bound(session, {"x": work.input()}, {"y": y})
    result = Later(lambda: y.swapaxes(1, 2).reshape(work.T, work.B, -1))

    def run() -> Later:
        session.run_with_iobinding(binding)
        return result

    return run


def sampling(work: Sampling) -> Call:
    """A text."""
    parameters, rng = work.parameters(), np.random.default_rng(0)
    rows = work.length - 1, work.V
    first, noise, text = np.empty(1, np.int64), np.empty(rows, np.float32), np.empty((rows[0], 1), np.int64)
    session = _session(onnx_graphs.writer(work.layout, parameters, rows[0]))
    binding = _bound(session, {"first": first, "noise": noise}, {"text": text})
    least = np.finfo(np.float32).tiny  # a zero has no logarithm

    def write() -> list[int]:
        first[0] = rng.integers(work.V)
        rng.standard_exponential(out=noise, dtype=np.float32)
        np.subtract(parameters["output.bias"], np.log(np.maximum(noise, least, out=noise), out=noise), out=noise)
        session.run_with_iobinding(binding)
        return [int(first[0]), *text[:, 0].tolist()]

    return write
