"""The reference against PyTorch in float64 and ONNX Runtime in float32: that its equations are the world's."""

import numpy as np
import pytest

from helpers import assert_close, assert_forward_close
from onnx_cells import run_onnx
from reference_cases import named, problem, run


def run_torch(torch, case):
    """As `reference_cases.run`."""
    cell = case.layout.layers[0][0]
    options = {"proj_size": cell.proj_size} if cell.kind == "lstm" else {}
    if cell.kind == "rnn":
        options["nonlinearity"] = cell.activation
    sizes = cell.input_size, cell.hidden_size, len(case.layout.layers)
    module = getattr(torch.nn, cell.kind.upper())(
        *sizes, bias=cell.bias, bidirectional=len(case.layout.layers[0]) == 2, dtype=torch.float64, **options
    )
    module.load_state_dict({name: torch.from_numpy(p) for name, p in case.parameters.items()})
    x, *start = (torch.tensor(a, requires_grad=True) for a in (case.x, *map(np.stack, case.state)))
    read = x
    if case.lengths is not None:
        read = torch.nn.utils.rnn.pack_padded_sequence(x, torch.from_numpy(case.lengths), enforce_sorted=False)
    y, end = module(read, tuple(start) if cell.kind == "lstm" else start[0])
    if case.lengths is not None:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=len(x))
    end = end if cell.kind == "lstm" else (end,)
    torch.autograd.backward([y, *end], [torch.from_numpy(a) for a in (case.dy, *map(np.stack, case.dstate))])
    results = {"y": y, "dx": x.grad, **named(case, "", end), **named(case, "d", [a.grad for a in start])}
    results |= {name: p.grad for name, p in module.named_parameters()}
    return {name: a.detach().numpy() for name, a in results.items()}


@pytest.mark.parametrize("lengths", [None, (3, 7, 1, 5)])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("L", "bias"), [(1, True), (2, False), (3, True)])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("rnn", {}), ("rnn", {"activation": "relu"}), ("gru", {}), ("lstm", {}), ("lstm", {"proj_size": 4})],
)
def test_stacks_equal_torch(torch, kind, options, L, bias, bidirectional, lengths):
    case = problem(kind, 7, 4, 3, (6,) * L, lengths=lengths, bidirectional=bidirectional, bias=bias, **options)
    assert_close(run(case), run_torch(torch, case), 1e-12)


@pytest.mark.parametrize("lengths", [None, (3, 7, 1, 5)])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("lstm", {}),
        ("lstm", {"bias": False, "peephole": "diagonal"}),
        ("lstm", {"peephole": "diagonal"}),
        ("lstm", {"coupled": True}),
        ("lstm", {"coupled": True, "peephole": "diagonal"}),
        ("lstm", {"activation": "softsign", "recurrent_activation": "hard_sigmoid", "peephole": "diagonal"}),
        ("lstm", {"activation": "linear"}),
        ("gru", {}),
        ("gru", {"reset_after": False}),
        ("gru", {"bias": False, "reset_after": False, "activation": "relu"}),
        ("gru", {"activation": "softsign", "recurrent_activation": "hard_sigmoid"}),
        ("rnn", {}),
        ("rnn", {"activation": "sigmoid"}),
        ("rnn", {"activation": "hard_sigmoid", "bias": False}),
        ("lstm", {"clip": 0.5}),
        ("lstm", {"clip": 0.5, "peephole": "diagonal", "coupled": True}),
        ("gru", {"clip": 0.5}),
        ("gru", {"clip": 0.5, "reset_after": False}),
        ("rnn", {"clip": 0.5}),
    ],
)
def test_layer_equals_onnx_runtime(onnxruntime, kind, options, bidirectional, lengths):
    case = problem(kind, 7, 4, 3, (6,), lengths=lengths, bidirectional=bidirectional, **options)
    ours, theirs = run(case), run_onnx(onnxruntime, case)
    for name, array in theirs.items():
        assert_forward_close(array, ours[name])
