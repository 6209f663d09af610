"""Surprisal per symbol and the worst lines: half of row C5."""

import json
import re

import numpy as np
import pytest

from fastlstm import Model, cli, surprises
from fastlstm.vocabulary import Vocabulary

CODE = "".join(f"def add_{k % 7}(left, right):\n    return left + right\n\n" for k in range(200))


@pytest.fixture(scope="module")
def model():
    model = Model(hidden_size=32, num_layers=1, seed=0)
    model.fit(CODE, epochs=30, batch_size=8, seq_length=40, learning_rate=1e-2, progress=False, threads=1)
    return model


def test_surprisal_is_what_evaluate_means(model):
    nats = model.surprisal(CODE[:500])
    assert nats.shape == (500,)
    assert nats.dtype == np.float64
    assert nats[1:].mean() == pytest.approx(model.evaluate(CODE[:500])["loss"], rel=1e-12)
    ids = model.vocabulary.encode(CODE[:500])
    losses, _ = model.network.losses(ids[:-1, None], ids[1:, None], model.network.zero_state(1))
    np.testing.assert_array_equal(nats[1:], losses[:, 0])


def test_first_symbol_is_judged_by_its_frequency(model):
    counts = model.vocabulary.counts + 1
    for symbol in "d\n6":
        k = model.vocabulary.encode(symbol)[0]
        assert model.surprisal(symbol) == pytest.approx([-np.log(counts[k] / counts.sum())])
    assert model.surprisal("").shape == (0,)


def test_planted_bug_is_the_worst_place(model):
    place = CODE.index("return left + right", 3000) + len("return left + ")
    damaged = CODE[:place] + "left" + CODE[place + 5 :]
    nats = model.surprisal(damaged[:6000])
    assert nats[place] >= np.quantile(nats, 0.99)
    assert int(nats[200:].argmax()) + 200 == place


def test_lines_cut_the_text_at_its_line_ends():
    found = list(surprises.lines("f", list("ab\n\nc"), np.arange(1, 6) * np.log(2)))
    assert [(line.number, line.text, line.bits.tolist()) for line in found] == [
        (1, "ab\n", [1, 2, 3]), (2, "\n", [4]), (3, "c", [5])
    ]
    assert [line.number for line in surprises.worst(found, 2)] == [3, 2]
    assert (found[0].worst, found[0].column) == (3, 3)
    assert list(surprises.lines("f", [], np.zeros(0))) == []


def test_words_keep_the_line_numbers_columns_and_indents_of_the_text():
    text = "if x:\n    go on\n\n\nend"
    symbols = Vocabulary.of("words", text).split(text)
    assert symbols == ["if", " x", ":", "\n   ", " go", " on", "\n\n", "\n", "end"]
    bits = np.array([1, 2, 3, 4, 9, 5, 6, 7, 8.0])
    found = list(surprises.lines("f", symbols, bits * np.log(2)))
    assert [(line.number, line.column, line.text) for line in found] == [
        (1, 6, "if x:\n   "), (2, 4, "    go on\n\n"), (4, 1, "\n"), (5, 1, "end"),
    ]
    assert surprises.render(found[1], colour=False).splitlines()[0] == "f:2:  9.0 bits      go on⏎⏎"


@pytest.mark.parametrize("place", [0, 70, 500, 990, 999])
def test_of_a_long_line_only_the_worst_place_is_shown(place):
    symbols, bits = list("ab" * 500), np.ones(1000)
    symbols[place], bits[place] = "X", 20
    (line,) = surprises.lines("f", symbols, bits * np.log(2))
    assert line.column == place + 1
    shown, mark = surprises.render(line, colour=False).splitlines()
    assert len(shown) < 200
    assert shown[mark.index("^")] == "X"
    assert ("…" in shown[:30]) == (place > surprises.AROUND)
    assert shown.endswith("…") == (place < 1000 - surprises.AROUND)
    assert surprises.render(line, colour=True).count("\x1b[97") == 1


def test_bytes_are_shown_one_by_one():
    (line,) = surprises.lines("f", [b"\xff", b"a", b"b"], np.log(2) * np.array([1.0, 2.0, 12.0]))
    assert line.text == "\\xffab"
    assert surprises.render(line, colour=False) == "f:1: 12.0 bits  \\xffab\n                     ^"
    assert surprises.render(line, colour=True).count("\x1b[97;48;5;160mb") == 1


def test_rendering():
    (line,) = surprises.lines("f.py", "ab\tc", np.array([1.0, 6.0, 9.0, 13.0]) * np.log(2))
    assert surprises.render(line, colour=False) == "f.py:1: 13.0 bits  ab·c\n                      ^"
    painted = surprises.render(line, colour=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == "f.py:1: 13.0 bits  ab·c"
    assert re.findall(r"48;5;(\d+)m(.)", painted) == [("58", "b"), ("172", "·"), ("160", "c")]


def test_command(model, tmp_path, capfd):
    model.save(tmp_path / "m.safetensors")
    code = tmp_path / "code.py"
    code.write_text(CODE[:2000] + "def add_1(left, right):\n    return left + left\n\n")
    assert cli.main(["surprisal", str(tmp_path / "m.safetensors"), str(code), "--json", "--lines", "3"]) == 0
    worst = json.loads(capfd.readouterr().out)["lines"]
    assert len(worst) == 3
    assert any(w["text"] == "    return left + left\n" and w["file"] == str(code) for w in worst)
    assert worst == sorted(worst, key=lambda w: -w["bits"])
    assert cli.main(["surprisal", str(tmp_path / "m.safetensors"), str(code)]) == 0
    assert f"{code}:" in capfd.readouterr().out
    code.write_text("über")
    assert cli.main(["surprisal", str(tmp_path / "m.safetensors"), str(code)]) == 2
    assert f"{code}: character 'ü'" in capfd.readouterr().err
