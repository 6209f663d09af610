"""Statistics of states, by hand: row E5."""

import numpy as np
import pytest

from fastlstm import Model, measure, targets

NAN = np.nan
VALUES = np.array([[1, 0.0, -2], [-1, 0, 0.1], [1, 0, 0.2], [1, 0, 1]], np.float32)


def test_sharpness():
    np.testing.assert_allclose(measure.sharpness(VALUES), [0, 0, 1 - 3.3 / 4 / 2], rtol=1e-6)
    assert measure.sharpness(np.zeros((0, 2))).tolist() == [0, 0]


def test_saturation():
    gate = np.array([[0.05, 0.5], [0.1, 0.95], [0.99, 0.91], [0.0, 0.9]])
    found = measure.saturation(gate)
    assert found.shut.tolist() == [0.5, 0]
    assert found.open.tolist() == [0.25, 0.5]
    assert measure.saturation(gate, 0.2, 0.6).shut.tolist() == [0.75, 0]


def test_silent_by_segment():
    found = measure.silent(VALUES, [0, 1, 1, NAN])
    assert found[0].tolist() == [False, True, False]
    assert found[1].tolist() == [False, True, True]
    assert measure.silent(VALUES, [0, 1, 1, 1], share=0.04)[1].tolist() == [False, True, False]


def test_variance_by_segment():
    found = measure.variance(VALUES, np.array([2, 2, -1, -1]))
    assert list(found) == [-1, 2]
    np.testing.assert_allclose(found[-1], [0, 0, 0.16], rtol=1e-6)
    np.testing.assert_allclose(found[2], [1, 0, 1.05**2], rtol=1e-6)


def test_grouped():
    found = measure.grouped(VALUES, [5, NAN, 5, 7])
    assert list(found) == [5, 7]
    assert found[5].steps == 2
    np.testing.assert_allclose(found[5].mean, [1, 0, -0.9], rtol=1e-6)
    np.testing.assert_allclose([found[5].low, found[5].high], [[1, 0, -2], [1, 0, 0.2]], rtol=1e-6)
    np.testing.assert_array_equal(found[7].mean, VALUES[3])


def test_groups_of_a_trace_by_what_came_before_a_delimiter():
    trace = Model(vocabulary="aX\n", hidden_size=4, num_layers=1, seed=0).trace("aX\naaX\naX\n")
    counts = trace.target(targets.count("a", reset="\n"))
    counts[trace.target(targets.one_of("X")) == 0] = NAN
    h = trace.layers[0].hidden_state
    found = measure.grouped(h, counts)
    assert {label: group.steps for label, group in found.items()} == {1: 2, 2: 1}
    np.testing.assert_array_equal(found[2].mean, h[5])
    np.testing.assert_allclose(found[1].mean, (h[1] + h[8]) / 2, rtol=1e-6)
    segments = measure.variance(trace.layers[0].forget_gate, trace.target(targets.count("X", reset="\n")))
    assert list(segments) == [0, 1]


def test_errors():
    with pytest.raises(ValueError, match=r"labels must have shape \(4,\), got \(3,\)"):
        measure.variance(VALUES, [1, 2, 3])
