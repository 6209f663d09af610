"""Finding neurons and probing: row E4."""

import numpy as np
import pytest

import fastlstm
from fastlstm import Model, find, targets
from fastlstm.trace import Trace, TraceLayer

WORDS = ["alpha", "beta", "(gamma (delta) epsilon)", "delta", "zeta\neta", "(theta)", "#iota\n"]


def text_of(words, seed=0):
    rng = np.random.default_rng(seed)
    return " ".join(WORDS[k] for k in rng.integers(len(WORDS), size=words))


def traced(text, hidden_size=12, seed=0):
    return Model(vocabulary=sorted(set(text_of(200) + text)), hidden_size=hidden_size, num_layers=2, seed=seed).trace(text)


def planted(trace, layer, neuron, quantity, values):
    """The trace with one neuron's values replaced."""
    arrays = {name: array.copy() for name, array in trace.layers[layer].quantities.items()}
    arrays[quantity][:, neuron] = values
    layers = list(trace.layers)
    layers[layer] = TraceLayer(f"layer {layer}", arrays)
    return Trace(trace._network, trace.symbols, trace.tokens, layers)


@pytest.mark.parametrize(("target", "sign"), [
    (targets.count("ae", reset="\n"), 1),
    (targets.depth("(", ")"), -1),
    (targets.countdown("\n"), 1),
    (r"#\w+", -1),
])
def test_planted_neuron_comes_first(target, sign):
    trace = traced(text_of(300))
    values = np.nan_to_num(trace.target(target))
    noise = np.random.default_rng(1).normal(size=len(trace))
    trace = planted(trace, 1, 7, "cell_state", sign * (values + 0.1 * values.std() * noise))
    first, second, *_ = found = trace.find(target)
    assert len(found) == 10
    assert (first.layer, first.neuron, first.quantity) == (1, 7, "cell_state")
    assert sign * first.correlation > 0.98 > abs(second.correlation)
    assert first.p_value == 0.01
    assert sorted(found, key=lambda one: -abs(one.correlation)) == found


def test_correlation_is_numpys(monkeypatch):
    monkeypatch.setattr(find, "BLOCK", 7)
    trace = traced(text_of(20) + "eta")
    values = trace.target(targets.countdown("\n"))
    counts = np.isfinite(values)
    assert counts.sum() == len(trace) - 3
    for one in trace.find(values, top=1000):
        column = trace.quantity(one.layer, one.quantity)[counts, one.neuron].astype(np.float64)
        assert one.correlation == pytest.approx(np.corrcoef(column, values[counts])[0, 1], abs=1e-9)
    assert len(trace.find(values, top=1000)) == 2 * 12 * 6


def test_constant_neurons_follow_nothing():
    trace = traced(text_of(50))
    values = trace.target(targets.depth("(", ")"))
    trace = planted(trace, 0, 3, "cell_state", 100 + 1e-6 * values)
    assert [one.correlation for one in trace.find(values, top=1000) if one[:3] == (0, 3, "cell_state")] == [0.0]


def test_shuffled_text_gives_none():
    """States of a shuffled text against a target of the text itself: false positives at 5%, over 60 seeds."""
    found = probed = 0
    for seed in range(60):
        text = text_of(120, seed)
        target = targets.depth("(", ")")(list(text))
        shuffled = "".join(np.random.default_rng(seed).permutation(list(text)))
        trace = traced(shuffled, hidden_size=6, seed=seed)
        found += trace.find(target, top=1, shifts=39, seed=seed)[0].p_value <= 0.05
        probed += trace.probe(target, shifts=39, seed=seed).p_value <= 0.05
    assert found <= 8, found  # of 60; 3 are expected, more than 8 once in 400 times
    assert probed <= 8, probed


@pytest.mark.parametrize("target", [targets.count("ae", reset="\n "), targets.depth("(", ")"), "g", r"\w+"])
def test_probe_tells_what_the_states_know(target):
    trace = traced(text_of(300), hidden_size=24)
    probe = trace.probe(target)
    assert probe.p_value == 0.01
    if probe.measure == "R²":
        assert probe.chance < 0.1 < 0.2 < probe.score <= 1
    else:
        assert probe.chance == pytest.approx(0.5, abs=0.05)
        assert probe.score > 0.75


