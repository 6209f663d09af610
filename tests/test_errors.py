"""The table of errors in its order: each row's type and exact words, and what T = 0 and B = 0 give where they are none.

Layers let NaN through (`test_layers_contract.py`), so that there is no row of it here.
"""

import pickle
import re
import tracemalloc
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
from safetensors.numpy import save_file

from fastlstm import LSTM, CheckpointError, Model, checkpoint, cli
from fastlstm.vocabulary import Vocabulary
from helpers import random_case


@contextmanager
def raises(error, message):
    """Exactly this type with exactly these words in one line; "…" stands for any."""
    with pytest.raises(error, match=rf"\A{re.escape(message).replace('…', '.*')}\Z") as raised:
        yield
    assert raised.type is error


def table(*rows):
    """Parametrises `call`, `error` and `message`: a type followed by rows of a call and its words."""
    parameters, error = [], None
    for row in rows:
        if isinstance(row, type):
            error = row
        else:
            parameters.append(pytest.param(row[0], error, row[1], id=f"{error.__name__}: {row[1]}"))
    return pytest.mark.parametrize(("call", "error", "message"), parameters)


def language():
    """A model of 65 symbols, "A" the first."""
    return Model(hidden_size=4, num_layers=1, vocabulary=map(chr, range(65, 130)), seed=0)


def tokens(shape, token, place):
    ids = np.zeros(shape, np.int64)
    ids[place] = token
    return ids


def state(L=2, B=4, H=64):
    return np.zeros((L, B, H))


X = np.zeros((10, 4, 32))
FIT = {"batch_size": 4, "seq_length": 20, "validation": None, "progress": False, "threads": 1}


# ---- tokens ------------------------------------------------------------------------------------------------------


@table(
    IndexError,
    (lambda: LSTM(65, 4)(tokens((10, 20), 70, (3, 12))), "token id 70 at position (3, 12) is outside [0, 65)"),
    (lambda: LSTM(65, 4)(tokens((10, 20), -1, (3, 12))), "token id -1 at position (3, 12) is outside [0, 65)"),
    (lambda: LSTM(65, 4)(tokens((10, 20), 65, (9, 19))), "token id 65 at position (9, 19) is outside [0, 65)"),
    (lambda: LSTM(65, 4)(tokens((10, 20), 2**40, (0, 0))), "token id 1099511627776 at position (0, 0) is outside [0, 65)"),
    (lambda: LSTM(65, 4).forward(tokens((10, 20), 70, (3, 12))), "token id 70 at position (3, 12) is outside [0, 65)"),
    (lambda: LSTM(65, 4).stream(2).step([0, 65]), "token id 65 at position 1 is outside [0, 65)"),
    (lambda: language().evaluate([0, 70, 1]), "token id 70 at position 1 is outside [0, 65)"),
    (lambda: language().surprisal([0, 70, 1]), "token id 70 at position 1 is outside [0, 65)"),
    (lambda: language().fit(tokens(1000, 70, 999), **FIT), "token id 70 at position 999 is outside [0, 65)"),
    (lambda: Vocabulary("characters", "abc").decode([0, 3]), "token id 3 at position 1 is outside [0, 3)"),
)
def test_token_outside_the_vocabulary(call, error, message):
    with raises(error, message):
        call()


@table(
    ValueError,
    (lambda: language().evaluate("ABé"), "character 'é' (U+00E9) at position 2 is not among the 65 symbols the model knows…"),
    (lambda: language().surprisal("é"), "character 'é' (U+00E9) at position 0 is not among the 65 symbols the model knows…"),
    (lambda: language().fit("A" * 99 + "é", **FIT), "character 'é' (U+00E9) at position 99 is not among the 65 symbols…"),
    (lambda: language().fit("A" * 99, **FIT | {"validation": "A\n"}), "character '\\n' (U+000A) at position 1 is not among…"),
    (lambda: language().sample(3, prompt="A😀"), "character '😀' (U+1F600) at position 1 is not among the 65 symbols…"),
    (lambda: language().sample(3, stop="\t"), "character '\\t' (U+0009) at position 0 is not among the 65 symbols…"),
)
def test_character_the_model_never_saw(call, error, message):
    with raises(error, message):
        call()


@table(
    TypeError,
    (lambda: language().evaluate([0.0, 1.0]), "tokens must be an integer array, got float64"),
    (lambda: language().surprisal(np.zeros(9, np.float32)), "tokens must be an integer array, got float32"),
    (lambda: language().fit(np.zeros(1000), **FIT), "tokens must be an integer array, got float64"),
    (lambda: language().fit(np.zeros(99, int), **FIT | {"validation": [0.5, 1.0]}),
     "tokens must be an integer array, got float64"),
    (lambda: language().evaluate([True, False]), "tokens must be an integer array, got bool"),
)
def test_float_tokens(call, error, message):
    with raises(error, message):
        call()


