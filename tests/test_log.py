"""The log of a training run as a file."""

import json

import pytest

from fastlstm import log

RECORDS = [
    {"epoch": 1, "loss": 2.5, "bits_per_symbol": 3.6, "validation_loss": 2.75, "best": True},
    {"epoch": 2, "loss": 1.5, "bits_per_symbol": 2.2, "validation_loss": None, "best": False},
]


def test_round_trip(tmp_path):
    for records in (RECORDS[:1], RECORDS):
        log.write(tmp_path / "m.jsonl", records)
        assert log.read(tmp_path / "m.jsonl") == records
    assert [p.name for p in tmp_path.iterdir()] == ["m.jsonl"]


def test_what_is_not_finite_is_null(tmp_path):
    log.write(tmp_path / "m.jsonl", [RECORDS[0] | {"loss": float("nan"), "validation_loss": float("inf")}])
    line = json.loads((tmp_path / "m.jsonl").read_text(), parse_constant=pytest.fail)
    assert line["loss"] is None
    assert line["validation_loss"] is None


def test_last_record_of_an_epoch_counts(tmp_path):
    lines = [RECORDS[1], RECORDS[0], RECORDS[1] | {"loss": 9.0}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [record["loss"] for record in log.read(tmp_path / "m.jsonl")] == [2.5, 9.0]


@pytest.mark.parametrize(
    "line",
    [
        b"", b"epoch 1", b"[1, 2]", b"7", b"\xff\xfe", b"[" * 100_000, b'{"epoch": 2}', b'{"loss": 1.0}',
        b'{"epoch": "2", "loss": 1.0}', b'{"epoch": true, "loss": 1.0}', b'{"epoch": 1.5, "loss": 1.0}',
        b'{"epoch": 2, "loss": "1"}', b'{"epoch": 2, "loss": 1.0, "validation_loss": [1]}', b'{"epoch": 2, "loss": NaN}',
        b'{"epoch": 1' + b"0" * 400 + b', "loss": 1.0}', b'{"epoch": 2, "loss": 1' + b"0" * 400 + b"}",
        b'{"epoch": 1' + b"0" * 5000 + b', "loss": 1.0}', b'{"epoch": 2, "lo',
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    (tmp_path / "m.jsonl").write_bytes(json.dumps(RECORDS[0]).encode() + b"\n" + line + b"\n")
    with pytest.raises(ValueError, match=r"m\.jsonl: line 2 is not a training record"):
        log.read(tmp_path / "m.jsonl")


def test_no_records(tmp_path):
    (tmp_path / "m.jsonl").touch()
    with pytest.raises(ValueError, match=r"m\.jsonl: no epoch has been logged yet"):
        log.read(tmp_path / "m.jsonl")
    log.write(tmp_path / "m.jsonl", RECORDS)  # an empty file is nothing to lose
    assert log.read(tmp_path / "m.jsonl") == RECORDS


@pytest.mark.parametrize("content", ["a text\n", '{"name": "a"}\n', '{"epoch": 1, "loss": 0.5, "val_loss": 0.7}\n', "\n"])
def test_other_files_are_not_replaced(tmp_path, content):
    (tmp_path / "m.jsonl").write_text(content)
    with pytest.raises(ValueError, match="exists and is not a fastlstm log; remove it first"):
        log.write(tmp_path / "m.jsonl", RECORDS)
    assert (tmp_path / "m.jsonl").read_text() == content


def test_symbolic_links_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "m.jsonl").symlink_to(tmp_path / "real/log.jsonl")
    log.write(tmp_path / "m.jsonl", RECORDS)
    assert (tmp_path / "m.jsonl").is_symlink()
    assert log.read(tmp_path / "real/log.jsonl") == RECORDS
