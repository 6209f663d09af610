"""Parameters kept in one vector: views, sections, versions, strict loading."""

import numpy as np
import pytest

from fastlstm.parameters import Parameters

SHAPES = {"a.weight": (3, 2), "a.bias": (3,), "b.weight": (1, 4)}


@pytest.fixture
def parameters(dtype):
    parameters = Parameters(SHAPES, dtype)
    parameters.flat[...] = np.arange(13)
    return parameters


def test_arrays_are_views_one_after_another(parameters, dtype):
    assert {name: array.shape for name, array in parameters} == SHAPES
    np.testing.assert_array_equal(np.concatenate([array.ravel() for _, array in parameters]), np.arange(13))
    parameters.arrays["b.weight"][0, 3] = 99
    assert parameters.flat[12] == parameters.public["b.weight"][0, 3] == 99
    assert parameters.flat.dtype == dtype


def test_public_arrays_cannot_be_written_or_replaced(parameters):
    with pytest.raises(ValueError, match="read-only"):
        parameters.public["a.bias"][0] = 1
    with pytest.raises(TypeError):
        parameters.public["a.bias"] = np.zeros(3)


def test_section_shares_memory_and_version(parameters):
    section = parameters.section("a.")
    assert {name: array.shape for name, array in section} == {"weight": (3, 2), "bias": (3,)}
    section.load({"weight": np.ones((3, 2)), "bias": np.full(3, 5)})
    np.testing.assert_array_equal(parameters.flat, [1] * 6 + [5] * 3 + [9, 10, 11, 12])
    assert parameters.version == section.version == 1
    parameters.touch()
    assert section.version == 2


def test_zeros_like_is_apart(parameters):
    zeros = parameters.zeros_like()
    assert {name: array.shape for name, array in zeros} == SHAPES
    assert zeros.flat.dtype == parameters.flat.dtype
    assert not zeros.flat.any()
    assert not np.shares_memory(zeros.flat, parameters.flat)


@pytest.mark.parametrize(("change", "message"), [
    ({"a.bias": None}, "missing parameters: a.bias"),
    ({"a.bias": None, "b.weight": None}, "missing parameters: a.bias, b.weight"),
    ({"c": np.zeros(1)}, "unexpected parameters: c"),
    ({"a.bias": None, "bias": np.zeros(1)}, "missing parameters: a.bias; unexpected parameters: bias"),
    ({"b.weight": np.zeros((4, 1))}, "b.weight must have shape (1, 4), got (4, 1)"),
    ({"b.weight": np.zeros((1, 4), complex)}, "b.weight must hold real numbers, got dtype complex128"),
    ({"b.weight": ["x"] * 4}, "b.weight must hold real numbers, got dtype <U1"),
])
def test_load_is_strict_and_changes_nothing_on_error(parameters, change, message):
    values = {name: np.full(shape, 7.0) for name, shape in SHAPES.items()} | change
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        parameters.load({name: value for name, value in values.items() if value is not None})
    assert str(raised.value) == message
    np.testing.assert_array_equal(parameters.flat, np.arange(13))
    assert parameters.version == 0


def test_load_wants_names(parameters):
    with pytest.raises(TypeError, match="parameters must be a mapping of arrays by name, got NoneType"):
        parameters.load(None)


def test_load_copies(parameters):
    values = {name: np.full(shape, 7, parameters.flat.dtype) for name, shape in SHAPES.items()}
    parameters.load(values)
    for value in values.values():
        value.fill(0)
    assert (parameters.flat == 7).all()
    assert parameters.version == 1
