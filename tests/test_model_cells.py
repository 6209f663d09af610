"""Models of every cell: training, files, writing; and what directions and skips are good for."""

import numpy as np
import pytest

import fastlstm
from fastlstm import GRU, LSTM, RNN, Model, checkpoint, cli, model_file, optim
from helpers import assert_equal

TEXT = "the quick brown fox jumps over the lazy dog. " * 40
CELLS = {
    "plain": {"cell": "rnn"}, "GRU": {"cell": "gru"}, "peephole": {"peephole": "diagonal"},
    "full peephole": {"peephole": "full"},
    "coupled": {"coupled": True}, "skip": {"skip": True, "num_layers": 2}, "recurrent dropout": {"recurrent_dropout": 0.1},
}
every_cell = pytest.mark.parametrize("options", CELLS.values(), ids=CELLS)


def make(options):
    return Model(**{"hidden_size": 24, "num_layers": 1, "seed": 0, **options})


def fit(model, epochs, **options):
    return model.fit(
        TEXT, **{"epochs": epochs, "batch_size": 5, "seq_length": 30, "progress": False, "learning_rate": 0.01, **options}
    )


@every_cell
def test_learns_writes_and_is_the_same_from_a_file(options, tmp_path):
    model = make(options)
    history = fit(model, 60)
    assert history[-1]["loss"] < 0.4 < 2 < history[0]["loss"]
    assert "brown fox" in model.sample(100, prompt="the quick ", temperature=0)
    assert model.complete("the qu")[0][0] == "ick"
    assert model.surprisal("the quick brown fxo")[-2] > 2
    model.save(tmp_path / "m.safetensors")
    other = Model.load(tmp_path / "m.safetensors")
    assert other.config == model.config
    assert_equal(other.parameters, model.parameters)
    assert other.sample(50, prompt="the ", seed=1) == model.sample(50, prompt="the ", seed=1)
    assert model.config["cell"] in repr(other)


@every_cell
def test_stop_and_resume_is_as_never_stopped(options, tmp_path):
    whole, stopped, path = make(options), make(options), tmp_path / "m.safetensors"
    fit(whole, 4)
    fit(stopped, 2, checkpoint=path)
    resumed = Model.load(path)
    fit(resumed, 4, resume=True)
    assert_equal(resumed.parameters, whole.parameters)


def test_a_file_without_the_newer_options_is_an_lstms(tmp_path):
    model = make({})
    fit(model, 1)
    arrays, sections = model_file.pack(model)
    for name in ("peephole", "coupled", "skip", "recurrent_dropout"):
        del sections["config"][name]
    checkpoint.write(tmp_path / "m.safetensors", arrays, sections)
    assert_equal(Model.load(tmp_path / "m.safetensors").parameters, model.parameters)


@pytest.mark.parametrize(("options", "message"), [
    ({"cell": "gur"}, "did you mean 'gru'"),
    ({"bidirectional": True}, "a language model cannot be bidirectional: the reverse direction would see the next symbol"),
    ({"cell": "gru", "peephole": "full"}, "peephole is for cell 'lstm', got peephole='full' with cell 'gru'"),
    ({"cell": "rnn", "coupled": True}, "coupled is for cell 'lstm', got coupled=True with cell 'rnn'"),
    ({"skip": True, "tied": True, "embedding": 24, "num_layers": 2}, "tied weights need embedding = 48"),
])
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(options)


@pytest.mark.parametrize("options", [["--cell", "gru"], ["--cell", "lstm", "--peephole", "full", "--coupled"], ["--skip"]])
def test_command_line_trains_every_cell(options, corpus, tmp_path, capfd):
    path = tmp_path / "m.safetensors"
    sizes = ["--hidden-size", "8", "--epochs", "1", "--batch-size", "4", "--seq-length", "20"]
    assert cli.main(["train", str(corpus), "--out", str(path), *sizes, *options]) == 0
    capfd.readouterr()
    assert cli.main(["sample", str(path), "--length", "20", "--temperature", "0"]) == 0
    assert len(capfd.readouterr().out.strip("\n")) <= 20
    assert Model.load(path).config["cell"] == (options[1] if options[0] == "--cell" else "lstm")


# ---- layers that learn ---------------------------------------------------------------------------------------------


def learn(rnn, batch, steps, learning_rate):
    """Train a stack with a linear reading of its outputs by Adam, to tell binary labels at every step; returns what it says.

    batch(rng): x (T, B, I) and labels (T, B).
    """
    rng, size = np.random.default_rng(0), rnn.layout.output_size
    reading = rng.standard_normal(size) / size**0.5
    of_layers, of_reading = optim.Adam(rnn), optim.Adam({"reading": reading})
    for _ in range(steps):
        x, labels = batch(rng)
        y, _, tape = rnn.forward(x)
        error = 1 / (1 + np.exp(-(y @ reading))) - labels
        error /= error.size
        of_layers.step(rnn.backward(tape, error[..., None] * reading)[2], learning_rate)
        of_reading.step({"reading": np.tensordot(error, y, axes=2)}, learning_rate)
    return lambda x: (rnn(x)[0] @ reading) > 0


def next_bits(rng):
    """The label is the bit read two steps later: 0 at the last two steps."""
    bits = rng.integers(0, 2, (12, 40))
    labels = np.concatenate([bits[2:], np.zeros((2, 40), int)])
    return bits[..., None] * 2.0 - 1, labels


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_labels_that_depend_on_the_future_need_the_reverse_direction(merge):
    x, labels = next_bits(np.random.default_rng(9))
    options = {"bidirectional": True, "merge": merge, "dtype": "float64", "seed": 0}
    both = learn(LSTM(1, 12, **options), next_bits, 400, 0.02)
    assert (both(x) == labels).mean() >= 0.99
    forward = learn(LSTM(1, 12, dtype="float64", seed=0), next_bits, 400, 0.02)
    assert (forward(x) == labels)[:-2].mean() < 0.6


@pytest.mark.parametrize("stack", [LSTM, GRU, RNN])
def test_stacks_with_skips_learn(stack):
    """The label is whether this bit equals the last one."""

    def repeated(rng):
        bits = rng.integers(0, 2, (12, 40))
        return bits[..., None] * 2.0 - 1, np.concatenate([np.zeros((1, 40), int), bits[1:] == bits[:-1]])

    x, labels = repeated(np.random.default_rng(9))
    says = learn(stack(1, 10, 3, skip=True, dtype="float64", seed=0), repeated, 300, 0.02)
    assert (says(x) == labels).mean() >= 0.99


def test_every_engine_writes_the_same_text():
    texts = []
    for name in ("native", "blas", "reference"):
        model = make({"peephole": "full", "dtype": "float64"})
        with fastlstm.engine(name):
            fit(model, 3)
            texts.append(model.sample(60, prompt="the ", seed=3))
    assert texts[0] == texts[1] == texts[2]
