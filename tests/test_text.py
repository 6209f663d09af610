"""Reading corpora: row C1."""

import errno
import os
import threading

import pytest

from fastlstm import text


def test_read_joins_text_bytes_and_files(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("é\r\n".encode())
    assert text.read("characters", ["x", file, "ü".encode()]) == "xé\r\nü"
    assert text.read("bytes", ["x", file]) == b"x\xc3\xa9\r\n"


def test_file_in_another_encoding_is_named_with_the_offset(tmp_path):
    file = tmp_path / "latin1.txt"
    file.write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"latin1.txt is not UTF-8: byte 0xe9 at offset 3; a model of bytes \(symbols='bytes'"):
        text.read("characters", file)


def test_read_refuses_other_types():
    with pytest.raises(TypeError, match="text must be a str, bytes, a Path or a list of them, got int"):
        text.read("characters", 3)


@pytest.mark.parametrize("kind", ["characters", "bytes", "words"])
def test_pieces_join_to_the_text_of_all_sources(tmp_path, monkeypatch, kind):
    """Whatever the size of a piece: characters of several bytes, words across pieces and across files stay whole."""
    file = tmp_path / "a.txt"
    file.write_text("naïve 漢字 😀, don't\n\n    return  x", newline="")
    source = ["of wor", file, "", "ds and ", "é".encode(), b" end \n"]
    whole = "of wor" + file.read_text() + "ds and é end \n"
    for size in (1, 2, 3, 7, 1000):
        monkeypatch.setattr(text, "PIECE", size)
        found = list(text.pieces(kind, source))
        assert all(found)
        assert (b"" if kind == "bytes" else "").join(found) == (whole.encode() if kind == "bytes" else whole)
        if kind == "words":
            assert all(piece[0].isspace() and not piece[-1:].isspace() for piece in found[1:-1])


def test_pieces_of_a_large_file_are_small(tmp_path):
    file = tmp_path / "large.txt"
    file.write_text("ab cd\n" * 1_000_000)
    for kind in ("characters", "words", "bytes"):
        assert max(map(len, text.pieces(kind, file))) <= text.PIECE + 6


def test_what_can_be_read_once_is_kept(tmp_path):
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    file.write_text("file")
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[b"piped"])
    writer.start()
    assert text.readable_again(["text", pipe, file]) == ["text", b"piped", file]
    writer.join()


def test_offset_of_a_wrong_byte_counts_from_the_files_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "PIECE", 4)
    file = tmp_path / "latin1.txt"
    file.write_bytes("é12345ü".encode() + b"\xe9!")
    with pytest.raises(ValueError, match="byte 0xe9 at offset 9;"):
        text.read("characters", file)


def test_find_files_by_glob_sorted_without_hidden_ones(tmp_path):
    for name in ("b.py", "a.py", "c.txt", "sub/d.py", ".hidden/e.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    found = text.find_files([tmp_path / "c.txt", tmp_path], "*.py")
    assert [p.relative_to(tmp_path).as_posix() for p in found] == ["c.txt", "a.py", "b.py", "sub/d.py"]
    with pytest.raises(ValueError, match=r"no file below .* matches '\*.c'"):
        text.find_files([tmp_path], "*.c")


def test_directories_that_cannot_be_read_are_not_passed_over(tmp_path, monkeypatch):
    for name in ("a", "locked", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text.py").write_text(name)
    locked, scandir = {str(tmp_path / ".hidden")}, os.scandir

    def refusing(path):
        if str(path) in locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert len(text.find_files([tmp_path])) == 2
    locked.add(str(tmp_path / "locked"))
    with pytest.raises(PermissionError) as refused:
        text.find_files([tmp_path])
    assert refused.value.filename == str(tmp_path / "locked")


def test_standard_library_is_this_pythons_source():
    source = text.standard_library()
    assert len(source) > 5_000_000
    assert "class Counter(dict):" in source
    assert "def getaddrinfo(" in source
    assert source == text.standard_library()
