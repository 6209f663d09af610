"""Pictures of states over a text: in a terminal, as HTML, and with matplotlib."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastlstm import checkpoint, colours
from fastlstm.surprises import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours of a scale in a terminal and on a page, an odd number: the middle one is that of zero.
LEVELS = 21
# A page breaks the lines of so few rows after so many columns; more rows go on sideways.
FEW_ROWS, TABLE_COLUMNS = 12, 100
BARS = "▁▂▃▄▅▆▇█"  # what stands for values where there are no colours
RESET = "\x1b[0m"
STYLE = """
.fl-view { font: 14px/1.5 system-ui, sans-serif; color: #222; background: #fff; padding: .8em; }
.fl-view pre, .fl-view table { font: 14px/1.45 ui-monospace, Menlo, Consolas, monospace; }
.fl-view pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; background: none; color: inherit; }
.fl-view pre span { padding: .14em 0; }
.fl-view .fl-wide { overflow: auto; max-height: 95vh; margin: 0 0 .6em; padding-bottom: .1em; }
.fl-view table { border-collapse: collapse; margin: 0; }
.fl-view td, .fl-view th { padding: 0; text-align: center; white-space: pre; border: 0; line-height: 1.35; }
.fl-view td { min-width: 1ch; height: 1.35em; }
.fl-view th { padding: 0 .5em 0 0; font-weight: normal; text-align: right; position: sticky; left: 0; z-index: 1; }
.fl-view thead td { position: sticky; top: 0; }
.fl-view th, .fl-view thead td { background: #fff; }
.fl-view p { margin: 0 0 .6em; }
.fl-scale { margin-right: 1.5em; }
.fl-bar { display: inline-block; width: 8em; height: .8em; margin: 0 .4em; border: 1px solid #888; }
"""
DARK_STYLE = (
    ".fl-view { color: #ddd; background: #1c1c1c; } .fl-view th, .fl-view thead td { background: #1c1c1c; } "
    ".fl-page { background: #1c1c1c; }\n"
)
POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"


class Row(NamedTuple):
    """One neuron's quantity over the symbols of a view."""

    label: str
    quantity: str
    values: np.ndarray         # (n,)
    ends: tuple[float, float]  # of the scale


class View:
    """Some symbols of a text, and rows of values to colour them or a line below them by.

    Args:
        title: what it shows, in words.
        symbols: n of the text, as they were read.
        rows: one colours the symbols themselves, several make lines below them.
        more: how many symbols of the text come after these.
    """

    def __init__(self, title: str, symbols: Sequence[str] | Sequence[bytes], rows: Sequence[Row], more: int = 0) -> None:
        self.title, self.rows, self.more = title, list(rows), more
        self.symbols = [shown(symbol) for symbol in symbols]
        self._line_ends = [symbol in ("\n", b"\n") for symbol in symbols]

    def __repr__(self) -> str:
        """The title and the number of symbols."""
        return f"<View of {self.title}: {len(self.symbols):,} symbols>"

    # ---- in a terminal -------------------------------------------------------------------------------------------

    def text(self, width: int = 80, *, colour: bool = True, dark: bool = False) -> str:
        """For a terminal of `width` columns; without colours, each line of text has bars for its values below it.

        dark: colours on black paper, not on white.
        """
        lines = [self.title]
        if len(self.rows) == 1:
            for part in self.lines(width):
                lines += self._one_line(part, colour, dark)
        else:
            label_width = max((len(row.label) for row in self.rows), default=0) + 1
            for part in self._pieces(range(len(self.symbols)), max(width - label_width, 1)):
                lines.append(" " * label_width + "".join(self.symbols[t] for t in part))
                lines += [f"{row.label:>{label_width - 1}} {self._cells(row, part, colour, dark)}" for row in self.rows]
        if self.more:
            lines.append(f"… {self.more:,} more symbols")
        return "\n".join(lines)

    def lines(self, width: int) -> Iterator[list[int]]:
        """The steps of each line: up to a line end, and `width` columns at most."""
        start = 0
        for end, is_end in enumerate(self._line_ends, 1):
            if is_end or end == len(self.symbols):
                yield from self._pieces(range(start, end), width)
                start = end

    def _pieces(self, steps: range, width: int) -> Iterator[list[int]]:
        part: list[int] = []
        used = 0
        for t in steps:
            columns = _columns(self.symbols[t])
            if part and used + columns > width:
                yield part
                part, used = [], 0
            part.append(t)
            used += columns
        if part:
            yield part

    def _one_line(self, part: list[int], colour: bool, dark: bool) -> list[str]:
        row = self.rows[0]
        if colour:
            return [_painted([self.symbols[t] for t in part], row, part, dark)]
        return ["".join(self.symbols[t] for t in part), self._cells(row, part, False, dark)]

    def _cells(self, row: Row, part: list[int], colour: bool, dark: bool) -> str:
        """One cell below each symbol, as wide as it is."""
        widths = [_columns(self.symbols[t]) for t in part]
        if colour:
            return _painted([" " * width for width in widths], row, part, dark)
        places = colours.level(row.values[part], row.ends, len(BARS))
        return "".join(BARS[place] * width for place, width in zip(places, widths, strict=True))

    def __str__(self) -> str:
        return self.text()

    # ---- on a page -----------------------------------------------------------------------------------------------

    def html(self) -> str:
        """A piece of HTML with its style, for light and dark pages; values appear where the pointer rests."""
        kinds = {colours.is_gate(row.quantity): row.quantity for row in self.rows}
        scales = "".join(self._scale(gate) for gate in kinds)
        content = self._coloured_text() if len(self.rows) == 1 else self._table()
        more = f"<p>… {self.more:,} more symbols</p>" if self.more else ""
        styles = [STYLE, *(_classes(quantity, False) for quantity in kinds.values())]
        styles += ["@media (prefers-color-scheme: dark) {\n", DARK_STYLE, *(_classes(q, True) for q in kinds.values()), "}\n"]
        head = f"<style>{''.join(styles)}</style><p>{escape(self.title)}</p><p>{scales}</p>"
        return f'<div class="fl-view">{head}{content}{more}</div>'

    def to_html(self, path: str | os.PathLike | None = None) -> str:
        """A page of its own, written to `path` too where there is one."""
        found = page(self.title, [self.html()])
        if path is not None:
            write_page(path, found)
        return found

    def _repr_html_(self) -> str:
        return self.html()

    def _scale(self, gate: bool) -> str:
        """The colours of a scale between its ends."""
        ends = {row.ends for row in self.rows if colours.is_gate(row.quantity) == gate}
        low, high = (f"{end:.3g}" for end in ends.pop()) if len(ends) == 1 else ("-largest", "largest of each line")
        low = low.replace("-", "−")
        return f'<span class="fl-scale">{low}<span class="fl-bar fl-{_kind(gate)}-bar"></span>{high}</span> '

    def _coloured_text(self) -> str:
        row = self.rows[0]
        cells = _titled_cells("span", row, self.symbols, self.symbols)
        ends = ("\n" if is_end else "" for is_end in self._line_ends)
        return f"<pre>{''.join(cell + end for cell, end in zip(cells, ends, strict=True))}</pre>"

    def _table(self) -> str:
        """A table with the symbols above a line for each row; where these are few, as many tables as the text needs lines."""
        n = len(self.symbols)
        lines = [_titled_cells("td", row, self.symbols, [""] * n) for row in self.rows]
        tables = []
        for part in self._pieces(range(n), TABLE_COLUMNS if len(self.rows) <= FEW_ROWS else sum(map(_columns, self.symbols))):
            head = "".join(f"<td>{escape(self.symbols[t])}</td>" for t in part)
            rows = "".join(
                f"<tr><th>{escape(row.label)}</th>{''.join(cells[t] for t in part)}</tr>"
                for row, cells in zip(self.rows, lines, strict=True)
            )
            tables.append(f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>")
        return "".join(f'<div class="fl-wide">{table}</div>' for table in tables)

    # ---- with matplotlib -----------------------------------------------------------------------------------------

    def plot(self) -> Figure:
        """A matplotlib figure: one row as the coloured text above its curve, several as a map with the symbols along it."""
        from fastlstm.views_plot import draw

        return draw(self)


def page(title: str, parts: Iterable[str]) -> str:
    """A page of pieces of HTML, which loads and runs nothing."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{POLICY}<title>{escape(title)}</title></head>\n'
        f'<body class="fl-page" style="margin: 0">{"".join(parts)}</body></html>\n'
    )


def check_target(path: str | os.PathLike) -> Path:
    """Where `write_page` would put a page, links followed; an error where it could not, or would destroy another file."""
    return checkpoint.check_target(path, "page", lambda target: POLICY.encode() in target.read_bytes()[:1000])


def write_page(path: str | os.PathLike, text: str) -> None:
    """Write a page whole, or not at all."""
    checkpoint.replace(check_target(path), text.encode())


def words(title: str, lines: Iterable[str]) -> str:
    """Lines of text below a title, as a piece of HTML in the style of the views."""
    text = escape("\n".join(lines))
    dark = f"@media (prefers-color-scheme: dark) {{ {DARK_STYLE} }}"
    return f'<div class="fl-view"><style>{STYLE}{dark}</style><h1>{escape(title)}</h1><pre>{text}</pre></div>'


def _columns(symbol: str) -> int:
    """Columns that a terminal gives to a symbol, at least one."""
    wide = sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in symbol)
    return max(wide, 1)


def _painted(texts: list[str], row: Row, part: list[int], dark: bool) -> str:
    """The texts on the colours of the row's values there, neighbours of one colour together."""
    papers = [colours.terminal(colour) for colour in colours.palette(row.quantity, dark, LEVELS)]
    codes = [f"38;5;{colours.terminal(colours.ink(seen))[0]};48;5;{number}" for number, seen in papers]
    places = colours.level(row.values[part], row.ends, LEVELS)
    runs = groupby(zip((codes[place] for place in places), texts, strict=True), key=lambda pair: pair[0])
    return "".join(f"\x1b[{code}m{''.join(text for _, text in run)}{RESET}" for code, run in runs)


def _kind(gate: bool) -> str:
    return "gate" if gate else "signed"


def _classes(quantity: str, dark: bool) -> str:
    """The style of each level of a quantity's scale."""
    kind = _kind(colours.is_gate(quantity))
    palette = colours.palette(quantity, dark, LEVELS)
    levels = [
        f".fl-{kind}-{place} {{ background: {_hex(paper)}; color: {_hex(colours.ink(paper))}; }}\n"
        for place, paper in enumerate(palette)
    ]
    return "".join(levels) + f".fl-{kind}-bar {{ background: linear-gradient(to right, {', '.join(map(_hex, palette))}); }}\n"


def _hex(colour: colours.RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _titled_cells(tag: str, row: Row, symbols: Sequence[str], contents: Sequence[str]) -> list[str]:
    """An element for each value: its colour, and what it is."""
    kind = _kind(colours.is_gate(row.quantity))
    return [
        f'<{tag} class="fl-{kind}-{place}" title="{escape(f"{symbol}  {row.label} {value:.3f}")}">{escape(content)}</{tag}>'
        for place, symbol, value, content in zip(
            colours.level(row.values, row.ends, LEVELS), symbols, row.values, contents, strict=True
        )
    ]
