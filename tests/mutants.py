"""Plants gradient faults one at a time in copies of the tree and asks whether the tests named for each catch it.

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
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Queue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIES = 2  # of the tree, each with a fault of its own at a time
LAYERS, CORE, NETWORK = "tests/test_layers.py", "tests/test_core.py", "tests/test_network.py"
NATIVE, CONTRACT, MODEL = "tests/test_native.py", "tests/test_layers_contract.py", "tests/test_model.py"
COMPILED, PACKING = "src/fastlstm/engines/compiled.py", "src/fastlstm/engines/packing.py"
GRADIENTS, TOKEN_INPUT = "src/fastlstm/engines/gradients.py", "src/fastlstm/engines/tokens.py"
ENGINE, NET, PARAMETERS = "src/fastlstm/engines/native.py", "src/fastlstm/network.py", "src/fastlstm/parameters.py"
OPTIM, CELLS, LOOPS = "src/fastlstm/optim.py", "src/fastlstm/cells.py", "src/fastlstm/_loops.pyx"
EQUATIONS, REFERENCE_LSTM = "src/fastlstm/reference/equations.py", "src/fastlstm/reference/lstm.py"
REFERENCE_GRU, REFERENCE_STACK = "src/fastlstm/reference/gru.py", "src/fastlstm/reference/stack.py"
LSTM, GRU, RNN, STEP = "csrc/lstm.inc.h", "csrc/gru.inc.h", "csrc/rnn.inc.h", "csrc/step.inc.h"
CELL, LAYER, STACK, PRODUCT = "csrc/cell.inc.h", "csrc/layer.inc.h", "csrc/stack.inc.h", "csrc/product.inc.h"
NATIVE_LOOPS = "src/fastlstm/_native.pyx"
DIVIDED, MATH, SOFTMAX = "csrc/divided.inc.h", "csrc/math.inc.h", "csrc/softmax.inc.h"

DIFFERENCES = f"{LAYERS}::test_gradients_equal_central_differences"
REFERENCE = f"{LAYERS}::test_float64_equals_reference"
ONE_BY_ONE = f"{LAYERS}::test_ragged_equals_one_by_one"
CHUNKED = f"{LAYERS}::test_chunked_equals_whole"
TOKENS = f"{LAYERS}::test_tokens_equal_one_hot_vectors"
MULTIPLY = f"{CORE}::test_product_equals_numpy"
MULTIPLY_GATES = f"{CORE}::test_product_with_the_weights_of_gates_equals_numpy"
MULTIPLY_TRANSPOSED = f"{CORE}::test_transposed_product_equals_numpy"
STACKS, STREAMS = f"{NATIVE}::test_stacks_equal_the_reference", f"{NATIVE}::test_streams_equal_the_reference"
CELL_FORWARD = "tests/test_cells.py::test_forward_equals_the_formulas"
CELL_BACKWARD = "tests/test_cells.py::test_backward_equals_central_differences"
NETWORK_DIFFERENCES = f"{NETWORK}::test_every_gradient_by_finite_differences"
# Of these the engine, the stack and the cell follow in brackets.
EQUAL = "tests/test_recurrent.py::test_float64_equals_reference"
STREAMED = "tests/test_recurrent.py::test_streamed_equals_whole"
ONE_HOT = "tests/test_recurrent.py::test_tokens_equal_one_hot_vectors"
OF_REFERENCE = "tests/test_reference_gradients.py::test_gradients_equal_central_differences"


class Mutant(NamedTuple):
    """One fault: `old`, which stands exactly once in `file`, becomes `new`; `tests` must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = [
    # both compiled engines
    Mutant("h0 taken as 0", COMPILED, "buffer[:B] = state", "buffer[:B] = 0 if buffer is h else state", (REFERENCE,)),
    Mutant("c0 ignored", COMPILED, "buffer[:B] = state", "buffer[:B] = 0 if buffer is c else state", (REFERENCE,)),
    Mutant("dropout mask lost backwards", COMPILED, "d_input *= saved.masks[k]", "pass", (DIFFERENCES,)),
    Mutant("dropout mask lost forwards", COMPILED, "else outputs[-1] * mask", "else outputs[-1] * 1", (DIFFERENCES,)),
    Mutant("dstate ignored", COMPILED, "(packing.sort(part[place.index])", "(packing.sort(0 * part[place.index])", (CHUNKED,)),
    Mutant("dx zero at t = 0", COMPILED, 'arrays.gates, stack.store, place.name("weight_ih"), workspace)\n',
           'arrays.gates, stack.store, place.name("weight_ih"), workspace)\n'
           "                d_rows[: packing.batch_sizes[0]] = 0\n", (DIFFERENCES,)),
    Mutant("padding takes part", COMPILED, "if lengths is None else Packing(T, B, lengths)", "if True else None",
           (f"{LAYERS}::test_padding_changes_no_bit",)),
    Mutant("recurrent dropout lost", COMPILED, "packing.sort(masks.recurrent[place.index])",
           "0 * packing.sort(masks.recurrent[place.index]) + 1",
           (f"{EQUAL}[native-skip, ragged, recurrent dropout-LSTM]",)),
    Mutant("outputs of the other direction not turned round", COMPILED, "backwards = packing.reverse(found[-1].h[B:])",
           "backwards = found[-1].h[B:].copy()", (f"{EQUAL}[native-bidirectional, dropout-plain]",)),
    Mutant("gradient of the other direction's input not turned round", COMPILED,
           "packing.reverse(d_rows) if place.direction else d_rows", "d_rows",
           (f"{EQUAL}[native-bidirectional, dropout-plain]",)),
    Mutant("one direction's part of the input's gradient lost", COMPILED,
           "d_input = _sum(d_input, packing.reverse(d_rows) if place.direction else d_rows)",
           "d_input = packing.reverse(d_rows) if place.direction else d_rows",
           (f"{EQUAL}[native-bidirectional, dropout-plain]",)),
    Mutant("sum of the directions goes back to one", COMPILED, "dy = packing.reverse(dy)",
           'dy = packing.reverse(dy) * (stack.merge != "sum")', (f"{EQUAL}[native-bidirectional sum, ragged-plain]",)),
    Mutant("upper layers' part of dx missing", COMPILED, "d_x = _sum(d_x, d_input[:, below:].copy())", "pass",
           (f"{EQUAL}[native-skip, bidirectional-plain]",)),
    Mutant("output's part of the lower layers' gradients lost", COMPILED, "_sum(d_outputs[k - 1], d_input)", "d_input",
           (f"{EQUAL}[native-skip, bidirectional-plain]",)),
    Mutant("other direction reads tokens forwards", COMPILED, "packing.reverse(ids) if place.direction else ids", "ids",
           (f"{ONE_HOT}[native-5-bidirectional, ragged-plain]",)),
    Mutant("h_t for h_{t-1} in dU", GRADIENTS, "packing.previous(arrays.h) if", "arrays.h[packing.B :] if", (DIFFERENCES,)),
    Mutant("h_{t-1} without its mask in dU", GRADIENTS, "if arrays.fed is None else arrays.fed", "",
           (f"{EQUAL}[native-skip, ragged, recurrent dropout-LSTM]",)),
    Mutant("bias_hh gradient missing", GRADIENTS, "[...] = d_bias_ih", "[...] = 0", (DIFFERENCES,)),
    Mutant("reset gate lost in the gradient of U's bias", GRADIENTS, "_sum_rows(d_bias_hh, d_recurrent)",
           "d_bias_hh[...] = d_bias_ih", (f"{EQUAL}[native-one layer-GRU]",)),
    Mutant("reset gate lost in dU", GRADIENTS, "d_recurrent = arrays.recurrent", "d_recurrent = arrays.gates.copy()",
           (f"{EQUAL}[blas-one layer-GRU]",)),
    Mutant("dU of a reset before the product without it", GRADIENTS, "2 * H :]), arrays.recurrent, workspace",
           "2 * H :]), previous, workspace", (f"{EQUAL}[native-one layer-GRU, reset before]",)),
    Mutant("peephole of o learns from the state before", GRADIENTS, 'if gate == "o" else', "if False else",
           (f"{EQUAL}[native-one layer-peephole]",)),
    Mutant("peephole of f learns from the state after", GRADIENTS, 'if gate == "o" else', 'if gate in "fo" else',
           (f"{EQUAL}[native-one layer-full peephole]",)),
    Mutant("bias taken twice", TOKEN_INPUT, 'arrays[place.name("bias_ih")] + arrays[place.name("bias_hh")]',
           '2 * (arrays[place.name("bias_ih")] + arrays[place.name("bias_hh")])', (REFERENCE,)),
    Mutant("token table without the bias", TOKEN_INPUT, "[:, columns].T, bias,", "[:, columns].T, 0 * bias,", (TOKENS,)),
    Mutant("repeated tokens counted once", TOKEN_INPUT,
           "_core.scatter_add(sums, gates, given.places, threads_for(gates.size))", "sums[given.places] = gates", (TOKENS,)),
    Mutant("columns of absent tokens not cleared", TOKEN_INPUT, "d_weight.fill(0)", "pass", (NETWORK_DIFFERENCES,)),
    Mutant("previous rows of ragged batches unsorted", PACKING, "np.where(step == 0, rank,",
           "np.where(step == 0, self._order[rank],", (DIFFERENCES,)),
    Mutant("states of ragged batches not put back", PACKING, "unsorted[self._order] = states",
           "unsorted[...] = states[self._order]", (ONE_BY_ONE,)),
    Mutant("ragged sequences not turned round", PACKING, "start[lengths[rank] - 1 - step]", "start[step]",
           (f"{EQUAL}[native-bidirectional sum, ragged-plain]",)),
    Mutant("what was made of the values not made anew", PARAMETERS, "if version != self.changes[0]:", "if value is None:",
           (DIFFERENCES, NETWORK_DIFFERENCES)),
    # the native engine
    Mutant("bias of U h missing", ENGINE, 'if place.cell.apart else None\n            return',
           "if False else None\n            return", (f"{EQUAL}[native-one layer-GRU]",)),
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
    Mutant("gradients pass where pre-activations are clipped", CELL, "if (!cell->clip)\n        return slope;",
           "if (!cell->clip || 1)\n        return slope;", ("tests/test_cells.py::test_backward_equals_central_differences",)),
    Mutant("each layer of a call starts from the first one's c", NATIVE_LOOPS, "c + k * state", "c",
           (f"{NATIVE}::test_calls_without_lengths_equal_the_reference",)),
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
    Mutant("gates i and f swapped", LSTM, "STORE(i_at, d_i)", "STORE(i_at, d_f)", (CELL_BACKWARD,)),
    Mutant("dc not multiplied by f", LSTM, "d_before = state * f;", "d_before = state;", (DIFFERENCES,)),
    Mutant("c for tanh(c) in the gradient of o", LSTM, "vec d_o = out * squashed", "vec d_o = out * LOAD(at->c + j)",
           (DIFFERENCES,)),
    Mutant("peephole of o sees the state before", LSTM, "o = vfma(LOAD(w_o), state, o)",
           "o = vfma(LOAD(w_o), LOAD(at->c_prev + j), o)", (CELL_FORWARD,)),
    Mutant("peephole of o lost in the gradient of c", LSTM, "state = vfma(d_o, LOAD(w_o), state);", ";", (CELL_BACKWARD,)),
    Mutant("peephole of f lost in the gradient of c", LSTM, "d_before = vfma(d_f, LOAD(w_f), d_before);", ";",
           (CELL_BACKWARD,)),
    Mutant("coupled gate the same as the forget gate", LSTM, "            i = vset(1) - f;", "            i = f;",
           (CELL_FORWARD,)),
    Mutant("coupled gate's gradient plus the candidate", LSTM, "forgotten = before - g;", "forgotten = before + g;",
           (CELL_BACKWARD,)),
    Mutant("reset gate after the product left out", GRU, "n = vfma(r, LOAD(u + 2 * at->H + j), n);",
           "n = n + LOAD(u + 2 * at->H + j);", (CELL_FORWARD,)),
    Mutant("update gate the other way round", GRU, "vfma(z, before - n, n)", "vfma(z, n - before, before)", (CELL_FORWARD,)),
    Mutant("gradient past the update gate lost", GRU, "STORE(dh_at, z * out);", "STORE(dh_at, vset(0) * out);",
           (CELL_BACKWARD,)),
    Mutant("reset gate lost in the gradient of U's part", GRU, "STORE(u_n, d_n * r)", "STORE(u_n, d_n)", (CELL_BACKWARD,)),
    Mutant("derivative of the plain cell left out", RNN, "out * NAME(gate_slope)(&cell, cell.activation, LOAD(at->gates + j))",
           "out", (CELL_BACKWARD,)),
    Mutant("derivative of the plain cell from its pre-activation", RNN, "STORE(at->gates + j, h);", ";",
           (f"{EQUAL}[native-one layer-plain]",)),
    Mutant("a row's last units missing", CELL, "if (whole < end) ", "if (whole + 1 < end) ", (CELL_FORWARD,)),
    Mutant("units of a strip's last vector missing", STEP, "AT_MOST((k1 - k0) * size, H - unit)",
           "AT_MOST((k1 - k0) * size, H - unit) - 1", (STACKS,)),
    Mutant("state's part lost where there is an input's", STEP, "if (U)\n", "if (U && !W)\n", (STREAMS,)),
    Mutant("U's part begins without its bias", STEP, "states.starts = !apart || s->recurrent_bias;", "states.starts = !apart;",
           (f"{EQUAL}[native-one layer-GRU]",)),
    Mutant("U's part of the gradient overwrites what went past it", STEP, "(&rows, s->cell.kind == FL_GRU,", "(&rows, 0,",
           (f"{EQUAL}[native-one layer-GRU]",)),
    Mutant("upper layers without U's bias", STACK, "s->recurrent_bias[k]", "s->recurrent_bias[0]",
           (f"{STREAMED}[native-stacked-GRU]",)),
    Mutant("derivative of tanh wrong", MATH, "case FL_TANH: return one - y * y;", "case FL_TANH: return one - y;",
           (DIFFERENCES,)),
    Mutant("softmax gradient without scale", SOFTMAX, "(REAL)(scale / sums[r])", "(REAL)(1 / sums[r])",
           (f"{CORE}::test_softmax_cross_entropy_equals_reference",)),
    # products
    Mutant("last terms of a lone row's sums missing", PRODUCT, "for (; k < K; k++, panel += PANEL)",
           "for (; k + 1 < K; k++, panel += PANEL)", (MULTIPLY,)),
    Mutant("one of a lone row's sums missing", PRODUCT, "phase = 1; phase < phases; phase++",
           "phase = 2; phase < phases; phase++", (MULTIPLY,)),
    Mutant("a panel's last columns not packed", PRODUCT, "v * LANES, v < at->vecs ?", "v * LANES, v + 1 < at->vecs ?",
           (MULTIPLY,)),
    Mutant("last gate of three missing where a strip is odd", PRODUCT, "STRIP_BLOCKS(G)) * G;",
           "STRIP_BLOCKS(G)) * G & ~(G == 3);", (MULTIPLY_GATES,)),
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
    # the time loops with products through BLAS
    Mutant("BLAS: last step missing", LOOPS, "            first -= rows\n",
           "            first -= rows\n            if t == T - 1:\n                continue\n",
           (f"{EQUAL}[blas-one layer-LSTM]",)),
    Mutant("BLAS: dh summed over the steps", LOOPS, "wide, U, rows, R, wide, False, False, <real>0)",
           "wide, U, rows, R, wide, False, False, <real>1)", (f"{EQUAL}[blas-one layer-LSTM]",)),
    Mutant("BLAS: wrong previous rows where sequences end", LOOPS, "B + first - batch_sizes[t - 1] if t",
           "B + first - rows if t", (f"{EQUAL}[blas-two layers, ragged-LSTM]",)),
    Mutant("recurrent mask lost backwards", LOOPS, "        add_masked(dh, d_fed, mask, rows * R)",
           "        for k in range(rows * R):\n            dh[k] += d_fed[k]",
           (f"{EQUAL}[native-skip, ragged, recurrent dropout-GRU]",)),
    Mutant("reset gate before U's bias", LOOPS, "        step.c_prev = h_prev\n        run_forward(&step, FL_GRU, gates)",
           "        for r in range(rows * H):\n"
           "            gates[r // H * wide + 2 * H + r % H] += (<const real *>w.bias_hh)[2 * H + r % H]\n"
           "            recurrent[r // H * wide + 2 * H + r % H] -= (<const real *>w.bias_hh)[2 * H + r % H]\n"
           "        step.c_prev = h_prev\n        run_forward(&step, FL_GRU, gates)", (f"{EQUAL}[blas-one layer-GRU]",)),
    Mutant("reset gate's gradient without the recurrent mask", LOOPS, "                step.c_prev = fed",
           "                step.c_prev = h_prev",
           (f"{EQUAL}[native-skip, ragged, recurrent dropout-GRU, reset before]",)),
    Mutant("gradient of the projection without later steps", LOOPS, "        step.dh, step.dy = scratch, NULL",
           "        step.dh, step.dy = scratch, NULL\n"
           "        for k in range(rows * R):\n            d_projected[k] = dy[k]", (f"{EQUAL}[native-one layer-projected]",)),
    Mutant("full peephole of o transposed", LOOPS, "w.full[2], rows, H, H, False, True,",
           "w.full[2], rows, H, H, False, False,", (f"{EQUAL}[native-one layer-full peephole]",)),
    Mutant("full peephole of f transposed backwards", LOOPS, "w.full[1], rows, H, H, False, False,",
           "w.full[1], rows, H, H, False, True,", (f"{EQUAL}[native-one layer-coupled full peephole]",)),
    # the reference
    Mutant("blocks of g and o swapped", CELLS, '"g": "candidate", "o": "output_gate"', '"o": "output_gate", "g": "candidate"',
           ("tests/test_reference_lstm.py::test_output_gate_sees_the_new_cell_state",)),
    Mutant("reference: peephole of o sees the state before", REFERENCE_LSTM, '_peep(p, "o", c_t)', '_peep(p, "o", c)',
           ("tests/test_reference_lstm.py::test_output_gate_sees_the_new_cell_state",)),
    Mutant("reference: gradient past the update gate lost", REFERENCE_GRU, "(dh * z,)", "(0 * dh,)",
           (f"{OF_REFERENCE}[gru-one]",)),
    Mutant("reference: recurrent mask lost backwards", REFERENCE_STACK, "dfed * mask[rows]", "dfed",
           (f"{OF_REFERENCE}[gru-two-ways]",)),
    Mutant("reference: the other direction not followed back", REFERENCE_STACK, "for t in reversed(order)",
           "for t in reversed(range(len(order)))", (f"{OF_REFERENCE}[rnn-two-ways]",)),
    Mutant("gradient passes a held gate", EQUATIONS, "np.zeros_like(value) if name in self.held else d_value", "d_value",
           ("tests/test_recurrent.py::test_held_gates_have_their_values",)),
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
        self.replace("setup.py", "[*HEADERS,", "[*(HEADERS if sources else []),")  # which change only in their bodies
        self.builds = {self.build()}
        self.check_is_imported()

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


def plant(copies: Queue[Copy], mutant: Mutant) -> tuple[str, float]:
    """What the tests say of a fault in a free copy, and in how many seconds."""
    copy, start = copies.get(), time.monotonic()
    original = copy.replace(mutant.file, mutant.old, mutant.new)
    if not mutant.file.endswith(".py"):
        digest = copy.build()
        if digest in copy.builds:
            sys.exit(f"{mutant.name}: the build did not take up the change")
        copy.builds.add(digest)
    verdict = copy.test(mutant.tests)
    (copy.root / mutant.file).write_text(original)
    copies.put(copy)
    return verdict, time.monotonic() - start


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="fastlstm-mutants-") as folder, ThreadPoolExecutor(COPIES) as pool:
        made = list(pool.map(Copy, [Path(folder).resolve() / str(k) for k in range(COPIES)]))
        tests = tuple(dict.fromkeys(test for mutant in MUTANTS for test in mutant.tests))
        for verdict in pool.map(Copy.test, made, [tests[k::COPIES] for k in range(COPIES)]):
            if verdict != "passed":
                sys.exit(f"without any fault, the named tests: {verdict}")
        copies: Queue[Copy] = Queue()
        for copy in made:
            copies.put(copy)
        caught = 0
        ordered = sorted(MUTANTS, key=lambda mutant: not mutant.file.endswith(".py"))  # Python first: no builds
        for mutant, (verdict, seconds) in zip(ordered, pool.map(partial(plant, copies), ordered), strict=True):
            caught += verdict.startswith("failed")
            mark = "caught" if verdict.startswith("failed") else "MISSED"
            print(f"{mark}  {mutant.name:57} {Path(mutant.file).name:14} {seconds:4.0f} s  {verdict}", flush=True)
    print(f"{caught} of {len(MUTANTS)} caught")
    return 0 if caught == len(MUTANTS) else 1


if __name__ == "__main__":
    sys.exit(main())
