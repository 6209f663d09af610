"""What importing costs and touches: row G4."""

import subprocess
import sys

import fastlstm


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_no_heavy_module():
    heavy = ("scipy", "safetensors", "tqdm", "threadpoolctl", "torch", "argparse", "concurrent.futures.thread")
    code = f"import numpy, sys; before = set(sys.modules); import fastlstm; print([m for m in {heavy} if m in sys.modules])"
    assert run(code) == "[]"


def test_first_use_loads_blas():
    code = "import sys, fastlstm; fastlstm.LSTM(2, 2)([[[1, 2]]]); print('scipy.linalg.cython_blas' in sys.modules)"
    assert run(code) == "True"


def test_public_names_exist():
    assert all(hasattr(fastlstm, name) for name in fastlstm.__all__)
