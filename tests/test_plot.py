"""Learning curves: what is drawn, and what the command refuses."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastlstm import cli, log, plot


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, training, validation=None):
    records = [
        {"epoch": epoch, "loss": loss, "bits_per_symbol": None, **({} if validation is None else {"validation_loss": judged})}
        for epoch, (loss, judged) in enumerate(zip(training, validation or training, strict=True), 1)
    ]
    log.write(f"{name}.jsonl", records)
    return Path(f"{name}.jsonl")


def curves(*paths):
    """The lines of the picture: of each log training, validation and the best epoch."""
    (axes,) = plot.draw([plot.load(path) for path in paths]).axes
    lines = axes.get_lines()
    return axes, [lines[k : k + 3] for k in range(0, len(lines), 3)]


def test_curves_of_one_log(place):
    axes, [(training, validation, best)] = curves(write("m", [3.0, 2.0, 1.5, 1.0], [3.1, 2.2, 1.9, 2.1]))
    np.testing.assert_array_equal(training.get_xydata(), [[1, 3.0], [2, 2.0], [3, 1.5], [4, 1.0]])
    np.testing.assert_array_equal(validation.get_xydata(), [[1, 3.1], [2, 2.2], [3, 1.9], [4, 2.1]])
    np.testing.assert_array_equal(best.get_xydata(), [[3, 1.9]])
    assert validation.get_linestyle() == "-"
    assert training.get_linestyle() == "--"
    assert training.get_linewidth() < validation.get_linewidth()
    (label,) = axes.texts
    assert label.get_text() == "1.900"
    assert label.xy == (3.0, 1.9)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["m", "training", "validation"]


def test_right_scale_is_in_bits(place):
    figure = plot.draw([plot.load(write("m", [3.0, 2.0]))])
    figure.draw_without_rendering()
    (axes,) = figure.axes
    (right,) = axes.child_axes
    np.testing.assert_allclose(right.get_ylim(), np.array(axes.get_ylim()) / np.log(2))
    assert right.get_ylabel() == "bits per symbol"
    assert axes.get_ylabel() == "loss (nats per symbol)"


def test_several_logs_are_told_apart(place):
    paths = [write(f"m{k}", [3.0 - k / 100, 2.0], [3.0, 2.0 + k]) for k in range(35)]
    axes, runs = curves(*paths)
    assert len({(training.get_color(), training.get_marker()) for training, _, _ in runs}) == 35
    assert len({training.get_marker() for training, _, _ in runs[:5]}) == 5
    for training, validation, best in runs:
        assert training.get_color() == validation.get_color() == best.get_color()
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts[:2] == ["m0: best 2.000", "m1: best 3.000"]
    assert not axes.texts


def test_names(place):
    paths = [Path(path) for path in ("a/m.jsonl", "b/m.jsonl", "b/n.jsonl")]
    assert plot.names(paths) == ["a/m.jsonl", "b/m.jsonl", "n"]


def test_names_are_no_formulas_and_none_is_left_out(place):
    axes, _ = curves(write("_m$_{$", [1.0]))
    axes.figure.draw_without_rendering()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["_m$_{$", "training"]


def test_a_name_in_letters_the_font_lacks(place, capfd):
    write("莎士比亚", [1.0])
    assert cli.main(["plot", "莎士比亚.jsonl"]) == 0
    assert capfd.readouterr().err == ""


def test_without_validation_training_decides(place):
    path = write("m", [3.0, 1.0, 2.0])
    run = plot.load(path)
    assert (run.judge, run.point) == ("training", (2.0, 1.0))


def test_what_is_not_finite_is_a_gap(place):
    run = plot.load(write("m", [3.0, 2.5, 2.0], [None, 2.5, float("nan")]))
    np.testing.assert_array_equal(run.validation, [np.nan, 2.5, np.nan])
    assert run.point == (2.0, 2.5)
    plot.draw([run]).savefig("m.png")


def test_one_epoch_has_a_mark(place):
    axes, [(training, validation, best)] = curves(write("m", [3.0], [3.1]))
    assert all(line.get_marker() == "o" and len(line.get_xydata()) == 1 for line in (training, validation, best))
    assert axes.get_xlim() == (0.5, 1.5)
    assert (axes.get_xticks() % 1 == 0).all()


def test_long_logs_are_not_all_marks(place):
    _, [(training, _, _)] = curves(write("m", np.linspace(3, 1, 500).tolist()))
    assert -(-500 // training.get_markevery()) <= plot.MOST_MARKS


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")])
def test_command_draws(place, capfd, suffix, magic):
    write("m", [3.0, 2.0])
    assert cli.main(["plot", "m.jsonl", "--out", f"p.{suffix}"]) == 0
    assert (place / f"p.{suffix}").read_bytes().startswith(magic)
    assert capfd.readouterr().out == f"m.jsonl: best training loss 2.0000 nats after epoch 2\np.{suffix}\n"


def test_command_prints_json_and_draws_beside_the_first_log(place, capfd):
    (place / "runs").mkdir()
    write("runs/m", [3.0, 2.0], [3.0, 3.5])
    write("n", [1.0])
    assert cli.main(["plot", "runs/m.jsonl", "n.jsonl", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["picture"] == "runs/m.png"
    found = [(best["log"], best["epoch"], best["loss"]) for best in result["best"]]
    assert found == [("runs/m.jsonl", 1, 3.0), ("n.jsonl", 1, 1.0)]
    assert (place / "runs/m.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl: No such file or directory"),
        (["m.jsonl", "text.jsonl"], "text.jsonl: line 2 is not a training record, which is JSON with an epoch and its loss"),
        (["empty.jsonl"], "empty.jsonl: no epoch has been logged yet"),
        (["infinite.jsonl"], "infinite.jsonl: no epoch has a finite loss"),
        (["."], "error: "),
        (["m.jsonl", "--out", "m.bmp"], "the picture must end in .png, .svg or .pdf, got 'm.bmp'"),
        (["m.jsonl", "--out", "m"], "the picture must end in .png, .svg or .pdf, got 'm'"),
        (["m.jsonl", "--out", "nowhere/m.png"], "nowhere/m.png: No such file or directory"),
        (["log.png"], "log.png is one of the logs; choose another name for the picture"),
        (["m.jsonl", "log.png", "--out", "../{here}/log.png"], "log.png is one of the logs"),
        ([], "LOG"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(place, capfd, arguments, message):
    path = write("m", [3.0])
    content = path.read_bytes()
    (place / "log.png").write_bytes(content)
    (place / "text.jsonl").write_bytes(content + b"epoch 2 ...\n")
    (place / "empty.jsonl").touch()
    write("infinite", [float("inf")])
    try:
        status = cli.main(["plot", *(argument.format(here=place.name) for argument in arguments)])
    except SystemExit as exit_:
        status = exit_.code
    out, err = capfd.readouterr()
    assert status == 2
    assert len(err.splitlines()) == 1
    assert message in err
    assert out == ""
    assert (place / "log.png").read_bytes() == content


def test_without_matplotlib_is_one_line(place, capfd, monkeypatch):
    write("m", [3.0])
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli.main(["plot", "m.jsonl"]) == 1
    assert capfd.readouterr().err == 'fastlstm plot: error: drawing needs matplotlib: pip install "fastlstm[plot]"\n'


def test_nothing_global_is_touched(place):
    write("m", [3.0, 2.0])
    script = (
        "import sys; from fastlstm import cli; assert 'matplotlib' not in sys.modules; "
        "assert cli.main(['plot', 'm.jsonl']) == 0; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=place)
