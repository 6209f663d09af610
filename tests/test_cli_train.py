"""`fastlstm train` as its users meet it."""

import json
import os
import re
import shlex
import signal
import time

import pytest

from command_line import SIZES, TEXT, run
from fastlstm import Cosine, Exponential, Model, Plateau, Step, checkpoint, cli, fitting, log
from helpers import assert_equal


def test_train_writes_last_and_best_model(corpus, capfd):
    path = corpus.parent / "m.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(path), "--epochs", "3", *SIZES]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"{path}: validation loss ")
    assert "training on 1 file, 1.8 kB\n" in err
    assert "epoch 3/3: loss" in err
    assert "Traceback" not in err
    model, best = Model.load(path), Model.load(path.with_name("m.best.safetensors"))
    losses = [r["validation_loss"] for r in model.history]
    assert len(losses) == 3
    assert best.history[-1]["validation_loss"] == min(losses)
    assert model.config["hidden_size"] == 8
    assert model.seed == 1


def test_train_shows_a_sample_after_each_epoch(corpus, capfd):
    path = corpus.parent / "m.safetensors"
    arguments = ["train", str(corpus), "--out", str(path), *SIZES]
    assert cli.main([*arguments, "--epochs", "2", "--sample-length", "30"]) == 0
    lines = capfd.readouterr().err.splitlines()
    for epoch in (1, 2):
        place = next(k for k, line in enumerate(lines) if line.startswith(f"epoch {epoch}/2: loss"))
        assert lines[place + 1].startswith("  | ")
    expected = Model.load(path).sample(30, seed=2)
    assert "\n".join(line[4:] for line in lines[place + 1 : -1]) == expected.rstrip("\n")
    assert cli.main([*arguments, "--epochs", "1", "--sample-length", "0", "--overwrite"]) == 0
    assert "  | " not in capfd.readouterr().err


def test_samples_do_not_disturb_training(corpus, tmp_path):
    dropout = ["--dropout", "0.3", "--num-layers", "2"]
    paths = [tmp_path / name for name in ("with.safetensors", "without.safetensors", "resumed.safetensors")]
    for path, length, epochs in zip(paths, ("50", "0", "50"), ("3", "3", "1"), strict=True):
        arguments = ["--out", str(path), "--epochs", epochs, "--sample-length", length, *SIZES, *dropout]
        assert cli.main(["train", str(corpus), *arguments]) == 0
    assert cli.main(["train", str(corpus), "--resume", str(paths[2]), "--epochs", "3", "--sample-length", "7"]) == 0
    models = [Model.load(path) for path in paths]
    for model in models[1:]:
        assert (model.network.parameters.flat == models[0].network.parameters.flat).all()
    assert len({model.sample(50) for model in models}) == 1  # from the model's own generator


def test_why_it_ended_before_the_last_epoch(corpus, tmp_path, capfd):
    out = tmp_path / "m 1.safetensors"
    arguments = ["train", str(corpus), "--out", str(out), "--epochs", "50", "--sample-length", "0", *SIZES]
    assert cli.main([*arguments, "--learning-rate", "1e-30", "--patience", "2"]) == 0  # nothing changes
    told = capfd.readouterr()
    assert "stopped after 3 of 50 epochs: none of the last 2 brought a smaller loss (--patience 2)\n" in told.err
    assert re.search(r"bits; best weights \(validation loss .* after epoch \d+\) in .*m 1\.best\.safetensors\n$", told.out)
    assert told.err.endswith(f"next: fastlstm sample '{tmp_path / 'm 1.best.safetensors'}'\n")
    assert cli.main([*arguments, "--max-seconds", "1e-9", "--overwrite"]) == 0
    assert f"time is up after 0 of 50 epochs; go on with: fastlstm train --resume '{out}'" in capfd.readouterr().err
    assert cli.main(["train", str(corpus), "--resume", str(out), "--epochs", "1", "--sample-length", "0"]) == 0
    assert cli.main(["train", str(corpus), "--resume", str(out), "--epochs", "1", "--sample-length", "0"]) == 0
    assert "nothing to do: --epochs is 1, and 1 were done\n" in capfd.readouterr().err


