"""The work as OpenVINO does it, the tensors sharing the arrays' memory.

Tried on one thread, and dropped for being slower or no faster:
- a step as LSTMSequence with T = 1, or read from an ONNX graph: 1.3 times the time of an LSTMCell at H = 64;
- `start_async` and `wait`: 1.2 times the time of `infer` at H = 64; `share_inputs` and `share_outputs`: nothing, where the
  tensors are set once;
- sequences read from an ONNX graph, or reshaped instead of transposed where B = 1: nothing.

Its processor plugin would compute in bfloat16 where there is hardware for that, so float32 is asked for.
"""

import numpy as np
import openvino
from openvino import opset13 as ops

from peers import directions
from work import Call, Inference, LayerWork, Streaming

ORDERS = {"lstm": "figo", "gru": "zrn", "rnn": "h"}  # of the gates

CORE = openvino.Core()
CORE.set_property("CPU", {
    "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False,
})


def set_threads(n: int) -> None:
    """Compute on n threads."""
    CORE.set_property("CPU", {"INFERENCE_NUM_THREADS": n})


def _weights(work: LayerWork) -> list[np.ndarray]:
    """W, U and the sum of the biases, of the one direction; the GRU's n has both biases apart."""
    layout, p = work.layout, work.parameters()
    W, U, b_ih, b_hh = (
        directions(layout, p, 0, name, ORDERS)[0] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    if work.cell != "gru":
        return [W, U, b_ih + b_hh]
    H = work.H
    return [W, U, np.concatenate([b_ih[: 2 * H] + b_hh[: 2 * H], b_ih[2 * H :], b_hh[2 * H :]])]


def _request(
    compiled: openvino.CompiledModel, inputs: list[np.ndarray], outputs: list[np.ndarray]
) -> openvino.InferRequest:
    """The arrays' own memory is read and written."""
    request = compiled.create_infer_request()
    for k, array in enumerate(inputs):
        request.set_input_tensor(k, openvino.Tensor(array, shared_memory=True))
    for k, array in enumerate(outputs):
        request.set_output_tensor(k, openvino.Tensor(array, shared_memory=True))
    request.arrays = inputs, outputs  # being shared does not keep them alive
    return request


def streaming(work: Streaming) -> Call:
    """A step; the state goes to and fro between two pairs of arrays."""
    x, h, c = (ops.parameter((1, work.H), np.float32) for _ in range(3))
    cell = ops.lstm_cell(x, h, c, *map(ops.constant, _weights(work)), work.H)
    compiled = CORE.compile_model(openvino.Model(cell.outputs(), [x, h, c]), "CPU")
    states = [[np.zeros((1, work.H), np.float32) for _ in "hc"] for _ in range(2)]
    first = work.input()[0]
    requests = [_request(compiled, [first, *before], after) for before, after in (states, states[::-1])]
    steps = 0

    def step() -> np.ndarray:
        nonlocal steps
        requests[steps & 1].infer()
        steps += 1
        return states[steps & 1][0]

    return step


def inference(work: Inference) -> Call:
    """A sequence; the sequence operation has the batch first, and its plugin sees through the transpositions."""
    T, B, H = work.T, work.B, work.H
    x, swapped = ops.parameter((T, B, H), np.float32), ops.constant(np.array([1, 0, 2]))
    zeros = ops.constant(np.zeros((B, 1, H), np.float32))
    lengths = ops.constant(np.array(work.lengths or [T] * B, np.int32))
    weights = [ops.constant(array[None]) for array in _weights(work)]
    operation = getattr(ops, f"{work.cell}_sequence")
    options = {"linear_before_reset": True} if work.cell == "gru" else {}
    states = [zeros] * len(work.layout.states)
    y = operation(ops.transpose(x, swapped), *states, lengths, *weights, H, "forward", **options).output(0)
    y = ops.transpose(ops.squeeze(y, ops.constant(np.array([1]))), swapped)
    compiled, result = CORE.compile_model(openvino.Model([y], [x]), "CPU"), np.empty((T, B, H), np.float32)
    request = _request(compiled, [work.input()], [result])

    def run() -> np.ndarray:
        request.infer()
        return result

    return run
