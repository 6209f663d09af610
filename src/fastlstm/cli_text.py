"""The texts a command line names."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fastlstm import corpus, text
from fastlstm.cli_parser import STANDARD_LIBRARY
from fastlstm.vocabulary import Vocabulary

UNITS = ((1e3, "kB"), (1e6, "MB"), (1e9, "GB"))

Source = Path | str | bytes


def sources(arguments: argparse.Namespace) -> list[tuple[str, Source]]:
    """Name and text of everything the paths name.

    Files stay paths, for the library to read: they may be larger than memory. Standard input and other pipes can be read
    only once, and are read here.
    """
    if not arguments.paths:
        return [(STANDARD_LIBRARY, text.standard_library())]
    found: list[tuple[str, Source]] = []
    for path in arguments.paths:
        if path == "-":
            found.append(("-", _standard_input()))
        else:
            files = text.find_files([Path(path)], arguments.glob)
            found += [(str(file), file if file.is_file() else file.read_bytes()) for file in files]
    return found


@contextmanager
def named(name: str) -> Iterator[None]:
    """Say which text it is that a ValueError in the block is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(name) else f"{name}: {error}") from None


def encode(vocabulary: Vocabulary, found: Sequence[tuple[str, Source]]) -> np.ndarray:
    """Ids (N,) of all texts one after another."""
    try:
        return corpus.encode(vocabulary, [part for _, part in found])
    except ValueError:
        for name, part in found:
            with named(name):
                corpus.encode(vocabulary, part)
        raise


def describe(found: Sequence[tuple[str, Source]]) -> str:
    """What is read, and its size: 3 files, 1.1 MB."""
    files = sum(isinstance(part, Path) for _, part in found)
    names = [f"{files} file{'s' if files > 1 else ''}"] if files else []
    names += ["standard input" if name == "-" else name for name, part in found if not isinstance(part, Path)]
    size = sum(part.stat().st_size if isinstance(part, Path) else len(part) for _, part in found)
    return f"{' and '.join(names)}, {_size(size)}"


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} bytes"
    unit, name = next(((unit, name) for unit, name in UNITS if size < 999.95 * unit), UNITS[-1])
    return f"{size / unit:.1f} {name}"


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    return sys.stdin.buffer.read()
