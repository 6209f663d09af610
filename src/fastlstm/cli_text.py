"""The texts a command line names."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fastlstm import text


def sources(arguments: argparse.Namespace, kind: str) -> list[tuple[str, str | bytes]]:
    """Name and text of everything the paths name."""
    if not arguments.paths:
        return [("standard library", text.read(kind, text.standard_library()))]
    found: list[tuple[str, str | bytes]] = []
    for path in arguments.paths:
        if path == "-":
            found.append(("-", text.read(kind, _standard_input())))
        else:
            found += [(str(file), text.read(kind, file)) for file in text.find_files([Path(path)], arguments.glob)]
    return found


def whole(arguments: argparse.Namespace, kind: str) -> str | bytes:
    """The text the paths name, all of it."""
    return text.read(kind, [part for _, part in sources(arguments, kind)])


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    return sys.stdin.buffer.read()
