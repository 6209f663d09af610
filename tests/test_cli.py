"""The command line as its users meet it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from fastlstm import Cosine, Exponential, Model, Plateau, Step, cli, cli_text, log
from fastlstm.text import read

TEXT = "the quick brown fox jumps over the lazy dog\n" * 40
SIZES = ["--hidden-size", "8", "--num-layers", "1", "--batch-size", "4", "--seq-length", "20", "--seed", "1", "--threads", "1"]


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


@pytest.fixture
def trained(corpus, capfd):
    path = corpus.parent / "m.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(path), "--epochs", "2", *SIZES]) == 0
    capfd.readouterr()
    return path


def start(*arguments, **options):
    return subprocess.Popen([sys.executable, "-m", "fastlstm", *map(str, arguments)], stderr=subprocess.PIPE, **options)


def run(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "fastlstm", *map(str, arguments)], capture_output=True, **options)


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
    assert cli.main([*arguments, "--epochs", "1", "--sample-length", "0"]) == 0
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


def test_files_reach_the_library_as_paths(tmp_path, trained, capfd, monkeypatch):
    (tmp_path / "src").mkdir()
    for name in ("a.py", "b.py", "c.txt"):
        (tmp_path / "src" / name).write_text(TEXT)
    seen = []
    fit, evaluate = Model.fit, Model.evaluate
    monkeypatch.setattr(Model, "fit", lambda model, x, **options: seen.append(x) or fit(model, x, **options))
    monkeypatch.setattr(Model, "evaluate", lambda model, x: seen.append(x) or evaluate(model, x))
    found = [tmp_path / "src/a.py", tmp_path / "src/b.py"]
    arguments = [str(tmp_path / "src"), "--glob", "*.py"]
    assert cli.main(["train", *arguments, "--out", str(tmp_path / "n.safetensors"), "--epochs", "1", *SIZES]) == 0
    assert "training on 2 files, 3.5 kB\n" in capfd.readouterr().err
    assert cli.main(["evaluate", str(trained), *arguments, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["symbols"] == 2 * len(TEXT)
    assert seen == [found, found]


def test_pipes_are_read_once(tmp_path, trained, capfd):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cp", "/dev/stdin", tmp_path / "pipe"], stdin=subprocess.PIPE) as writer:
        writer.stdin.write(TEXT.encode())
        writer.stdin.close()
        assert cli.main(["evaluate", str(trained), str(tmp_path / "pipe"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"symbols": len(TEXT), **Model.load(trained).evaluate(TEXT)}


@pytest.mark.parametrize("kind", ["characters", "bytes"])
def test_symbols_are_counted_as_the_model_does(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(cli_text, "CHUNK", 3)  # cuts characters
    text = "aé€😀\r\n\0" * 5
    (tmp_path / "text").write_bytes(text.encode())
    assert cli_text.count(kind, [("text", tmp_path / "text"), ("-", text.encode()), ("", text)]) == 3 * len(read(kind, text))


def test_sizes_in_words(tmp_path):
    (tmp_path / "text").write_bytes(b"x" * 999)
    file, piped = ("text", tmp_path / "text"), ("-", b"x" * 1_234_567)
    assert cli_text.describe([file]) == "1 file, 999 bytes"
    assert cli_text.describe([file, file, piped]) == "2 files and standard input, 1.2 MB"
    assert cli_text.describe([("-", b"x" * 999_960)]) == "standard input, 1.0 MB"


def test_train_resume_continues_to_the_same_weights(corpus, trained, tmp_path, capfd):
    whole = tmp_path / "whole.safetensors"
    assert cli.main(["train", str(corpus), "--out", str(whole), "--epochs", "4", *SIZES]) == 0
    assert cli.main(["train", str(corpus), "--resume", str(trained), "--epochs", "4"]) == 0
    ours, theirs = Model.load(trained), Model.load(whole)
    assert (ours.network.parameters.flat == theirs.network.parameters.flat).all()
    assert ours.options == theirs.options


def test_interrupted_training_saves_and_says_how_to_go_on(corpus):
    path = corpus.parent / "m.safetensors"
    process = start("train", corpus, "--out", path, "--epochs", 100000, *SIZES)
    while not path.exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"stopped; go on with: fastlstm train --resume {path} {corpus}" in err.decode()
    assert b"Traceback" not in err
    history = Model.load(path).history
    assert history
    assert log.read(path.with_suffix(".jsonl")) == history


def test_how_to_go_on_keeps_the_log_and_the_files(corpus):
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


def test_ctrl_c_before_training_keeps_the_model(corpus, trained, capfd, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    before = trained.read_bytes()
    monkeypatch.setattr(Model, "_data", interrupted)
    assert cli.main(["train", str(corpus), "--out", str(trained), "--symbols", "bytes"]) == 130
    assert "stopped before training began" in capfd.readouterr().err
    assert trained.read_bytes() == before


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
    assert cli.main(["train", str(corpus), "--out", str(trained), "--batch-size", "5000"]) == 2
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


def test_sample_is_the_models(trained, capfd):
    assert cli.main(["sample", str(trained), "--length", "50", "--prompt", "the ", "--seed", "3", "--temperature", "0.5"]) == 0
    expected = Model.load(trained).sample(50, "the ", seed=3, temperature=0.5)
    assert capfd.readouterr().out == expected
    assert cli.main(["sample", str(trained), "--length", "50", "--prompt", "the ", "--seed", "3", "--temperature", "0.5",
                     "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"prompt": "the ", "text": expected, "seed": 3}


def test_sample_into_a_closed_pipe_is_quiet(trained):
    process = start("sample", trained, "--length", 200000, stdout=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_closed_standard_error_does_not_end_training(corpus):
    path = corpus.parent / "m.safetensors"
    process = start("train", corpus, "--out", path, "--epochs", 3, *SIZES)
    process.stderr.close()
    process.wait()
    assert len(Model.load(path).history) == 3


def test_resuming_what_is_finished_still_writes_the_file(corpus, trained, capfd):
    other = trained.with_name("other.safetensors")
    assert cli.main(["train", str(corpus), "--resume", str(trained), "--epochs", "2", "--out", str(other)]) == 0
    assert Model.load(other).history == Model.load(trained).history


def test_json_is_json_whatever_comes(corpus, trained, capfd):
    model = Model.load(trained)
    model.network.parameters.arrays["output.bias"][0] = 1e30
    model.save(trained)
    assert cli.main(["evaluate", str(trained), str(corpus), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["perplexity"] is None


def test_evaluate_is_the_models(trained, corpus, capfd):
    assert cli.main(["evaluate", str(trained), str(corpus), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"symbols": len(TEXT), **Model.load(trained).evaluate(TEXT)}
    assert cli.main(["evaluate", str(trained), str(corpus)]) == 0
    assert "bits per symbol" in capfd.readouterr().out


def test_info(trained, capfd):
    assert cli.main(["info", str(trained), "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["hidden_size"] == 8
    assert facts["vocabulary"] == 28
    assert facts["epochs"] == 2
    assert cli.main(["info"]) == 0
    assert "instruction set" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "did you mean train?"),
        (["train", "--hiden-size", "3"], "unrecognized argument --hiden-size; did you mean --hidden-size?"),
        (["train", "--cell", "lstn"], "did you mean lstm?"),
        (["train", "nowhere.txt"], "nowhere.txt: No such file or directory"),
        (["train", "{corpus}", "--out", "nowhere/m.safetensors"], "nowhere does not exist"),
        (["train", "{corpus}", "--out", "."], ". is not a regular file"),
        (["train", "{corpus}", "--hidden-size", "0"], "hidden_size must be at least 1, got 0"),
        (["train", "{corpus}", "--hidden-size", "many"], "invalid int value: 'many'"),
        (["train", "{corpus}"], "the training text has 1672 symbols, fewer than the 2501 of one training window"),
        (["train", "{corpus}", "--schedule", "constant", "--decay", "0.5"], "the options of --decay need --schedule"),
        (["train", "{corpus}", "--schedule", "step", "--decay-after", "5"], "--schedule step has no after; its options are"),
        (["train", "{corpus}", "--schedule", "cosin"], "did you mean cosine?"),
        (["train", "{corpus}", "--resume", "{trained}", "--hidden-size", "9"], "--hidden-size is fixed by the checkpoint"),
        (["train", "{trained}"], "is not UTF-8"),
        (["train", "{corpus}", "--sample-length", "-1"], "sample_length must be at least 0, got -1"),
        (["train", "{corpus}", "--log", "{corpus}"], "text.txt exists and is not a fastlstm log; remove it first"),
        (["train", "{corpus}", "--log", "{trained}"], "m.safetensors exists and is not a fastlstm log; remove it first"),
        (["train", "{corpus}", "--log", "nowhere/m.jsonl"], "nowhere does not exist"),
        (["train", "{corpus}", "--log", "."], ". is not a regular file, so a log cannot replace it"),
        (["train", "{corpus}", "--out", "a.jsonl"], "a.jsonl would be both the log and a model; choose another name"),
        (["train", "{corpus}", "--out", "a.st", "--log", "a.best.st"], "a.best.st would be both the log and a model"),
        (["sample", "{corpus}"], "text.txt: "),
        (["sample", "{trained}", "--prompt", "ÄÖ"], "character 'Ä' (U+00C4) at position 0"),
        (["sample", "{trained}", "--length", "-1"], "length must be at least 0, got -1"),
        (["sample", "model.pt"], ".pt files are pickles and are not opened"),
        (["demo", "--seconds", "1"], "seconds must be in (4, inf), got 1"),
        ([], "COMMAND"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(arguments, message, corpus, trained, capfd, monkeypatch):
    monkeypatch.chdir(corpus.parent)
    places = {"corpus": corpus, "trained": trained}
    try:
        status = cli.main([a.format(**places) for a in arguments])
    except SystemExit as exit_:
        status = exit_.code
    out, err = capfd.readouterr()
    assert message in err
    lines = [line for line in err.splitlines() if not line.startswith("training on")]
    assert len(lines) == 1
    assert "error: " in lines[0]
    assert out == ""
    assert status == (1 if arguments == ["sample", "{corpus}"] else 2)


def test_unknown_instruction_set_is_one_line(trained):
    for arguments in (["info"], ["sample", trained]):
        result = run(*arguments, env={**os.environ, "FASTLSTM_ISA": "sse9"})
        assert result.returncode == 2
        assert len(result.stderr.splitlines()) == 1
        assert b"error: FASTLSTM_ISA: instruction set must be one of" in result.stderr


def test_training_does_not_overwrite_its_own_text(corpus, capfd):
    assert cli.main(["train", str(corpus), "--out", str(corpus), *SIZES]) == 2
    assert "exists and is not a fastlstm model; remove it first" in capfd.readouterr().err
    assert corpus.read_text() == TEXT


def test_samples_differ_without_a_seed(trained, capfd):
    texts = set()
    for _ in range(3):
        assert cli.main(["sample", str(trained), "--length", "80"]) == 0
        texts.add(capfd.readouterr().out)
    assert len(texts) == 3


def test_every_command_has_help(capfd):
    for command in ([], *([c] for c in cli.COMMANDS)):
        with pytest.raises(SystemExit) as exit_:
            cli.main([*command, "--help"])
        assert exit_.value.code == 0
    assert "--hidden-size" in capfd.readouterr().out


def test_python_m_fastlstm():
    result = run("--version", env={**os.environ})
    assert result.returncode == 0
    assert result.stdout.decode().startswith("fastlstm ")
