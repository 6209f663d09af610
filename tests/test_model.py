"""`Model`: rows B4, B8 and C3, and its errors."""

import copy
import inspect
import io
import json
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import fastlstm
from fastlstm import Cosine, Exponential, Model, reference, session
from fastlstm.cells import Cell, Layout
from fastlstm.engines import native

TEXT = "".join(f"{a}{b}{(a * b) % 7}\n" for a in range(30) for b in range(9))
FIT = {"batch_size": 4, "seq_length": 20, "progress": False, "threads": 1}


def small(**options):
    return Model(**{"hidden_size": 8, "num_layers": 2, "seed": 1, **options})


def weights(model):
    return model.network.parameters.flat.copy()


def test_learns_a_pattern_and_writes_it():
    model = small(hidden_size=16, num_layers=1)
    history = model.fit("abcd" * 300, epochs=15, learning_rate=1e-2, **FIT)
    assert history[-1]["loss"] < 0.05 < history[0]["loss"]
    assert model.sample(8, "ab", temperature=0) == "cdabcdab"


def test_record_of_each_epoch():
    model = small()
    records = []
    history = model.fit(
        TEXT, epochs=3, schedule=Exponential(0.5, after=2), callbacks=[lambda m, r: records.append((m, r))], **FIT
    )
    assert [r["epoch"] for r in history] == [1, 2, 3]
    assert [r["learning_rate"] for r in history] == [2e-3, 2e-3, 1e-3]
    assert history[1]["bits_per_symbol"] == pytest.approx(history[1]["loss"] / np.log(2))
    assert history[1]["validation_bits_per_symbol"] == pytest.approx(history[1]["validation_loss"] / np.log(2))
    assert all(r["symbols_per_second"] > 0 and r["seconds"] > 0 for r in history)
    assert records == [(model, r) for r in history]


def test_evaluate_equals_an_independent_computation():
    """C3: nats, bits and perplexity of the held-out part, from the float64 reference and scratch."""
    model = small(dtype="float64", embedding=3)
    cut = len(TEXT) - int(len(TEXT) * 0.1)
    history = model.fit(TEXT, epochs=1, validation=0.1, **FIT)
    held_out, p = TEXT[cut:], model.parameters
    ids = model.vocabulary.encode(held_out)
    zeros = np.zeros((2, 1, 8))
    parameters = {name.removeprefix("lstm."): a for name, a in p.items()}
    layout = Layout.stacked(Cell("lstm", 3, 8), (8, 8))
    y, *_ = reference.stack_forward(layout, parameters, p["embedding.weight"][ids[:-1, None]], (zeros, zeros))
    logits = y[:, 0] @ p["output.weight"].T + p["output.bias"]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    nats = -np.log(probabilities[np.arange(len(ids) - 1), ids[1:]]).mean()
    result = model.evaluate(held_out)
    assert result["loss"] == pytest.approx(nats, rel=1e-12)
    assert result["bits_per_symbol"] == pytest.approx(nats / np.log(2), rel=1e-12)
    assert result["perplexity"] == pytest.approx(np.exp(nats), rel=1e-12)
    assert history[-1]["validation_loss"] == pytest.approx(nats, rel=1e-12)


def test_held_out_part_is_never_trained_on():
    cut = len(TEXT) - int(len(TEXT) * 0.1)
    other = TEXT[:cut] + TEXT[cut:][::-1]
    models = [small(vocabulary=sorted(set(TEXT))) for _ in range(2)]
    for model, text in zip(models, (TEXT, other), strict=True):
        model.fit(text, epochs=1, validation=0.1, **FIT)
    assert np.array_equal(weights(models[0]), weights(models[1]))
    assert models[0].history[-1]["validation_loss"] != models[1].history[-1]["validation_loss"]


def test_evaluate_does_not_depend_on_its_window(monkeypatch):
    model = small(vocabulary=sorted(set(TEXT)), dtype="float64")
    whole = model.evaluate(TEXT)["loss"]
    monkeypatch.setattr("fastlstm.training.EVALUATION_WINDOW", 7)
    assert model.evaluate(TEXT)["loss"] == pytest.approx(whole, rel=1e-12)