def test_warnings_are_lines_of_their_own(corpus, tmp_path):
    options = ["--out", tmp_path / "m.safetensors", "--epochs", "2", "--dropout", "0.2", *SIZES]
    told = run("train", corpus, *options).stderr.decode()
    said = [line for line in told.splitlines() if "Warning" in line or line.startswith("fastlstm train: warning: ")]
    assert len(said) == 1
    assert said[0].endswith("warning: dropout=0.2 drops nothing between layers: there is one layer")


def test_no_epoch_need_be_marked_as_the_best(corpus, tmp_path, capfd, monkeypatch):
    """The best one was cut off, and is no longer the best when it is finished."""
    out, fit = tmp_path / "m.safetensors", fitting.fit

    def unmarked(model, *arguments, **options):
        records = fit(model, *arguments, **options)
        for record in model._position.history:
            record["best"] = False
        return records

    monkeypatch.setattr(fitting, "fit", unmarked)
    assert cli.main(["train", str(corpus), "--out", str(out), "--epochs", "1", *SIZES]) == 0
    assert "bits; best weights in" in capfd.readouterr().out


@pytest.mark.parametrize(("taken", "message"), [
    ("m.safetensors", "holds the model of another training; go on with it (--resume), choose another --out, or replace it"),
    ("m.best.safetensors", "holds the best weights of another training; choose another --out, or replace it (--overwrite)"),
    ("m.jsonl", "holds the log of another training; choose another --log, or replace it (--overwrite)"),
])
def test_files_of_another_training_are_not_replaced(corpus, tmp_path, capfd, taken, message):
    out = tmp_path / "m.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(out), "--epochs", "1", *SIZES]) == 0
    for path in tmp_path.glob("m.*"):
        if path.name != taken:
            path.unlink()
    before = (tmp_path / taken).read_bytes()
    capfd.readouterr()
    assert cli.main(["train", str(corpus), "--out", str(out), "--epochs", "0", *SIZES]) == 2
    assert f"{tmp_path / taken} {message}" in capfd.readouterr().err
    assert [path.name for path in tmp_path.glob("m.*")] == [taken]
    assert (tmp_path / taken).read_bytes() == before


def test_resuming_elsewhere_replaces_another_training_only_if_told_to(trained, corpus, tmp_path, capfd):
    """Its best weights do not stay either: those of the training that goes on are beside its first file."""
    out = tmp_path / "other.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(out), "--epochs", "1", *SIZES]) == 0
    kept = {path: path.read_bytes() for path in tmp_path.glob("other.*")}
    arguments = ["train", str(corpus), "--resume", str(trained), "--epochs", "2", "--out", str(out)]
    assert cli.main(arguments) == 2
    assert "other.safetensors holds the model of another training" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.glob("other.*")} == kept
    assert cli.main([*arguments, "--overwrite"]) == 0
    assert "best weights" not in capfd.readouterr().out
    assert Model.load(out).history == log.read(out.with_suffix(".jsonl")) == Model.load(trained).history
    assert not (tmp_path / "other.best.safetensors").exists()


def test_the_log_of_another_training_is_not_gone_on_with(trained, corpus, tmp_path, capfd):
    other, own = tmp_path / "other.jsonl", tmp_path / "own.jsonl"
    own.write_bytes(trained.with_suffix(".jsonl").read_bytes())
    other.write_text('{"epoch": 1, "loss": 1.0, "bits_per_symbol": 1.5}\n')
    arguments = ["train", str(corpus), "--resume", str(trained), "--epochs", "3", "--log"]
    assert cli.main([*arguments, str(other)]) == 2
    assert "other.jsonl holds the log of another training; choose another --log" in capfd.readouterr().err
    assert cli.main([*arguments, str(own)]) == 0
    assert len(log.read(own)) == 3


@pytest.mark.parametrize("epochs", ["1", "2"])
def test_resuming_with_nothing_to_do_changes_nothing(trained, corpus, capfd, epochs):
    before = checkpoint.read(trained)
    assert cli.main(["train", str(corpus), "--resume", str(trained), "--epochs", epochs, "--optimizer", "sgd"]) == 0
    told = capfd.readouterr().err
    assert f"nothing to do: --epochs is {epochs}, and 2 were done\n" in told
    assert "resuming after" not in told
    arrays, sections = checkpoint.read(trained)
    assert sections == before[1]
    assert_equal(arrays, before[0])