# ---- arrays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [LSTM(32, 8), LSTM(32, 8).forward])
@table(
    ValueError,
    (lambda run: run(np.zeros((10, 4, 31))), "x must have shape (T, B, 32), got (10, 4, 31)"),
    (lambda run: run(np.zeros((10, 4))), "x must have shape (T, B, 32), got (10, 4)"),
    (lambda run: run(np.zeros((10, 4, 32, 1))), "x must have shape (T, B, 32), got (10, 4, 32, 1)"),
    (lambda run: run(np.zeros(10, int)), "x must have shape (T, B, 32), got (10,)"),
    (lambda run: run(0.5), "x must have shape (T, B, 32), got ()"),
    (lambda run: run([[[1.0, 2.0], [3.0]]]), "x must be an array, got sequences of different lengths"),
    (lambda run: run(np.zeros((10, 4, 32), complex)), "x must hold real numbers, got dtype complex128"),
    (lambda run: run([["a", "b"]]), "x must hold real numbers, got dtype <U1"),
    (lambda run: run(np.zeros((10, 4, 32), object)), "x must hold real numbers, got dtype object"),
)
def test_wrong_rank_width_or_dtype(run, call, error, message):
    with raises(error, message):
        call(run)


@table(
    ValueError,
    (lambda: LSTM(3, 4).stream(2).step(np.zeros((2, 4))), "x must have shape (2, 3), got (2, 4)"),
    (lambda: LSTM(3, 4).stream(2).step(np.zeros(2)), "x must have shape (2, 3), got (2,)"),
    (lambda: LSTM(3, 4).stream(2).step([[1, 2, 3], [4]]), "x must be an array, got sequences of different lengths"),
    (lambda: LSTM(3, 4).stream(2).step([0, 1, 2]), "x must have shape (2,), got (3,)"),
    (lambda: language().evaluate([[0, 1], [1, 0]]), "tokens must have one dimension, got shape (2, 2)"),
)
def test_wrong_rank_or_width_of_streams_and_texts(call, error, message):
    with raises(error, message):
        call()


@table(
    ValueError,
    (lambda: LSTM(32, 64, 2)(X, (state(1), state())), "h0 must have shape (2, 4, 64), got (1, 4, 64)"),
    (lambda: LSTM(32, 64, 2)(X, (state(), state(B=1))), "c0 must have shape (2, 4, 64), got (2, 1, 64)"),
    (lambda: LSTM(32, 64, 2).forward(X, (state(H=63), state())), "h0 must have shape (2, 4, 64), got (2, 4, 63)"),
    (lambda: setattr(LSTM(32, 64, 2).stream(4), "state", (state()[0], state())), "h0 must have shape (2, 4, 64), got (4, 64)"),
    (lambda: LSTM(32, 64, 2)(X, (state() * 1j, state())), "h0 must hold real numbers, got dtype complex128"),
    TypeError,
    (lambda: LSTM(32, 64, 2)(X, state()), "the state must be a pair (h0, c0), got ndarray of 2"),
    (lambda: LSTM(32, 64, 2)(X, (state(),)), "the state must be a pair (h0, c0), got tuple of 1"),
    (lambda: LSTM(32, 64, 2)(X, 0), "the state must be a pair (h0, c0), got int"),
)
def test_wrong_states(call, error, message):
    with raises(error, message):
        call()


def test_wrong_gradients_of_states():
    rnn = LSTM(32, 64, 2)
    y, _, tape = rnn.forward(X)
    with raises(ValueError, "dc must have shape (2, 4, 64), got (1, 4, 64)"):
        rnn.backward(tape, y, (state(), state(1)))


# ---- nothing to do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [None, []])
def test_inference_of_no_steps_or_no_sequences(engine, lengths):
    case = random_case(L=2, dtype="float32")
    y, final = case.rnn(case.x[:0], case.state, None if lengths is None else [0] * 4)
    assert y.shape == (0, 4, 5)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(final, case.state)
    y, (h, c) = case.rnn(case.x[:, :0], None, lengths)
    assert y.shape == (6, 0, 5)
    assert h.shape == c.shape == (2, 0, 5)
    for empty in (np.zeros((0, 4), int), np.zeros((6, 0), int)):
        assert case.rnn(empty)[0].shape == (*empty.shape, 5)


