"""Traces: row E1."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from fastlstm import Model, reference
from fastlstm import trace as trace_module
from helpers import assert_forward_close

TEXT = "the quick brown fox (jumps) over\nthe lazy dog\n"
def untrained(**options):
    options = {"hidden_size": 7, "num_layers": 2, "seed": 3, "vocabulary": sorted(set(TEXT)), **options}
    if options.get("symbols") == "bytes":
        options.pop("vocabulary")
    return Model(**options)


def by_the_reference(model, ids):
    """Quantity by quantity, (T, H) float64, of each layer, and the next symbols' probabilities."""
    p, stack = {name: a.astype(np.float64) for name, a in model.parameters.items()}, model.network.stack
    vectors = p.get("embedding.weight", np.eye(len(model.vocabulary)))
    weights = {name.removeprefix(f"{model.config['cell']}."): a for name, a in p.items()}
    y, _, tape = reference.stack_forward(stack.layout, weights, vectors[ids[:, None]], stack.zero_states(1))
    layers = [{name: array[:, 0] for name, array in cell.items()} for cell in reference.quantities(tape)]
    logits = np.exp(y[:, 0] @ p["output.weight"].T + p["output.bias"])
    return layers, logits / logits.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("options", [
    {}, {"embedding": 5}, {"num_layers": 3}, {"symbols": "bytes", "hidden_size": 17}, {"cell": "gru"}, {"cell": "rnn"},
    {"peephole": "full", "coupled": True, "skip": True},
], ids=str)
@pytest.mark.parametrize("window", [5, 1024])
def test_equals_the_reference_gate_by_gate(engine, dtype, options, window, monkeypatch):
    monkeypatch.setattr(trace_module, "WINDOW", window)
    model = untrained(dtype=dtype, **options)
    trace = model.trace(TEXT)
    layers, probabilities = by_the_reference(model, trace.tokens)
    assert len(trace.layers) == len(layers)
    for found, want in zip(trace.layers, layers, strict=True):
        assert list(found.quantities) == list(model.network.stack.places[0].cell.quantities)
        for name in found.quantities:
            assert found.quantities[name].dtype == dtype
            assert_forward_close(getattr(found, name), want[name])
    assert_forward_close(trace.probabilities, probabilities)


def test_quantities_obey_the_equations():
    layer = untrained(dtype="float64").trace(TEXT).layers[1]
    before = np.vstack([np.zeros(7), layer.cell_state[:-1]])
    np.testing.assert_allclose(layer.cell_state, layer.forget_gate * before + layer.input_gate * layer.candidate, rtol=1e-12)
    np.testing.assert_allclose(layer.hidden_state, layer.output_gate * np.tanh(layer.cell_state), rtol=1e-12)


def test_what_was_read():
    model = untrained()
    trace = model.trace(TEXT)
    assert trace.symbols == list(TEXT)
    assert len(trace) == len(TEXT)
    np.testing.assert_array_equal(trace.tokens, model.vocabulary.encode(TEXT))
    assert model.trace(trace.tokens).symbols == list(TEXT)
    assert untrained(symbols="bytes").trace("é(").symbols == [b"\xc3", b"\xa9", b"("]
    words = Model(symbols="words", vocabulary=["<unk>", "the", " dog"], hidden_size=3, seed=0).trace("the lazy dog")
    assert words.symbols == ["the", " lazy", " dog"]
    assert words.tokens.tolist() == [1, 0, 2]


def test_probabilities_are_those_of_surprisal():
    model = untrained()
    trace = model.trace(TEXT)
    nats = -np.log(trace.probabilities[np.arange(len(TEXT) - 1), trace.tokens[1:]])
    np.testing.assert_allclose(nats, model.surprisal(TEXT)[1:], rtol=1e-5)
    np.testing.assert_array_equal(trace.probabilities_at(np.array([3, 9])), trace.probabilities[[3, 9]])
    np.testing.assert_array_equal(trace.probabilities_at([3, 9]), trace.probabilities[[3, 9]])
    np.testing.assert_allclose(trace.probabilities_at(-2), trace.probabilities[-2], rtol=1e-5)
    with pytest.raises(IndexError, match="index 99 is out of bounds for axis 0 with size 46"):
        trace.probabilities_at(99)


def test_nothing_is_read():
    trace = untrained().trace("")
    assert trace.layers[1].hidden_state.shape == (0, 7)
    assert trace.probabilities.shape == (0, len(set(TEXT)))


def test_only_what_is_asked_for_is_kept():
    model = untrained()
    whole, part = model.trace(TEXT), model.trace(TEXT, layers=[1], quantities=["hidden_state", "forget_gate"])
    assert [(k, name) for k, name, _ in part.arrays()] == [(1, "forget_gate"), (1, "hidden_state")]
    np.testing.assert_array_equal(part.layers[1].forget_gate, whole.layers[1].forget_gate)
    np.testing.assert_array_equal(part.probabilities, whole.probabilities)
    with pytest.raises(AttributeError, match="layer 0 of this trace has no 'cell_state'; it holds nothing"):
        _ = part.layers[0].cell_state
    with pytest.raises(AttributeError, match=r"layer 1 .* no 'cell_state'; it holds forget_gate, hidden_state"):
        _ = part.layers[1].cell_state
    assert "forget_gate" in dir(part.layers[1])
    assert "cell_state" not in dir(part.layers[1])