def test_first_update_equals_pytorch():
    """Windows, carried state, mean loss, clipping by norm and Adam together, over three windows."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    text = TEXT[: 3 * 4 * 20 + 1]
    model = small(dtype="float64", vocabulary=sorted(set(TEXT)))
    start = {name: torch.tensor(a) for name, a in model.parameters.items()}
    V = len(model.vocabulary)
    lstm = torch.nn.LSTM(V, 8, 2, dtype=torch.float64)
    output = torch.nn.Linear(8, V, dtype=torch.float64)
    lstm.load_state_dict({n.removeprefix("lstm."): p for n, p in start.items() if n.startswith("lstm.")})
    output.load_state_dict({n.removeprefix("output."): p for n, p in start.items() if n.startswith("output.")})
    parameters = [*lstm.parameters(), *output.parameters()]
    adam = torch.optim.Adam(parameters, lr=2e-3)
    ids = torch.tensor(model.vocabulary.encode(text)).long()
    tokens, targets = ids[:-1].reshape(4, 60).T, ids[1:].reshape(4, 60).T
    state = None
    for k in range(3):
        part = slice(20 * k, 20 * (k + 1))
        y, state = lstm(torch.nn.functional.one_hot(tokens[part], V).double(), state)
        state = tuple(s.detach() for s in state)
        loss = torch.nn.functional.cross_entropy(output(y).reshape(-1, V), targets[part].ravel())
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.05)
        adam.step()
    model.fit(text, epochs=1, validation=None, clip_norm=0.05, **FIT)
    for name, p in [*lstm.named_parameters(prefix="lstm"), *output.named_parameters(prefix="output")]:
        np.testing.assert_allclose(model.parameters[name], p.detach().numpy(), rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("batch_size", [4, 18])  # few are left whole and the units divided
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_seed_and_threads_are_bit_equal(compiled, divided, threads, batch_size):
    models = [small(dropout=0.2) for _ in range(2)]
    for model in models:
        model.fit(TEXT, epochs=2, **{**FIT, "threads": threads, "batch_size": batch_size})
    assert np.array_equal(weights(models[0]), weights(models[1]))


@pytest.mark.parametrize("batch_size", [4, 18])
def test_threads_change_only_rounding(divided, batch_size, monkeypatch):
    models, division, divisions = [small(dtype="float64") for _ in range(3)], native.division, set()

    def watched(*arguments):
        divisions.add(division(*arguments))
        return division(*arguments)

    monkeypatch.setattr(native, "division", watched)
    with fastlstm.engine("native"):
        for threads, model in enumerate(models, 1):
            model.fit(TEXT, epochs=1, **{**FIT, "threads": threads, "batch_size": batch_size})
    assert divisions >= {(2, batch_size == 4), (3, batch_size == 4)}
    np.testing.assert_allclose(weights(models[1]), weights(models[0]), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(weights(models[2]), weights(models[0]), rtol=1e-9, atol=1e-11)


def test_fit_continues_with_weights_and_moments():
    model, twin = small(), small()
    for m in (model, twin):
        m.fit(TEXT, epochs=1, **FIT)
    model.fit(TEXT, epochs=1, **FIT)
    twin._optimizer = None
    twin.fit(TEXT, epochs=1, **FIT)
    assert model._optimizer.steps == 2 * twin._optimizer.steps
    assert not np.array_equal(weights(model), weights(twin))


# ---- files and resuming: B8 ---------------------------------------------------------------------------------------


def test_save_and_load_restore_everything(tmp_path):
    model = small(dropout=0.1, embedding=3)
    model.fit(TEXT, epochs=1, **FIT)
    model.save(tmp_path / "m.safetensors")
    again = Model.load(tmp_path / "m.safetensors")
    assert np.array_equal(weights(again), weights(model))
    assert again.config == model.config
    assert again.history == model.history
    assert again.sample(50) == model.sample(50)  # the generator's state came along
    assert repr(again) == repr(model)
    for m in (model, again):
        m.fit(TEXT, epochs=1, **FIT)
    assert np.array_equal(weights(again), weights(model))


@pytest.mark.parametrize("make", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_and_pickles_are_whole_and_apart(make):
    model = small(dropout=0.1)
    assert make(model).config == model.config
    model.fit(TEXT, epochs=1, **FIT)
    other = make(model)
    assert np.array_equal(weights(other), weights(model))
    assert other.sample(30) == model.sample(30)
    other.fit(TEXT, epochs=1, **FIT)
    assert not np.array_equal(weights(other), weights(model))
    model.fit(TEXT, epochs=1, **FIT)
    assert np.array_equal(weights(other), weights(model))


def stop_after(windows):
    """A stand-in for whatever ends a process between two windows."""
    count = 0

    def save(self, path, save=Model.save):
        nonlocal count
        save(self, path)
        count += 1
        if count == windows:
            raise KeyboardInterrupt

    return save


@pytest.mark.parametrize("windows", [1, 7, 13, 14, 20])
def test_resumed_in_mid_epoch_is_bit_equal(tmp_path, monkeypatch, windows):
    path = tmp_path / "m.safetensors"
    whole = small(dropout=0.3)
    whole.fit(TEXT, epochs=3, schedule=Exponential(0.5), **FIT)
    monkeypatch.setattr(Model, "save", stop_after(windows))
    with pytest.raises(KeyboardInterrupt):
        small(dropout=0.3).fit(TEXT, epochs=3, schedule=Exponential(0.5), checkpoint=path, checkpoint_every=0, **FIT)
    monkeypatch.undo()
    model = Model.load(path)
    model.fit(TEXT, epochs=3, schedule=Exponential(0.5), resume=True, **FIT)
    assert np.array_equal(weights(model), weights(whole))
    assert len(model.history) == 3
    for ours, theirs in zip(model.history, whole.history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-14)
        assert ours["validation_loss"] == theirs["validation_loss"]


TRAINER = """
import sys
sys.path.insert(0, sys.argv[1])
from test_model import FIT, TEXT, small
small(dropout=0.3).fit(TEXT, epochs=400, checkpoint=sys.argv[2], checkpoint_every=0, **FIT)
"""


def test_killed_in_mid_epoch_and_resumed_is_bit_equal(tmp_path, request):
    path = tmp_path / "m.safetensors"
    process = subprocess.Popen([sys.executable, "-c", TRAINER, request.path.parent, path])
    while not path.exists():
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    model = Model.load(path)
    epochs = model._position.epoch + 1
    model.fit(TEXT, epochs=epochs, resume=True, **FIT)
    whole = small(dropout=0.3)
    whole.fit(TEXT, epochs=epochs, **FIT)
    assert np.array_equal(weights(model), weights(whole))


def test_max_seconds_stops_and_can_be_resumed():
    model = small()
    history = model.fit(TEXT * 3, epochs=10**6, max_seconds=0.3, **FIT)
    epochs = model._position.epoch + 1
    assert history[-1]["epoch"] in (epochs, epochs - 1)
    assert history[-1]["seconds"] < 3
    resumed = model.fit(TEXT * 3, epochs=epochs, resume=True, **FIT)
    assert [r["epoch"] for r in resumed] == [epochs]
    assert [r["epoch"] for r in model.history] == list(range(1, epochs + 1))
    whole = small()
    whole.fit(TEXT * 3, epochs=epochs, **FIT)
    assert np.array_equal(weights(model), weights(whole))


def test_resume_needs_the_same_text_and_sizes():
    model = small(vocabulary=sorted(set(TEXT)))
    with pytest.raises(ValueError, match="nothing to resume"):
        model.fit(TEXT, resume=True, **FIT)
    model.fit(TEXT, epochs=1, **FIT)
    with pytest.raises(ValueError, match="not the text the checkpoint was trained on"):
        model.fit(TEXT[::-1], epochs=2, resume=True, **FIT)
    with pytest.raises(ValueError, match="batch_size must be 4 to resume this checkpoint, got 5"):
        model.fit(TEXT, epochs=2, resume=True, **{**FIT, "batch_size": 5})


def test_options_that_are_given_count_on_resume_be_they_the_defaults():
    model, taken = small(), []
    model.fit(TEXT, epochs=2, learning_rate=1e-3, patience=5, **FIT)
    model.fit(TEXT, resume=True, **FIT)
    assert model.epochs_finished == 2
    for options in ({"epochs": 50}, {"learning_rate": 2e-3}, {"patience": None}):
        model.fit(TEXT, resume=True, max_seconds=1e-9, **FIT, **options)
        taken.append((model.options.epochs, model.options.learning_rate, model.options.patience))
    assert taken == [(50, 1e-3, 5), (50, 2e-3, 5), (50, 2e-3, None)]
    model.fit(TEXT, resume=True, max_seconds=1e-9, **{**FIT, "threads": None})
    assert model.options.threads == 1  # that of before: no number was given
    assert "given" not in inspect.signature(Model.fit).parameters
    with pytest.raises(TypeError, match="multiple values for keyword argument 'given'"):
        model.fit(TEXT, given=["epochs"])


def test_resume_takes_options_that_are_not_given_from_the_checkpoint(tmp_path):
    options = {"learning_rate": 1e-2, "clip_norm": 0.01, "validation": 0.1, **FIT}
    models = [small() for _ in range(2)]
    models[0].fit(TEXT, epochs=2, **options)
    models[1].fit(TEXT, epochs=1, **options)
    models[1].save(tmp_path / "m.safetensors")
    resumed = Model.load(tmp_path / "m.safetensors")
    resumed.fit(TEXT, epochs=2, resume=True, progress=False)
    assert np.array_equal(weights(resumed), weights(models[0]))
    assert resumed.options == models[0].options


def test_refused_arguments_leave_the_model_as_it_was():
    model = small()
    wrong = [{"epochs": -1}, {"schedule": 0.5}, {"checkpoint": "/nowhere/m"}, {"batch_size": 10**6}, {"optimizer": "x"}]
    for arguments in wrong:
        with pytest.raises((ValueError, TypeError, FileNotFoundError)):
            model.fit("abc" * 100, **{**FIT, **arguments})
    assert model.vocabulary is None
    model.fit(TEXT, epochs=1, **FIT)


def test_weights_that_overflow_are_not_saved(tmp_path):
    path = tmp_path / "m.safetensors"
    model = small()
    one_window = {"x": TEXT[:81], "epochs": 1, "validation": None, "checkpoint": path, **FIT}
    model.fit(**one_window)
    with pytest.raises(FloatingPointError, match="holds NaN or Inf after 2 steps: the learning rate is too large"):
        model.fit(**one_window, learning_rate=1e39)
    with pytest.raises(FloatingPointError, match=r"epoch 1, window 1; .*weight_ih_l0 held NaN or Inf: the learning rate"):
        small().fit(TEXT, epochs=1, learning_rate=1e39, **FIT)
    assert np.isfinite(weights(Model.load(path))).all()
    with pytest.raises(FloatingPointError, match="the network's output is NaN or infinite after 0 symbols"):
        model.sample(5, "1")


def test_best_marks_the_smallest_loss_so_far():
    model = small()
    history = model.fit(TEXT, epochs=6, learning_rate=0.05, **FIT)
    losses = [r["validation_loss"] for r in history]
    assert [r["best"] for r in history] == [loss == min(losses[: k + 1]) for k, loss in enumerate(losses)]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam", "adamw"])
def test_every_optimizer_learns_and_resumes_bit_equal(tmp_path, optimizer):
    options = {"optimizer": optimizer, "learning_rate": 0.3 if optimizer in ("sgd", "momentum") else 1e-2, **FIT}
    whole, part = small(), small()
    history = whole.fit(TEXT, epochs=4, **options)
    assert history[-1]["loss"] < 0.97 * history[0]["loss"]
    part.fit(TEXT, epochs=2, **options)
    part.save(tmp_path / "m.safetensors")
    resumed = Model.load(tmp_path / "m.safetensors")
    resumed.fit(TEXT, epochs=4, resume=True, **options)
    assert np.array_equal(weights(resumed), weights(whole))


def test_another_optimizer_starts_with_moments_of_its_own():
    model, other = small(), small()
    for m in (model, other):
        m.fit(TEXT, epochs=1, **FIT)
    model.fit(TEXT, epochs=1, optimizer="rmsprop", **FIT)
    other._optimizer = None
    other.fit(TEXT, epochs=1, optimizer="rmsprop", **FIT)
    assert np.array_equal(weights(model), weights(other))


# Validation that can only get worse: the text that is learnt says nothing of it.
DIVERGING = {"x": "ab" * 400, "validation": "ba" * 20 + "aabb" * 40, "learning_rate": 2e-2, **FIT}


def test_resuming_after_best_weights_were_restored_goes_on_from_the_last(tmp_path):
    options = {**DIVERGING, "restore_best": True}
    whole, part = small(), small()
    records = whole.fit(**options, epochs=12)
    part.fit(**options, epochs=10)
    assert not part.history[-1]["best"]  # so it has others than the last weights
    part.save(tmp_path / "m.safetensors")
    for resumed in (part, Model.load(tmp_path / "m.safetensors")):
        resumed.fit(**options, epochs=12, resume=True)
        assert np.array_equal(weights(resumed), weights(whole))
        assert [r["loss"] for r in resumed.history] == [r["loss"] for r in records]


@pytest.mark.parametrize("calls", [6, 60, 117, 132])
def test_a_part_of_an_epoch_is_not_the_best_one_for_good(tmp_path, monkeypatch, calls):
    class Clock:
        """Counts how often it is looked at, so that time is up at a certain window."""

        seconds = 0.0

        def monotonic(self):
            self.seconds += 1
            return self.seconds

    # Of noise there is little to learn: a part of the third epoch, the best, is better than all of it.
    noise = "".join(np.random.default_rng(0).choice(list("abcd"), 2000))
    options = {"x": noise, "validation": 0.1, "restore_best": True, **FIT}
    whole, part = small(), small()
    whole.fit(**options, epochs=4)
    monkeypatch.setattr(fastlstm.training, "time", Clock())
    part.fit(**options, epochs=4, max_seconds=calls, checkpoint=tmp_path / "m.safetensors")
    monkeypatch.undo()
    assert part.epochs_finished < 4
    resumed = Model.load(tmp_path / "m.safetensors")
    resumed.fit(**options, epochs=4, resume=True)
    assert np.array_equal(weights(resumed), weights(whole))
    assert [r["best"] for r in resumed.history] == [r["best"] for r in whole.history]


def test_resuming_needs_the_validation_text_that_it_had(tmp_path):
    path = tmp_path / "m.safetensors"
    small().fit(TEXT, epochs=1, validation=TEXT[:90], checkpoint=path, **FIT)
    for other in ({}, {"validation": None}, {"validation": TEXT[:91]}):
        with pytest.raises(ValueError, match="validation must be the text that the checkpoint was judged by; resume with"):
            Model.load(path).fit(TEXT, epochs=2, resume=True, progress=False, **other)
    assert len(Model.load(path).fit(TEXT, epochs=2, resume=True, progress=False, validation=TEXT[:90])) == 1


def test_best_weights_that_were_not_kept_cannot_be_asked_for_later():
    model = small()
    model.fit(TEXT, epochs=1, **FIT)
    with pytest.raises(ValueError, match="restore_best must be given from the start: this training has not kept"):
        model.fit(TEXT, epochs=2, resume=True, restore_best=True, progress=False)


def test_validation_that_is_not_finite_ends_training_and_leaves_a_good_checkpoint(tmp_path):
    text, path = "".join(np.random.default_rng(0).choice(list("abcdefgh \n"), 20000)), tmp_path / "m.safetensors"
    model = Model(cell="rnn", nonlinearity="linear", hidden_size=64, seed=0, initializer="orthogonal")
    fit = {"batch_size": 200, "seq_length": 20, "learning_rate": 0.03, "validation": 0.2, "progress": False}
    with pytest.raises(FloatingPointError, match="output is NaN or infinite on the validation text after epoch 3: the last"):
        model.fit(text, epochs=4, checkpoint=path, **fit)
    assert len(Model.load(path).history) == 2
    for use in (model.evaluate, model.surprisal):
        with pytest.raises(FloatingPointError, match="the network's output is NaN or infinite"):
            use(text)


def test_patience_stops_and_best_weights_are_restored(tmp_path):
    path = tmp_path / "m.safetensors"
    model = small()
    history = model.fit(**DIVERGING, epochs=60, patience=3, restore_best=True, checkpoint=path)
    losses = [r["validation_loss"] for r in history]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 3 < 60
    assert model.evaluate(DIVERGING["validation"])["loss"] == losses[best]
    assert Model.load(path).evaluate(DIVERGING["validation"])["loss"] == losses[-1]  # a checkpoint holds the last state
    resumed = Model.load(path)
    assert resumed.fit(**DIVERGING, epochs=60, resume=True) == []  # patience is still over
    assert np.array_equal(weights(resumed), weights(model))


def test_best_weights_survive_a_stop(tmp_path):
    path = tmp_path / "m.safetensors"
    options = {**DIVERGING, "restore_best": True}
    whole, part = small(), small()
    losses = [r["validation_loss"] for r in whole.fit(**options, epochs=12)]
    assert losses.index(min(losses)) < 9  # the best epoch lies before the stop
    part.fit(**options, epochs=10, checkpoint=path)
    resumed = Model.load(path)
    resumed.fit(**options, epochs=12, resume=True)
    assert np.array_equal(weights(resumed), weights(whole))


def test_plateau_schedule_follows_the_losses_across_a_stop(tmp_path):
    options = {**DIVERGING, "schedule": fastlstm.Plateau(0.5, patience=2)}
    whole, part = small(), small()
    rates = [r["learning_rate"] for r in whole.fit(**options, epochs=14)]
    assert len(set(rates)) > 2
    part.fit(**options, epochs=11)
    part.save(tmp_path / "m.safetensors")
    resumed = Model.load(tmp_path / "m.safetensors")
    assert [r["learning_rate"] for r in resumed.fit(**options, epochs=14, resume=True)] == rates[11:]
    assert np.array_equal(weights(resumed), weights(whole))


def test_file_that_can_be_read_once_is_read_once(tmp_path):
    import os

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=(TEXT,)).start()
    model = small()
    model.fit(pipe, epochs=1, **FIT)
    assert model.vocabulary.counts.sum() > 0.9 * len(TEXT)


# ---- errors -------------------------------------------------------------------------------------------------------


def test_text_shorter_than_one_window():
    with pytest.raises(ValueError, match="the training text has 10 symbols, fewer than the 2501 of one training window"):
        small().fit("abcdefghij", validation=None, progress=False)


@pytest.mark.parametrize("where", ["output.bias", "lstm.weight_hh_l1"])
def test_nan_is_refused_and_changes_nothing(where):
    model = small(vocabulary=sorted(set(TEXT)))
    model.network.parameters.arrays[where].flat[0] = np.nan
    before = weights(model)
    with pytest.raises(FloatingPointError, match="the loss is nan in epoch 1, window 0; the weights are unchanged"):
        model.fit(TEXT, epochs=1, **FIT)
    assert np.array_equal(weights(model), before, equal_nan=True)


def test_infinite_gradient_is_refused_by_name(monkeypatch):
    model = small()
    model.fit(TEXT, epochs=1, **FIT)
    before, original = weights(model), type(model.network).gradients

    def poisoned(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        args[4].arrays["lstm.weight_hh_l1"][0, 0] = np.inf
        return result

    monkeypatch.setattr(type(model.network), "gradients", poisoned)
    for clip in ({"clip_norm": None}, {"clip_value": 1.0}, {}):
        with pytest.raises(FloatingPointError, match=r"gradient of lstm.weight_hh_l1 holds NaN or Inf in epoch 1, window 0"):
            model.fit(TEXT, epochs=1, **FIT, **clip)
    assert np.array_equal(weights(model), before)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Model("langage"), ValueError, "task must be one of 'language', got 'langage'; did you mean 'language'"),
        (lambda: Model(cell="lstn"), ValueError, "did you mean 'lstm'"),
        (lambda: Model(hidden_size=0), ValueError, "hidden_size must be at least 1, got 0"),
        (lambda: Model(hidden_size=1.5), TypeError, "hidden_size must be a whole number, got 1.5"),
        (lambda: Model(dropout=1), ValueError, r"dropout must be in \[0, 1\), got 1"),
        (lambda: Model(dtype="float16"), ValueError, "dtype must be one of 'float32', 'float64', got 'float16'"),
        (lambda: Model().evaluate("ab"), ValueError, "no vocabulary yet"),
        (lambda: Model().sample(), ValueError, "no vocabulary yet"),
        (lambda: Model().fit([1, 2, 3]), ValueError, "integer symbols need a vocabulary"),
        (lambda: Model(vocabulary="ab").fit("ab", y="ab"), ValueError, "y must be None"),
        (lambda: Model(vocabulary="ab").fit("ab" * 9, optimizer="adm"), ValueError, "did you mean 'adam'"),
        (lambda: Model(vocabulary="ab").fit("ab" * 9, learning_rate=0), ValueError, r"learning_rate must be in \(0, inf\)"),
        (lambda: Model(vocabulary="ab").fit("ab" * 9, validation=1.0), ValueError, "validation must be in"),
        (lambda: Model(symbols="bytes", vocabulary="ab"), ValueError, "a model of bytes knows all 256 of them"),
        (lambda: Model(vocabulary=5), TypeError, "vocabulary must hold symbols in the order of their ids, .* got int"),
        (lambda: Model(vocabulary={"a", "b"}), TypeError, "vocabulary must hold .* as a list does, got set"),
        (lambda: Model(vocabulary={"a": 1, "b": 0}), TypeError, "vocabulary must hold .* as a list does, got dict"),
        (lambda: Model(dropout="0.5"), TypeError, "dropout must be a number, got '0.5'"),
        (lambda: Model(vocabulary="ab").sample(3, prompt=7), TypeError, "prompt must be a str or bytes, got int"),
        (lambda: Model(vocabulary="ab").sample_iter(-1), ValueError, "length must be at least 0, got -1"),
        (lambda: Model(vocabulary="ab").fit("ab" * 9), ValueError, "fewer than the 2501 of one training window .*; make one"),
        (lambda: Model().fit("book.txt"), ValueError, "one of them smaller; a str is the text itself, a Path a file"),
        (lambda: Model().fit(io.StringIO("ab")), TypeError, "a text must be a str, bytes, a Path .* got StringIO; a Path"),
        (lambda: Model().fit(Path("/")), ValueError, "/ is a directory; pass a list of files"),
        (lambda: Model().fit("ab", resume=True), ValueError, "nothing to resume: this model has had no training; load"),
        (lambda: Model(vocabulary="ab").fit("ab" * 9, batch_size=1, seq_length=4), ValueError, "validation text must have"),
        (lambda: Model(vocabulary="ab").evaluate("a"), ValueError, "at least 2 symbols, got 1"),
        (lambda: Model(vocabulary="ab").evaluate("abc"), ValueError, r"character 'c' \(U\+0063\) at position 2"),
        (lambda: Model(vocabulary="ab").evaluate([0.0, 1.0]), TypeError, "tokens must be an integer array, got float64"),
        (lambda: Model(vocabulary="ab").evaluate([0, 1, 2]), IndexError, r"token id 2 at position 2 is outside \[0, 2\)"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_str_that_names_a_file_is_taken_for_a_mistake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT)
    words = r"'book.txt' names a file: pass Path\('book.txt'\) to read it, or \['book.txt'\] where these 8 characters are"
    for call in (small().fit, small(vocabulary="abc").evaluate):
        with pytest.raises(ValueError, match=words):
            call("book.txt")


def test_a_file_that_holds_the_name_of_another_is_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "ab" * 50
    (tmp_path / "names").write_text(text)
    (tmp_path / text).write_text("something else")
    model, other = small(), small()
    assert model.fit(Path("names"), epochs=1, **FIT)[0]["loss"] == other.fit([text], epochs=1, **FIT)[0]["loss"]
    assert model.evaluate(Path("names")) == model.evaluate([text])


def test_integers_are_text_by_ids():
    model = small(vocabulary="ab")
    assert model.evaluate([0, 1, 1]) == model.evaluate("abb")
    other = small(vocabulary="ab")
    model.fit("aab" * 200, epochs=1, **FIT)
    other.fit(np.tile([0, 0, 1], 200), epochs=1, **FIT)
    assert np.array_equal(weights(model), weights(other))


def test_training_one_model_from_two_threads_raises():
    model = small()
    inside, leave = threading.Event(), threading.Event()

    def wait(*_):
        inside.set()
        leave.wait(20)

    thread = threading.Thread(target=model.fit, args=(TEXT,), kwargs={"epochs": 1, "callbacks": [wait], **FIT})
    thread.start()
    inside.wait(20)
    with pytest.raises(RuntimeError, match="being trained in another thread"):
        model.fit(TEXT, epochs=1, **FIT)
    leave.set()
    thread.join()


def test_sixteen_threads_share_a_model_for_inference():
    model = small(vocabulary=sorted(set(TEXT)))
    expected = model.evaluate(TEXT), model.sample(300, seed=1)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append((model.evaluate(TEXT), model.sample(300, seed=1)))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 16


def test_parameters_are_read_only():
    model = small(vocabulary="ab")
    with pytest.raises(ValueError, match="read-only"):
        model.parameters["output.bias"][0] = 1
    assert dict(small().parameters) == {}


def test_reference_engine_trains_to_the_same_weights(compiled):
    models = [small(dtype="float64") for _ in range(2)]
    models[0].fit(TEXT[:400], epochs=1, **FIT)
    with fastlstm.engine("reference"):
        models[1].fit(TEXT[:400], epochs=1, **FIT)
    np.testing.assert_allclose(weights(models[0]), weights(models[1]), rtol=0, atol=1e-11)


def test_history_is_json():
    model = small()
    model.fit(TEXT, epochs=1, **FIT)
    assert json.loads(json.dumps(model.history)) == model.history


def test_options_of_the_network_reach_it_and_its_file(tmp_path):
    """Tied weights, the initializer, words and their cut."""
    options = {"hidden_size": 8, "num_layers": 2, "tied": True, "initializer": "orthogonal", "seed": 0}
    model = Model(**options, symbols="words", max_symbols=6, min_count=2)
    model.fit("one two three four five six one two three " * 50, epochs=1, batch_size=2, seq_length=10, progress=False)
    assert len(model.vocabulary) == 6
    assert model.config["embedding"] == 8
    assert "output.weight" not in model.parameters
    recurrent = Model(**options, symbols="bytes").parameters["lstm.weight_hh_l1"][:8]
    assert np.allclose(recurrent @ recurrent.T, np.eye(8), atol=1e-6)
    model.save(tmp_path / "m.safetensors")
    loaded = Model.load(tmp_path / "m.safetensors")
    assert loaded.config == model.config
    assert loaded.vocabulary.symbols == model.vocabulary.symbols
    assert loaded.sample(20, "one", seed=0) == model.sample(20, "one", seed=0)
    assert loaded.evaluate("one two three four") == model.evaluate("one two three four")


def test_tied_weights_need_vectors_as_wide_as_the_state():
    with pytest.raises(ValueError, match="tied weights need embedding = 8, the width of the output, got 4"):
        Model(hidden_size=8, embedding=4, tied=True)


def test_interrupt_leaves_a_checkpoint_to_resume(tmp_path):
    """Ctrl-C in the first epoch, from Python."""
    text, path = "abcd" * 300, tmp_path / "m.safetensors"
    fit = {"epochs": 2, "batch_size": 4, "seq_length": 20, "progress": False, "threads": 1}
    model, whole = (Model(hidden_size=4, seed=0, vocabulary="abcd") for _ in range(2))
    original, calls = model.network.gradients, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(*args)

    model.network.gradients = interrupted
    with pytest.raises(KeyboardInterrupt):
        model.fit(text, checkpoint=path, **fit)
    resumed = Model.load(path)
    resumed.fit(text, resume=True, **fit)
    whole.fit(text, **fit)
    assert np.array_equal(resumed.network.parameters.flat, whole.network.parameters.flat)


def test_interrupt_at_the_best_epoch_does_not_lose_its_weights(tmp_path, monkeypatch):
    """Ctrl-C while they are stored."""
    text, path = "abcd" * 300, tmp_path / "m.safetensors"
    fit = {"epochs": 3, "batch_size": 4, "seq_length": 20, "progress": False, "validation": 0.2, "restore_best": True}
    interrupted, whole = (Model(hidden_size=4, seed=0, vocabulary="abcd") for _ in range(2))
    whole.fit(text, **fit)
    stored = []

    def store(position, name, value):
        if name == "best_weights":
            stored.append(name)
            if len(stored) == 3:
                raise KeyboardInterrupt
        object.__setattr__(position, name, value)

    monkeypatch.setattr(session.Position, "__setattr__", store, raising=False)
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(text, checkpoint=path, **fit)
    monkeypatch.undo()
    resumed = Model.load(path)
    resumed.fit(text, resume=True, **fit)
    assert np.array_equal(resumed.network.parameters.flat, whole.network.parameters.flat)


def test_a_schedule_at_its_end_is_not_resumed():
    fit = {"batch_size": 2, "seq_length": 5, "progress": False}
    model = Model(hidden_size=2, num_layers=1, seed=0)
    model.fit("ab" * 50, epochs=2, schedule=Cosine(2), **fit)
    with pytest.raises(ValueError, match="the learning rate is 0 from epoch 3 on; give a schedule for all 4 epochs"):
        model.fit("ab" * 50, epochs=4, resume=True, **fit)
    model.fit("ab" * 50, epochs=4, schedule=Cosine(4), resume=True, **fit)
    assert model.epochs_finished == 4


def test_schedules_of_ones_own_are_refused_as_no_file_could_name_them():
    class Half(fastlstm.schedules.Schedule):
        def __call__(self, epoch, losses):
            return 0.5

    with pytest.raises(TypeError, match=r"schedule must be None or one of fastlstm\.schedules, such as"):
        small().fit(TEXT, schedule=Half(), **FIT)


def test_state_dicts_go_from_model_to_model():
    one, other = (Model(hidden_size=8, vocabulary="abc", seed=seed) for seed in (0, 1))
    other.load_state_dict(one.state_dict())
    assert np.array_equal(other.predict_proba("abcab"), one.predict_proba("abcab"))
    with pytest.raises(ValueError, match=r"missing parameters: output\.bias"):
        other.load_state_dict({name: array for name, array in one.state_dict().items() if name != "output.bias"})
    with pytest.raises(ValueError, match="no vocabulary yet"):
        Model().load_state_dict(one.state_dict())


def test_texts_longer_than_memory_are_refused():
    with pytest.raises(MemoryError, match="the texts would take"):
        Model(hidden_size=2, vocabulary="ab", seed=0).sample(10**13)


def test_callbacks_are_functions():
    seen = []
    fit = {"epochs": 1, "batch_size": 2, "seq_length": 5, "progress": False}
    Model(hidden_size=2, seed=0).fit("ab" * 50, callbacks=lambda model, record: seen.append(record["epoch"]), **fit)
    assert seen == [1]
    for wrong in (3, [3]):
        with pytest.raises(TypeError, match=r"callbacks must be functions of \(model, record\), got \[3\]"):
            Model(hidden_size=2, seed=0).fit("ab" * 50, callbacks=wrong, **fit)


def test_nothing_to_train_on_is_named():
    with pytest.raises(TypeError, match="x must be a text, files or ids, got None"):
        Model(hidden_size=2).fit(None)


def test_frequencies_are_those_of_the_training_part():
    model = Model(hidden_size=2, num_layers=1, seed=0)
    model.fit("ab" * 500 + "z" * 100, epochs=1, batch_size=2, seq_length=5, validation=0.1, progress=False)
    assert model.vocabulary.counts.tolist() == [495, 495, 0]


def test_a_checkpoint_is_safe_before_its_epochs_callbacks(tmp_path):
    def fails(model, record):
        raise RuntimeError("a callback of the user's")

    path = tmp_path / "m.safetensors"
    with pytest.raises(RuntimeError, match="of the user's"):
        Model(hidden_size=2, seed=0).fit(
            "ab" * 50, epochs=3, batch_size=2, seq_length=5, progress=False, checkpoint=path, callbacks=fails
        )
    assert Model.load(path).epochs_finished == 1


@pytest.mark.parametrize("options", [{"max_symbols": 10}, {"min_count": 2}])
def test_bytes_are_always_256(options):
    with pytest.raises(ValueError, match="max_symbols and min_count are for characters and words; of bytes there are always"):
        Model(symbols="bytes", **options)