def test_options_that_are_given_count_though_they_are_the_defaults(trained, corpus, capfd):
    assert cli.main(["train", str(corpus), "--resume", str(trained), "--epochs", "50", "--max-seconds", "1e-9"]) == 0
    assert "time is up after 2 of 50 epochs" in capfd.readouterr().err
    assert cli.main(["train", str(corpus), "--resume", str(trained), "--batch-size", "50"]) == 2
    assert "batch_size must be 4 to resume this checkpoint, got 50" in capfd.readouterr().err
    assert cli.main(["train", str(corpus), "--resume", str(trained), "--epochs", "3", *SIZES]) == 0  # those it has
    assert Model.load(trained).epochs_finished == 3


@pytest.mark.parametrize("place", ["encoded", "Progress"])
def test_ctrl_c_before_anything_is_saved_leaves_all_files(corpus, trained, capfd, monkeypatch, place):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    kept = {path: path.read_bytes() for path in corpus.parent.iterdir()}
    monkeypatch.setattr(fitting, place, interrupted)
    anew = ["--out", str(trained), "--overwrite", *SIZES]
    for arguments in (anew, ["--resume", str(trained), "--out", str(corpus.parent / "n.st")]):
        assert cli.main(["train", str(corpus), "--epochs", "9", *arguments]) == 130
        told = capfd.readouterr().err
        assert "stopped before anything was saved" in told
        assert "go on with" not in told
    assert {path: path.read_bytes() for path in corpus.parent.iterdir()} == kept


def test_best_weights_of_another_run_do_not_stay(corpus, tmp_path, capfd):
    out = tmp_path / "m.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(out), "--epochs", "1", *SIZES]) == 0
    assert (tmp_path / "m.best.safetensors").exists()
    assert cli.main(["train", str(corpus), "--out", str(out), "--epochs", "0", "--overwrite", *SIZES]) == 0
    assert not (tmp_path / "m.best.safetensors").exists()
    assert capfd.readouterr().out.endswith("m.safetensors: untrained\n")


def test_directory_without_permission_is_refused_before_training(corpus, tmp_path, capfd, monkeypatch):
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for any user but root
    assert cli.main(["train", str(corpus), "--out", str(tmp_path / "locked/m.safetensors"), *SIZES]) == 1
    message = f"no permission to write in the directory {tmp_path / 'locked'}\n"
    assert capfd.readouterr().err.endswith(message)


def test_training_goes_on_elsewhere_from_where_nothing_can_be_written(corpus, trained, tmp_path, monkeypatch, capfd):
    (tmp_path / "free").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != trained.parent)
    arguments = ["--epochs", "3", "--out", str(tmp_path / "free" / "m.safetensors")]
    assert cli.main(["train", str(corpus), "--resume", str(trained), *arguments]) == 0
    assert Model.load(tmp_path / "free" / "m.safetensors").epochs_finished == 3


def test_a_sample_that_fails_does_not_end_training(corpus, capfd, monkeypatch):
    def overflows(*_, **__):
        raise FloatingPointError("the network's output is NaN or infinite after 3 symbols")

    monkeypatch.setattr(Model, "sample", overflows)
    path = corpus.parent / "m.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(path), "--epochs", "2", *SIZES]) == 0
    assert capfd.readouterr().err.count("no sample: the network's output is NaN or infinite after 3 symbols") == 2
    assert Model.load(path).epochs_finished == 2


def test_train_json_prints_one_object(corpus, capfd):
    path = corpus.parent / "m.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(path), "--epochs", "1", "--json", *SIZES]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["model"] == str(path)
    assert result["history"] == Model.load(path).history


