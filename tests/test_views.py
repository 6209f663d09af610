"""Views of states: rows E2 and E3."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from fastlstm import Model, colours, views
from fastlstm.views import Row, View

TEXT = "a<b> & \"c\"\n\tü日\x1b[0m$x_1$\n"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAINT = re.compile(r"\x1b\[38;5;(\d+);48;5;(\d+)m(.*?)\x1b\[0m", re.S)
# What red-blind, green-blind and blue-blind eyes make of linear red, green and blue (Viénot et al. 1999; Brettel et al. 1997).
BLIND = {
    "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    "tritan": [[1.01277, 0.13548, -0.14826], [-0.01243, 0.86812, 0.14431], [0.07589, 0.805, 0.11911]],
}


def row(values, quantity="hidden_state", ends=(-1.0, 1.0)):
    return Row("0", quantity, np.array(values, float), ends)


@pytest.fixture(scope="module")
def trace():
    return Model(vocabulary=sorted(set(TEXT)), hidden_size=5, num_layers=2, seed=0).trace(TEXT)


class Reader(HTMLParser):
    """The elements of a page: tag, attributes and text, in their order."""

    def __init__(self, page):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(page)
        assert not self._open, self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])
        if tag != "meta":
            self._open.append((tag, self.elements[-1]))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        if self._open:
            self._open[-1][1][2] += data


# ---- scales --------------------------------------------------------------------------------------------------------


def test_scales():
    values = np.array([-3.0, 2.0, 0.5])
    assert colours.limits("cell_state", values) == (-3, 3)
    assert colours.limits("hidden_state", values / 4) == colours.limits("candidate", values / 4) == (-1, 1)
    assert colours.limits("hidden_state", values) == (-3, 3)  # of a cell whose activation goes beyond 1
    assert colours.limits("forget_gate", values / 4) == colours.limits("reset_gate", values) == (0, 1)
    assert colours.limits("cell_state", np.append(values, [np.nan, np.inf])) == (-3, 3)
    assert colours.limits("cell_state", np.zeros(3)) == colours.limits("cell_state", np.zeros(0)) == (-1, 1)


@pytest.mark.parametrize("dark", [False, True])
def test_red_is_negative_and_blue_positive(dark):
    red, white, blue = (tuple(map(int, colour)) for colour in colours.ramp("cell_state", dark, 21)[[4, 10, 16]])
    assert red[0] > 1.4 * max(red[1:])
    assert blue[2] > 1.4 * blue[0]
    assert len(set(white)) == 1
    for place in range(21):
        r, _, b = colours.terminal(tuple(map(int, colours.ramp("cell_state", dark, 21)[place])))[1]
        assert np.sign(b - r) == np.sign(place - 10) or abs(place - 10) < 3
    green = tuple(map(int, colours.ramp("input_gate", dark, 21)[15]))
    assert green[1] > 1.4 * max(green[0], green[2])


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("quantity", ["cell_state", "input_gate"])
def test_further_from_zero_is_further_from_the_paper(quantity, dark):
    light = np.array([colours.luminance(colour) for colour in colours.palette(quantity, dark, 21)])
    halves = [light] if quantity == "input_gate" else [light[10:], light[10::-1]]
    for half in halves:
        steps = np.diff(half)
        assert ((steps > 0) if dark else (steps < 0)).all()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", [None, *BLIND])
def test_signs_are_told_apart_by_the_colour_blind(kind, dark):
    linear = (colours.ramp("cell_state", dark, 21) / 255) ** 2.2
    seen = linear if kind is None else linear @ np.array(BLIND[kind]).T
    seen = np.clip(seen, 0, 1) ** (1 / 2.2)
    for place in (4, 6):  # 60% and 40% of the largest value
        assert np.linalg.norm(seen[place] - seen[20 - place]) > 0.2


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("quantity", ["cell_state", "input_gate"])
def test_symbols_are_readable_on_every_colour(quantity, dark):
    for paper in colours.palette(quantity, dark, 101):
        for seen in (paper, colours.terminal(paper)[1]):
            low, high = sorted(map(colours.luminance, (seen, colours.ink(seen))))
            assert (high + 0.05) / (low + 0.05) >= 4.5


def test_levels():
    assert colours.level(np.array([-9, -1, -0.04, 0, 0.96, 1, 5]), (-1.0, 1.0), 21).tolist() == [0, 0, 10, 10, 20, 20, 20]
    assert colours.level(np.array([np.nan, 0.0]), (-1.0, 1.0), 21).tolist() == [10, 10]


@pytest.mark.parametrize(("colour", "number"), [
    ((0, 0, 0), 16), ((255, 255, 255), 231), ((255, 0, 0), 196), ((95, 135, 175), 67), ((28, 28, 28), 234), ((9, 9, 9), 232),
])
def test_terminal_colours(colour, number):
    assert colours.terminal(colour)[0] == number


# ---- in a terminal -------------------------------------------------------------------------------------------------


def test_each_symbol_is_on_the_colour_of_its_value():
    painted = View("t", "abcd", [row([-1, 0, 0, 1])]).text()
    assert painted.splitlines()[0] == "t"
    assert PAINT.findall(painted) == [("231", "52", "a"), ("16", "231", "bc"), ("231", "17", "d")]
    gate = View("t", "ab", [row([0, 1], "input_gate", (0, 1))]).text()
    assert [paper for _, paper, _ in PAINT.findall(gate)] == ["231", "22"]
    assert [paper for _, paper, _ in PAINT.findall(View("t", "b", [row([0])]).text(dark=True))] == ["234"]


def test_lines_end_where_the_text_does_and_at_the_width():
    view = View("t", "ab\n日本語\x1b[2J", [row(np.zeros(10))], more=1234)
    plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in view.text(4).splitlines()]
    assert plain == ["t", "ab⏎", "日本", "語·[", "2J", "… 1,234 more symbols"]
    assert "\x1b[2J" not in view.text(4)


def test_bars_where_there_are_no_colours():
    assert View("t", "ab\n日", [row([-1, 0.2, 1, 1])]).text(colour=False) == "t\nab⏎\n▁▅█\n日\n██"


def test_lines_below_the_text():
    rows = [row([-1, 0, 1])._replace(label="h"), row([0, 0.5, 1], "input_gate", (0, 1))._replace(label="gate")]
    assert View("t", ["a", " bc", "d"], rows).text(9, colour=False) == (
        "t\n     a bc\n   h ▁▅▅▅\ngate ▁▅▅▅\n     d\n   h █\ngate █"
    )
    painted = View("t", ["a", " bc", "d"], rows).text().splitlines()
    assert PAINT.findall(painted[2]) == [("231", "52", " "), ("16", "231", "   "), ("231", "17", " ")]


def test_show(trace, capsys, monkeypatch):
    trace.show(0, 3, colour=True, width=40)
    shown = capsys.readouterr().out
    values = trace.layers[0].cell_state[:, 3]
    palette = colours.palette("cell_state", False, 21)
    codes = [colours.terminal(palette[round(float(10 * v))])[0] for v in values / np.abs(values).max() + 1]
    found = [int(paper) for _, paper, part in PAINT.findall(shown) for _ in part]
    assert found == codes
    assert shown.startswith("cell state, layer 0, neuron 3\n")
    trace.show(1, 2, "forget_gate", start=3, stop=9)  # not into a terminal
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.splitlines()[1] == "> & \"c"
    assert shown.endswith(f"… {len(TEXT) - 9} more symbols\n")
    trace.show(0, 1, None)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:8]] == list(trace.layers[0].quantities)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    trace.show(0, None, "hidden_state", stop=4)
    assert "\x1b[" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    trace.show(0, None, "hidden_state", stop=4)
    assert "\x1b[" not in capsys.readouterr().out


# ---- on a page -----------------------------------------------------------------------------------------------------


def test_page_holds_the_text_as_text(trace, tmp_path):
    page = trace.view(1, 2, "cell_state").to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == page
    read = Reader(page)
    spans = [(attributes, text) for tag, attributes, text in read.elements if tag == "span" and "title" in attributes]
    assert [text for _, text in spans] == trace.view(1, 2).symbols
    values = trace.layers[1].cell_state[:, 2]
    for (attributes, text), value in zip(spans, values, strict=True):
        assert attributes["class"] == f"fl-signed-{round(float(value / np.abs(values).max() + 1) * 10)}"
        assert attributes["title"] == f"{text}  cell_state {value:.3f}"
    assert {tag for tag, *_ in read.elements} <= {"html", "head", "meta", "title", "body", "div", "style", "p", "span", "pre"}
    assert "default-src 'none'" in page
    assert "\x1b" not in page


@pytest.mark.parametrize(
    ("arguments", "lines"), [((0, 3, None), 6), ((1, None, "input_gate"), 5), ((0, None, "cell_state"), 5)]
)
def test_lines_of_a_page(trace, arguments, lines):
    view = trace.view(*arguments)
    read = Reader(view.html())
    cells = [attributes for tag, attributes, _ in read.elements if tag == "td" and "title" in attributes]
    assert len(view.rows) == lines
    assert len(cells) == lines * len(TEXT)
    places = [f"fl-{'gate' if r.quantity.endswith('gate') else 'signed'}-{k}" for r in view.rows
              for k in colours.level(r.values, r.ends, views.LEVELS)]
    assert [attributes["class"] for attributes in cells] == places
    styled = set(re.findall(r"\.([\w-]+) \{ background: #", view.html()))
    assert set(places) <= styled


def test_style_has_both_papers(trace):
    style = next(text for tag, _, text in Reader(trace.view(0, 0, "cell_state").html()).elements if tag == "style")
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for part, zero in ((light, "#ffffff"), (dark, "#1c1c1c")):
        assert f".fl-signed-10 {{ background: {zero};" in part
        assert len(re.findall(r"\.fl-signed-\d+ ", part)) == views.LEVELS
        assert "fl-gate" not in part
    assert ".fl-page { background: #1c1c1c; }" in dark


def test_few_lines_are_broken_and_many_go_on_sideways():
    few = View("t", "a" * 250, [row(np.zeros(250))] * 2).html()
    assert [len(re.findall("<td>", table)) for table in few.split("<table>")[1:]] == [100, 100, 50]
    many = View("t", "a" * 250, [row(np.zeros(250))] * 13).html()
    assert [len(re.findall("<td>", table)) for table in many.split("<table>")[1:]] == [250]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_a_page_in_its_colours(tmp_path, dark):
    image = pytest.importorskip("matplotlib.image")
    View("t", "ab\n_", [row([-1, 1, 0, 0])]).to_html(tmp_path / "page.html")
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
        "--disable-component-update", "--disable-quic", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=300,200",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--screenshot={tmp_path / 'page.png'}",
    ]
    subprocess.run([CHROMIUM, *options, (tmp_path / "page.html").as_uri()], check=True, capture_output=True, timeout=60)
    shown = np.rint(image.imread(tmp_path / "page.png")[..., :3] * 255).astype(int)
    red, zero, blue = (colours.palette("hidden_state", dark, 21)[place] for place in (0, 10, 20))
    assert tuple(shown[-1, 150]) == zero  # below what there is, too
    seen = set(map(tuple, shown.reshape(-1, 3)))
    assert {red, blue} <= seen


def test_notebooks_show_a_trace(trace):
    assert "hidden state, layer 1, all neurons" in trace._repr_html_()
    assert trace.view(0, 0)._repr_html_() == trace.view(0, 0).html()
    empty = Model(vocabulary="ab", hidden_size=2, seed=0).trace("ab", quantities=[])
    assert "2 symbols" in empty._repr_html_()


def test_long_texts_are_cut(trace):
    long = Model(vocabulary="ab", hidden_size=2, num_layers=1, seed=0).trace("ab" * 4000)
    assert len(long.view(0, 1).symbols) == 5000
    assert (len(long.view(0, 1, None).symbols), long.view(0, 1, None).more) == (400, 7600)
    assert (len(long.view(0, 1, start=10, stop=7000).symbols), long.view(0, 1, start=10, stop=7000).more) == (6990, 1000)
    assert long.view(0, 1, start=9, stop=9).symbols == []


# ---- with matplotlib -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    """A trace of what every font has."""
    pytest.importorskip("matplotlib")
    text = "a<b> & $x_1$\n_y"
    return Model(vocabulary=sorted(set(text)), hidden_size=5, num_layers=2, seed=0).trace(text)


def pixels(figure):
    """What is drawn where: a function from an axes and a place in its data to a colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())

    def at(axes, x, y):
        column, line = axes.transData.transform((x, y))
        return tuple(int(part) for part in image[round(image.shape[0] - line), round(column), :3])

    return at


