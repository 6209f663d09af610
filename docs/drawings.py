"""The drawings of the tutorial: cells with a number at every step, in the order in which it is computed.

Other pictures are drawn by the tutorial's own code; see `make_tutorial.py`.
"""

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch

from fastlstm import Model
from fastlstm.experiments import copying, selective, state
from fastlstm.plot import empty

# Papers of what is drawn, in the spirit of the views: gates green, values from -1 to 1 blue, what is carried red.
GATE, VALUE, PRODUCT, PEEP = "#d5efdc", "#d6e6f5", "#eeeeee", "#b0308f"
CARRIED, LINE, INK = "#c8402f", "#555555", "#222222"
Point = tuple[float, float]


class Drawing:
    """Boxes, lines and numbers on a white card of so many units, which dark pages show as a card."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = empty(width * 0.7, height * 0.7)
        self.figure.set_layout_engine("none")
        self.figure.patch.set_alpha(0)
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        self.axes.axis("off")
        card = "round,pad=0,rounding_size=0.3"
        self.axes.add_patch(
            FancyBboxPatch((0.05, 0.05), width - 0.1, height - 0.1, card, facecolor="white", edgecolor="#cccccc")
        )

    def line(self, *points: Point, colour: str = LINE, width: float = 1.3, arrow: bool = True, dashed: bool = False) -> None:
        """Straight from point to point, with a head at the last one."""
        style = {"color": colour, "linewidth": width, "linestyle": (0, (3, 2)) if dashed else "-", "zorder": 1}
        self.axes.plot(*zip(*points, strict=True), solid_capstyle="round", **style)
        if arrow:
            head = {"arrowstyle": "-|>,head_width=0.22,head_length=0.4", "color": colour, "shrinkA": 0, "shrinkB": 0}
            (x, y), (end_x, end_y) = points[-2:]
            length = max(abs(end_x - x), abs(end_y - y))
            start = (end_x - (end_x - x) / length * 0.01, end_y - (end_y - y) / length * 0.01)
            self.axes.annotate("", points[-1], start, arrowprops=head, zorder=1)

    def carried(self, *points: Point, arrow: bool = True) -> None:
        """A line of what goes from step to step."""
        self.line(*points, colour=CARRIED, width=2.6, arrow=arrow)

    def box(self, x: float, y: float, text: str, colour: str, width: float = 1.0) -> None:
        """What becomes of its input."""
        style = "round,pad=0,rounding_size=0.12"
        corner = (x - width / 2, y - 0.35)
        self.axes.add_patch(FancyBboxPatch(corner, width, 0.7, style, facecolor=colour, edgecolor=LINE, zorder=2))
        self.text(x, y, text, size=12)

    def sign(self, x: float, y: float, text: str) -> None:
        """Two lines become one: × or +, element by element."""
        self.axes.add_patch(Circle((x, y), 0.26, facecolor="white", edgecolor=LINE, zorder=2))
        self.text(x, y, text, size=12)

    def number(self, x: float, y: float, step: int) -> None:
        """When it is computed."""
        self.axes.add_patch(Circle((x, y), 0.22, facecolor=INK, edgecolor="none", zorder=3))
        self.text(x, y - 0.01, str(step), size=9.5, colour="white", weight="bold")

    def text(
        self, x: float, y: float, text: str, *, size: float = 11, colour: str = INK, weight: str = "normal",
        side: str = "center",
    ) -> None:
        """Words, or a formula."""
        self.axes.text(x, y, text, size=size, color=colour, weight=weight, ha=side, va="center", zorder=4)


def _inputs(drawing: Drawing, y: float) -> None:
    """x_t and h_{t-1} on their way into the pre-activations."""
    drawing.box(2.0, y, "$W x_t + U h_{t-1} + b$", PRODUCT, 2.9)
    drawing.number(2.0, y + 0.62, 1)
    drawing.line((2.0, 0.55), (2.0, y - 0.35))
    drawing.text(2.0, 0.32, "$x_t$", size=13)
    drawing.text(0.55, y - 1.0, "$h_{t-1}$", size=13, colour=CARRIED)
    drawing.carried((0.95, y - 1.0), (1.2, y - 1.0), (1.2, y - 0.35))


def lstm(peephole: bool = False, coupled: bool = False) -> Drawing:
    """The LSTM, with peepholes or coupled gates."""
    rail, join, gates, bus = 6.0, 4.5, 3.1, 1.6
    drawing = Drawing(14.6, 7.0)
    _inputs(drawing, bus)
    drawing.line((3.45, bus), (10.0, bus), arrow=False)
    # 2, 3, 4: the gates and the candidate
    named = [(4.5, "$σ$", GATE, 2, "$f$"), (6.2, "$σ$", GATE, 3, "$i$"), (8.0, "$\\tanh$", VALUE, 4, "$g$"),
             (10.0, "$σ$", GATE, 6, "$o$")]
    if coupled:
        named[1] = (6.2, "$1 - f$", GATE, 3, "$i$")
        drawing.line((5.0, gates), (5.7, gates))
    for x, text, colour, step, name in named:
        if not (coupled and step == 3):
            drawing.line((x, bus), (x, gates - 0.35))
        drawing.box(x, gates, text, colour)
        drawing.number(x - 0.5, gates + 0.42, step)
        drawing.text(x + 0.25, gates + 0.62, name, size=13)
    # 5: what stays of the memory, and what is written
    drawing.line((4.5, gates + 0.35), (4.5, rail - 0.26))
    drawing.line((6.2, gates + 0.35), (6.2, join), (6.84, join))
    drawing.line((8.0, gates + 0.35), (8.0, join), (7.36, join))
    drawing.sign(7.1, join, "×")
    drawing.line((7.1, join + 0.26), (7.1, rail - 0.26))
    drawing.carried((0.95, rail), (13.4, rail))
    drawing.sign(4.5, rail, "×")
    drawing.sign(7.1, rail, "+")
    drawing.number(7.6, rail + 0.42, 5)
    drawing.text(9.3, rail + 0.42, "$c_t = f ∘ c_{t-1} + i ∘ g$", size=12.5)
    drawing.text(0.5, rail, "$c_{t-1}$", size=13, colour=CARRIED)
    drawing.text(13.9, rail, "$c_t$", size=13, colour=CARRIED)
    # 7: what is shown of it
    drawing.carried((12.0, rail), (12.0, join + 0.35))
    drawing.box(12.0, join, "$\\tanh$", VALUE)
    drawing.line((12.0, join - 0.35), (12.0, gates + 0.26))
    drawing.line((10.5, gates), (11.74, gates))
    drawing.sign(12.0, gates, "×")
    drawing.number(12.5, gates + 0.42, 7)
    drawing.carried((12.0, gates - 0.26), (12.0, bus), (13.4, bus))
    drawing.text(12.35, bus - 0.45, "$h_t = o ∘ \\tanh(c_t)$", size=12.5)
    drawing.text(13.9, bus, "$h_t$", size=13, colour=CARRIED)
    if peephole:
        peep = {"colour": PEEP, "dashed": True}
        drawing.line((3.3, rail), (3.3, gates), (4.0, gates), **peep)
        drawing.line((3.3, 2.3), (5.5, 2.3), (5.5, gates), (5.7, gates), **peep)
        drawing.line((3.3, gates), (3.3, 2.3), arrow=False, **peep)
        drawing.line((9.2, rail), (9.2, gates), (9.5, gates), **peep)
        drawing.text(3.2, 4.6, "$P_f c_{t-1}$, $P_i c_{t-1}$", colour=PEEP, side="right")
        drawing.text(9.3, 4.6, "$P_o c_t$", colour=PEEP, side="left")
    return drawing


def gru() -> Drawing:
    """The GRU, its reset after the product."""
    rail, join, gates, low = 6.0, 4.5, 3.1, 1.4
    drawing = Drawing(14.6, 7.0)
    drawing.carried((0.95, rail), (13.4, rail))
    drawing.text(0.5, rail, "$h_{t-1}$", size=13, colour=CARRIED)
    drawing.text(13.95, rail, "$h_t$", size=13, colour=CARRIED)
    drawing.carried((1.4, rail), (1.4, gates + 0.35))
    drawing.box(1.75, gates, "$u = U h_{t-1} + b'$", PRODUCT, 2.4)
    drawing.number(0.75, gates + 0.62, 2)
    drawing.box(1.75, low, "$v = W x_t + b$", PRODUCT, 2.4)
    drawing.number(0.75, low + 0.62, 1)
    drawing.line((1.75, 0.6), (1.75, low - 0.35))
    drawing.text(1.75, 0.35, "$x_t$", size=13)
    named = [(4.9, "$σ(v_r + u_r)$", GATE, 3, "$r$", 1.9), (11.0, "$σ(v_z + u_z)$", GATE, 4, "$z$", 1.9),
             (7.8, "$\\tanh(v_n + r ∘ u_n)$", VALUE, 5, "$n$", 2.6)]
    drawing.line((2.95, low), (11.0, low), arrow=False)
    drawing.line((2.95, gates), (3.4, gates), (3.4, low), arrow=False)
    for x, text, colour, step, name, width in named:
        drawing.line((x, low), (x, gates - 0.35))
        drawing.box(x, gates, text, colour, width)
        drawing.number(x - width / 2, gates + 0.45, step)
        drawing.text(x + 0.25, gates + 0.62, name, size=13)
    drawing.text(7.2, low - 0.35, "$v$ and $u$: a part for each of $r$, $z$, $n$", size=10)
    drawing.line((5.85, gates), (6.5, gates))
    # 6: some of the new, some of the old
    drawing.line((7.8, gates + 0.35), (7.8, rail - 0.26))
    drawing.sign(7.8, join, "×")
    drawing.line((11.0, gates + 0.35), (11.0, join), (9.85, join))
    drawing.box(9.45, join, "$1 - z$", GATE, 0.9)
    drawing.line((9.0, join), (8.06, join))
    drawing.line((11.0, join), (11.0, 5.25), (5.6, 5.25), (5.6, rail - 0.26))
    drawing.sign(5.6, rail, "×")
    drawing.sign(7.8, rail, "+")
    drawing.number(8.3, rail + 0.42, 6)
    drawing.text(10.6, rail + 0.42, "$h_t = (1 - z) ∘ n + z ∘ h_{t-1}$", size=12.5)
    return drawing


def recurrent() -> Drawing:
    """A net of one frame, and the same with a state: the steps one beside the other."""
    drawing = Drawing(14.6, 5.0)
    drawing.text(1.9, 4.5, "sees one frame", weight="bold")
    drawing.text(9.0, 4.5, "carries a state from frame to frame", weight="bold")
    for x, t in ((1.9, "t"), (6.1, "1"), (8.6, "2"), (11.1, "3")):
        drawing.line((x, 0.85), (x, 1.95))
        drawing.text(x, 0.55, f"$x_{t}$", size=13)
        drawing.box(x, 2.3, "$V x$" if t == "t" else "$\\tanh$", PRODUCT if t == "t" else VALUE, 1.5)
        drawing.line((x, 2.65), (x, 3.55))
        drawing.text(x, 3.85, "what it means", size=10)
        if t != "t":
            drawing.text(x + 0.15, 1.4, "$W$", size=11, side="left")
            drawing.carried((x - 1.75, 2.3), (x - 0.75, 2.3))
            drawing.text(x - 1.25, 2.6, f"$U h_{int(t) - 1}$", size=11, colour=CARRIED)
    drawing.carried((11.85, 2.3), (13.3, 2.3))
    drawing.text(12.5, 2.6, "$h_3$", size=11, colour=CARRIED)
    drawing.axes.axvline(3.7, 0.1, 0.9, color="#cccccc", linewidth=1)
    return drawing


DRAWINGS: dict[str, Callable[[], Drawing]] = {
    "recurrent": recurrent, "lstm": lstm, "peephole": lambda: lstm(peephole=True), "coupled": lambda: lstm(coupled=True),
    "gru": gru,
}


def draw(directory: Path) -> None:
    """Write all of them."""
    for name, drawing in DRAWINGS.items():
        drawing().figure.savefig(directory / f"{name}.svg")


def draw_experiments(directory: Path, models: Path) -> None:
    """Write a neuron of each experiment that the tutorial does not do itself: of the models that the tests keep."""
    for name, experiment, which in (("selective", selective, 1), ("state", state, 1), ("copy", copying, 2)):
        report = experiment.examine(Model.load(models / f"{name}.safetensors"))
        report.views[which].plot().savefig(directory / f"{name}.svg")