def test_train_from_standard_input_directories_and_bytes(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_bytes("é = 1\n".encode("latin-1") * 100)
    (tmp_path / "src/b.txt").write_text("never")
    out = tmp_path / "m.safetensors"
    result = run("train", "-", tmp_path / "src", "--glob", "*.py", "--symbols", "bytes", "--epochs", 1, "--out", out, *SIZES,
                 input=b"\xff\xfe" * 100)
    assert result.returncode == 0, result.stderr
    counts = Model.load(out).vocabulary.counts
    assert counts[0xFF] == counts[0xFE] == 100
    assert 90 <= counts[0xE9] <= 100  # a part is held out
    assert counts[ord("v")] == 0


def test_train_on_words_with_tied_weights(corpus, tmp_path, capfd):
    out = tmp_path / "words.safetensors"
    options = ["--symbols", "words", "--max-symbols", "9", "--min-count", "2", "--tied", "--initializer", "xavier"]
    assert cli.main(["train", str(corpus), "--out", str(out), "--epochs", "1", *options, *SIZES]) == 0
    model = Model.load(out)
    assert len(model.vocabulary) == 9
    assert model.vocabulary.symbols[0] == "<unk>"
    assert {name: model.config[name] for name in ("symbols", "tied", "embedding", "initializer", "min_count")} == {
        "symbols": "words", "tied": True, "embedding": 8, "initializer": "xavier", "min_count": 2,
    }
    capfd.readouterr()
    assert cli.main(["sample", str(out), "--prompt", "the", "--length", "5", "--seed", "0"]) == 0
    assert capfd.readouterr().out == model.sample(5, "the", seed=0)
    assert cli.main(["surprisal", str(out), str(corpus), "--lines", "1"]) == 0
    assert "bits" in capfd.readouterr().out


def test_train_resume_continues_to_the_same_weights(corpus, trained, tmp_path, capfd):
    whole = tmp_path / "whole.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(whole), "--epochs", "4", *SIZES]) == 0
    assert cli.main(["train", str(corpus), "--resume", str(trained), "--epochs", "4"]) == 0
    ours, theirs = Model.load(trained), Model.load(whole)
    assert (ours.network.parameters.flat == theirs.network.parameters.flat).all()
    assert ours.options == theirs.options


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_saves_and_says_how_to_go_on(corpus, start, how):
    path = corpus.parent / "m.safetensors"
    process = start("train", corpus, "--out", path, "--epochs", 100000, *SIZES)
    while not path.exists():
        time.sleep(0.02)
    process.send_signal(how)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"stopped; go on with: fastlstm train --resume {path} {corpus}" in err.decode()
    assert b"Traceback" not in err
    history = Model.load(path).history
    assert history
    assert log.read(path.with_suffix(".jsonl")) == history


def test_how_to_go_on_keeps_the_log_and_the_files(corpus, start):
    path, log_file = corpus.parent / "m.safetensors", corpus.parent / "a log"
    process = start("train", corpus.parent, "--glob", "*.txt", "--out", path, "--log", log_file, "--epochs", 100000, *SIZES)
    while not path.exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    command = err.decode().splitlines()[-1].removeprefix("stopped; go on with: ")
    epochs = len(log.read(log_file))
    assert cli.main([*shlex.split(command)[1:], "--epochs", str(epochs + 1)]) == 0
    assert len(log.read(log_file)) == epochs + 1
    assert not path.with_suffix(".jsonl").exists()


def test_other_texts_are_told_from_that_of_the_checkpoint(trained, corpus, tmp_path, capfd):
    (tmp_path / "other.txt").write_text(TEXT + "é")
    assert cli.main(["train", str(tmp_path / "other.txt"), "--resume", str(trained), "--epochs", "3"]) == 2
    told = capfd.readouterr().err
    assert "error: this is not the text the checkpoint was trained on: character 'é' (U+00E9) at position" in told
    assert told.endswith("symbols the model knows; resume with the same text\n")


def test_how_many_words_are_unknown_is_told(corpus, tmp_path, capfd):
    options = ["--out", str(tmp_path / "words.safetensors"), "--symbols", "words", "--max-symbols", "5", "--epochs", "1"]
    assert cli.main(["train", str(corpus), *options, *SIZES]) == 0
    told = capfd.readouterr().err
    assert re.search(r"\n\d\d\.\d% of the words it was trained on are unknown to it, one symbol for all of them\n", told)


def test_log_is_the_history(corpus, capfd):
    path = corpus.parent / "m.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(path), "--epochs", "3", *SIZES]) == 0
    lines = path.with_suffix(".jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == Model.load(path).history
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


def test_log_grows_with_each_epoch(corpus, monkeypatch):
    path = corpus.parent / "m.safetensors"
    lengths = []
    sample = Model.sample
    monkeypatch.setattr(
        Model, "sample", lambda *a, **k: lengths.append(len(log.read(path.with_suffix(".jsonl")))) or sample(*a, **k)
    )
    assert cli.main(["train", str(corpus), "--out", str(path), "--epochs", "3", *SIZES]) == 0
    assert lengths == [1, 2, 3]


def test_resumed_log_is_that_of_the_checkpoint(corpus, trained, capfd):
    log_file = trained.with_suffix(".jsonl")
    log_file.write_text('{"epoch": 9, "loss": 1.0, "bits_per_symbol": 1.5}\n')  # of another run
    assert cli.main(["train", str(corpus), "--resume", str(trained), "--epochs", "3"]) == 0
    assert log.read(log_file) == Model.load(trained).history
    log_file.unlink()
    assert cli.main(["train", str(corpus), "--resume", str(trained), "--epochs", "3"]) == 0  # which is finished
    assert log.read(log_file) == Model.load(trained).history


def test_an_epoch_cut_off_is_logged_until_it_is_finished(corpus, capfd):
    corpus.write_text(TEXT * 50)
    path = corpus.parent / "m.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(path), "--epochs", "1", *SIZES, "--max-seconds", "0.01"]) == 0
    (cut,) = log.read(path.with_suffix(".jsonl"))
    assert Model.load(path).epochs_finished == 0
    assert cli.main(["train", str(corpus), "--resume", str(path), "--epochs", "2"]) == 0
    lines = path.with_suffix(".jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert json.loads(lines[0])["loss"] != cut["loss"]


def test_wrong_use_keeps_the_log(corpus, trained, capfd):
    before = trained.with_suffix(".jsonl").read_bytes()
    assert cli.main(["train", str(corpus), "--out", str(trained), "--batch-size", "5000", "--overwrite"]) == 2
    assert "make one of them smaller" in capfd.readouterr().err
    assert trained.with_suffix(".jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "schedule"),
    [
        (["--schedule", "exponential"], Exponential(0.97, after=10)),
        (["--schedule", "exponential", "--decay", "0.5", "--decay-after", "2"], Exponential(0.5, after=2)),
        (["--schedule", "step", "--decay-every", "1"], Step(0.97, every=1)),
        (["--schedule", "cosine"], Cosine(2)),
        (["--schedule", "plateau", "--decay", "0.1"], Plateau(0.1, patience=3)),
        (["--schedule", "constant"], None),
    ],
)
def test_schedules(corpus, arguments, schedule):
    path = corpus.parent / "m.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(path), "--epochs", "2", *SIZES, *arguments]) == 0
    assert Model.load(path).options.schedule == schedule


def test_resuming_changes_only_what_is_given_of_the_schedule(corpus):
    path = corpus.parent / "m.safetensors"
    options = ["--schedule", "exponential", "--decay", "0.5", "--decay-after", "1"]
    assert cli.main(["train", str(corpus), "--out", str(path), "--epochs", "1", *SIZES, *options]) == 0
    assert cli.main(["train", str(corpus), "--resume", str(path), "--epochs", "2", "--decay", "0.25"]) == 0
    assert Model.load(path).options.schedule == Exponential(0.25, after=1)
    assert Model.load(path).history[-1]["learning_rate"] == 2e-3 * 0.25


def test_closed_standard_error_does_not_end_training(corpus, start):
    path = corpus.parent / "m.safetensors"
    process = start("train", corpus, "--out", path, "--epochs", 3, *SIZES)
    process.stderr.close()
    process.wait()
    assert len(Model.load(path).history) == 3


def test_resuming_what_is_finished_still_writes_the_file(corpus, trained, capfd):
    other = trained.with_name("other.safetensors")
    assert cli.main(["train", str(corpus), "--resume", str(trained), "--epochs", "2", "--out", str(other)]) == 0
    assert Model.load(other).history == Model.load(trained).history


def test_training_does_not_overwrite_its_own_text(corpus, capfd):
    assert cli.main(["train", str(corpus), "--out", str(corpus), *SIZES]) == 2
    assert "exists and is not a fastlstm model; remove it first" in capfd.readouterr().err
    assert corpus.read_text() == TEXT
