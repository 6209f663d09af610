"""The work as ONNX graphs.

ONNX's LSTM has its gates in the order i, o, f, c, weights (directions, 4H, I), both biases behind one another, and
outputs (T, directions, B, H).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from peers import gates

Shapes = Mapping[str, Sequence[int]]
OPSET, IR_VERSION = 17, 8


def _values(shapes: Shapes, kind: int = TensorProto.FLOAT) -> list:
    return [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]


def _constants(**arrays: np.ndarray) -> list[TensorProto]:
    return [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in arrays.items()]


def _model(graph: GraphProto) -> ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _lstm(
    parameters: Mapping[str, np.ndarray], k: int, x: str, state: Sequence[str], outputs: Sequence[str]
) -> tuple[NodeProto, list[TensorProto]]:
    """Layer k of a stack: a node that reads x and the state (h, c), or zeros, and gives some of y, h and c."""
    own = {name: gates(parameters[f"{name}_l{k}"], "iofg") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    names = f"W{k}", f"R{k}", f"B{k}"
    biases = np.concatenate([own["bias_ih"], own["bias_hh"]])
    arrays = own["weight_ih"], own["weight_hh"], biases
    constants = _constants(**{name: array[None] for name, array in zip(names, arrays, strict=True)})
    H = own["weight_hh"].shape[1]
    return helper.make_node("LSTM", [x, *names, "", *state], outputs, hidden_size=H), constants


def step(parameters: Mapping[str, np.ndarray]) -> ModelProto:
    """One step of one layer: x, h, c to new_h and new_c, all (1, 1, H)."""
    node, constants = _lstm(parameters, 0, "x", ["h", "c"], ["", "new_h", "new_c"])
    H = parameters["weight_hh_l0"].shape[1]
    inputs, outputs = (_values(dict.fromkeys(names, (1, 1, H))) for names in (("x", "h", "c"), ("new_h", "new_c")))
    return _model(helper.make_graph([node], "step", inputs, outputs, constants))


def sequence(parameters: Mapping[str, np.ndarray], T: int, B: int) -> ModelProto:
    """A sequence through one layer from the zero state: x (T, B, H) to y (T, 1, B, H)."""
    node, constants = _lstm(parameters, 0, "x", [], ["y"])
    H = parameters["weight_hh_l0"].shape[1]
    return _model(helper.make_graph([node], "sequence", _values({"x": (T, B, H)}), _values({"y": (T, 1, B, H)}), constants))


def writer(parameters: Mapping[str, np.ndarray], L: int, length: int) -> ModelProto:
    """Symbols (length, 1) drawn after the symbol `first` (1,): a scan over the rows of `noise` (length, V).

    Each symbol is the largest of its logits and noise, added up: drawn from their softmax where the noise is Gumbel's. The
    noise comes with the output layer's bias in it, which spares an addition.
    """
    V, H = parameters["output.weight"].shape
    vectors = parameters.get("embedding.weight", np.eye(V, dtype=np.float32))
    own = {name.removeprefix("lstm."): array for name, array in parameters.items()}
    nodes = [helper.make_node("Gather", ["vectors", "symbol"], ["x0"])]
    constants = _constants(vectors=vectors[:, None], output=parameters["output.weight"].T, row=np.array([1, H]))
    for k in range(L):
        node, weights = _lstm(own, k, f"x{k}", [f"h{k}", f"c{k}"], ["", f"x{k + 1}", f"new_c{k}"])
        nodes.append(node)
        constants += weights
    nodes += [
        helper.make_node("Reshape", [f"x{L}", "row"], ["top"]),
        helper.make_node("Gemm", ["top", "output", "noise_row"], ["raced"]),
        helper.make_node("ArgMax", ["raced"], ["new_symbol"], axis=1, keepdims=0),
        helper.make_node("Identity", ["new_symbol"], ["written"]),
    ]
    before = [name for k in range(L) for name in (f"h{k}", f"c{k}")]
    after = [name for k in range(L) for name in (f"x{k + 1}", f"new_c{k}")]
    one = _values({"symbol": (1,)}, TensorProto.INT64)
    body = helper.make_graph(
        nodes, "symbol", [*one, *_values(dict.fromkeys(before, (1, 1, H))), *_values({"noise_row": (V,)})],
        [*_values({"new_symbol": (1,)}, TensorProto.INT64), *_values(dict.fromkeys(after, (1, 1, H))),
         *_values({"written": (1,)}, TensorProto.INT64)], constants,
    )
    scan = helper.make_node(
        "Scan", ["first", *["zeros"] * len(before), "noise"], ["last", *(f"last_{name}" for name in before), "text"],
        body=body, num_scan_inputs=1,
    )
    return _model(helper.make_graph(
        [scan], "writer", [*_values({"first": (1,)}, TensorProto.INT64), *_values({"noise": (length, V)})],
        _values({"text": (length, 1)}, TensorProto.INT64), _constants(zeros=np.zeros((1, 1, H), np.float32)),
    ))
