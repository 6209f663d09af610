"""The demo, shortened."""

import json

from fastlstm import Model, cli


def test_demo_runs_from_end_to_end(tmp_path, capfd, monkeypatch):
    from fastlstm import demo

    for name, value in {"WARM_UP_SECONDS": 0.2, "LEAST_TEXT": 20_000, "HELD_OUT": 3_000, "HIDDEN_SIZE": 32}.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(demo, "standard_library", lambda: "def f(x):\n    return [x, x + 1]\n\n\n" * 3000)
    path = tmp_path / "demo.safetensors"
    assert cli.main(["demo", "--seconds", "1", "--out", str(path), "--json"]) == 0
    out, err = capfd.readouterr()
    result = json.loads(out)
    assert f"LSTM    {result['bits_per_symbol']:.3f}" in err
    assert f"n-gram  {result['ngram_bits_per_symbol']:.3f}" in err
    assert f"fastlstm sample {path}" in err
    assert result["bits_per_symbol"] < 4
    assert Model.load(path).sample(10, "def ", seed=0)
