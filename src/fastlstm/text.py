"""Text as symbols: vocabularies, and reading a corpus from wherever it is."""

import sys
import sysconfig
import tokenize
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from fastlstm import _check

SYMBOLS = ("characters", "bytes")

TextSource = str | bytes | Path | Sequence[str | bytes | Path]


class Vocabulary:
    """The symbols a model knows, in the order of their ids.

    Args:
        kind: "characters" (Unicode code points) or "bytes" (all 256 of them).
        symbols: of characters, each one once, in id order; none for bytes.
        counts: (V,) how often each occurred in the training text; None is once each.
    """

    def __init__(self, kind: str, symbols: Iterable[str] = (), counts: ArrayLike | None = None) -> None:
        self.kind = _check.choice("symbols", kind, SYMBOLS)
        self.symbols: list[str] = list(symbols)
        if kind == "bytes" and self.symbols:
            raise ValueError("a model of bytes knows all 256 of them; leave vocabulary out")
        points = []
        for place, symbol in enumerate(self.symbols):
            if not isinstance(symbol, str) or len(symbol) != 1:
                raise ValueError(f"vocabulary must hold single characters, got {symbol!r} at index {place}")
            points.append(ord(symbol))
        self._points = np.array(points if kind == "characters" else range(256), np.uint32)
        self._order = np.argsort(self._points)
        self._sorted = self._points[self._order]
        repeated = self._sorted[1:][self._sorted[1:] == self._sorted[:-1]]
        if len(repeated):
            raise ValueError(f"vocabulary holds {_name(int(repeated[0]))} more than once")
        self.counts = np.ones(len(self), np.int64) if counts is None else np.asarray(counts, np.int64)
        if self.counts.shape != (len(self),):
            raise ValueError(f"counts must have shape ({len(self)},), got {_check.shape_text(self.counts.shape)}")

    @classmethod
    def of(cls, kind: str, text: str | bytes) -> "Vocabulary":
        """The vocabulary of `text`: its characters in code-point order, or all bytes."""
        _check.choice("symbols", kind, SYMBOLS)
        points, counts = np.unique(_code_points(kind, text), return_counts=True)
        if not len(points):
            raise ValueError("the text is empty")
        if kind == "characters":
            return cls(kind, map(chr, points.tolist()), counts)
        return cls(kind, counts=np.bincount(points, minlength=256))

    def __len__(self) -> int:
        """V, the number of symbols."""
        return len(self._points)

    def encode(self, text: str | bytes) -> np.ndarray:
        """Ids (N,) int32 of the symbols of `text`; ValueError names the first one that is not in the vocabulary."""
        points = _code_points(self.kind, text)
        if not len(self):
            raise ValueError("the vocabulary is empty")
        place = np.minimum(np.searchsorted(self._sorted, points), len(self) - 1)
        unknown = self._sorted[place] != points
        if unknown.any():
            position = int(np.argmax(unknown))
            raise ValueError(
                f"character {_name(int(points[position]))} at position {position} is not among the "
                f"{len(self)} symbols the model knows; train it on text that has it, or with symbols='bytes'"
            )
        return self._order[place].astype(np.int32)

    def decode(self, ids: ArrayLike) -> str | bytes:
        """The text of ids (N,): str, or bytes for a vocabulary of bytes."""
        points = self._points[_check.tokens("ids", ids, 1, len(self))]
        if self.kind == "bytes":
            return points.astype(np.uint8).tobytes()
        return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def join(self, pieces: Iterable[str | bytes]) -> str | bytes:
        """Decoded pieces as one text."""
        return (b"" if self.kind == "bytes" else "").join(pieces)


def _name(point: int) -> str:
    return f"{chr(point)!r} (U+{point:04X})"


def _code_points(kind: str, text: str | bytes) -> np.ndarray:
    text = read(kind, text)
    if kind == "bytes":
        return np.frombuffer(text, np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def read(kind: str, source: TextSource) -> str | bytes:
    """The text of `source`: a str or bytes is the text itself, a Path a file to read, a list all of them in turn.

    Returns str for characters (files and bytes are UTF-8), bytes for bytes. Line ends are left as they are.
    """
    if isinstance(source, list | tuple):
        return (b"" if kind == "bytes" else "").join([read(kind, part) for part in source])
    if not isinstance(source, str | bytes | Path):
        raise TypeError(f"text must be a str, bytes, a Path or a list of them, got {type(source).__name__}")
    content = source.read_bytes() if isinstance(source, Path) else source
    if kind == "bytes":
        return content.encode() if isinstance(content, str) else content
    if isinstance(content, str):
        return content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        name = source if isinstance(source, Path) else "the text"
        raise ValueError(
            f"{name} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}; "
            "use symbols='bytes' (--symbols bytes) for other encodings"
        ) from None


def find_files(paths: Iterable[Path], pattern: str = "*") -> list[Path]:
    """The files among `paths` and, sorted, those below its directories whose names match `pattern`, hidden ones left out."""
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        if Path(pattern).is_absolute():
            raise ValueError(f"the pattern must be relative to {path}, got {pattern!r}")
        below = (p for p in sorted(path.rglob(pattern)) if p.is_file())
        found = [p for p in below if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        if not found:
            raise ValueError(f"no file below {path} matches {pattern!r}")
        files += found
    return files


def standard_library() -> str:
    """The source of the running Python's own standard library, one module after another.

    Its tests, its tables (encodings, the help texts of pydoc) and installed packages are left out. The order is drawn once,
    with a fixed seed, so that the end of the text, where validation is taken, is of the same kind as the rest.
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
    return "".join(texts)
