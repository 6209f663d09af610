"""Where a text surprises a model: its lines by their most unexpected symbol, coloured."""

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

# Background colours (of 256) of symbols of at least so many bits, the strongest first.
COLOURS = ((12.0, 160), (8.0, 172), (5.0, 58))
# Symbols shown on either side of the worst one.
AROUND = 80


class Line(NamedTuple):
    """A line of a text, its line end included, and the bits of each of its symbols."""

    file: str
    number: int  # from 1, as editors count
    indent: str  # its beginning, where that belongs to the last symbol of the line before
    symbols: list[str] | list[bytes]
    bits: np.ndarray

    @property
    def text(self) -> str:
        """The line as one text."""
        return self.indent + "".join(map(_as_text, self.symbols))

    @property
    def worst(self) -> float:
        """Bits of the most unexpected symbol."""
        return float(self.bits.max())

    @property
    def column(self) -> int:
        """Where that symbol begins, from 1."""
        return 1 + len(self.indent) + sum(map(len, self.symbols[: int(self.bits.argmax())]))


def lines(file: str, symbols: list[str] | list[bytes], nats: np.ndarray) -> Iterator[Line]:
    """The lines of a text whose symbols need `nats`; a symbol with a line end in it is the last of its line."""
    start, number, indent = 0, 1, ""
    for end, symbol in enumerate(map(_as_text, symbols), 1):
        if "\n" in symbol or end == len(symbols):
            yield Line(file, number, indent, symbols[start:end], nats[start:end] / np.log(2))
            start, number, indent = end, number + symbol.count("\n"), symbol.rpartition("\n")[2]


def _as_text(symbol: str | bytes) -> str:
    """The symbol, a byte beyond ASCII in hexadecimal."""
    return symbol.decode("ascii", "backslashreplace") if isinstance(symbol, bytes) else symbol


def worst(found: Iterable[Line], n: int) -> list[Line]:
    """The n lines with the most unexpected symbols, the worst first."""
    return heapq.nsmallest(n, found, key=lambda line: (-line.worst, line.file, line.number))


def render(line: Line, colour: bool) -> str:
    """The line with its place and bits; its symbols coloured by their bits, or a mark under the worst one.

    Of a long line only what is around the worst symbol.
    """
    worst = int(line.bits.argmax())
    first = worst - AROUND if len(line.symbols) > 2 * AROUND and worst > AROUND else 0
    head = f"{line.file}:{line.number}: {line.worst:4.1f} bits  {'…' if first else ''.join(map(_visible, line.indent))}"
    part = [shown(symbol) for symbol in line.symbols[first : first + 2 * AROUND]]
    if first + 2 * AROUND < len(line.symbols):
        part[-1] = "…"
    if not colour:
        before = head + "".join(part[: worst - first])
        return f"{head}{''.join(part)}\n{' ' * len(before)}^"
    painted = []
    for symbol, bits in zip(part, line.bits[first:], strict=False):
        background = next((number for least, number in COLOURS if bits >= least), None)
        painted.append(symbol if background is None else f"\x1b[97;48;5;{background}m{symbol}\x1b[0m")
    return head + "".join(painted)


def shown(symbol: str | bytes) -> str:
    """The symbol as it can be printed: line ends as ⏎, what does not print as ·, a byte beyond ASCII in hexadecimal."""
    return "".join(map(_visible, _as_text(symbol)))


def _visible(character: str) -> str:
    return "\u23ce" if character == "\n" else character if character.isprintable() else "\u00b7"