def test_picture_of_a_neuron(plain):
    figure = plain.plot(0, 3)
    text, curve = figure.axes[:2]
    values = plain.layers[0].cell_state[:, 3]
    np.testing.assert_array_equal(curve.get_lines()[-1].get_ydata(), values)
    assert [t.get_text() for t in text.texts] == plain.view(0, 3).symbols
    at, ramp = pixels(figure), colours.ramp("cell_state")
    cells = [(y, x) for y, part in enumerate(plain.view(0, 3).lines(80)) for x, _ in enumerate(part)]
    assert cells[-2:] == [(1, 0), (1, 1)]  # after the line end
    for (y, x), place in zip(cells, colours.level(values, colours.limits("cell_state", values), 256), strict=True):
        assert np.abs(np.subtract(at(text, x + 0.4, y + 0.4), ramp[place].astype(int))).max() <= 6  # one of 256 levels off


@pytest.mark.parametrize(("arguments", "panels"), [((0, 3, None), 6), ((1, None, "hidden_state"), 1)])
def test_picture_of_lines(plain, arguments, panels):
    figure = plain.plot(*arguments)
    view, axes = plain.view(*arguments), figure.axes[:panels]
    assert [t.get_text() for t in axes[-1].texts] == view.symbols
    labels = [label.get_text().replace(" ", "_") for a in axes for label in a.get_yticklabels()]
    assert labels == [r.label for r in view.rows]
    at = pixels(figure)
    for k, r in enumerate(view.rows):
        line = 0 if panels > 1 else k
        for t, place in enumerate(colours.level(r.values, r.ends, 256)):
            drawn = at(axes[k if panels > 1 else 0], t, line)
            assert np.abs(np.subtract(drawn, colours.ramp(r.quantity)[place].astype(int))).max() <= 6