def test_probe_is_least_squares_on_the_last_third():
    rng = np.random.default_rng(0)
    states, target = rng.normal(size=(90, 2)), rng.normal(size=90)
    target[5:8] = np.nan
    target = target + states[:, 0]
    x, y = states[np.isfinite(target)], target[np.isfinite(target)]
    cut = 58  # of 87
    mean, deviation = x[:cut].mean(axis=0), x[:cut].std(axis=0)
    z = (x - mean) / deviation
    weights = np.linalg.solve(z[:cut].T @ z[:cut] + 1e-3 * cut * np.eye(2), z[:cut].T @ y[:cut])
    told = z[cut:] @ weights + y[:cut].mean()
    want = 1 - ((told - y[cut:]) ** 2).sum() / ((y[cut:] - y[:cut].mean()) ** 2).sum()
    assert find.probe(states, target, 19, 0).score == pytest.approx(want, rel=1e-9)


def test_balanced_accuracy_of_a_rare_class():
    state = np.tile([0.0, 0.0, 0.0, 0.0, 1.0], 60)[:, None]
    assert find.probe(state, state[:, 0], 19, 0)[:2] == (1.0, "balanced accuracy")
    assert find.probe(np.zeros((300, 1)), state[:, 0], 19, 0).score == 0.5


def test_same_seed_same_answer():
    trace = traced(text_of(60))
    assert trace.find("a", seed=1) == trace.find("a", seed=1)
    assert trace.probe("a", seed=1) == trace.probe("a", seed=1) != trace.probe("a", seed=2)


def test_only_what_was_kept_is_looked_through():
    model = Model(vocabulary=sorted(set(text_of(200))), hidden_size=5, num_layers=2, seed=0)
    trace = model.trace(text_of(40), layers=[1], quantities=["candidate"])
    assert {(one.layer, one.quantity) for one in trace.find("a", top=100)} == {(1, "candidate")}
    assert trace.probe("a", layers=[1], quantity="candidate").score > 0.5
    some = model.trace(text_of(40)).find("a", top=100, quantities=["candidate", "hidden_state"])
    assert {one.quantity for one in some} == {"candidate", "hidden_state"}
    assert len(some) == 20


def test_errors():
    trace = traced(text_of(40))
    with pytest.raises(ValueError, match="target must vary over the text, got 0 at every step"):
        trace.find(targets.one_of("Q"))
    with pytest.raises(ValueError, match="target must count at 30 steps at least, got 3"):
        trace.probe(np.where(np.arange(len(trace)) < 3, 1.0, np.nan))
    with pytest.raises(ValueError, match="top must be at least 1"):
        trace.find("a", top=0)
    with pytest.raises(ValueError, match="did you mean 'hidden_state'"):
        trace.probe("a", quantity="hiden_state")
    with pytest.raises(ValueError, match="did you mean 'cell_state'"):
        trace.find("a", quantities=["cel_state"])
    with pytest.raises(ValueError, match="nothing to look through"):
        Trace(trace._network, trace.symbols, trace.tokens, [TraceLayer("layer 0", {})]).find("a")
    with pytest.raises(ValueError, match="nothing to probe: no layer was kept, or asked for"):
        trace.probe("a", layers=[])
    trace.layers[0].hidden_state[7, 3] = np.nan
    with pytest.raises(ValueError, match="hidden_state of layer 0 must be finite, got NaN or infinity in neuron 3"):
        trace.find("a")
    with pytest.raises(ValueError, match="the states must be finite to be probed, got NaN or infinity"):
        trace.probe("a")
    assert fastlstm.targets is targets


def test_chance_in_short_texts():
    """Of 25 different shifts the best is the best by chance once in 26 times, however many are asked for."""
    rng, values = np.random.default_rng(0), []
    for seed in range(200):
        states, target = rng.standard_normal((30, 4)), rng.standard_normal(30)
        [best] = find.find([(0, "h", states)], target, 1, 99, seed)
        values.append([best.p_value, find.probe(states, target, 99, seed).p_value])
    assert sorted(find._prepared(target, 99, 0)[2]) == [0, *range(3, 28)]  # none twice
    assert np.min(values) == 1 / 26
    assert (np.array(values) == 1 / 26).mean(axis=0) == pytest.approx(1 / 26, abs=0.03)


def test_small_states_are_not_taken_for_constant_ones():
    target = np.random.default_rng(0).standard_normal(500)
    [found] = find.find([(0, "h", (1e-12 * target).astype(np.float32)[:, None])], target, 1, 99, 0)
    assert found.correlation > 0.999


def test_one_layer_or_quantity_need_not_be_a_list():
    trace = traced(text_of(40))
    assert trace.find("a", quantities="candidate") == trace.find("a", quantities=["candidate"])
    assert trace.probe("a", layers=0) == trace.probe("a", layers=[0])
