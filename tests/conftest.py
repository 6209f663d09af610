"""Fixtures shared by the test modules."""

import numpy as np
import pytest

from fastlstm import _core


@pytest.fixture(params=_core.available_isas())
def isa(request):
    """Each row of the kernel table that this processor runs, in turn."""
    before = _core.isa()
    _core.use_isa(request.param)
    assert _core.isa() == request.param
    yield request.param
    _core.use_isa(before)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")
