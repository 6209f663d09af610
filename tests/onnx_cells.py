"""One layer of the reference as a node of an ONNX model, run by ONNX Runtime in float32."""

import numpy as np

ORDERS = {"lstm": "iofg", "gru": "zrn", "rnn": "h"}  # the blocks in ONNX; it calls the candidates c and h
ACTIVATIONS = {
    "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "hard_sigmoid": "HardSigmoid", "softsign": "Softsign",
    "linear": "Affine",
}


def run_onnx(onnxruntime, case):
    """The outputs and the final state, named as by `reference_cases.run`, of a problem of one layer without masks."""
    from onnx import TensorProto, helper, numpy_helper  # skipped where it is absent, with the fixture

    (layer,), (T, B) = case.layout.layers, case.x.shape[:2]
    cell, D = layer[0], len(layer)
    tensors = {
        "x": case.x, "W": _blocks(case, "weight_ih"), "R": _blocks(case, "weight_hh"),
        "bias": np.concatenate([_blocks(case, "bias_ih"), _blocks(case, "bias_hh")], axis=1) if cell.bias else None,
        "h0": np.stack(case.state[0]),
    }
    if cell.kind == "lstm":
        tensors |= {"c0": np.stack(case.state[1]), "P": _peepholes(case) if cell.peephole else None}
    tensors = {name: a.astype(np.float32) for name, a in tensors.items() if a is not None}
    tensors["lengths"] = np.array([T] * B if case.lengths is None else case.lengths, np.int32)
    outputs = ["y", *case.layout.states]
    inputs = [name if name in tensors else "" for name in ("x", "W", "R", "bias", "lengths", "h0", "c0", "P")]
    inputs = inputs if cell.kind == "lstm" else inputs[:6]
    node = helper.make_node(cell.kind.upper(), inputs, outputs, **_attributes(cell, D))
    graph = helper.make_graph(
        [node], "cell", [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(a, name) for name, a in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y, *state = session.run(outputs, {})
    y = y.transpose(0, 2, 1, 3).reshape(T, B, -1)
    return {"y": y} | {f"{name}{d}": a[d] for name, a in zip(case.layout.states, state, strict=True) for d in range(D)}


def _attributes(cell, D):
    phi, sigma = ACTIVATIONS[cell.activation], ACTIVATIONS[cell.recurrent_activation]
    activations = {"lstm": [sigma, phi, phi], "gru": [sigma, phi], "rnn": [phi]}[cell.kind] * D
    alphas = {"HardSigmoid": (1 / 6, 0.5), "Affine": (1.0, 0.0)}
    found = {
        "hidden_size": cell.hidden_size, "direction": "bidirectional" if D == 2 else "forward",
        "activations": activations,
        "activation_alpha": [alphas[a][0] for a in activations if a in alphas],
        "activation_beta": [alphas[a][1] for a in activations if a in alphas],
    }
    if cell.clip is not None:
        found["clip"] = cell.clip
    if cell.coupled:
        found["input_forget"] = 1
    if cell.kind == "gru":
        found["linear_before_reset"] = int(cell.reset_after)
    return {name: value for name, value in found.items() if value != []}


def _blocks(case, name):
    """A parameter of every direction, (D, ·), its blocks in ONNX's order.

    Where gates are coupled ONNX Runtime computes f = 1 - i: as σ(-a) = 1 - σ(a), its i is that of -a_f. The weights of
    its f, which it ignores, are NaN.
    """
    stacked = []
    for place in case.layout.places():
        parameter = case.parameters[place.name(name)]
        gates = dict(zip(place.cell.gates, np.split(parameter, len(place.cell.gates)), strict=True))
        if place.cell.coupled:
            gates |= {"i": -gates["f"], "f": np.full_like(gates["f"], np.nan)}
        stacked.append(np.concatenate([gates[gate] for gate in ORDERS[place.cell.kind]]))
    return np.stack(stacked)


def _peepholes(case):
    """As `_blocks`, of the diagonal peepholes."""
    stacked = []
    for place in case.layout.places():
        f, o = (case.parameters[place.name(f"weight_c{gate}")] for gate in "fo")
        if place.cell.coupled:
            i, f = -f, np.full_like(f, np.nan)
        else:
            i = case.parameters[place.name("weight_ci")]
        stacked.append(np.concatenate([i, o, f]))
    return np.stack(stacked)
