"""What written text has of the form of its kind: Python modules, Java classes, plays. Rates, to set beside the corpus's own.

Written text ends anywhere, so of functions and methods those are judged whose end is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from fastlstm import python_check

Rates = dict[str, float]

_DEFINITION = re.compile(r"^(?:async def|def|class)\b", re.M)
_IMPORT = re.compile(r"^(?:import|from)\b", re.M)
_HEADER = re.compile(r"\A.*?:[ \t]*(?:#[^\n]*)?\n", re.S)  # of a function, over several lines too
# A comment or docstring comes first.
_NOTE = re.compile(r"\s*(?:#|[rRuU]?(?:\"\"\"|'''|\"[^\"\n]*\"[ \t]*$|'[^'\n]*'[ \t]*$))", re.M)
_RETURN = re.compile(r"(?:^|[:;=(])[ \t]*(?:return|yield)\b", re.M)  # where statements and expressions begin
_JAVA_ORDER = (
    re.compile(r"/\*"), re.compile(r"^\s*package\b", re.M), re.compile(r"^\s*import\b", re.M),
    re.compile(r"^\s*(?:[\w@]+ )*(?:class|interface|enum|record)\b", re.M),
)
_METHOD = re.compile(
    r"(?P<before>[^\n]*)\n(?:[ \t]*@[^\n]*\n)*"
    r"[ \t]+(?:(?:public|protected|private|static|final|abstract|synchronized) )+(?:<[^>]*> )?(?P<type>[\w.<>\[\], ?]+?) \w+"
    r"\([^)]*\)[^{;\n]*\{(?P<body>(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
)
_SPEAKER = re.compile(r"[A-Z][A-Za-z' ]*:")


def python(texts: Iterable[str]) -> Rates:
    """Of Python modules: what comes first, imports above definitions, docstrings or comments in functions, returns."""
    texts = [text for text in texts if text.strip()]
    imports = [(match.start(), text) for text in texts for match in _IMPORT.finditer(text)]
    bodies = [_HEADER.sub("", function, 1) for text in texts for function in python_check.functions(text)]
    return {
        "begin with a comment or docstring": _share(texts, _NOTE.match),
        "imports above all definitions": _share(imports, lambda found: not _DEFINITION.search(found[1], 0, found[0])),
        "functions with a docstring or comment": _share(bodies, _NOTE.match),
        "functions that return or yield": _share(bodies, _RETURN.search),
    }


def java(texts: Iterable[str]) -> Rates:
    """Of Java files: licence, package, imports, class in this order; comments before methods; returns where there must be."""
    texts = [text for text in texts if text.strip()]
    methods = [match for text in texts for match in _METHOD.finditer(text)]
    giving, void = ([m for m in methods if (m["type"] == "void") is is_void] for is_void in (False, True))
    return {
        "begin with a licence": _share(texts, lambda text: text.lstrip().startswith(("/*", "//"))),
        "licence, package, imports, class in order": _share(texts, _in_java_order),
        "methods after a comment": _share(methods, lambda m: m["before"].rstrip().endswith("*/") or "//" in m["before"]),
        "non-void methods that return or throw": _share(giving, lambda m: re.search(r"\b(?:return|throw)\b", m["body"])),
        "void methods that return a value": _share(void, lambda m: re.search(r"\breturn\s+[^;\s]", m["body"])),
    }


def play(texts: Iterable[str]) -> Rates:
    """Of plays: paragraphs that begin with a speaker, and speeches that go on below the name."""
    paragraphs = [part for text in texts for part in re.split(r"\n\s*\n", text.strip()) if part]
    firsts = [part.splitlines() for part in paragraphs]
    speeches = [lines for lines in firsts if _SPEAKER.fullmatch(lines[0].strip())]
    return {
        "paragraphs that begin with a speaker": _share(firsts, lambda lines: _SPEAKER.fullmatch(lines[0].strip())),
        "speeches with words below the name": _share(speeches, lambda lines: len(lines) > 1),
        "lines that begin with a capital": _share(
            [line for lines in speeches for line in lines[1:] if line.strip()], lambda line: line.lstrip(" '\"-")[:1].isupper()
        ),
    }


KINDS: dict[str, Callable[[Iterable[str]], Rates]] = {"python": python, "java": java, "play": play}


def _in_java_order(text: str) -> bool:
    """Whether those parts that a file has come in their order."""
    places = [match.start() for match in (part.search(text) for part in _JAVA_ORDER) if match]
    return len(places) > 1 and places == sorted(places)


def _share(parts: list, passes: Callable) -> float:
    """Of the parts, those that pass; NaN of none."""
    return sum(map(bool, map(passes, parts))) / len(parts) if parts else float("nan")
