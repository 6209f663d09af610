"""Model files: row F6 and the file faults of the trust table."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import safe_open

import fastlstm
from fastlstm import CheckpointError, Model, checkpoint

ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(2)}
SECTIONS = {"config": {"name": "é", "sizes": [1, 2]}, "empty": None}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "m.safetensors"
    checkpoint.write(path, ARRAYS, SECTIONS)
    return path


def assert_unharmed(path):
    arrays, sections = checkpoint.read(path)
    assert sections == SECTIONS
    assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)


def test_round_trip(path):
    arrays, sections = checkpoint.read(path)
    assert sections == SECTIONS
    assert {name: (a.dtype, a.tolist()) for name, a in arrays.items()} == {n: (a.dtype, a.tolist()) for n, a in ARRAYS.items()}


def test_opens_with_the_safetensors_library_alone(tmp_path):
    model = Model(hidden_size=3, num_layers=1, vocabulary="ab", seed=0)
    model.save(tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", "numpy") as file:
        names = set(file.keys())
        assert {"lstm.weight_ih_l0", "lstm.weight_hh_l0", "output.weight"} <= names
        assert np.array_equal(file.get_tensor("lstm.weight_hh_l0"), model.parameters["lstm.weight_hh_l0"])
        assert '"hidden_size": 3' in file.metadata()["fastlstm.config"]
        assert file.metadata()["fastlstm.vocabulary"] == '["a", "b"]'


def test_truncation_at_every_byte_is_refused(path):
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match=r"m\.safetensors: "):
            checkpoint.read(path)


def test_every_flipped_bit_is_refused(path):
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError):
                checkpoint.read(path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"\xff",
        b"{" * 100_000,
        b'{"__metadata__":3}',
        b'{"__metadata__":{"fastlstm.format":"0"}}',
        b'{"__metadata__":{"fastlstm.format":"' + b"9" * 5000 + b'"}}',
        b'{"__metadata__":{"fastlstm.format":"1"},"x":{"data_offsets":[1e999,2]}}',
    ],
)
def test_crafted_headers_are_refused(path, header):
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match=r"m\.safetensors: "):
        checkpoint.read(path)


def test_models_with_large_headers_are_replaced(path):
    for _ in range(5):  # the order of the header's entries is drawn anew each time
        checkpoint.write(path, ARRAYS, {"history": ["x" * 1000] * 3000})
    assert len(checkpoint.read(path)[1]["history"]) == 3000


def test_only_models_are_replaced(path):
    text = path.with_name("text.txt")
    text.write_text("My novel")
    with pytest.raises(ValueError, match=r"text\.txt exists and is not a fastlstm model; remove it first"):
        checkpoint.write(text, ARRAYS, SECTIONS)
    assert text.read_text() == "My novel"


def test_only_regular_files_are_replaced(path):
    os.mkfifo(path.with_name("pipe"))
    with pytest.raises(ValueError, match="pipe is not a regular file"):
        checkpoint.write(path.with_name("pipe"), ARRAYS, SECTIONS)
    with pytest.raises(ValueError, match="is not a regular file"):
        checkpoint.write(path.parent, ARRAYS, SECTIONS)
    link = path.with_name("link.safetensors")
    link.symlink_to(path)
    checkpoint.write(link, {"weight": np.ones(3)}, {})
    assert link.is_symlink()
    assert list(checkpoint.read(path)[0]) == ["weight"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_failing_disk_leaves_the_old_file(path, monkeypatch, function):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.write(path, {"weight": np.ones(3)}, {})
    monkeypatch.undo()
    assert_unharmed(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_stray_temporary_file_is_replaced_by_the_next_save(path):
    path.with_name(path.name + ".tmp").write_bytes(b"half a file")
    checkpoint.write(path, ARRAYS, SECTIONS)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def altered(path, change):
    """Rewrite a model file, checksum and all, after `change(arrays, sections)`."""
    arrays, sections = checkpoint.read(path)
    change(arrays, sections)
    checkpoint.write(path, arrays, sections)


def wrong_shape(arrays, sections):
    arrays["output.bias"] = np.zeros(7, np.float32)


def missing(arrays, sections):
    del arrays["lstm.bias_ih_l0"]


def leftover(arrays, sections):
    arrays["lstm.weight_ih_l7"] = np.zeros(7, np.float32)


def huge(arrays, sections):
    sections["config"]["hidden_size"] = 10**9


def deep(arrays, sections):
    sections["config"]["num_layers"] = 10**9


def wide(arrays, sections):
    sections["config"]["embedding"] = 10**12


def halved(arrays, sections):
    arrays["output.bias"] = arrays["output.bias"].astype(np.float16)


def uncounted(arrays, sections):
    arrays["vocabulary.counts"] = np.zeros(2, np.int64)


def overcounted(arrays, sections):
    arrays["vocabulary.counts"] = np.ones(3, np.int64)


def backwards(arrays, sections):
    sections["position"]["window"] = -7


def worded(arrays, sections):
    sections["optimizer"]["steps"] = "x"


def unlisted(arrays, sections):
    sections["position"]["history"] = "none"


def unsized(arrays, sections):
    sections["options"]["batch_size"] = "x"


def unrandom(arrays, sections):
    sections["random_state"]["state"] = {"state": 2**200, "inc": -1}


def unconfigured(arrays, sections):
    del sections["config"]


def option(arrays, sections):
    sections["config"]["unheard_of"] = 1


def of(section, **values):
    """A change of these values of a section."""
    return lambda arrays, sections: sections[section].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of("config", hidden_size=[3, 4]), "hidden_size must have one width for each of 1 layers, got 3, 4"),
        (of("config", hidden_size=["3"]), r"hidden_size\[0\] must be a whole number, got '3'"),
        (of("config", hidden_size=[10**9]), r"lstm\.weight_ih_l0 must have shape \(4000000000, 2\), got \(12, 2\)"),
        (of("config", proj_size=3), "proj_size must be less than hidden_size = 3, got 3"),
        (of("config", proj_size="x"), "proj_size must be a whole number, got 'x'"),
        (of("config", bias=False), "tensors this version does not know: .*lstm.bias_hh_l0"),
        (of("config", bias="no"), "bias must be True or False, got 'no'"),
        (of("config", clip=[1]), r"clip must be a number, got \[1\]"),
        (of("position", window=True), "window must be a whole number, got True"),
        (of("position", symbols=10**400), "symbols must be in .*, got inf"),
        (of("position", history=[{}]), "it lacks 'epoch'"),
        (of("position", history=[{"epoch": 1, "loss": "x"}]), "loss of a record must be a number, got 'x'"),
        (of("position", epoch=2), "2 epochs are finished, but there are only 1 records"),
        (of("position", state=[[1, 2]]), "the position holds what must be arrays"),
        (wrong_shape, r"output\.bias must have shape \(2,\), got \(7,\)"),
        (missing, "missing parameters: lstm.bias_ih_l0"),
        (leftover, "tensors this version does not know: lstm.weight_ih_l7"),
        (huge, r"lstm\.weight_ih_l0 must have shape \(4000000000, 2\), got \(12, 2\)"),
        (deep, r"num_layers is 1000000000, but there are only \d+ tensors"),
        (wide, r"missing parameters: embedding\.weight"),
        (halved, r"output\.bias must be float32, got float16"),
        (uncounted, r"counts must"),
        (overcounted, r"counts must"),
        (backwards, "window must be at least 0, got -7"),
        (worded, "steps must be a whole number, got 'x'"),
        (unlisted, "history must be a list of records"),
        (unsized, "batch_size must be a whole number"),
        (unrandom, "m.safetensors: "),
        (unconfigured, "it lacks 'config'"),
        (option, "unheard_of"),
    ],
)
def test_inconsistent_models_are_refused(tmp_path, change, message):
    path = tmp_path / "m.safetensors"
    model = Model(hidden_size=3, num_layers=1, vocabulary="ab", seed=0)
    model.fit("ab" * 50, epochs=1, batch_size=2, seq_length=10, progress=False)
    model.save(path)
    assert Model.load(path).history == model.history
    altered(path, change)
    with pytest.raises(CheckpointError, match=message):
        Model.load(path)


SAVER = """
import sys, fastlstm
model = fastlstm.Model(hidden_size=64, num_layers=2, vocabulary="abc", seed=0)
model.save(sys.argv[1])
print("ready", flush=True)
while True:
    model.save(sys.argv[1])
"""


def kill_while_saving(path, times, rng):
    """Kill -9 a process that saves without pause, `times` times; the file must load after each.

    Returns how many kills fell inside a write, to be seen by the temporary file left.
    """
    strays = 0
    for _ in range(times):
        process = subprocess.Popen([sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.02 + 0.03 * rng.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        fastlstm.Model.load(path)
        names = {p.name for p in path.parent.iterdir()}
        assert names <= {path.name, path.name + ".tmp"}
        strays += len(names) - 1
    return strays


def test_killed_while_saving_a_loadable_file_remains(tmp_path):
    path = tmp_path / "m.safetensors"
    kill_while_saving(path, 5, np.random.default_rng(0))
    Model.load(path).save(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