def test_texts_of_no_symbols():
    model = language()
    assert model.surprisal("").shape == model.surprisal([]).shape == (0,)
    assert model.sample(0) == ""


@table(
    ValueError,
    (lambda: LSTM(32, 8).forward(X[:0]), "x must not be empty in training, got T = 0"),
    (lambda: LSTM(32, 8).forward(X[:, :0]), "x must not be empty in training, got B = 0"),
    (lambda: LSTM(32, 8).forward(np.zeros((0, 4), int)), "x must not be empty in training, got T = 0"),
    (lambda: LSTM(32, 8).stream(0), "batch_size must be at least 1, got 0"),
    (lambda: Model().fit("", **FIT), "the text is empty"),
    (lambda: language().fit("A" * 99, **FIT | {"seq_length": 0}), "seq_length must be at least 1, got 0"),
    (lambda: language().fit("A" * 99, **FIT | {"batch_size": 0}), "batch_size must be at least 1, got 0"),
    (lambda: language().fit("A" * 99, **FIT | {"validation": ""}), "the validation text must have at least 2 symbols, got 0"),
    (lambda: language().evaluate(""), "the text must have at least 2 symbols, got 0"),
    (lambda: language().evaluate([]), "the text must have at least 2 symbols, got 0"),
)
def test_training_on_nothing(call, error, message):
    with raises(error, message):
        call()


SHORT = "the training text has {} symbols, fewer than the {} of one training window (seq_length {} x batch_size {} + 1)…"


@table(
    ValueError,
    (lambda: language().fit("A" * 10, validation=None, progress=False), SHORT.format(10, 2501, 50, 50)),
    (lambda: language().fit("A" * 80, **FIT), SHORT.format(80, 81, 20, 4)),
    (lambda: language().fit("A" * 81, **FIT | {"validation": 0.1}), SHORT.format(73, 81, 20, 4)),
    (lambda: language().fit([], **FIT), SHORT.format(0, 81, 20, 4)),
    (lambda: language().fit("A" * 99, **FIT | {"seq_length": 10**12}), SHORT.format(99, 4 * 10**12 + 1, 10**12, 4)),
)
def test_text_shorter_than_one_window(call, error, message):
    with raises(error, message):
        call()


# ---- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory, the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_cut_short(path):
    whole = checkpoint.encode({"weight_hh_l0": np.zeros((2048, 512), np.float32)}, {})
    path.write_bytes(whole[: 4096 - 2048 * 512 * 4])


@pytest.mark.parametrize(("write", "message"), [
    (write_cut_short, "m.safetensors: tensor 'weight_hh_l0' declares 4194304 bytes, the file has 4096"),
    (lambda path: path.write_bytes(b""), "m.safetensors: the file has 0 bytes, too few for a model"),
    (lambda path: path.write_text("To be, or not to be"),
     "m.safetensors: not a fastlstm model, or cut short: its header would have 8007448951414353748 bytes, the file has 11"),
    (lambda path: path.write_bytes(bytes([3, *bytes(7)]) + b"{:}"),
     "m.safetensors: not a safetensors file: its header is not a JSON object"),
    (lambda path: save_file({"x": np.zeros(3)}, path), "m.safetensors: a safetensors file, but not a fastlstm model"),
])
def test_damaged_or_foreign_file(here, write, message):
    write(here / "m.safetensors")
    with raises(CheckpointError, message):
        Model.load("m.safetensors")


def test_file_of_a_newer_format(here, monkeypatch):
    save_file({"x": np.zeros(3)}, "m.safetensors", {"fastlstm.format": "3"})
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    with raises(CheckpointError, "m.safetensors: format 3 is newer than 2, the newest this version reads"):
        Model.load("m.safetensors")


@pytest.mark.parametrize(("name", "message"), [
    ("m.pt", ".pt files are pickles and are not opened; pass a state dict or a .safetensors file"),
    ("m.pth", ".pth files are pickles and are not opened; pass a state dict or a .safetensors file"),
    ("m.pkl", ".pkl files are pickles and are not opened; pass a state dict or a .safetensors file"),
    ("m.PT", ".PT files are pickles and are not opened; pass a state dict or a .safetensors file"),
])
def test_pickle_by_its_name(here, name, message):
    for _ in range(2):  # whether it is there or not
        with raises(ValueError, message):
            Model.load(name)
        (here / name).write_bytes(b"anything")


