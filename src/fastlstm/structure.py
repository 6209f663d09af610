"""What written text has of the form of its kind: Python modules, Java classes, plays. Rates, to set beside the corpus's own.

Written text ends anywhere, so of functions and methods those are judged whose end is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fastlstm import python_check

Rates = dict[str, float]

_IMPORT = re.compile(r"^(?:import|from)\b", re.M)
_HEADER = re.compile(r"\A.*?:[ \t]*(?:#[^\n]*)?\n", re.S)  # of a function, over several lines too
# A comment or docstring comes first.
_NOTE = re.compile(r"\s*(?:#|[rRuU]?(?:\"\"\"|'''|\"[^\"\n]*\"[ \t]*$|'[^'\n]*'[ \t]*$))", re.M)
_RETURN = re.compile(r"(?:^|[:;=(])[ \t]*(?:return|yield)\b", re.M)  # where statements and expressions begin
# Java's comments, one that is open where the text begins too; its strings; package, imports and the first class of a file.
_COMMENT_OR_STRING = re.compile(
    r"(?P<comment>\A(?:(?!/\*).)*?\*/|/\*.*?(?:\*/|\Z)|//[^\n]*)"
    r"|\"\"\".*?\"\"\"|\"(?:\\.|[^\"\\\n])*\"|'(?:\\[^'\n]+|\\'|[^'\\\n])'", re.S,
)
_PACKAGE, _JAVA_IMPORT = re.compile(r"^package\b", re.M), re.compile(r"^import\b", re.M)
_TYPE = re.compile(r"^(?:[\w@-]+ )*@?(?:class|interface|enum|record) \w", re.M)
_MODIFIER = "public|protected|private|static|final|abstract|synchronized|default|native|strictfp"
_METHOD = (
    rf"(?:^|(?<=[{{}};]))[ \t]*(?P<begin>(?:(?:@[\w.]+(?:\([^()]*\))?|{_MODIFIER})\s+)*(?:<[^;(){{}}]*>\s*)?"
    rf"(?!(?:{_MODIFIER}|new|return|else|throw|record)\b)(?P<type>[\w.]+(?:<[^;(){{}}]*>)?(?:\[\])*)\s+"
    r"(?!(?:if|for|while|switch|catch)\b)\w+\s*\((?:[^(){};]|\([^(){};]*\))*\)\s*(?:throws\s[\w.,\s]+)?)\{"
)
_METHODS = re.compile(_METHOD, re.M)
_FIELD = re.compile(
    rf"^[ \t]*(?:@[\w.]+(?:\([^()]*\))?\s+)*(?:(?:{_MODIFIER})\s+)+[\w.]+(?:<[^;(){{}}]*>)?(?:\[\])*\s+\w+\s*[=;,]", re.M,
)
# What has returns of its own inside a method: methods of classes and lambdas, but not the arms of a switch.
_INNER = re.compile(rf"(?P<arm>\b(?:case|default)\b[^{{}};:]*->)|->\s*\{{|{_METHOD}", re.M)
_BRACE = re.compile(r"[{}]")
_SPEAKER = re.compile(r"[A-Z][A-Za-z' ]*:")
# What announces an act or a scene, and what that looks like: SCENE II. A public place.
_SCENE, _SCENE_HEADING = re.compile(r"(?:ACT|SCENE)\b"), re.compile(r"(?:ACT|SCENE) (?:[IVXLC]+|\d+)(?:[.:].*)?")


def python(texts: Iterable[str]) -> Rates:
    """Of Python modules: what comes first, imports above definitions, docstrings or comments in functions, returns."""
    texts = [text for text in texts if text.strip()]
    imports = [(match.start(), text) for text in texts for match in _IMPORT.finditer(text)]
    bodies = [_HEADER.sub("", function, 1) for text in texts for function in python_check.functions(text)]
    return {
        "begin with a comment or docstring": _share(texts, _NOTE.match),
        "imports above all definitions": _share(imports, lambda found: not python_check.BEGINS.search(found[1], 0, found[0])),
        "functions with a docstring or comment": _share(bodies, _NOTE.match),
        "functions that return or yield": _share(bodies, _RETURN.search),
    }


def java(texts: Iterable[str]) -> Rates:
    """Of Java files: a licence; package, imports, class and fields, methods in this order; comments before methods; returns."""
    texts = [text for text in texts if text.strip()]
    orders, fields, methods = [], [], []
    for text in texts:
        code = _java_code(text)
        own = _methods(text, code)
        methods += own
        fields += _fields(code, own)
        order = _java_order(code)
        if len(order) > 1:
            orders.append(order)
    giving, void = ([method for method in methods if (method.type == "void") is is_void] for is_void in (False, True))
    return {
        "begin with a licence": _share(texts, lambda text: text.lstrip().startswith(("/*", "//"))),
        "package, imports, class in order": _share(orders, lambda order: order == sorted(order)),
        "fields above all methods": _share(fields, bool),
        "methods after a comment": _share(methods, lambda method: method.is_after_comment),
        "non-void methods that return or throw": _share(giving, lambda method: re.search(r"\b(?:return|throw)\b", method.body)),
        "void methods that return a value": _share(void, lambda method: re.search(r"\breturn\s+[^;\s]", method.body)),
    }


def play(texts: Iterable[str]) -> Rates:
    """Of plays: paragraphs that begin with a speaker, speeches that go on below the name, headings of acts and scenes."""
    paragraphs = [part for text in texts for part in re.split(r"\n\s*\n", text.strip()) if part]
    firsts = [part.splitlines() for part in paragraphs]
    speeches = [lines for lines in firsts if _SPEAKER.fullmatch(lines[0].strip())]
    return {
        "paragraphs that begin with a speaker": _share(firsts, lambda lines: _SPEAKER.fullmatch(lines[0].strip())),
        "speeches with words below the name": _share(speeches, lambda lines: len(lines) > 1),
        "lines that begin with a capital": _share(
            [line for lines in speeches for line in lines[1:] if line.strip()], lambda line: line.lstrip(" '\"-")[:1].isupper()
        ),
        "headings of scenes with a number": _share(
            [line.strip() for lines in firsts for line in lines if _SCENE.match(line.strip())], _SCENE_HEADING.fullmatch
        ),
    }


KINDS: dict[str, Callable[[Iterable[str]], Rates]] = {"python": python, "java": java, "play": play}


def _java_order(code: str) -> list[int]:
    """Where the package, the imports and the first of the classes are."""
    first = _TYPE.search(code)
    found = [*_PACKAGE.finditer(code), *_JAVA_IMPORT.finditer(code), *([first] if first else [])]
    return [match.start() for match in found]


class _Method(NamedTuple):
    """A method of Java with its end."""

    type: str
    is_after_comment: bool
    body: str  # without the methods and lambdas inside it
    begin: int
    end: int


def _methods(text: str, code: str) -> list[_Method]:
    """Those of a text, whose `_java_code` is given too."""
    found = []
    for head in _METHODS.finditer(code):
        end = _end(code, head.end())
        if end is not None:
            begin = head.start("begin")
            before = text[len(code[:begin].rstrip()) : begin].partition("\n")[2]  # the first line is of the code before
            found.append(_Method(head["type"], bool(before.strip()), _own(code[head.end() : end]), begin, end))
    return found


def _fields(code: str, methods: list[_Method]) -> list[bool]:
    """Of each field of its classes, which has a modifier and is in none of its methods, whether it is above all of these."""
    places = [field.start() for field in _FIELD.finditer(code)]
    return [
        all(place < method.begin for method in methods)
        for place in places if not any(method.begin <= place < method.end for method in methods)
    ]


def _java_code(text: str) -> str:
    """The text with blanks for comments and quotes for strings, each line as long as it was."""
    return _COMMENT_OR_STRING.sub(lambda found: re.sub(r"[^\n]", " " if found["comment"] else '"', found[0]), text)


def _end(code: str, begin: int) -> int | None:
    """Where the brace is closed that has been opened before `begin`."""
    depth = 1
    for brace in _BRACE.finditer(code, begin):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.start()
    return None


def _own(body: str) -> str:
    """The body of a method without the methods and lambdas inside it."""
    kept, at = "", 0
    for inner in _INNER.finditer(body):
        if inner.start() >= at and not inner["arm"]:
            kept += body[at : inner.start()]
            at = _end(body, inner.end())
    return kept + body[at:]


def _share(parts: list, passes: Callable) -> float:
    """Of the parts, those that pass; NaN of none."""
    return sum(map(bool, map(passes, parts))) / len(parts) if parts else float("nan")
