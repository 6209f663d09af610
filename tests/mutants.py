"""Plants gradient faults one at a time in a copy of the tree and asks whether the tests named for each catch it.

Run as `python tests/mutants.py` with an interpreter that has NumPy, SciPy, Cython, setuptools and pytest. A fault is
caught when an assertion of a named test fails; a build error, any other exception, a crash or a timeout is no catch.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LAYERS, CORE, NETWORK = "tests/test_layers.py", "tests/test_core.py", "tests/test_network.py"
BLAS, PACKING = "src/fastlstm/engines/blas.py", "src/fastlstm/engines/packing.py"
LOOPS, NET = "src/fastlstm/_lstm.pyx", "src/fastlstm/network.py"
STEP, MATH, SOFTMAX = "csrc/lstm.inc.h", "csrc/math.inc.h", "csrc/softmax.inc.h"

DIFFERENCES = f"{LAYERS}::test_gradients_equal_central_differences"
REFERENCE = f"{LAYERS}::test_float64_equals_reference"
ONE_BY_ONE = f"{LAYERS}::test_ragged_equals_one_by_one"
CHUNKED = f"{LAYERS}::test_chunked_equals_whole"
TOKENS = f"{LAYERS}::test_tokens_equal_one_hot_vectors"
KERNEL = f"{CORE}::test_lstm_step_equals_reference"
BACKWARD = "lstm_backward(&gates[start, 0], &dc[0, 0], &c[B + start, 0],"  # its call in _lstm.pyx
NETWORK_DIFFERENCES = f"{NETWORK}::test_every_gradient_by_finite_differences"


class Mutant(NamedTuple):
    """One fault: `old`, which stands exactly once in `file`, becomes `new`; `tests` must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = [
    Mutant("h0 taken as 0", BLAS, "packing.sort(h0[k]), packing.sort(c0[k])", "0, packing.sort(c0[k])", (REFERENCE,)),
    Mutant("c0 ignored", BLAS, "packing.sort(h0[k]), packing.sort(c0[k])", "packing.sort(h0[k]), 0", (REFERENCE,)),
    Mutant("h_t for h_{t-1} in dU", BLAS, "packing.previous(h), transpose_a", "h[packing.B :], transpose_a",
           (DIFFERENCES,)),
    Mutant("bias_hh gradient missing", BLAS, '[...] = gradients[f"bias_ih_l{k}"]', "[...] = 0", (DIFFERENCES,)),
    Mutant("dropout mask lost backwards", BLAS, "d_rows *= mask", "pass", (DIFFERENCES,)),
    Mutant("dropout mask lost forwards", BLAS, "rows = rows * mask", "rows = rows * 1", (DIFFERENCES,)),
    Mutant("dstate ignored", BLAS, "packing.sort(dh[k]), packing.sort(dc[k])",
           "packing.sort(0 * dh[k]), packing.sort(0 * dc[k])", (CHUNKED,)),
    Mutant("dx zero at t = 0", BLAS, "_core.matmul(d_rows, gates, weight_ih)\n",
           "_core.matmul(d_rows, gates, weight_ih)\n                d_rows[: packing.batch_sizes[0]] = 0\n",
           (DIFFERENCES,)),
    Mutant("repeated tokens counted once", BLAS, "_core.scatter_add(table, gates, places.astype(np.int32, copy=False))",
           "table[places] = gates", (TOKENS,)),
    Mutant("previous rows of ragged batches unsorted", PACKING, "np.where(step == 0, rank,",
           "np.where(step == 0, self._order[rank],", (DIFFERENCES,)),
    Mutant("states of ragged batches not put back", PACKING, "unsorted[self._order] = states",
           "unsorted[...] = states[self._order]", (ONE_BY_ONE,)),
    Mutant("padding takes part", BLAS, "packing = Packing(T, B, lengths)", "packing = Packing(T, B, None)",
           (f"{LAYERS}::test_padding_changes_no_bit",)),
    Mutant("only the last block of the output layer's gradient", NET, "rows[block], transpose_a=True, beta=1",
           "rows[block], transpose_a=True, beta=0", (f"{NETWORK}::test_blocks_of_logits_change_nothing_but_rounding",)),
    Mutant("output bias gradient missing", NET, "d_bias += logits.sum(axis=0)", "pass", (NETWORK_DIFFERENCES,)),
    Mutant("embedding gradient not cleared", NET, "d_embedding.fill(0)", "d_embedding.fill(1)", (NETWORK_DIFFERENCES,)),
    Mutant("tied vectors' part of the output layer lost", NET, 'if self.output != "embedding.weight":', "if True:",
           (NETWORK_DIFFERENCES,)),
    Mutant("columns of absent tokens not cleared", BLAS, "        gradient.fill(0)\n", "", (NETWORK_DIFFERENCES,)),
    Mutant("last step missing", LOOPS, "            start -= rows\n",
           "            start -= rows\n            if t == T - 1:\n                continue\n", (DIFFERENCES,)),
    Mutant("first step missing", LOOPS, "range(T - 1, -1, -1)", "range(T - 1, 0, -1)",
           (f"{LAYERS}::test_gradients_of_one_step_equal_central_differences",)),
    Mutant("c_t for c_{t-1}", LOOPS, f"row.f64.{BACKWARD} &c[previous, 0]", f"row.f64.{BACKWARD} &c[B + start, 0]",
           (DIFFERENCES,)),
    Mutant("dh summed over the steps", LOOPS, "4 * H, False, False, <real>0)", "4 * H, False, False, <real>1)",
           (DIFFERENCES,)),
    Mutant("wrong previous rows where sequences end", LOOPS, "B + start - batch_sizes[t - 1] if t",
           "B + start - rows if t", (ONE_BY_ONE,)),
    Mutant("gates i and f swapped", STEP, "(gates + j, d_i, count)", "(gates + j, d_f, count)", (KERNEL,)),
    Mutant("dc not multiplied by f", STEP, "(dc + j, state * f, count)", "(dc + j, state, count)", (DIFFERENCES,)),
    Mutant("c for tanh(c) in the gradient of o", STEP, "vec d_o = out * squashed",
           "vec d_o = out * NAME(load_part)(c + j, count, 0)", (DIFFERENCES,)),
    Mutant("derivative of tanh wrong", MATH, "case FL_TANH: return one - y * y;", "case FL_TANH: return one - y;",
           (DIFFERENCES,)),
    Mutant("softmax gradient without scale", SOFTMAX, "(REAL)(scale / sum)", "(REAL)(1 / sum)",
           (f"{CORE}::test_softmax_cross_entropy_equals_reference",)),
]


