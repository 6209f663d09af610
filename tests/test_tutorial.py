"""The tutorial: its code runs, prints what the page says, draws its pictures; the notebook is the same; links lead on."""

import re
import sys
from pathlib import Path

import pytest

import fastlstm
from fastlstm import Model
from fastlstm.experiments import copying, selective, state

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))
pytest.importorskip("matplotlib", reason="matplotlib, which draws the tutorial's pictures, is not installed")

import drawings  # noqa: E402
import make_tutorial  # noqa: E402

PAGE = (DOCS / "tutorial.md").read_text()
PARTS = make_tutorial.parts(PAGE)
PYTHON = "".join(part.content for part in PARTS if part.kind == "python")
# Where a training is known to end in what is printed; elsewhere the last digits may differ, and the blocks' asserts decide.
TRIED = ("avx512", "avx2", "scalar")
LINK = re.compile(r"\]\(([^)]+)\)")


def links(page, pattern=""):
    """What a page links to on this side of the network, pictures included."""
    return [link for link in LINK.findall(page) if not link.startswith("http") and pattern in link]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What each block printed, and where it drew."""
    directory = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(directory)
        try:
            return make_tutorial.run(PARTS), directory
        finally:
            fastlstm.set_threads(None)


def test_it_prints_what_it_says(ran):
    blocks = [(part, output) for part, output in make_tutorial.with_outputs(PARTS) if part.kind == "python"]
    tried = fastlstm.cpu_info()["instruction_set"] in TRIED
    for printed, (block, output) in zip(ran[0], blocks, strict=True):
        if output is not None and output.trained:
            assert re.search("^ *assert ", block.content, re.MULTILINE), block.content
        if output is not None and output.trained and not tried:
            assert printed
        else:
            assert printed == (output.content if output else "")


def test_it_draws_its_pictures(ran):
    drawn = {f"pictures/{path.name}" for path in (ran[1] / "pictures").iterdir()}
    drawn |= {f"pictures/{name}.svg" for name in (*drawings.DRAWINGS, "selective", "state", "copy")}
    assert drawn == set(links(PAGE, ".svg"))


# Pages, and what some of their links have in them.
PAGES = [
    ("README.md", "pictures/"), ("docs/tutorial.md", "pictures/"), ("docs/design.md", "findings.md"),
    ("docs/performance.md", "findings.md#"), ("docs/findings.md", "performance.md"),
]


@pytest.mark.parametrize(("page", "some"), PAGES)
def test_links_lead_somewhere(page, some):
    found = links((ROOT / page).read_text())
    assert any(some in link for link in found)
    for link in found:
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        if anchor:
            titles = re.findall("^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, link


def test_lines_beside_equations_are_those_that_run():
    rows = re.findall(r"^\| \d \|.*?\| `([^`]+)`", PAGE, re.MULTILINE)
    assert len(rows) >= 18
    for line in rows:
        assert f" {line}\n" in PYTHON


def test_reports_of_experiments_are_theirs():
    """What the page quotes of the three longer experiments is said of the nets that are trained by these commands."""
    quoted = re.findall(r"^```sh\nfastlstm experiment (\w+).*?```text\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in quoted] == ["selective", "state", "copy"]
    for (name, lines), experiment in zip(quoted, (selective, state, copying), strict=True):
        words = experiment.examine(Model.load(ROOT / "tests" / "data" / f"{name}.safetensors")).words
        assert set(lines.splitlines()) <= set(words)


def test_the_notebook_is_the_page():
    assert (DOCS / "tutorial.ipynb").read_text() == make_tutorial.notebook(PAGE), "run python docs/make_tutorial.py"


def test_outputs_are_renewed():
    blocks = ["python\nprint(1)\n", "text trained\n0\n", "python\nx = 1\n", "sh\nls\n", "text\nfile\n"]
    page = "words\n".join(f"```{block}```\n" for block in blocks)
    parts = make_tutorial.parts(page)
    assert make_tutorial.renewed(page, make_tutorial.run(parts)) == page.replace("0\n", "1\n")
