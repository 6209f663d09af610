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
NATIVE, CONTRACT, MODEL = "tests/test_native.py", "tests/test_layers_contract.py", "tests/test_model.py"
COMPILED, PACKING = "src/fastlstm/engines/compiled.py", "src/fastlstm/engines/packing.py"
ENGINE, NET, PARAMETERS = "src/fastlstm/engines/native.py", "src/fastlstm/network.py", "src/fastlstm/parameters.py"
OPTIM = "src/fastlstm/optim.py"
BLAS_LOOPS, MATH, SOFTMAX = "src/fastlstm/_lstm.pyx", "csrc/math.inc.h", "csrc/softmax.inc.h"
LSTM, GRU, RNN, STEP = "csrc/lstm.inc.h", "csrc/gru.inc.h", "csrc/rnn.inc.h", "csrc/step.inc.h"
CELL, LAYER, STACK, PRODUCT = "csrc/cell.inc.h", "csrc/layer.inc.h", "csrc/stack.inc.h", "csrc/product.inc.h"
DIVIDED = "csrc/divided.inc.h"

DIFFERENCES = f"{LAYERS}::test_gradients_equal_central_differences"
REFERENCE = f"{LAYERS}::test_float64_equals_reference"
ONE_BY_ONE = f"{LAYERS}::test_ragged_equals_one_by_one"
CHUNKED = f"{LAYERS}::test_chunked_equals_whole"
TOKENS = f"{LAYERS}::test_tokens_equal_one_hot_vectors"
KERNEL = f"{CORE}::test_lstm_step_equals_reference"
MULTIPLY = f"{CORE}::test_product_equals_numpy"
MULTIPLY_TRANSPOSED = f"{CORE}::test_transposed_product_equals_numpy"
STACKS, STREAMS = f"{NATIVE}::test_stacks_equal_the_reference", f"{NATIVE}::test_streams_equal_the_reference"
CELL_FORWARD = "tests/test_cells.py::test_forward_equals_the_formulas"
CELL_BACKWARD = "tests/test_cells.py::test_backward_equals_central_differences"
CELL_LAYERS = "tests/test_native_cells.py::test_layers_equal_their_steps"
CELL_STACKS = "tests/test_native_cells.py::test_stacks_equal_layers"
NETWORK_DIFFERENCES = f"{NETWORK}::test_every_gradient_by_finite_differences"


