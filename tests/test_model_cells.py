"""Models of every cell: training, files, writing; and what directions and skips are good for."""

import copy
import inspect
from itertools import count

import numpy as np
import pytest

import fastlstm
from fastlstm import GRU, LSTM, RNN, Model, checkpoint, cli, cli_train, model_file, optim
from fastlstm.cli_parser import parser
from helpers import assert_equal

TEXT = "the quick brown fox jumps over the lazy dog. " * 40
CELLS = {
    "plain": {"cell": "rnn"}, "GRU": {"cell": "gru"}, "peephole": {"peephole": "diagonal"},
    "full peephole": {"peephole": "full"},
    "coupled": {"coupled": True}, "skip": {"skip": True, "num_layers": 2}, "recurrent dropout": {"recurrent_dropout": 0.1},
    "widths": {"hidden_size": (24, 20), "num_layers": 2}, "projected": {"proj_size": 16, "clip": 4.0},
    "reset before": {"cell": "gru", "reset_after": False, "recurrent_activation": "hard_sigmoid"},
    "plain, sigmoid, widths, skip": {
        "cell": "rnn", "nonlinearity": "sigmoid", "hidden_size": (24, 16), "num_layers": 2, "skip": True, "bias": False,
    },
    "projected widths": {"hidden_size": (24, 20), "num_layers": 2, "proj_size": 16},
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
def test_stop_and_resume_is_as_never_stopped(options, tmp_path, monkeypatch):
    """Inside an epoch, with a state to carry on from."""
    whole, stopped, path = make(options), make(options), tmp_path / "m.safetensors"
    fit(whole, 4)
    saves, save = count(1), Model.save

    def stop_at_the_twentieth(model, target):
        save(model, target)
        if next(saves) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(Model, "save", stop_at_the_twentieth)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, 4, checkpoint=path, checkpoint_every=0)
    monkeypatch.undo()
    resumed = Model.load(path)
    assert resumed._position.state is not None
    fit(resumed, 4, resume=True)
    assert_equal(resumed.parameters, whole.parameters)


def test_a_file_without_the_newer_options_is_an_lstms(tmp_path):
    model = make({})
    fit(model, 1)
    arrays, sections = model_file.pack(model)
    for name in (
        "peephole", "coupled", "skip", "recurrent_dropout", "bias", "clip", "activation", "recurrent_activation", "proj_size",
    ):
        del sections["config"][name]
    checkpoint.write(tmp_path / "m.safetensors", arrays, sections)
    assert_equal(Model.load(tmp_path / "m.safetensors").parameters, model.parameters)


@pytest.mark.parametrize(("options", "message"), [
    ({"cell": "gur"}, "did you mean 'gru'"),
    ({"bidirectional": True}, "a language model cannot be bidirectional: the reverse direction would see the next symbol"),
    ({"cell": "gru", "peephole": "full"}, "peephole is for cell 'lstm', got peephole='full' with cell 'gru'"),
    ({"cell": "rnn", "coupled": True}, "coupled is for cell 'lstm', got coupled=True with cell 'rnn'"),
    ({"cell": "rnn", "activation": "relu"}, "activation is for cell 'lstm' or 'gru', got activation='relu' with cell 'rnn'"),
    ({"reset_after": False}, "reset_after is for cell 'gru', got reset_after=False with cell 'lstm'"),
    ({"reset_after": None}, "reset_after is for cell 'gru', got reset_after=None with cell 'lstm'"),
    ({"cell": "gru", "proj_size": 24}, "proj_size is for cell 'lstm', got proj_size=24 with cell 'gru'"),
    ({"cell": "rnn", "nonlinearity": "rleu"}, "nonlinearity must be one of .*, got 'rleu'; did you mean 'relu'"),
    ({"clip": 0}, r"clip must be in \(0, inf\), got 0"),
    ({"proj_size": 24}, "proj_size must be less than hidden_size = 24, got 24"),
    ({"hidden_size": (24, 12), "num_layers": 3}, "hidden_size must have one width for each of 3 layers, got 24, 12"),
    ({"hidden_size": []}, "hidden_size must have a width for each layer, got none"),
    ({"hidden_size": (24, 0)}, r"hidden_size\[1\] must be at least 1, got 0"),
    ({"proj_size": 9, "tied": True, "embedding": 24}, "tied weights need embedding = 9"),
    ({"skip": True, "tied": True, "embedding": 24, "num_layers": 2}, "tied weights need embedding = 48"),
])
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(options)


