"""The faults that `mutants.py` plants, and the tests that must notice each."""

from typing import NamedTuple

LAYERS, CORE, NETWORK = "tests/test_layers.py", "tests/test_core.py", "tests/test_network.py"
NATIVE, CONTRACT, MODEL = "tests/test_native.py", "tests/test_layers_contract.py", "tests/test_model.py"
COMPILED, PACKING = "src/fastlstm/engines/compiled.py", "src/fastlstm/engines/packing.py"
GRADIENTS, TOKEN_INPUT = "src/fastlstm/engines/gradients.py", "src/fastlstm/engines/tokens.py"
ENGINE, NET, PARAMETERS = "src/fastlstm/engines/native.py", "src/fastlstm/network.py", "src/fastlstm/parameters.py"
OPTIM, CELLS, LOOPS = "src/fastlstm/optim.py", "src/fastlstm/cells.py", "src/fastlstm/_loops.pyx"
EQUATIONS, REFERENCE_LSTM = "src/fastlstm/reference/equations.py", "src/fastlstm/reference/lstm.py"
REFERENCE_GRU, REFERENCE_STACK = "src/fastlstm/reference/gru.py", "src/fastlstm/reference/stack.py"
LSTM, GRU, RNN, STEP = "csrc/lstm.inc.h", "csrc/gru.inc.h", "csrc/rnn.inc.h", "csrc/step.inc.h"
CELL, LAYER, BESIDE = "csrc/cell.inc.h", "csrc/layer.inc.h", "csrc/beside.inc.h"
PANELS, TILE, PRODUCT = "csrc/panels.inc.h", "csrc/tile.inc.h", "csrc/product.inc.h"
NATIVE_LOOPS, ENGINE_C, PASSES = "src/fastlstm/_native.pyx", "csrc/engine.c", "src/fastlstm/_passes.pyx"
DIVIDED, MATH, SOFTMAX = "csrc/divided.inc.h", "csrc/math.inc.h", "csrc/softmax.inc.h"
RECURRENT = "src/fastlstm/recurrent.py"
VEC, TOKENS_C, RESULTS = "csrc/vec.h", "csrc/tokens.inc.h", "src/fastlstm/results.py"

DIFFERENCES = f"{LAYERS}::test_gradients_equal_central_differences"
REFERENCE = f"{LAYERS}::test_float64_equals_reference"
ONE_BY_ONE = f"{LAYERS}::test_ragged_equals_one_by_one"
CHUNKED = "tests/test_recurrent.py::test_chunked_equals_whole[blas-ISA-float64-LSTM]"
TOKENS = f"{LAYERS}::test_tokens_equal_one_hot_vectors"
MULTIPLY = f"{CORE}::test_product_equals_numpy"
PACKED_ON_THE_WAY = f"{CORE}::test_product_packed_on_the_way_equals_that_of_the_packed_matrix"
SCATTER = f"{CORE}::test_scatter_add_equals_numpy"
MULTIPLY_GATES = f"{CORE}::test_product_with_the_weights_of_gates_equals_numpy"
MULTIPLY_TRANSPOSED = f"{CORE}::test_transposed_product_equals_numpy"
ONE_SEQUENCE = f"{NATIVE}::test_long_calls_of_one_sequence_equal_the_reference[ISA-float32-1-LSTM]"
APART = f"{NATIVE}::test_cells_apart_equal_the_reference[ISA-float32-2]"
CELL_FORWARD = "tests/test_cells.py::test_forward_equals_the_formulas"
CELL_BACKWARD = "tests/test_cells.py::test_backward_equals_central_differences"
NETWORK_DIFFERENCES = f"{NETWORK}::test_every_gradient_by_finite_differences"
# Of these the engine, the stack and the cell follow in brackets.
EQUAL = "tests/test_recurrent.py::test_float64_equals_reference"
STREAMED = "tests/test_recurrent.py::test_streamed_equals_whole"
ONE_HOT = "tests/test_recurrent.py::test_tokens_equal_one_hot_vectors"
OF_REFERENCE = "tests/test_reference_gradients.py::test_gradients_equal_central_differences"
# Of these the instruction set, the dtype, how many threads divide what, and H.
STACKS, STREAMS = f"{NATIVE}::test_stacks_equal_the_reference", f"{NATIVE}::test_streams_equal_the_reference"
ONE_THREAD, BY_SEQUENCES = f"{STACKS}[ISA-float32-1-17]", f"{STACKS}[ISA-float32-2 sequences-17]"
PASS, PASS_GRU, PASS_RNN = (f"{NATIVE}::test_passes_equal_the_reference[ISA-float32-1-{cell}]" for cell in (0, 1, 2))
BY_UNITS, STREAM = f"{STACKS}[ISA-float32-2 units-171]", f"{STREAMS}[ISA-float32-1-17]"
WAITING = tuple(f"{STACKS}[ISA-float32-{threads}-{H}]" for threads in ("2 units", "3 units") for H in (64, 171))