class Fuse:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self):
        return open, ("mark", "w")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_by_its_first_bytes(here, protocol):
    (here / "m.safetensors").write_bytes(pickle.dumps([Fuse(), *range(99)], protocol))
    words = "m.safetensors: pickles and zip archives are not opened; pass a state dict or a .safetensors file"
    with raises(ValueError, words):
        Model.load("m.safetensors")
    with zipfile.ZipFile("m.safetensors", "w") as archive:  # what torch.save writes
        archive.writestr("archive/data.pkl", pickle.dumps(Fuse(), protocol))
    with raises(ValueError, words):
        Model.load("m.safetensors")
    assert not (here / "mark").exists()


@pytest.mark.parametrize("size", [0x280, 0x10380])
def test_model_is_not_taken_for_a_pickle(here, size):
    """Its first bytes are the size of its header, which may be those of a pickle."""
    def header_size():
        return int.from_bytes(checkpoint.encode({}, {"padding": "x" * padding})[:8], "little")

    padding = 0
    padding = size - header_size()
    assert header_size() == size
    checkpoint.write("m.safetensors", {}, {"padding": "x" * padding})
    assert checkpoint.read("m.safetensors")[1] == {"padding": "x" * padding}


def test_file_that_is_not_there(here):
    with raises(FileNotFoundError, "[Errno 2] No such file or directory: 'm.safetensors'"):
        Model.load("m.safetensors")


# ---- the command line --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "status", "words"), [
    (["sample", "m.pt"], 2, ".pt files are pickles and are not opened; pass a state dict or a .safetensors file"),
    (["evaluate", "m.safetensors", "empty"], 1, "m.safetensors: the file has 0 bytes, too few for a model"),
    (["train", "text", "--batch-size", "4"], 2, "the training text has 95 symbols, fewer than the 201 of one training window"
     " (seq_length 50 x batch_size 4 + 1); make one of them smaller"),
    (["train", "text", "--batch-size", "1", "--seq-length", "9", "--hidden-size", "1000000000"], 2,
     "4 * hidden_size is 4000000000, more than the 2147483647 that BLAS can address; make it smaller"),
])
def test_command_line_says_it_in_one_line(here, capfd, arguments, status, words):
    (here / "m.safetensors").touch()
    (here / "text").write_text("A" * 100)
    assert cli.main(arguments) == status
    told = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("training on")]
    assert told == [f"fastlstm {arguments[0]}: error: {words}"]


# ---- sizes that no machine has ------------------------------------------------------------------------------------

WIDE = np.broadcast_to(np.zeros((1, 1), np.int32), (2**16, 2**15))  # takes no memory itself
LONG = np.broadcast_to(np.zeros((1, 1), np.int32), (2**15, 2**15))


@table(
    ValueError,
    (lambda: LSTM(2**31, 1), "input_size is 2147483648, more than the 2147483647 that BLAS can address; make it smaller"),
    (lambda: LSTM(1, 2**29), "4 * hidden_size is 2147483648, more than the 2147483647 that BLAS can address; make it smaller"),
    (lambda: LSTM(1, 10**30), "4 * hidden_size is 4" + 30 * "0" + ", more than the 2147483647 that BLAS can address…"),
    (lambda: LSTM(1, 1)(WIDE), "T * B is 2147483648, more than the 2147483647 that BLAS can address; make it smaller"),
    (lambda: LSTM(3, 1).forward(WIDE[..., None]), "T * B is 2147483648, more than the 2147483647 that BLAS can address…"),
    (lambda: LSTM(1, 1).stream(2**31), "batch_size is 2147483648, more than the 2147483647 that BLAS can address…"),
    (lambda: Model(hidden_size=2**29, vocabulary="ab"), "4 * hidden_size is 2147483648, more than the 2147483647…"),
    MemoryError,
    (lambda: LSTM(1, 2**28), "the parameters would take 1,073,741,836 GiB, this machine has …"),
    (lambda: LSTM(2**31 - 1, 2**29 - 1), "the parameters would take 21,474,836,440 GiB, this machine has …"),
    (lambda: LSTM(1, 1, 10**400), "the parameters would take …"),
    (lambda: LSTM(1, 100)(LONG), "the output for T * B = 1073741824 would take 400 GiB, this machine has …"),
    (lambda: LSTM(1, 100).forward(LONG), "the output for T * B = 1073741824 would take 400 GiB, this machine has …"),
    (lambda: LSTM(1, 100).stream(2**30), "the output for batch_size = 1073741824 would take 400 GiB, this machine has …"),
)
def test_sizes_are_refused_before_anything_is_allocated(call, error, message):
    tracemalloc.start()
    try:
        with raises(error, message):
            call()
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
