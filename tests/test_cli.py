"""The command line as its users meet it."""

import json
import os
import subprocess

import pytest

from command_line import SIZES, TEXT, run
from fastlstm import Model, cli, cli_text, fitting, get_threads
from fastlstm import corpus as corpus_of_ids
from fastlstm.network import LanguageNetwork


def test_files_reach_the_library_as_paths(tmp_path, trained, capfd, monkeypatch):
    (tmp_path / "src").mkdir()
    for name in ("a.py", "b.py", "c.txt"):
        (tmp_path / "src" / name).write_text(TEXT)
    seen = []
    fit, encode = fitting.fit, corpus_of_ids.encode
    monkeypatch.setattr(fitting, "fit", lambda model, x, *given, **options: seen.append(x) or fit(model, x, *given, **options))
    found = [tmp_path / "src/a.py", tmp_path / "src/b.py"]
    arguments = [str(tmp_path / "src"), "--glob", "*.py"]
    assert cli.main(["train", *arguments, "--out", str(tmp_path / "n.safetensors"), "--epochs", "1", *SIZES]) == 0
    assert "training on 2 files, 3.5 kB\n" in capfd.readouterr().err
    monkeypatch.setattr(corpus_of_ids, "encode", lambda vocabulary, x: seen.append(x) or encode(vocabulary, x))
    assert cli.main(["evaluate", str(trained), *arguments, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["symbols"] == 2 * len(TEXT)
    assert seen[:2] == [found, found]


def test_pipes_are_read_once(trained):
    result = run("evaluate", trained, "/dev/stdin", "--json", input=TEXT.encode())
    assert json.loads(result.stdout) == {"symbols": len(TEXT), **Model.load(trained).evaluate(TEXT)}


def test_evaluate_tells_how_many_words_are_unknown(tmp_path, capfd):
    model = Model(symbols="words", max_symbols=4, hidden_size=4, num_layers=1, seed=0)
    model.fit("a b c d " * 60, epochs=1, batch_size=2, seq_length=10, progress=False)
    model.save(tmp_path / "m.safetensors")
    (tmp_path / "text").write_text("a b c d e f\ng h")  # known are " b", " c" and " d"
    arguments = ["evaluate", str(tmp_path / "m.safetensors"), str(tmp_path / "text")]
    assert cli.main(arguments) == 0
    assert capfd.readouterr().out.endswith(" over 9 symbols, 66.7% of them unknown\n")
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["unknown"] == 6 / 9


def test_sizes_in_words(tmp_path):
    (tmp_path / "text").write_bytes(b"x" * 999)
    file, piped = ("text", tmp_path / "text"), ("-", b"x" * 1_234_567)
    assert cli_text.describe([file]) == "1 file, 999 bytes"
    assert cli_text.describe([file, file, piped]) == "2 files and standard input, 1.2 MB"
    assert cli_text.describe([("-", b"x" * 999_960)]) == "standard input, 1.0 MB"


def test_sample_is_the_models(trained, capfd):
    assert cli.main(["sample", str(trained), "--length", "50", "--prompt", "the ", "--seed", "3", "--temperature", "0.5"]) == 0
    expected = Model.load(trained).sample(50, "the ", seed=3, temperature=0.5)
    assert capfd.readouterr().out == expected
    assert cli.main(["sample", str(trained), "--length", "50", "--prompt", "the ", "--seed", "3", "--temperature", "0.5",
                     "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"prompt": "the ", "text": expected, "seed": 3}


@pytest.mark.parametrize("command", ["sample", "evaluate", "surprisal"])
def test_threads_are_for_all_that_compute(command, corpus, trained, monkeypatch):
    used, compute = [], LanguageNetwork.advance

    def noting(*arguments):
        used.append(get_threads())
        return compute(*arguments)

    monkeypatch.setattr(LanguageNetwork, "advance", noting)
    for threads in (1, 3):
        arguments = ["--length", "5", "--prompt", "a"] if command == "sample" else [str(corpus)]
        assert cli.main([command, str(trained), *arguments, "--threads", str(threads)]) == 0
    assert set(used) == {1, 3}


def test_what_the_terminal_cannot_show_is_escaped(corpus, trained):
    result = run("surprisal", trained, corpus, "--lines", "1", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0, result.stderr
    assert b"\\u23ce" in result.stdout


def test_sample_into_a_closed_pipe_is_quiet(trained, start):
    process = start("sample", trained, "--length", 200000, stdout=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


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
        (["train", "{corpus}", "--hidden-size", "many"], "expected a whole number, or several between commas, got 'many'"),
        (["train", "{corpus}"], "the training text has 1672 symbols, fewer than the 2501 of one training window"),
        (["train", "{corpus}", "--schedule", "constant", "--decay", "0.5"], "the options of --decay need --schedule"),
        (["train", "{corpus}", "--schedule", "step", "--decay-after", "5"], "--schedule step has no after; its options are"),
        (["train", "{corpus}", "--schedule", "cosin"], "did you mean cosine?"),
        (["train", "{corpus}", "--resume", "{trained}", "--hidden-size", "9"], "--hidden-size is fixed by the checkpoint"),
        (["train", "{corpus}", "--lr", "0.1"], "unrecognized argument --lr; see"),
        (["train", "{trained}"], "is not UTF-8"),
        (["train", "{corpus}", "--sample-length", "-1"], "sample_length must be at least 0, got -1"),
        (["train", "{corpus}", "--log", "{corpus}"], "text.txt exists and is not a fastlstm log; remove it first"),
        (["train", "{corpus}", "--log", "{trained}"], "m.safetensors exists and is not a fastlstm log; remove it first"),
        (["train", "{corpus}", "--log", "nowhere/m.jsonl"], "nowhere does not exist"),
        (["train", "{corpus}", "--log", "."], ". is not a regular file, so a log cannot replace it"),
        (["train", "{corpus}", "--out", "a.jsonl"], "a.jsonl would be both the log and a model; choose another name"),
        (["train", "{corpus}", "--out", "a.st", "--log", "a.best.st"], "a.best.st would be both the log and a model"),
        (["evaluate", "{trained}", "{corpus}", "{other}"], "other.txt: character 'Ä' (U+00C4) at position 1 is"),
        (["surprisal", "{trained}", "{corpus}", "{other}"], "other.txt: character 'Ä' (U+00C4) at position 1 is not among"),
        (["evaluate", "{trained}"], "the standard library of this Python: character "),
        (["sample", "{corpus}"], "text.txt: "),
        (["sample", "{trained}", "--prompt", "ÄÖ"], "character 'Ä' (U+00C4) at position 0"),
        (["sample", "{trained}", "--length", "-1"], "length must be at least 0, got -1"),
        (["sample", "{trained}", "--threads", "0"], "threads must be at least 1, got 0"),
        (["sample", "model.pt"], ".pt files are pickles and are not opened"),
        (["demo", "--seconds", "1"], "seconds must be in (4, inf), got 1"),
        ([], "COMMAND"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(arguments, message, corpus, trained, capfd, monkeypatch):
    monkeypatch.chdir(corpus.parent)
    (corpus.parent / "other.txt").write_text("aÄ")
    places = {"corpus": corpus, "trained": trained, "other": "other.txt"}
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
    told = capfd.readouterr().out
    assert "--hidden-size" in told
    assert "of weights and samples (default: 0)" in told
    assert "(default: )" not in told


def test_python_m_fastlstm():
    result = run("--version", env={**os.environ})
    assert result.returncode == 0
    assert result.stdout.decode().startswith("fastlstm ")