def test_cells_without_a_cell_state_show_what_they_have():
    model = Model(vocabulary=sorted(set(TEXT)), cell="gru", hidden_size=5, num_layers=2, seed=0)
    view = model.trace(TEXT).view(1, 3, "cell_state")
    assert view.title == "hidden state, layer 1, neuron 3"
    assert [row.quantity for row in view.rows] == ["hidden_state"]


# ---- errors --------------------------------------------------------------------------------------------------------


def test_errors(trace):
    with pytest.raises(IndexError, match=rf"start {len(trace)} is outside \[0, {len(trace)}\)"):
        trace.show(0, 1, start=len(trace))
    with pytest.raises(ValueError, match="stop must be at least 9, got 8"):
        trace.view(0, 1, start=9, stop=8)
    with pytest.raises(IndexError, match=r"neuron 5 is outside \[0, 5\)"):
        trace.show(0, 5)
    with pytest.raises(IndexError, match=r"layer 2 is outside \[0, 2\)"):
        trace.view(2, 0)
    with pytest.raises(ValueError, match="did you mean 'cell_state'"):
        trace.show(0, 1, "cel_state")
    with pytest.raises(ValueError, match="cannot both be None"):
        trace.plot(0, None, None)
    with pytest.raises(ValueError, match="width must be at least 1"):
        trace.show(0, 1, width=0)
