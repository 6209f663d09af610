"""Make the tutorial again: run its code, write what that prints below it, draw its pictures, write the notebook.

    python docs/make_tutorial.py

`tutorial.md` is the one source. Its blocks of Python run from top to bottom in one namespace, in its directory, on one
thread; the block of text after one is what it printed. What depends on a training, and so perhaps on the last bits that a
processor computes, is in blocks called `text trained`.
"""

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
BLOCK = re.compile(r"^```(\w+)( trained)?\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
# What a page of the experiments looks at: its models are those of the tests.
MODELS = HERE.parent / "tests" / "data"


class Part(NamedTuple):
    """A piece of the page: words, or a block."""

    kind: str      # "words", or the language of a block
    content: str
    trained: bool  # whether it is the output of a training


def parts(page: str) -> list[Part]:
    """The pieces of the page in their order."""
    found, end = [], 0
    for match in BLOCK.finditer(page):
        found += [Part("words", page[end : match.start()], False), Part(match[1], match[3], bool(match[2]))]
        end = match.end()
    return [part for part in [*found, Part("words", page[end:], False)] if part.content.strip()]


def with_outputs(page: list[Part]) -> Iterator[tuple[Part, Part | None]]:
    """Each piece but outputs, with the output that follows it if it is Python."""
    for part, following in zip(page, [*page[1:], None], strict=True):
        has_output = part.kind == "python" and following is not None and following.kind == "text"
        yield part, following if has_output else None


def run(page: list[Part]) -> list[str]:
    """What each block of Python prints."""
    namespace: dict[str, Any] = {"__name__": "tutorial"}
    printed = []
    for k, part in enumerate(part for part in page if part.kind == "python"):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(part.content, f"<block {k} of the tutorial>", "exec"), namespace)
        printed.append(output.getvalue())
    return printed


def renewed(page: str, printed: list[str]) -> str:
    """The page with these outputs in their blocks."""
    pieces, outputs, waiting = [], iter(printed), None
    end = 0
    for match in BLOCK.finditer(page):
        if match[1] == "text" and waiting:
            pieces += [page[end : match.start(3)], waiting]
            end = match.end(3)
        waiting = next(outputs) if match[1] == "python" else None
    return "".join([*pieces, page[end:]])


def notebook(page: str) -> str:
    """The page as a Jupyter notebook: a cell for each piece."""
    cells: list[dict[str, Any]] = []
    found = parts(page)
    outputs = {id(output) for _, output in with_outputs(found)}
    for part, output in with_outputs(found):
        if part.kind == "python":
            shown = [] if output is None else [{"name": "stdout", "output_type": "stream", "text": _lines(output.content)}]
            source = _lines(part.content.rstrip("\n"))
            cells.append({"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": shown, "source": source})
        elif id(part) not in outputs:
            text = part.content if part.kind == "words" else f"```{part.kind}\n{part.content}```"
            cells.append({"cell_type": "markdown", "metadata": {}, "source": _lines(text.strip("\n"))})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Make all of it."""
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # the same pictures get the same bytes
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "fastlstm"
    sys.path.insert(0, str(HERE))
    import drawings

    os.chdir(HERE)
    drawings.draw(HERE / "pictures")
    drawings.draw_experiments(HERE / "pictures", MODELS)
    source = HERE / "tutorial.md"
    page = source.read_text()
    page = renewed(page, run(parts(page)))
    source.write_text(page)
    source.with_suffix(".ipynb").write_text(notebook(page))


if __name__ == "__main__":
    main()
