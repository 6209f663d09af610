"""What importing costs and touches: row G4."""

import subprocess
import sys

import pytest

import fastlstm


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_no_heavy_module():
    heavy = ("scipy", "safetensors", "tqdm", "threadpoolctl", "torch", "argparse", "concurrent.futures.thread")
    code = f"import numpy, sys; before = set(sys.modules); import fastlstm; print([m for m in {heavy} if m in sys.modules])"
    assert run(code) == "[]"


@pytest.mark.parametrize(("last", "options"), [("blas", ""), ("native", ", proj_size=1")])
def test_only_products_through_blas_load_scipy(last, options):
    code = f"""
import sys, fastlstm
for engine, rnn in (("native", fastlstm.LSTM(2, 2)), ("{last}", fastlstm.LSTM(2, 2{options}))):
    fastlstm.set_engine(engine)
    y, _, tape = rnn.forward([[[1, 2]]])
    rnn.backward(tape, y)
    rnn.stream().step([[1, 2]])
    print("scipy" in sys.modules)
"""
    assert run(code) == "False\nTrue"


def test_layers_load_nothing_of_models():
    code = "import sys, fastlstm; fastlstm.LSTM(2, 2)([[[1, 2]]]); print([m for m in sys.modules if m.startswith('fastlstm')])"
    loaded = eval(run(code))
    assert "fastlstm.layers" in loaded
    assert not {f"fastlstm.{name}" for name in ("model", "network", "training", "trace", "views", "flow")} & set(loaded)


def test_public_names_exist():
    code = "import fastlstm as f; print(set(f.__all__) - set(dir(f)), [getattr(f, name) for name in f.__all__])"
    assert run(code).startswith("set() [<class 'fastlstm.layers.GRU'>")
    assert run("import fastlstm; print(fastlstm.vocabulary.UNKNOWN)") == "<unk>"
    with pytest.raises(AttributeError, match="module 'fastlstm' has no attribute 'Lstm'"):
        fastlstm.Lstm  # noqa: B018