@pytest.mark.parametrize("options", [{}, {"skip": True}], ids=str)
def test_layers_above_those_that_are_kept_are_not_computed(engine, options):
    model = untrained(num_layers=3, **options)
    whole, part = model.trace(TEXT), model.trace(TEXT, layers=[0, 1])
    assert [k for k, *_ in part.arrays()] == [0] * 6 + [1] * 6
    for (*_, found), (*_, want) in zip(part.arrays(), whole.arrays(), strict=False):
        np.testing.assert_array_equal(found, want)
    with pytest.raises(AttributeError, match="layer 2 of this trace has no 'hidden_state'"):
        _ = part.probabilities
    poisoned = {name: a * np.nan if name.endswith("l2") else a for name, a in model.network.stack.state_dict().items()}
    model.network.stack.load_state_dict(poisoned)
    for (*_, found), (*_, want) in zip(model.trace(TEXT, layers=[0, 1]).arrays(), whole.arrays(), strict=False):
        np.testing.assert_array_equal(found, want)


def test_views_of_projected_layers(tmp_path):
    """A projected output is of no single neuron; there are fewer of them than neurons."""
    trace = untrained(hidden_size=6, num_layers=1, proj_size=2).trace(TEXT)
    assert trace.layers[0].hidden_state.shape == (len(TEXT), 2)
    labels = [row.label for row in trace.view(0, 5, None).rows]
    assert labels == ["input_gate", "forget_gate", "candidate", "cell_state", "output_gate"]
    assert len(trace.view(0, None, "hidden_state").rows) == 2
    assert len(trace.view(0, None, "cell_state").rows) == 6
    assert trace.view(0, 1, "hidden_state").rows
    with pytest.raises(IndexError, match=r"neuron 2 is outside \[0, 2\)"):
        trace.view(0, 2, "hidden_state")
    with pytest.raises(IndexError, match=r"neuron 6 is outside \[0, 6\)"):
        trace.view(0, 6, None)


def test_held_gates_are_held_while_tracing():
    model = untrained(num_layers=3)
    with model.hold(forget_gate=0.25, layers=[1, 2]):
        part = model.trace(TEXT, layers=[0, 1], quantities=["forget_gate"])
    assert (part.layers[1].forget_gate == 0.25).all()
    assert not (part.layers[0].forget_gate == 0.25).any()


def test_long_texts_take_the_memory_of_what_is_kept():
    model = untrained(hidden_size=64, num_layers=2)
    ids = np.zeros(40_000, np.int32)
    model.trace(ids[:2000])
    tracemalloc.start()
    trace = model.trace(ids, layers=[1], quantities=["cell_state"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = trace.layers[1].cell_state.nbytes
    assert peak - kept < 8e6  # all that the engine kept would be 123 MB


def test_a_trace_is_its_own():
    model = untrained()
    trace = model.trace(TEXT)
    before = copy.deepcopy([array for *_, array in trace.arrays()])
    model.trace(TEXT[::-1])
    model.fit(TEXT * 20, epochs=1, batch_size=4, seq_length=10, progress=False)
    for (*_, array), want in zip(trace.arrays(), before, strict=True):
        np.testing.assert_array_equal(array, want)
    with pytest.raises(RuntimeError, match="parameters have changed since this trace; trace the text again"):
        _ = trace.probabilities


@pytest.mark.parametrize("make", [copy.deepcopy, lambda trace: pickle.loads(pickle.dumps(trace))])
@pytest.mark.parametrize(
    "options", [{}, {"embedding": 5, "cell": "gru"}, {"peephole": "full", "coupled": True, "skip": True}], ids=str
)
def test_copies_and_pickles_are_whole_and_apart(make, options):
    model = untrained(**options)
    trace = model.trace(TEXT)
    made, before = make(trace), trace.probabilities
    assert made.symbols == trace.symbols
    for (*_, array), (*_, want) in zip(made.arrays(), trace.arrays(), strict=True):
        np.testing.assert_array_equal(array, want)
        assert not np.shares_memory(array, want)
    model.fit(TEXT * 20, epochs=1, batch_size=4, seq_length=10, progress=False)
    np.testing.assert_array_equal(made.probabilities, before)
    with pytest.raises(RuntimeError, match="parameters have changed"):
        _ = make(trace).probabilities


def test_errors():
    model = untrained()
    with pytest.raises(ValueError, match="call fit"):
        Model().trace("a")
    with pytest.raises(ValueError, match="character 'Z'"):
        model.trace("Z")
    with pytest.raises(ValueError, match="did you mean 'cell_state'"):
        model.trace(TEXT, quantities=["cel_state"])
    with pytest.raises(IndexError, match=r"layer 2 is outside \[0, 2\)"):
        model.trace(TEXT, layers=[2])
    with pytest.raises(IndexError, match=r"layer 5 is outside \[0, 2\)"):
        model.trace(TEXT).quantity(5, "cell_state")
    with pytest.raises(ValueError, match="must be at least 0, got -1"):
        model.trace(TEXT).quantity(-1, "cell_state")
    with pytest.raises(ValueError, match="layer 0 was not kept in this trace; it holds 1"):
        model.trace(TEXT, layers=1).view()
    with pytest.raises(ValueError, match=r"steps must be one step, a slice, or a list of steps, got shape \(2, 2\)"):
        model.trace(TEXT).probabilities_at(np.ones((2, 2), int))


def test_a_trace_of_one_layer_and_one_quantity():
    trace = untrained().trace(TEXT, layers=1, quantities="hidden_state")
    assert [(k, name) for k, name, _ in trace.arrays()] == [(1, "hidden_state")]
    assert trace.probe(r"\w+", shifts=2) == trace.probe(r"\w+", layers=[1], shifts=2)