class Fault(NamedTuple):
    """One fault: `old`, which stands exactly once in `file`, becomes `new`; `tests` must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS = [
    # both compiled engines
    Fault("memory of results that are in use", RESULTS, "np.asarray(lease).view", "lease._piece.memory.view",
          ("tests/test_results.py",)),
    Fault("Python runs at the end of a result", RESULTS, "_Piece(self, _idle.append)",
          "_Piece(self, lambda piece: _idle.append(piece))", ("tests/test_results.py",)),
    Fault("h0 taken as 0", COMPILED, "buffer[:B] = state", "buffer[:B] = 0 if buffer is h else state", (REFERENCE,)),
    Fault("c0 ignored", COMPILED, "buffer[:B] = state", "buffer[:B] = 0 if buffer is c else state", (REFERENCE,)),
    Fault("memory of a tape given to the next caller", COMPILED, "if own_workspace and not keep:",
          "if own_workspace and not (keep and packing.full):",
          ("tests/test_recurrent.py::test_tapes_at_the_same_time_share_nothing[native-LSTM-two layers, ragged]",)),
    Fault("outputs are a tape's own", COMPILED, "            y = results.copy(y)\n", "            pass\n",
          ("tests/test_recurrent.py::test_tapes_at_the_same_time_share_nothing[native-LSTM-widths]",)),
    Fault("dropout mask lost backwards", COMPILED, "d_input *= saved.masks[k]", "pass", (DIFFERENCES,)),
    Fault("dropout mask lost forwards", COMPILED, "else outputs[-1] * mask", "else outputs[-1] * 1", (DIFFERENCES,)),
    Fault("dstate ignored", COMPILED, "[packing.sort(part[place.index])", "[packing.sort(0 * part[place.index])", (CHUNKED,)),
    Fault("a call without a state forgets its lengths", RECURRENT, "if state is None and lengths is None else",
          "if state is None else", ("tests/test_recurrent.py::test_a_call_without_a_state_starts_from_zeros",)),
    Fault("steps on more threads than strips", NATIVE_LOOPS, "min(threads, self.stack.steps.end)", "threads",
          (f"{NATIVE}::test_steps_take_no_more_threads_than_there_are_strips_of_units[ISA]",)),
    Fault("a step reads rows of another width", NATIVE_LOOPS,
          "view.ndim == ndim and view.shape[ndim - 1] == self.stack.I", "view.ndim == ndim",
          (f"{NATIVE}::test_a_step_takes_an_unpickled_array_as_it_is",)),
    Fault("the caller's gradients of states written over", RECURRENT, "else copies(self", "else (self",
          ("tests/test_layers_arrays.py::test_gradients_of_both_states_may_be_one_array",)),
    Fault("dx zero at t = 0", COMPILED, 'arrays.gates, stack.store, place.name("weight_ih"), workspace)\n',
          'arrays.gates, stack.store, place.name("weight_ih"), workspace)\n'
          "                d_rows[: packing.batch_sizes[0]] = 0\n", (DIFFERENCES,)),
    Fault("padding takes part", COMPILED, "if lengths is None else Packing(T, B, lengths)", "if True else None",
          ("tests/test_recurrent.py::test_padding_changes_no_bit[native-ISA-float32-False-LSTM]",)),
    Fault("recurrent dropout lost", COMPILED, "packing.sort(masks.recurrent[place.index])",
          "0 * packing.sort(masks.recurrent[place.index]) + 1",
          (f"{EQUAL}[native-skip, ragged, recurrent dropout-LSTM]",)),
    Fault("outputs of the other direction not turned round", COMPILED, "backwards = packing.reverse(found[-1].h[B:])",
          "backwards = found[-1].h[B:].copy()", (f"{EQUAL}[native-bidirectional, dropout-plain]",)),
    Fault("gradient of the other direction's input not turned round", COMPILED,
          "packing.reverse(d_rows) if place.direction else d_rows", "d_rows",
          (f"{EQUAL}[native-bidirectional, dropout-plain]",)),
    Fault("one direction's part of the input's gradient lost", COMPILED,
          "d_input = _sum(d_input, packing.reverse(d_rows) if place.direction else d_rows)",
          "d_input = packing.reverse(d_rows) if place.direction else d_rows",
          (f"{EQUAL}[native-bidirectional, dropout-plain]",)),
    Fault("sum of the directions goes back to one", COMPILED, "dy = packing.reverse(dy)",
          'dy = packing.reverse(dy) * (stack.merge != "sum")', (f"{EQUAL}[native-bidirectional sum, ragged-plain]",)),
    Fault("upper layers' part of dx missing", COMPILED, "d_x = _sum(d_x, d_input[:, below:].copy())", "pass",
          (f"{EQUAL}[native-skip, bidirectional-plain]",)),
    Fault("output's part of the lower layers' gradients lost", COMPILED, "_sum(d_outputs[k - 1], d_input)", "d_input",
          (f"{EQUAL}[native-skip, bidirectional-plain]",)),
    Fault("other direction reads tokens forwards", COMPILED, "packing.reverse(ids) if place.direction else ids", "ids",
          (f"{ONE_HOT}[native-5-bidirectional, ragged-plain]",)),
    Fault("h_t for h_{t-1} in dU", GRADIENTS, "packing.previous(arrays.h) if", "arrays.h[packing.B :] if", (DIFFERENCES,)),
    Fault("h_{t-1} without its mask in dU", GRADIENTS, "if arrays.fed is None else arrays.fed", "",
          (f"{EQUAL}[native-skip, ragged, recurrent dropout-LSTM]",)),
    Fault("bias_ih gradient missing", GRADIENTS, "d_bias_ih[...] = d_bias_hh", "d_bias_ih[...] = 0",
          (f"{EQUAL}[blas-one layer-LSTM]",)),
    Fault("reset gate lost in the gradient of U's bias", GRADIENTS, "elif cell.bias:\n        sum_rows(d_bias_ih, d_gates)",
          "elif cell.bias:\n        d_bias_ih[...] = d_bias_hh", (f"{EQUAL}[blas-one layer-GRU]",)),
    Fault("reset gate lost in dU", GRADIENTS, "d_recurrent = arrays.recurrent", "d_recurrent = arrays.gates.copy()",
          (f"{EQUAL}[blas-one layer-GRU]",)),
    Fault("dU of a reset before the product without it", GRADIENTS, "2 * H :]), arrays.recurrent, workspace",
          "2 * H :]), previous, workspace", (f"{EQUAL}[native-one layer-GRU, reset before]",)),
    Fault("peephole of o learns from the state before", GRADIENTS, 'if gate == "o" else', "if False else",
          (f"{EQUAL}[native-one layer-peephole]",)),
    Fault("peephole of f learns from the state after", GRADIENTS, 'if gate == "o" else', 'if gate in "fo" else',
          (f"{EQUAL}[native-one layer-full peephole]",)),
    Fault("bias taken twice", TOKEN_INPUT, "[arrays[place.name(name)] for", "[2 * arrays[place.name(name)] for", (REFERENCE,)),
    Fault("token table without one bias", TOKEN_INPUT, "*_biases(stack, place))", "_biases(stack, place)[0])", (TOKENS,)),
    Fault("second bias lost", "src/fastlstm/_core.pyx", "bias[k] + other[k]", "bias[k]",
          (f"{CORE}::test_add_bias_equals_numpy",)),
    Fault("arrays of other shapes kept", "src/fastlstm/engines/__init__.py", "found is None or found[0] != arguments",
          "found is None", (f"{NATIVE}::test_a_workspace_keeps_what_is_made_for_the_same_arguments",)),
    Fault("repeated tokens counted once", TOKEN_INPUT,
          "add_rows(sums, gates, given.places)", "sums[given.places] = gates", (TOKENS,)),
    Fault("columns of absent tokens not cleared", TOKEN_INPUT, "d_weight.fill(0)", "pass", (NETWORK_DIFFERENCES,)),
    Fault("previous rows of ragged batches unsorted", PACKING, "np.where(step == 0, rank,",
          "np.where(step == 0, self._order[rank],", (DIFFERENCES,)),
    Fault("states of ragged batches not put back", PACKING, "unsorted[self._order] = states",
          "unsorted[...] = states[self._order]", (ONE_BY_ONE,)),
    Fault("ragged sequences not turned round", PACKING, "start[lengths[rank] - 1 - step]", "start[step]",
          (f"{EQUAL}[native-bidirectional sum, ragged-plain]",)),
    Fault("what was made of the values not made anew", PARAMETERS, "if version != self.changes[0]:", "if value is None:",
          (DIFFERENCES, NETWORK_DIFFERENCES)),
    # the native engine
    Fault("bias of U h missing", ENGINE, 'if place.cell.apart else None\n            return',
          "if False else None\n            return", (f"{EQUAL}[native-one layer-GRU]",)),
    Fault("nothing is made anew after an update", OPTIM, "self._parameters.touch()", "pass",
          (f"{MODEL}::test_reference_engine_trains_to_the_same_weights",)),
    Fault("streams go on with old parameters", ENGINE, "if self._changes[0] != self._version:", "if False:",
          (f"{CONTRACT}::test_stream_sees_new_parameters",)),
    # the output layer
    Fault("only the last block of the output layer's gradient", NET, "workspace, add=start > 0", "workspace, add=False",
          (f"{NETWORK}::test_blocks_of_logits_change_nothing_but_rounding",)),
    Fault("only the last block of the output bias's gradient", PRODUCT, "if (sum && !k0 && !add)", "if (sum && !k0)",
          (f"{NETWORK}::test_blocks_of_logits_change_nothing_but_rounding",)),
    Fault("sums of rows of the last block of depths alone", PRODUCT, "if (sum && !k0 && !add)", "if (sum && !add)",
          (f"{CORE}::test_transposed_product_of_wide_matrices_equals_numpy",)),
    Fault("rows summed for every block of columns", PRODUCT, "sums && !n0 ? sums + m0", "sums ? sums + m0",
          (f"{CORE}::test_transposed_product_of_wide_matrices_equals_numpy",)),
    Fault("output bias gradient missing", NET, ", sums=d_bias)", ")",
          (NETWORK_DIFFERENCES,)),
    Fault("embedding gradient not cleared", NET, "d_embedding.fill(0)", "d_embedding.fill(1)", (NETWORK_DIFFERENCES,)),
    Fault("tied vectors' part of the output layer lost", NET, "        if self._apart:", "        if self.embedding:",
          (NETWORK_DIFFERENCES,)),
    Fault("logits left in the gradients of token vectors", NET, "            self._written = None\n        return free",
          "            pass\n        return free", (f"{NETWORK}::test_kept_gradients_are_those_of_the_window_alone",)),
    # the steps of a layer
    Fault("last step missing", LAYER, "if (step.rows > 0)", "if (step.rows > 0 && t != l->T - 1)", (DIFFERENCES,)),
    Fault("first step missing", LAYER, "if (step.rows > 0)", "if (step.rows > 0 && t != 0)",
          (f"{LAYERS}::test_gradients_of_one_step_equal_central_differences",)),
    Fault("gradient of the initial h missing", LAYER, "if (step.rows > 0)", "if (step.rows > 0 && t >= 0)", (DIFFERENCES,)),
    Fault("c_t for c_{t-1}", LAYER, "step.c_prev = c + (before + first) * H;",
          "step.c_prev = c + (l->B + start + first) * H;", (DIFFERENCES,)),
    Fault("dy ignored", LAYER, "step.dy = dy + (start + first) * H;", "step.dy = NULL;", (DIFFERENCES,)),
    Fault("wrong previous rows where sequences end", LAYER, "l->B + start - l->batch_sizes[t - 1] : 0",
          "l->B + start - l->batch_sizes[t] : 0", (ONE_BY_ONE,)),
    Fault("sequences that end taken for those that go on", LAYER, "s.first + (ends ? next : 0)", "s.first", (ONE_BY_ONE,)),
    Fault("initial state after each step", LAYER, "        before = current;\n", "", (REFERENCE,)),
    Fault("every step of a block reads its first projection", LAYER, "used += l->tokens ? 0 : step.rows;", "used += 0;",
          (ONE_THREAD,)),
    Fault("bias left out of the projection", LAYER, ".bias = l->bias,", "", (REFERENCE,)),
    Fault("gradients pass where pre-activations are clipped", CELL, "if (!cell->clip)\n        return slope;",
          "if (!cell->clip || 1)\n        return slope;", ("tests/test_cells.py::test_backward_equals_central_differences",)),
    Fault("each layer of a call starts from the first one's c", NATIVE_LOOPS, "<char *>alike.c + k * B * H * width", "alike.c",
          (f"{NATIVE}::test_calls_without_lengths_equal_the_reference[ISA-float32-1-17]",)),
    Fault("both directions of a call read forwards", NATIVE_LOOPS, "layers.x + (T - 1 - t) * step", "layers.x + t * step",
          (APART,)),
    Fault("the second direction's outputs are put together from its first step on", NATIVE_LOOPS,
          "backwards + (T - t) * B * H", "backwards + (t + 1) * B * H", (APART,)),
    Fault("every part of a wave reads the first one's input", ENGINE_C,
          "part.x = (const char *)part.x + first * B * part.I * size;", "", (APART,)),
    Fault("threads read the first sequences' input", LAYER, "rows[listed++] = start + s->first + b;",
          "rows[listed++] = start + b;", (BY_SEQUENCES,)),
    Fault("last units of several threads missing", LAYER, "share_of(l, kernels->strip_count(wide, H), index, count)",
          "share_of(l, kernels->strip_count(wide, H) - (count > 1), index, count)", (BY_UNITS,)),
    Fault("last units of dh of several threads missing", LAYER, "share_of(l, kernels->strip_count(H, 0), index, count)",
          "share_of(l, kernels->strip_count(H, 0) - (count > 1), index, count)", (BY_UNITS,)),
    Fault("threads do not wait for each other", LAYER, "before = current;\n        if (l->divide_units)",
          "before = current;\n        if (0)", WAITING),
    Fault("threads do not wait for each other backwards", LAYER, "next = rows;\n        if (l->divide_units)",
          "next = rows;\n        if (0)", WAITING),
    Fault("layers read the states of the step before", ENGINE_C, "k ? after - state : s->x", "k ? before - state : s->x",
          (STREAM,)),
    Fault("upper layers go on from the first one's cell state", ENGINE_C, "s->c ? (char *)s->c + k * state : NULL", "s->c",
          (STREAM,)),
    Fault("odd steps begin with the states of even ones", ENGINE_C, "before = (char *)s->h + turn * s->L * state",
          "before = s->h", (STREAM,)),
    # the gates
    Fault("gates i and f swapped", LSTM, "STORE(i_at, d_i)", "STORE(i_at, d_f)", (CELL_BACKWARD,)),
    Fault("dc not multiplied by f", LSTM, "d_before = state * f;", "d_before = state;", (DIFFERENCES,)),
    Fault("c for tanh(c) in the gradient of o", LSTM, "vec d_o = out * squashed", "vec d_o = out * LOAD(at->c + j)",
          (DIFFERENCES,)),
    Fault("peephole of o sees the state before", LSTM, "o = vfma(LOAD(w_o), state, o)",
          "o = vfma(LOAD(w_o), LOAD(at->c_prev + j), o)", (CELL_FORWARD,)),
    Fault("peephole of o lost in the gradient of c", LSTM, "state = vfma(d_o, LOAD(w_o), state);", ";", (CELL_BACKWARD,)),
    Fault("peephole of f lost in the gradient of c", LSTM, "d_before = vfma(d_f, LOAD(w_f), d_before);", ";",
          (CELL_BACKWARD,)),
    Fault("coupled gate the same as the forget gate", LSTM, "            i = vset(1) - f;", "            i = f;",
          (CELL_FORWARD,)),
    Fault("coupled gate's gradient plus the candidate", LSTM, "forgotten = before - g;", "forgotten = before + g;",
          (CELL_BACKWARD,)),
    Fault("reset gate after the product left out", GRU, "n = vfma(r, LOAD(u + 2 * at->H + j), n);",
          "n = n + LOAD(u + 2 * at->H + j);", (CELL_FORWARD,)),
    Fault("update gate the other way round", GRU, "vfma(z, before - n, n)", "vfma(z, n - before, before)", (CELL_FORWARD,)),
    Fault("gradient past the update gate lost", GRU, "STORE(dh_at, z * out);", "STORE(dh_at, vset(0) * out);",
          (CELL_BACKWARD,)),
    Fault("reset gate lost in the gradient of U's part", GRU, "STORE(u_n, d_n * r)", "STORE(u_n, d_n)", (CELL_BACKWARD,)),
    Fault("derivative of the plain cell left out", RNN, "out * NAME(gate_slope)(&cell, cell.activation, LOAD(at->gates + j))",
          "out", (CELL_BACKWARD,)),
    Fault("derivative of the plain cell from its pre-activation", RNN, "STORE(at->gates + j, h);", ";",
          (f"{EQUAL}[native-one layer-plain]",)),
    Fault("a row's last units missing", CELL, "if (whole < end) ", "if (whole + 1 < end) ", (CELL_FORWARD,)),
    Fault("rows after the first eight left out", CELL, "r < row + rows; r += NAME(STAGED_ROWS)", "r < row + rows; r += rows",
          (CELL_FORWARD,)),
    Fault("the LSTM's stages backwards in the forward pass's order", LSTM, "backward, FL_LSTM, FL_LSTM_OUTPUT, FL_LSTM_STATE",
          "backward, FL_LSTM, FL_LSTM_STATE, FL_LSTM_OUTPUT", (CELL_BACKWARD,)),
    Fault("units of a strip's last vector missing", STEP, "AT_MOST((k1 - k0) * size, H - unit)",
          "AT_MOST((k1 - k0) * size, H - unit) - 1", (ONE_THREAD,)),
    Fault("state's part lost where there is an input's", STEP, "if (U)\n                    NAME(deep_panel_product)",
          "if (U && !W)\n                    NAME(deep_panel_product)", (STREAM,)),
    Fault("input's part lost in the step of one row", STEP, "(gates, from, &x, &h, strip, H, G, &layout)",
          "(gates, from, &h, NULL, strip, H, G, &layout)", (STREAM,)),
    Fault("one row's product with U begins without its bias", STEP, "apart ? s->recurrent_bias : from", "apart ? NULL : from",
          (ONE_SEQUENCE.replace("LSTM", "GRU"),)),
    Fault("a step's input not taken", NATIVE_LOOPS, "memcpy(self.stack.x, view.buf, view.len)", "pass", (STREAM,)),
    Fault("the second thread's strips of a step begin too late", ENGINE_C, "part.begin = part.end * index / count;",
          "part.begin = part.end * index / count + index;", (f"{STREAMS}[ISA-float32-2 units-171]",)),
    Fault("one row's last units missing", STEP, "AT_MOST(s->end * size, H) - unit", "AT_MOST(s->end * size, H) - unit - 1",
          (STREAM,)),
    Fault("gates side by side read as apart by one row", TILE, "layout->gates != G || ", "", (STREAM,)),
    Fault("units of gates side by side missing", PANELS, "side_by_side ? H : STRIP_BLOCKS(G) * LANES",
          "STRIP_BLOCKS(G) * LANES", (ONE_THREAD,)),
    Fault("later units of a strip with the first ones' columns", TILE, "unit + v / G * LANES", "unit",
          tuple(f"{STREAMS}[ISA-float32-1-{H}]" for H in (64, 171))),
    Fault("later strips with the first one's weights", TILE, "strip * STRIP_PANELS(G), first", "0, first",
          (f"{STREAMS}[ISA-float32-1-171]",)),
    Fault("U's part begins without its bias", STEP, "states.starts = !apart || s->recurrent_bias;", "states.starts = !apart;",
          (f"{EQUAL}[native-one layer-GRU]",)),
    Fault("U's part of the gradient overwrites what went past it", STEP, "const int add = s->cell.kind == FL_GRU;",
          "const int add = 0;", (f"{EQUAL}[native-one layer-GRU]",)),
    Fault("upper layers without U's bias", ENGINE_C, "s->recurrent_bias[k]", "s->recurrent_bias[0]",
          (f"{STREAMED}[native-stacked-GRU]",)),
    Fault("derivative of tanh wrong", MATH, "case FL_TANH: return one - y * y;", "case FL_TANH: return one - y;",
          (DIFFERENCES,)),
    Fault("softmax gradient without scale", SOFTMAX, "(REAL)(scale / sums[r])", "(REAL)(1 / sums[r])",
          (f"{CORE}::test_softmax_cross_entropy_equals_reference",)),
    # products
    Fault("last terms of a lone row's sums missing", TILE, "for (; k; k--, panel += width",
          "for (; k > 1; k--, panel += width", (MULTIPLY,)),
    Fault("one of a lone row's sums missing", TILE, "EACH(phase, phases - 1)", "EACH(phase, phases - 2)", (MULTIPLY,)),
    Fault("a panel's last columns not packed", PANELS, "v < at->vecs; v++)\n                vstore",
          "v + 1 < at->vecs; v++)\n                vstore", (MULTIPLY,)),
    Fault("columns exchanged in packing", VEC, "y[2 * j + 1] = vhigh(x[j], x[j + LANES / 2])",
          "y[2 * j + 1] = vhigh(x[j + LANES / 2], x[j])", (f"{CORE}::test_any_strides_and_threads_pack_the_same",)),
    Fault("pieces of a vector stored from its start", VEC, "            from += piece;\n", "", (SCATTER,)),
    Fault("one row added for many", TOKENS_C, "rows + k * width + j", "rows + j",
          (f"{CORE}::test_sum_rows_equals_numpy",)),
    Fault("last panel of wide gates missing", PANELS, "* layout.gates + VECS - 1) / VECS;",
          "* layout.gates + VECS - 1) / VECS - (VECTORS(N) > VECS);", (MULTIPLY_GATES,)),
    Fault("last column of every vector missing", PANELS, "AT_MOST(layout->columns - block * LANES, LANES);",
          "AT_MOST(layout->columns - block * LANES, LANES - 1);", (MULTIPLY_GATES,)),
    Fault("later blocks of K read the first of A", PRODUCT, "at->vecs * LANES, k0, AT_MOST",
          "at->vecs * LANES, 0, AT_MOST", (MULTIPLY,)),
    Fault("blocks of K overwrite each other", PRODUCT, "add || k0, scratch", "add, scratch",
          (MULTIPLY_TRANSPOSED,)),
    Fault("the last columns of A not copied", PRODUCT, "M, depth, rows.count);",
          "M, depth, rows.count - 1);", (MULTIPLY_TRANSPOSED,)),
    Fault("tiles beside a row in the wrong half of a panel", BESIDE, "PANEL + half * LANES", "PANEL", (ONE_SEQUENCE,)),
    Fault("a row's last panels left out beside a tile", BESIDE,
          "count = AT_MOST(row.whole - row.begin - done, NAME(ROW_PANELS));",
          "count = AT_MOST(row.whole - row.begin - done, NAME(ROW_PANELS) - 1);\n        done += count == 3;", (ONE_SEQUENCE,)),
    Fault("a row's sums in another order where no tile is beside it", BESIDE,
          "NAME(tile_beside)(NULL, c, from, h, panels, count, 0, copied, turned);",
          "for (int64_t k = 0; k < count; k++)\n"
          "                NAME(row_tile)(c, from, h, NULL, panels[k].number, &panels[k]);",
          (f"{NATIVE}::test_a_busy_pool_changes_no_bit[float32-2 units]",)),
    Fault("panels with gaps are not made beside a row", BESIDE, "if (b->part == 0 && tiled", "if (b->part > FL_BESIDE && tiled",
          (ONE_SEQUENCE,)),
    Fault("a turned row begins at its first number", BESIDE, "from_k = turned ? h->K - 1 : 0", "from_k = turned ? h->K - 2 : 0",
          (ONE_SEQUENCE,)),
    Fault("a GRU's row beside a tile is not added to", STEP, "s->cell.kind == FL_GRU ? dh : NULL", "NULL",
          (ONE_SEQUENCE.replace("LSTM", "GRU"), PASS_GRU)),
    Fault("the gradient of an input is that of another step", LAYER, "dx + first * later->N", "dx + (first - 1) * later->N",
          (ONE_SEQUENCE,)),
    Fault("the gradient of an input is made of gates to come", LAYER, "first = t + 1 + part;",
          "first = t + part;", (ONE_SEQUENCE,)),
    Fault("the first steps have no gradient of their input", LAYER, "product.M -= TYPED(steps_made_beside)(l)",
          "product.M -= TYPED(steps_made_beside)(l) + 1", (ONE_SEQUENCE,)),
    Fault("the input's part of steps to come from one step too early", LAYER, "l->x + (t + rows) * l->I",
          "l->x + (t + rows - 1) * l->I", (ONE_SEQUENCE,)),
    Fault("steps too early for the input's part that is made beside them", LAYER, "FL_BESIDE + listed % FL_BESIDE : listed",
          "FL_BESIDE : listed", (ONE_SEQUENCE,)),
    Fault("a turned row's last term left out", TILE, "a += whole + phases;", "a += whole + phases, k = 0;", (PASS_RNN,)),
    # passes there and back
    Fault("h_t for h_{t-1} in a pass's dU", LAYER, "sums, l->h, g->scratch", "sums, (REAL *)l->h + l->B * l->H, g->scratch",
          (PASS,)),
    Fault("gradients of U's part in a pass's dW", LAYER, "gates, l->x, g->scratch", "sums, l->x, g->scratch", (PASS_GRU,)),
    Fault("a pass's second bias has no gradient", LAYER, "g->U, g->recurrent_bias,", "g->U, NULL,", (PASS,)),
    Fault("layers of a pass begin with the first one's state", PASSES, "given[part] + k * self.state, self.state)",
          "given[part], self.state)", (PASS_GRU,)),
    Fault("a pass's final states are those before the last step", PASSES, "own + top.T * self.state",
          "own + (top.T - 1) * self.state", (PASS,)),
    Fault("gradients of a pass's states are the first layer's", PASSES, "dh + k * self.state,", "dh,", (PASS_GRU,)),
    Fault("lower layers of a pass have the output's gradient", PASSES, "d_output = between", "pass", (PASS_GRU,)),
    Fault("a pass's outputs begin with the initial state", PASSES, "<char *>top.h + self.state, top.T", "<char *>top.h, top.T",
          (PASS,)),
    Fault("last strips of a group left out", STEP, "k = k0; k < k1; k++)", "k = k0; k + (group > 1) < k1; k++)",
          (ONE_THREAD,)),
    Fault("the second thread's last columns missing", DIVIDED, "q.end = q.begin + end;",
          "q.end = q.begin + end - (index > 0);", (MULTIPLY,)),
    Fault("the second thread's last row missing", DIVIDED, "q.M = end - begin;", "q.M = end - begin - (index > 0);",
          (MULTIPLY,)),
    Fault("only the first thread scatters", DIVIDED, "j->m, j->n, begin, end);", "j->m, j->n, begin, index ? begin : end);",
          (SCATTER,)),
    Fault("later parts of B take the place of the sums", DIVIDED, "q.add = k0 > 0;", "", (PACKED_ON_THE_WAY,)),
    Fault("later parts of B meet the first columns of A", DIVIDED, "product->A + k0;", "product->A;", (PACKED_ON_THE_WAY,)),
    Fault("rows of A as long as a part of B is deep", DIVIDED, "q.A_stride = K;", "", (PACKED_ON_THE_WAY,)),
    Fault("the second thread's rows begin elsewhere", DIVIDED, "begin * fl_A_stride(&q)", "begin * q.K", (PACKED_ON_THE_WAY,)),
    # the time loops with products through BLAS
    Fault("BLAS: last step missing", LOOPS, "            first -= rows\n",
          "            first -= rows\n            if t == T - 1:\n                continue\n",
          (f"{EQUAL}[blas-one layer-LSTM]",)),
    Fault("BLAS: dh summed over the steps", LOOPS, "wide, U, rows, R, wide, False, False, <real>0)",
          "wide, U, rows, R, wide, False, False, <real>1)", (f"{EQUAL}[blas-one layer-LSTM]",)),
    Fault("BLAS: wrong previous rows where sequences end", LOOPS, "B + first - batch_sizes[t - 1] if t",
          "B + first - rows if t", (f"{EQUAL}[blas-two layers, ragged-LSTM]",)),
    Fault("recurrent mask lost backwards", LOOPS, "        add_masked(dh, d_fed, mask, rows * R)",
          "        for k in range(rows * R):\n            dh[k] += d_fed[k]",
          (f"{EQUAL}[native-skip, ragged, recurrent dropout-GRU]",)),
    Fault("reset gate before U's bias", LOOPS, "        step.c_prev = h_prev\n        run_forward(&step, FL_GRU, gates)",
          "        for r in range(rows * H):\n"
          "            gates[r // H * wide + 2 * H + r % H] += (<const real *>w.bias_hh)[2 * H + r % H]\n"
          "            recurrent[r // H * wide + 2 * H + r % H] -= (<const real *>w.bias_hh)[2 * H + r % H]\n"
          "        step.c_prev = h_prev\n        run_forward(&step, FL_GRU, gates)", (f"{EQUAL}[blas-one layer-GRU]",)),
    Fault("reset gate's gradient without the recurrent mask", LOOPS, "                step.c_prev = fed",
          "                step.c_prev = h_prev",
          (f"{EQUAL}[native-skip, ragged, recurrent dropout-GRU, reset before]",)),
    Fault("gradient of the projection without later steps", LOOPS, "        step.dh, step.dy = scratch, NULL",
          "        step.dh, step.dy = scratch, NULL\n"
          "        for k in range(rows * R):\n            d_projected[k] = dy[k]", (f"{EQUAL}[native-one layer-projected]",)),
    Fault("full peephole of o transposed", LOOPS, "w.full[2], rows, H, H, False, True,",
          "w.full[2], rows, H, H, False, False,", (f"{EQUAL}[native-one layer-full peephole]",)),
    Fault("full peephole of f transposed backwards", LOOPS, "w.full[1], rows, H, H, False, False,",
          "w.full[1], rows, H, H, False, True,", (f"{EQUAL}[native-one layer-coupled full peephole]",)),
    # the reference
    Fault("blocks of g and o swapped", CELLS, '"g": "candidate", "o": "output_gate"', '"o": "output_gate", "g": "candidate"',
          ("tests/test_reference_lstm.py::test_output_gate_sees_the_new_cell_state",)),
    Fault("reference: peephole of o sees the state before", REFERENCE_LSTM, '_peep(p, "o", c_t)', '_peep(p, "o", c)',
          ("tests/test_reference_lstm.py::test_output_gate_sees_the_new_cell_state",)),
    Fault("reference: gradient past the update gate lost", REFERENCE_GRU, "(dh * z,)", "(0 * dh,)",
          (f"{OF_REFERENCE}[gru-one]",)),
    Fault("reference: recurrent mask lost backwards", REFERENCE_STACK, "dfed * mask[rows]", "dfed",
          (f"{OF_REFERENCE}[gru-two-ways]",)),
    Fault("reference: the other direction not followed back", REFERENCE_STACK, "for t in reversed(order)",
          "for t in reversed(range(len(order)))", (f"{OF_REFERENCE}[rnn-two-ways]",)),
    Fault("gradient passes a held gate", EQUATIONS, "np.zeros_like(value) if name in self.held else d_value", "d_value",
          ("tests/test_recurrent.py::test_held_gates_have_their_values",)),
]
