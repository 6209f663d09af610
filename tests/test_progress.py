"""What training says: row B9. (The bar itself was looked at in a terminal; here, that it runs in a real pseudo-terminal.)"""

import io
import os
import pty
import re
import subprocess
import sys
import termios

import pytest

from fastlstm import progress
from fastlstm.progress import Progress, show_sample


def record(epoch, loss, **more):
    return {"epoch": epoch, "loss": loss, "bits_per_symbol": loss / 0.6931, "symbols_per_second": 1234.5, **more}


def test_plain_lines_without_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0)
    stream = io.StringIO()
    shown = Progress(epochs=2, epoch=0, symbols=200, done=0, stream=stream)
    shown.window(100, 2.0)
    shown.epoch(record(1, 2.0, validation_loss=2.5, validation_bits_per_symbol=3.6))
    shown.close()
    status, epoch = stream.getvalue().splitlines()
    assert re.fullmatch(r"epoch 1/2 loss 2\.000 \(2\.89 bits\), [\d,]+ symbols/s, 0:00:\d\d left", status)
    assert len(epoch) <= 80
    assert epoch == "epoch 1/2: loss 2.0000 (2.886 bits), validation 2.5000 (3.600 bits), 1.2k/s"


def test_a_part_of_an_epoch_is_called_one():
    stream = io.StringIO()
    Progress(9, 3, 200, 50, stream).epoch(record(4, 2.0), cut_off=True)
    assert stream.getvalue() == "part of epoch 4/9: loss 2.0000 (2.886 bits), 1.2k/s\n"


def test_a_word_when_the_loss_explodes():
    stream = io.StringIO()
    shown = Progress(1, 0, 10**6, 0, stream)
    for _ in range(200):
        shown.window(10, 2.0)
    assert stream.getvalue() == ""
    for _ in range(100):
        shown.window(10, 8.0)
    assert stream.getvalue().count("try a smaller learning rate") == 1


def test_a_word_when_the_loss_stops_falling():
    stream = io.StringIO()
    shown = Progress(9, 0, 100, 0, stream)
    for epoch, loss in enumerate([3.0, 2.0, 2.0, 2.1, 1.9999, 2.0, 2.0], 1):
        assert "stopped falling" not in stream.getvalue()
        shown.epoch(record(epoch, loss))
    assert stream.getvalue().count("the loss has stopped falling: 5 epochs without a better one") == 1


def test_smoothed_loss_is_a_mean_at_first():
    shown = Progress(1, 0, 100, 0, io.StringIO())
    shown.window(10, 1.0)
    shown.window(10, 3.0)
    assert shown._loss == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("one\n\ntwo", "  | one\n  | \n  | two\n"),
        ("a\tb\x1b[31mc\r\nd\x0ce\u2028f", "  | a·b·[31mc·\n  | d·e·f\n"),
        ("é\ud800", "  | é·\n"),
        (b"caf\xc3\xa9 \xff", "  | café \ufffd\n"),
        ("x" * 160, f"  | {'x' * 76}\n  | {'x' * 76}\n  | {'x' * 8}\n"),
    ],
)
def test_samples_are_marked_and_fit_a_terminal(written, shown, capfd):
    show_sample(written)
    assert capfd.readouterr().err == shown


SCRIPT = "import fastlstm; fastlstm.Model(hidden_size=8, seed=0).fit('abcd' * 80000, epochs=2, batch_size=4)"


def shown_in_a_terminal(arguments, columns):
    """What a program writes on standard error, a terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    with subprocess.Popen([sys.executable, *arguments], stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # Linux: the other side has been closed
            pass
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_bar_in_a_terminal():
    text = shown_in_a_terminal(["-c", SCRIPT], 100)
    assert re.search(r"epoch 1/2 loss \d\.\d+ \(\d\.\d+ bits\)\s+\d+%\|", text)
    assert re.search(r"\| +[\d.]+[kM]? symbols/s, \d\d:\d\d left", text)
    assert "epoch 2/2: loss" in text


def screen(written):
    """The lines a terminal shows once all has been written."""
    lines = []
    for line in written.split("\n"):
        shown = []
        for part in line.split("\r"):
            shown[: len(part)] = part
        lines.append("".join(shown).rstrip())
    return lines


def test_samples_in_the_place_of_the_bar(tmp_path):
    (tmp_path / "text.txt").write_text("abcd" * 40000)
    paths = [str(tmp_path / "text.txt"), "--out", str(tmp_path / "m.safetensors")]
    sizes = ["--epochs", "2", "--hidden-size", "8", "--batch-size", "4", "--seed", "0"]
    text = shown_in_a_terminal(["-m", "fastlstm", "train", *paths, *sizes], 80)
    first = text.index("\n  | ")
    assert re.search(r"\repoch 1/2 loss \d\.\d+ .*%\|", text[:first])
    assert re.search(r"\repoch 2/2 loss \d\.\d+ .*%\|", text[first:])  # the bar is back
    expected = ["training on", *["epoch", *["  | "] * 3] * 2, "next:", ""]
    for line, begin in zip(screen(text), expected, strict=True):
        assert line.startswith(begin)
        assert "%|" not in line
