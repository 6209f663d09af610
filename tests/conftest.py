"""Fixtures shared by the test modules."""

import signal

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from command_line import SIZES, TEXT, command
from fastlstm import _core, cli, engines


@pytest.fixture(scope="session", autouse=True)
def one_thread_of_numpy():
    """NumPy's products of small matrices take many times as long where threads that look for work have none."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture(scope="session", autouse=True)
def ctrl_c():
    """Interrupts that tests send arrive, though a shell started pytest in its background, where Ctrl-C is ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def start():
    """Starts commands, which end with the test at the latest."""
    processes = []

    def started(*arguments, **options):
        processes.append(command(*arguments, **options))
        return processes[-1]

    yield started
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(params=_core.available_isas())
def isa(request):
    """Each row of the kernel table that this processor runs, in turn."""
    before = _core.isa()
    _core.use_isa(request.param)
    assert _core.isa() == request.param
    yield request.param
    _core.use_isa(before)


@pytest.fixture(params=engines.NAMES)
def engine(request):
    """Each engine in turn, in use."""
    with engines.engine(request.param):
        yield request.param


@pytest.fixture(params=["native", "blas"])
def compiled(request):
    """Each engine with kernels in turn, in use."""
    with engines.engine(request.param):
        yield request.param


@pytest.fixture
def divided(monkeypatch):
    """However little there is to do, threads divide it."""
    monkeypatch.setattr("fastlstm.threads.LEAST_WORK", 1)
    monkeypatch.setattr("fastlstm.engines.native.DIVIDED_BYTES", 0)
    monkeypatch.setattr("fastlstm.engines.native.DIVIDED_STEP_BYTES", 0)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="session")
def onnxruntime():
    pytest.importorskip("onnx", reason="onnx is not installed")
    return pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")


@pytest.fixture
def corpus(tmp_path):
    """A file of text."""
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


@pytest.fixture
def trained(corpus, capfd):
    """A model file, beside it."""
    path = corpus.parent / "m.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(path), "--epochs", "2", *SIZES]) == 0
    capfd.readouterr()
    return path