class Mutant(NamedTuple):
    """One fault: `old`, which stands exactly once in `file`, becomes `new`; `tests` must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = [
    # both compiled engines
    Mutant("h0 taken as 0", COMPILED, "packing.sort(h0[k]), packing.sort(c0[k])", "0, packing.sort(c0[k])", (REFERENCE,)),
    Mutant("c0 ignored", COMPILED, "packing.sort(h0[k]), packing.sort(c0[k])", "packing.sort(h0[k]), 0", (REFERENCE,)),
    Mutant("h_t for h_{t-1} in dU", COMPILED, "gates, packing.previous(h), workspace", "gates, h[packing.B :], workspace",
           (DIFFERENCES,)),
    Mutant("bias_hh gradient missing", COMPILED, "[...] = d_bias", "[...] = 0", (DIFFERENCES,)),
    Mutant("bias taken twice", COMPILED, 'stack.parameters[f"bias_ih_l{k}"] + stack.parameters[f"bias_hh_l{k}"]',
           '2 * (stack.parameters[f"bias_ih_l{k}"] + stack.parameters[f"bias_hh_l{k}"])', (REFERENCE,)),
    Mutant("dropout mask lost backwards", COMPILED, "d_rows *= mask", "pass", (DIFFERENCES,)),
    Mutant("dropout mask lost forwards", COMPILED, "rows = rows * mask", "rows = rows * 1", (DIFFERENCES,)),
    Mutant("dstate ignored", COMPILED, "packing.sort(dh[k]), packing.sort(dc[k])",
           "packing.sort(0 * dh[k]), packing.sort(0 * dc[k])", (CHUNKED,)),
    Mutant("dx zero at t = 0", COMPILED, 'self.back_affine(d_rows, gates, stack.store, f"weight_ih_l{k}")\n',
           'self.back_affine(d_rows, gates, stack.store, f"weight_ih_l{k}")\n'
           "                d_rows[: packing.batch_sizes[0]] = 0\n", (DIFFERENCES,)),
    Mutant("repeated tokens counted once", COMPILED, "_core.scatter_add(table, gates, rows.places, threads_for(gates.size))",
           "table[rows.places] = gates", (TOKENS,)),
    Mutant("columns of absent tokens not cleared", COMPILED, "d_weight.fill(0)", "pass", (NETWORK_DIFFERENCES,)),
    Mutant("padding takes part", COMPILED, "if lengths is None else Packing(T, B, lengths)", "if True else None",
           (f"{LAYERS}::test_padding_changes_no_bit",)),
    Mutant("previous rows of ragged batches unsorted", PACKING, "np.where(step == 0, rank,",
           "np.where(step == 0, self._order[rank],", (DIFFERENCES,)),
    Mutant("states of ragged batches not put back", PACKING, "unsorted[self._order] = states",
           "unsorted[...] = states[self._order]", (ONE_BY_ONE,)),
    Mutant("what was made of the values not made anew", PARAMETERS, "if version != self.changes[0]:", "if value is None:",
           (DIFFERENCES, NETWORK_DIFFERENCES)),
    # the native engine
    Mutant("token table without the bias", COMPILED, '["weight_ih_l0"].T, bias, order="C")',
           '["weight_ih_l0"].T, 0 * bias, order="C")', (TOKENS,)),
    Mutant("nothing is made anew after an update", OPTIM, "self._parameters.touch()", "pass",
           (f"{MODEL}::test_reference_engine_trains_to_the_same_weights",)),
    Mutant("streams go on with old parameters", ENGINE, "if self._changes[0] != self._version:", "if False:",
           (f"{CONTRACT}::test_stream_sees_new_parameters",)),
    # the output layer
    Mutant("only the last block of the output layer's gradient", NET, "add=start > 0", "add=False",
           (f"{NETWORK}::test_blocks_of_logits_change_nothing_but_rounding",)),
    Mutant("output bias gradient missing", NET, "_core.scatter_add(d_bias[None], logits, None, threads)", "pass",
           (NETWORK_DIFFERENCES,)),
    Mutant("embedding gradient not cleared", NET, "d_embedding.fill(0)", "d_embedding.fill(1)", (NETWORK_DIFFERENCES,)),
    Mutant("tied vectors' part of the output layer lost", NET, 'and self.output != "embedding.weight":', "and True:",
           (NETWORK_DIFFERENCES,)),
    # the steps of a layer
    Mutant("last step missing", LAYER, "if (step.rows > 0)", "if (step.rows > 0 && t != l->T - 1)", (DIFFERENCES,)),
    Mutant("first step missing", LAYER, "if (step.rows > 0)", "if (step.rows > 0 && t != 0)",
           (f"{LAYERS}::test_gradients_of_one_step_equal_central_differences",)),
    Mutant("gradient of the initial h missing", LAYER, "if (step.rows > 0)", "if (step.rows > 0 && t >= 0)", (DIFFERENCES,)),
    Mutant("c_t for c_{t-1}", LAYER, "step.c_prev = c + (before + first) * H;",
           "step.c_prev = c + (l->B + start + first) * H;", (DIFFERENCES,)),
    Mutant("dy ignored", LAYER, "step.dy = dy + (start + first) * H;", "step.dy = NULL;", (DIFFERENCES,)),
    Mutant("wrong previous rows where sequences end", LAYER, "l->B + start - l->batch_sizes[t - 1] : 0",
           "l->B + start - l->batch_sizes[t] : 0", (ONE_BY_ONE,)),
    Mutant("sequences that end taken for those that go on", LAYER, "s.first + (ends ? next : 0)", "s.first", (ONE_BY_ONE,)),
    Mutant("initial state after each step", LAYER, "        before = current;\n", "", (REFERENCE,)),
    Mutant("every step of a block reads its first projection", LAYER, "used += l->tokens ? 0 : step.rows;", "used += 0;",
           (STACKS,)),
    Mutant("bias left out of the projection", LAYER, ".bias = l->bias,", "", (REFERENCE,)),
    Mutant("threads read the first sequences' input", LAYER, "rows[listed++] = next + s.first + b;",
           "rows[listed++] = next + b;", (STACKS,)),
    Mutant("last units of several threads missing", LAYER, "share_of(l, kernels->strip_count(wide, H), index, count)",
           "share_of(l, kernels->strip_count(wide, H) - (count > 1), index, count)", (STACKS,)),
    Mutant("last units of dh of several threads missing", LAYER, "share_of(l, kernels->strip_count(H, 0), index, count)",
           "share_of(l, kernels->strip_count(H, 0) - (count > 1), index, count)", (STACKS,)),
    Mutant("threads do not wait for each other", LAYER, "before = current;\n        if (l->divide_units)",
           "before = current;\n        if (0)", (STACKS,)),
    Mutant("threads do not wait for each other backwards", LAYER, "next = rows;\n        if (l->divide_units)",
           "next = rows;\n        if (0)", (STACKS,)),
    Mutant("layers read the states of the step before", STACK, "k ? after - state : s->x", "k ? before - state : s->x",
           (STREAMS,)),
    Mutant("upper layers go on from the first one's cell state", STACK, "c ? c + k * state : NULL", "c", (STREAMS,)),
    # the gates
    Mutant("gates i and f swapped", LSTM, "STORE(i_at, d_i)", "STORE(i_at, d_f)", (KERNEL,)),
    Mutant("dc not multiplied by f", LSTM, "d_before = state * f;", "d_before = state;", (DIFFERENCES,)),
    Mutant("c for tanh(c) in the gradient of o", LSTM, "vec d_o = out * squashed", "vec d_o = out * LOAD(at->c + j)",
           (DIFFERENCES,)),
    Mutant("peephole of o sees the state before", LSTM, "o = vfma(LOAD(w_o), state, o)",
           "o = vfma(LOAD(w_o), LOAD(at->c_prev + j), o)", (CELL_FORWARD,)),
    Mutant("peephole of o lost in the gradient of c", LSTM, "state = vfma(d_o, LOAD(w_o), state);", ";", (CELL_BACKWARD,)),
    Mutant("peephole of f lost in the gradient of c", LSTM, "d_before = vfma(d_f, LOAD(w_f), d_before);", ";",
           (CELL_BACKWARD,)),
    Mutant("coupled gate's gradient without the candidate", LSTM, "forgotten = before - g;", "forgotten = before;",
           (CELL_BACKWARD,)),
    Mutant("reset gate after the product left out", GRU, "n = vfma(r, LOAD(u + 2 * at->H + j), n);",
           "n = n + LOAD(u + 2 * at->H + j);", (CELL_FORWARD,)),
    Mutant("update gate the other way round", GRU, "vfma(z, before - n, n)", "vfma(z, n - before, before)", (CELL_FORWARD,)),
    Mutant("gradient past the update gate lost", GRU, "STORE(dh_at, z * out);", "STORE(dh_at, vset(0) * out);",
           (CELL_BACKWARD,)),
    Mutant("reset gate lost in the gradient of U's part", GRU, "STORE(u_n, d_n * r)", "STORE(u_n, d_n)", (CELL_BACKWARD,)),
    Mutant("derivative of the plain cell left out", RNN, "out * NAME(activation_slope)(cell.activation, LOAD(at->gates + j))",
           "out", (CELL_BACKWARD,)),
    Mutant("a row's last units missing", CELL, "if (whole < end) ", "if (whole + 1 < end) ", (KERNEL,)),
    Mutant("units of a strip's last vector missing", STEP, "AT_MOST((k1 - k0) * size, H - unit)",
           "AT_MOST((k1 - k0) * size, H - unit) - 1", (STACKS,)),
    Mutant("state's part lost where there is an input's", STEP, "if (U)\n", "if (U && !W)\n", (STREAMS,)),
    Mutant("U's part begins without its bias", STEP, "states.starts = !apart || s->recurrent_bias;", "states.starts = !apart;",
           (CELL_LAYERS,)),
    Mutant("U's part of the gradient overwrites what went past it", STEP, "(&rows, s->cell.kind == FL_GRU,", "(&rows, 0,",
           (CELL_LAYERS,)),
    Mutant("upper layers without U's bias", STACK, "s->recurrent_bias[k]", "s->recurrent_bias[0]", (CELL_STACKS,)),
    Mutant("derivative of tanh wrong", MATH, "case FL_TANH: return one - y * y;", "case FL_TANH: return one - y;",
           (DIFFERENCES,)),
    Mutant("softmax gradient without scale", SOFTMAX, "(REAL)(scale / sum)", "(REAL)(1 / sum)",
           (f"{CORE}::test_softmax_cross_entropy_equals_reference",)),
    # products
    Mutant("last terms of a lone row's sums missing", PRODUCT, "for (; k < K; k++, panel += PANEL)",
           "for (; k + 1 < K; k++, panel += PANEL)", (MULTIPLY,)),
    Mutant("one of a lone row's sums missing", PRODUCT, "phase = 1; phase < phases; phase++",
           "phase = 2; phase < phases; phase++", (MULTIPLY,)),
    Mutant("a panel's last columns not packed", PRODUCT, "v * LANES, v < at->vecs ?", "v * LANES, v + 1 < at->vecs ?",
           (MULTIPLY,)),
    Mutant("later blocks of K read the first of A", PRODUCT, "panel + k0 * PANEL, k0, AT_MOST",
           "panel + k0 * PANEL, 0, AT_MOST", (MULTIPLY,)),
    Mutant("blocks of K overwrite each other", PRODUCT, "add || k0, scratch", "add, scratch",
           (MULTIPLY_TRANSPOSED,)),
    Mutant("a tile's last row not packed", PRODUCT, "FOR_EACH_VEC(count, BODY);\n#undef BODY\n        }",
           "FOR_EACH_VEC(count - 1, BODY);\n#undef BODY\n        }", (MULTIPLY_TRANSPOSED,)),
    Mutant("last strips of a group left out", STEP, "k = k0; k < k1; k++)", "k = k0; k + (group > 1) < k1; k++)", (STACKS,)),
    Mutant("the second thread's last columns missing", DIVIDED, "q.end = q.begin + end;",
           "q.end = q.begin + end - (index > 0);", (MULTIPLY,)),
    Mutant("the second thread's last row missing", DIVIDED, "q.M = end - begin;", "q.M = end - begin - (index > 0);",
           (MULTIPLY,)),
    Mutant("only the first thread scatters", DIVIDED, "j->m, j->n, begin, end);", "j->m, j->n, begin, index ? begin : end);",
           (f"{CORE}::test_scatter_add_equals_numpy",)),
    # the time loops of the BLAS engine
    Mutant("BLAS: last step missing", BLAS_LOOPS, "            start -= rows\n",
           "            start -= rows\n            if t == T - 1:\n                continue\n", (DIFFERENCES,)),
    Mutant("BLAS: dh summed over the steps", BLAS_LOOPS, "4 * H, False, False, <real>0)", "4 * H, False, False, <real>1)",
           (DIFFERENCES,)),
    Mutant("BLAS: wrong previous rows where sequences end", BLAS_LOOPS, "B + start - batch_sizes[t - 1] if t",
           "B + start - rows if t", (ONE_BY_ONE,)),
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
