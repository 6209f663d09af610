"""The work as ONNX graphs.

ONNX's layers have weights (directions, G*H, I), both biases behind one another, and outputs (T, directions, B, H).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from fastlstm.cells import Layout
from peers import directions

Shapes = Mapping[str, Sequence[int]]
ORDERS = {"lstm": "iofg", "gru": "zrn", "rnn": "h"}  # of the gates; it calls the candidate g c, and n h
OPSET, IR_VERSION = 17, 8


def _values(shapes: Shapes, kind: int = TensorProto.FLOAT) -> list:
    return [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]


def _constants(**arrays: np.ndarray) -> list[TensorProto]:
    return [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in arrays.items()]


def _model(graph: GraphProto) -> ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _layer(
    layout: Layout, parameters: Mapping[str, np.ndarray], k: int, x: str, state: Sequence[str], outputs: Sequence[str],
    lengths: str = "",
) -> tuple[NodeProto, list[TensorProto]]:
    """Layer k of a stack: a node that reads x and the state, or zeros, and gives some of y, h and c."""
    W, R, *biases = (
        directions(layout, parameters, k, name, ORDERS) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    names, arrays = (f"W{k}", f"R{k}", f"B{k}"), (W, R, np.concatenate(biases, axis=1))
    cell, D = layout.layers[k][0], len(layout.layers[k])
    options = {"linear_before_reset": 1} if cell.kind == "gru" else {}
    node = helper.make_node(
        cell.kind.upper(), [x, *names, lengths, *state], outputs, hidden_size=cell.hidden_size,
        direction="bidirectional" if D == 2 else "forward", **options,
    )
    return node, _constants(**dict(zip(names, arrays, strict=True)))


def step(layout: Layout, parameters: Mapping[str, np.ndarray]) -> ModelProto:
    """One step of one layer of LSTM: x, h, c to new_h and new_c, all (1, 1, H)."""
    node, constants = _layer(layout, parameters, 0, "x", ["h", "c"], ["", "new_h", "new_c"])
    H = layout.output_size
    inputs, outputs = (_values(dict.fromkeys(names, (1, 1, H))) for names in (("x", "h", "c"), ("new_h", "new_c")))
    return _model(helper.make_graph([node], "step", inputs, outputs, constants))


def sequence(
    layout: Layout, parameters: Mapping[str, np.ndarray], T: int, B: int, lengths: Sequence[int] | None
) -> ModelProto:
    """Sequences through one layer from the zero state: x (T, B, I) to y (T, directions, B, H)."""
    cell, D = layout.layers[0][0], len(layout.layers[0])
    node, constants = _layer(layout, parameters, 0, "x", [], ["y"], "lengths" if lengths else "")
    if lengths:
        constants += _constants(lengths=np.array(lengths, np.int32))
    inputs = _values({"x": (T, B, cell.input_size)})
    outputs = _values({"y": (T, D, B, cell.hidden_size)})
    return _model(helper.make_graph([node], "sequence", inputs, outputs, constants))


def writer(layout: Layout, parameters: Mapping[str, np.ndarray], length: int) -> ModelProto:
    """Symbols (length, 1) drawn after the symbol `first` (1,): a scan over the rows of `noise` (length, V).

    Each symbol is the largest of its logits and noise, added up: drawn from their softmax where the noise is Gumbel's. The
    noise comes with the output layer's bias in it, which spares an addition.
    """
    (V, H), L = parameters["output.weight"].shape, len(layout.layers)
    vectors = parameters.get("embedding.weight", np.eye(V, dtype=np.float32))
    own = {name.removeprefix("lstm."): array for name, array in parameters.items()}
    nodes = [helper.make_node("Gather", ["vectors", "symbol"], ["x0"])]
    constants = _constants(vectors=vectors[:, None], output=parameters["output.weight"].T, row=np.array([1, H]))
    for k in range(L):
        node, weights = _layer(layout, own, k, f"x{k}", [f"h{k}", f"c{k}"], ["", f"x{k + 1}", f"new_c{k}"])
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
