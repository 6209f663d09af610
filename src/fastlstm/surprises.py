"""Where a text surprises a model: its lines by their most unexpected symbol, coloured."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# Background colours (of 256) of symbols of at least so many bits, the strongest first.
COLOURS = ((12.0, 160), (8.0, 172), (5.0, 58))


class Line(NamedTuple):
    """A line of a text, its line end included, and the bits of each of its symbols."""

    file: str
    number: int  # from 1, as editors count
    symbols: list[str]
    bits: np.ndarray

    @property
    def text(self) -> str:
        """The symbols as one text."""
        return "".join(self.symbols)

    @property
    def worst(self) -> float:
        """Bits of the most unexpected symbol."""
        return float(self.bits.max())

    @property
    def column(self) -> int:
        """Where that symbol stands, from 1."""
        return int(self.bits.argmax()) + 1


def lines(file: str, text: str | bytes, nats: np.ndarray) -> list[Line]:
    """The lines of a text whose symbols need `nats`; bytes beyond ASCII are shown in hexadecimal."""
    symbols = [bytes([b]).decode("ascii", "backslashreplace") for b in text] if isinstance(text, bytes) else list(text)
    ends = [place + 1 for place, symbol in enumerate(symbols) if symbol == "\n"]
    if not ends or ends[-1] < len(symbols):
        ends.append(len(symbols))
    starts = [0, *ends[:-1]]
    found = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        if end > start:
            found.append(Line(file, number, symbols[start:end], nats[start:end] / np.log(2)))
    return found


def worst(found: Iterable[Line], n: int) -> list[Line]:
    """The n lines with the most unexpected symbols, the worst first."""
    return sorted(found, key=lambda line: (-line.worst, line.file, line.number))[:n]


def render(line: Line, colour: bool) -> str:
    """The line with its place and bits; its symbols coloured by their bits, or a mark under the worst one."""
    head = f"{line.file}:{line.number}: {line.worst:4.1f} bits  "
    shown = ["\u23ce" if symbol == "\n" else symbol if symbol.isprintable() else "\u00b7" for symbol in line.symbols]
    if not colour:
        return f"{head}{''.join(shown)}\n{' ' * len(head + ''.join(shown[: line.column - 1]))}^"
    painted = []
    for symbol, bits in zip(shown, line.bits, strict=True):
        background = next((number for least, number in COLOURS if bits >= least), None)
        painted.append(symbol if background is None else f"\x1b[97;48;5;{background}m{symbol}\x1b[0m")
    return head + "".join(painted)