@pytest.mark.parametrize(("cell", "name", "value"), [
    ("lstm", "bias", False), ("gru", "clip", 2.5), ("rnn", "clip", 2.5), ("lstm", "activation", "relu"),
    ("gru", "activation", "softsign"), ("lstm", "recurrent_activation", "hard_sigmoid"), ("gru", "reset_after", False),
    ("gru", "recurrent_activation", "hard_sigmoid"), ("rnn", "nonlinearity", "relu"), ("lstm", "proj_size", 3),
    ("lstm", "peephole", "full"), ("lstm", "coupled", True), ("rnn", "skip", True), ("gru", "dropout", 0.25),
    ("lstm", "recurrent_dropout", 0.25), ("rnn", "initializer", "xavier"), ("gru", "dtype", "float64"),
])
def test_layers_have_the_options_of_the_model(cell, name, value):
    model = Model(cell=cell, hidden_size=8, vocabulary="abc", **{name: value})
    assert model.config[name] == getattr(model.network.stack, name) == value
    assert getattr(copy.deepcopy(model).network.stack, name) == value
    if name == "nonlinearity":
        assert model.network.stack.places[0].cell.activation == value


def test_the_command_line_has_every_option_of_models():
    options = set(inspect.signature(Model).parameters) - {"bidirectional", "vocabulary"}
    assert set(cli_train.MODEL_OPTIONS) == options
    arguments = vars(parser().parse_args(["train"]))
    assert all(arguments[name] is None for name in options)  # what is not given is left to Model


def test_hidden_sizes_that_are_all_the_same_are_one():
    assert Model(hidden_size=[8, 8]).config == Model(hidden_size=8).config
    assert Model(hidden_size=[8, 9, 7], vocabulary="ab").network.stack.hidden_size == (8, 9, 7)  # the layers are counted
    assert "lstm 8-9-7, 2 characters" in repr(Model(hidden_size=[8, 9, 7], vocabulary="ab"))


def test_a_model_that_holds_gates():
    model = make({"num_layers": 2})
    with pytest.raises(ValueError, match="the model has no vocabulary yet"):
        model.hold(forget_gate=0.5)
    fit(model, 30)
    before = {name: array.copy() for name, array in model.parameters.items()}
    with model.hold(forget_gate=0.5, input_gate=1.0):
        fit(model, 1, optimizer="sgd", learning_rate=1.0)  # which has no moments of the epochs before
    H = model.config["hidden_size"]
    for name, array in model.parameters.items():  # a held gate's weights learn nothing
        learnt = (array != before[name]).reshape(len(array), -1).any(axis=1)
        assert learnt[-H:].all()
        assert not (name.startswith("lstm.") and learnt[: 2 * H].any())
    free = model.sample(50, prompt="the ", temperature=0)
    with model.hold(output_gate=0.0, layers=1):
        for one in (model, model.stream(), model.network):
            with pytest.raises(TypeError, match=r"gates are held by hand: .* outside the `with` block"):
                copy.deepcopy(one)
        shut = model.predict_proba(TEXT[:9])
        always = 50 * model.predict("the")[-1]
        assert model.sample(50, prompt="the ", temperature=0) == always
        assert model.evaluate(TEXT)["loss"] > 2
        begun = model.sample_iter(50, "the ", temperature=0)
    assert "".join(begun) == always  # as it was begun
    assert (shut == shut[0]).all()  # nothing gets out of the layer above
    assert model.sample(50, prompt="the ", temperature=0) == free


@pytest.mark.parametrize("options", [
    ["--cell", "gru", "--no-reset-after"], ["--cell", "lstm", "--peephole", "full", "--coupled"], ["--skip"],
    ["--hidden-size", "8,6,7", "--proj-size", "4", "--no-bias", "--recurrent-activation", "hard_sigmoid"],
    ["--activation", "softsign"], ["--cell", "rnn", "--nonlinearity", "relu", "--clip", "3"],
])
def test_command_line_trains_every_cell(options, corpus, tmp_path, capfd):
    path = tmp_path / "m.safetensors"
    sizes = ["--epochs", "1", "--batch-size", "4", "--seq-length", "20"]
    assert cli.main(["train", str(corpus), "--out", str(path), "--hidden-size", "8", *sizes, *options]) == 0
    capfd.readouterr()
    assert cli.main(["sample", str(path), "--length", "20", "--temperature", "0"]) == 0
    assert len(capfd.readouterr().out.strip("\n")) <= 20
    config = Model.load(path).config
    assert config["cell"] == (options[1] if options[0] == "--cell" else "lstm")
    expected = {
        "--no-reset-after": ("reset_after", False), "--proj-size": ("proj_size", 4), "--clip": ("clip", 3.0),
        "--no-bias": ("bias", False), "--nonlinearity": ("nonlinearity", "relu"),
        "--recurrent-activation": ("recurrent_activation", "hard_sigmoid"), "--activation": ("activation", "softsign"),
    }
    for option, (name, value) in expected.items():
        assert (config.get(name) == value) == (option in options)


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
