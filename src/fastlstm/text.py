"""Reading a text from wherever it is, a piece at a time."""

import codecs
import io
import os
import re
import sys
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

TextSource = str | bytes | Path | Sequence[str | bytes | Path]

# Characters or bytes of a piece.
PIECE = 1 << 20
# How far back from the end of a piece the end of a word is looked for.
LONGEST_WORD = 1 << 16
# Places that are surely between two words: before white space, and after a mark that joins no words.
_WORD_ENDS = re.compile(r"(?<=\S)(?=\s)|(?<=[!-&(-/:-@\[-^{-~。、，])")


def pieces(kind: str, source: TextSource) -> Iterator[str | bytes]:
    """The text of `source` in pieces of bounded size, none empty, so that it can be larger than memory.

    Args:
        kind: of symbols: "bytes" gives bytes, the others str; pieces of "words" begin and end where words do.
        source: a str or bytes is the text itself, a Path a file to read, a list all of them in turn. Files and bytes are
            UTF-8. Line ends are left as they are.
    """
    found = _raw_pieces(kind, source)
    return _whole_words(found) if kind == "words" else found


def read(kind: str, source: TextSource) -> str | bytes:
    """The whole text of `source`."""
    return (b"" if kind == "bytes" else "").join(_raw_pieces(kind, source))


def as_text(kind: str, name: str, value: object) -> str | bytes:
    """A str or bytes as the text it is to a model of `kind`."""
    if not isinstance(value, str | bytes):
        raise TypeError(f"{name} must be a str or bytes, got {type(value).__name__}")
    return read(kind, value)


def is_text(x: object) -> bool:
    """Whether x is text to be read and encoded, not ids."""
    parts = x if isinstance(x, list | tuple) else [x]
    return all(isinstance(part, str | bytes | Path) for part in parts)


def not_a_file_name(x: Any) -> Any:
    """x; a file object, and a str that names a file, are taken for a mistake, the latter unless it is in a list."""
    if hasattr(x, "read"):
        raise TypeError(f"a text must be a str, bytes, a Path or a list of them, got {type(x).__name__}; a Path reads a file")
    if isinstance(x, str) and 0 < len(x) < 256 and "\n" not in x and "\0" not in x and os.path.isfile(x):
        raise ValueError(f"a str is the text itself, but {x!r} names a file: pass Path({x!r}) to read it, or [{x!r}] "
                         f"where these {len(x)} characters are the text")
    return x


def readable_again(source: TextSource) -> TextSource:
    """`source` with what can be read only once, pipes, replaced by its bytes."""
    if isinstance(source, list | tuple):
        return [readable_again(part) for part in source]
    is_pipe = isinstance(source, Path) and source.exists() and not (source.is_file() or source.is_dir())
    return source.read_bytes() if is_pipe else source


def _raw_pieces(kind: str, source: TextSource) -> Iterator[str | bytes]:
    if isinstance(source, list | tuple):
        for part in source:
            yield from _raw_pieces(kind, part)
    elif isinstance(source, Path):
        if source.is_dir():
            raise ValueError(f"{source} is a directory; pass a list of files, such as sorted(Path(...).rglob('*.py'))")
        with source.open("rb") as file:
            yield from _decoded(kind, file, str(source))
    elif isinstance(source, bytes):
        yield from _decoded(kind, io.BytesIO(source), "the text")
    elif not isinstance(source, str):
        raise TypeError(f"text must be a str, bytes, a Path or a list of them, got {type(source).__name__}")
    elif kind == "bytes":
        yield from _raw_pieces(kind, source.encode())
    else:
        for start in range(0, len(source), PIECE):
            yield source[start : start + PIECE]


def _decoded(kind: str, file: BinaryIO, name: str) -> Iterator[str | bytes]:
    rest, offset, final = b"", 0, False  # `rest`: the beginning of a character, at `offset`
    while not final:
        content = file.read(PIECE)
        final = not content
        if kind == "bytes":
            piece: str | bytes = content
        else:
            content = rest + content
            try:
                piece, used = codecs.utf_8_decode(content, "strict", final)
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{name} is not UTF-8: byte 0x{content[error.start]:02x} at offset {offset + error.start}; "
                    "a model of bytes (symbols='bytes', --symbols bytes) reads any file"
                ) from None
            rest, offset = content[used:], offset + used
        if piece:
            yield piece


def _whole_words(found: Iterator[str]) -> Iterator[str]:
    """The same text, cut only where a word ends; a word much too long is cut anyhow."""
    rest = ""
    for piece in found:
        rest += piece
        ends = [match.start() for match in _WORD_ENDS.finditer(rest, max(0, len(rest) - LONGEST_WORD))]
        end = ends[-1] if ends else len(rest) // LONGEST_WORD * LONGEST_WORD
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def find_files(paths: Iterable[Path], pattern: str = "*") -> list[Path]:
    """The files among `paths` and, sorted, those below its directories whose names match `pattern`, hidden ones left out."""
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        if Path(pattern).is_absolute():
            raise ValueError(f"the pattern must be relative to {path}, got {pattern!r}")
        _check_readable(path)
        below = (p for p in sorted(path.rglob(pattern)) if p.is_file())
        found = [p for p in below if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        if not found:
            raise ValueError(f"no file below {path} matches {pattern!r}")
        files += found
    return files


def _check_readable(path: Path) -> None:
    """Refuse a directory that has one below it, hidden ones left out, whose names cannot be read: `rglob` passes it over."""

    def refuse(error: OSError) -> None:
        raise error

    for _, folders, _ in os.walk(path, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]


def standard_library() -> str:
    """The source of the running Python's own standard library: `standard_library_files` one after another."""
    return "".join(standard_library_files())


def standard_library_files() -> list[str]:
    """The modules of the running Python's own standard library.

    Its tests, its tables (encodings, the help texts of pydoc) and installed packages are left out. The order is drawn once,
    with a fixed seed, so that the end, where validation is taken, is of the same kind as the rest.
    """
    root = Path(sysconfig.get_path("stdlib"))
    left_out = {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "pydoc_data", "__pycache__"}
    files = [p for p in sorted(root.rglob("*.py")) if not left_out & set(p.relative_to(root).parts)]
    if not files:
        raise ValueError(f"this Python ({sys.executable}) has no library source below {root}; name files to train on")
    texts = []
    for k in np.random.default_rng(0).permutation(len(files)):
        with tokenize.open(files[k]) as file:  # honours each file's declared encoding
            texts.append(file.read())
    return texts