class Copy:
    """A copy of the working tree, built in place: what the tests here import."""

    def __init__(self, root: Path) -> None:
        self.root = root
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
            capture_output=True, text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, root / name)
        # No bytecode: a mutant of the same size in the same second would be taken for its original.
        self.environment = {**os.environ, "PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment["COLUMNS"] = "1000"  # pytest cuts the reasons of failures to the terminal's width
        self.environment.pop("FASTLSTM_ISA", None)
        self.replace("setup.py", '"-O3"', '"-O1"')  # compiles in half the time

    def run(self, *command: str) -> subprocess.CompletedProcess:
        """Run Python in the copy."""
        return subprocess.run(
            [sys.executable, *command], cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=300
        )

    def replace(self, file: str, old: str, new: str) -> str:
        """Replace the one occurrence of `old`; returns the text as it was."""
        path = self.root / file
        text = path.read_text()
        if text.count(old) != 1:
            sys.exit(f"{file}: {old!r} occurs {text.count(old)} times instead of once")
        path.write_text(text.replace(old, new))
        return text

    def build(self) -> str:
        """Build what has changed; returns a digest of all extensions."""
        done = self.run("setup.py", "-q", "build_ext", "--inplace")
        if done.returncode:
            sys.exit(f"the build failed:\n{done.stdout}{done.stderr}")
        libraries = sorted((self.root / "src/fastlstm").glob("*.so"))
        return hashlib.sha256(b"".join(library.read_bytes() for library in libraries)).hexdigest()

    def check_is_imported(self) -> None:
        """Make sure that it is the copy which Python finds, and not an installed package."""
        code = "import fastlstm, fastlstm._core as core; print(fastlstm.__file__, core.__file__, sep='\\n')"
        files = self.run("-c", code).stdout.splitlines()
        if len(files) != 2 or not all(Path(file).resolve().is_relative_to(self.root) for file in files):
            sys.exit(f"the tests would import {files}, not the copy in {self.root}")

    def test(self, tests: tuple[str, ...]) -> str:
        """Run tests up to the first failure: "passed", "failed: <which>", or what else went wrong."""
        try:
            done = self.run("-m", "pytest", "-x", "--tb=no", "-rf", "-p", "no:cacheprovider", *tests)
        except subprocess.TimeoutExpired:
            return "timeout"
        lines = done.stdout.splitlines() or [""]
        if done.returncode == 0 and re.search(r"\d+ passed", lines[-1]):
            return "passed"
        failure = re.search(r"^FAILED .*::(.+) - assert", done.stdout, re.MULTILINE | re.IGNORECASE)
        if done.returncode == 1 and failure:
            return f"failed: {failure[1]}"
        return f"neither passed nor failed (exit {done.returncode}): {lines[-2:]}"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="fastlstm-mutants-") as folder:
        copy = Copy(Path(folder).resolve())
        builds = {copy.build()}
        copy.check_is_imported()
        verdict = copy.test(tuple(dict.fromkeys(test for mutant in MUTANTS for test in mutant.tests)))
        if verdict != "passed":
            sys.exit(f"without any fault, the named tests: {verdict}")
        caught = 0
        for mutant in sorted(MUTANTS, key=lambda mutant: not mutant.file.endswith(".py")):  # Python first: no builds
            start = time.monotonic()
            original = copy.replace(mutant.file, mutant.old, mutant.new)
            if not mutant.file.endswith(".py"):
                digest = copy.build()
                if digest in builds:
                    sys.exit(f"{mutant.name}: the build did not take up the change")
                builds.add(digest)
            verdict = copy.test(mutant.tests)
            (copy.root / mutant.file).write_text(original)
            caught += verdict.startswith("failed")
            mark = "caught" if verdict.startswith("failed") else "MISSED"
            print(f"{mark}  {mutant.name:50} {Path(mutant.file).name:14} {time.monotonic() - start:4.0f} s  {verdict}",
                  flush=True)
    print(f"{caught} of {len(MUTANTS)} caught")
    return 0 if caught == len(MUTANTS) else 1


if __name__ == "__main__":
    sys.exit(main())
