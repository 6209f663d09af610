"""The demo, shortened."""

import json
import random

import numpy as np

from fastlstm import Model, cli, demo, targets


def test_demo_runs_from_end_to_end(tmp_path, capfd, monkeypatch):
    for name, value in {"WARM_UP_SECONDS": 0.2, "LEAST_TEXT": 20_000, "HELD_OUT": 3_000, "HIDDEN_SIZE": 32}.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(demo, "standard_library", lambda: "def f(x):\n    return [x, x + 1]\n\n\n" * 3000)
    path = tmp_path / "demo.safetensors"
    assert cli.main(["demo", "--seconds", "1", "--out", str(path), "--json"]) == 0
    out, err = capfd.readouterr()
    result = json.loads(out)
    assert f"LSTM    {result['bits_per_symbol']:.3f}" in err
    assert f"n-gram  {result['ngram_bits_per_symbol']:.3f}" in err
    told, _, last = err.partition("\nThe model is in ")
    assert "one of its memory cells" in " ".join(told.split())
    assert f"fastlstm sample {path}" in last
    assert result["bits_per_symbol"] < 4
    assert Model.load(path).sample(10, "def ", seed=0)


def test_a_model_that_is_named_is_not_replaced_unless_told_to(tmp_path, capfd, monkeypatch):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"of another training")
    assert cli.main(["demo", "--out", str(path)]) == 2
    assert "mine.safetensors is there already; choose another --out, or replace it (--overwrite)" in capfd.readouterr().err
    monkeypatch.setattr(demo, "run", lambda seconds, out, seed: path.write_bytes(b"of the demo") and {})
    assert cli.main(["demo", "--out", str(path), "--overwrite"]) == 0
    assert path.read_bytes() == b"of the demo"


def test_it_ends_with_a_neuron(capfd):
    """An untrained cell drifts while the same symbol comes again and again; here that is a comment."""
    rng = random.Random(0)
    lines = [f"{'x' * rng.randint(1, 9)}{'#' * rng.randint(0, 1) * rng.randint(1, 40)}\n" for _ in range(100)]
    lines[40:60] = ["x\n"] * 20
    text = "".join(lines)
    model = Model(hidden_size=16, num_layers=1, vocabulary="x#\n", seed=0)
    found = demo._show_neuron(model, text)
    shown = capfd.readouterr().err
    assert found["follows"] == "whether it is inside a comment"
    assert abs(found["correlation"]) > 0.5
    told = " ".join(shown.split())
    assert f"cell {found['neuron']}, follows whether it is inside a comment: r = {found['correlation']:+.2f}" in told
    assert "\x1b" not in shown
    assert shown.count("⏎") == demo.LINES


def test_it_says_so_where_there_is_no_such_neuron(capfd, monkeypatch):
    monkeypatch.setattr(demo, "CHANCE", 0)
    model = Model(hidden_size=4, num_layers=1, vocabulary="ab\n", seed=0)
    assert demo._show_neuron(model, "ab\n" * 50) is None
    assert "No single one" in capfd.readouterr().err


def test_the_passage_is_where_both_vary_together():
    lines = ["a\n"] * 60
    lines[20:22] = lines[45:47] = ["(((\n", ")))\n"]
    text = "".join(lines)
    depth = targets.depth("(", ")")(list(text))
    states = depth * np.where(np.arange(len(text)) < text.rindex("(((") - 10, -1, 1)
    start, stop = demo._clearest(text, depth, states)
    assert start <= text.rindex("(((") < stop
    assert text[start:stop].count("\n") == demo.LINES
    assert demo._clearest("abc", np.zeros(3), np.zeros(3)) == (0, 3)


def test_indentation():
    assert demo._indentation(list("a\n  b\n\n")).tolist() == [0, 0, 2, 2, 2, 2, 0]
