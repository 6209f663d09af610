"""Whether text is valid Python: brackets, indentation, syntax, and names used before they are defined.

Written text begins and ends anywhere, so the parts judged are its whole definitions: from a line that begins with def or class
to the next one that is not indented.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from textwrap import dedent
from typing import NamedTuple

PAIRS = {")": "(", "]": "[", "}": "{"}
BEGINS = re.compile(r"^(?:async def|def|class)\b", re.M)
_FUNCTION = re.compile(r"^([ \t]*)(?:async )?def\b", re.M)
_ENDS = re.compile(r"^[^\s#)\]}]", re.M)  # other lines go on with what they are in


class Validity(NamedTuple):
    """Shares of the definitions; `defined` is of those that parse."""

    definitions: int
    brackets: float     # every bracket is closed by its own kind
    indentation: float  # consistent
    parses: float
    defined: float      # no local name is used before anything has been assigned to it


def definitions(text: str) -> list[str]:
    """The whole definitions of a text; the last one, which may be cut off, only if another line follows that ends it."""
    found = []
    for begin in BEGINS.finditer(text):
        end = _ENDS.search(text, begin.end())
        if end:
            found.append(text[begin.start() : end.start()])
    return found


def functions(text: str) -> list[str]:
    """The whole functions and methods of a text, moved to the first column; as of definitions, not one that may be cut off."""
    found = []
    for begin in _FUNCTION.finditer(text):
        end = re.compile(rf"^[ \t]{{0,{len(begin[1])}}}[^\s#)\]}}]", re.M).search(text, begin.end())
        if end:
            found.append(dedent(text[begin.start() : end.start()]))
    return found


def check(texts: Iterable[str]) -> Validity:
    """How many of the definitions in some texts are valid."""
    parts = [part for text in texts for part in definitions(text)]
    trees = list(map(parse, parts))
    parsed = [tree for tree in trees if tree is not None]

    def share(passed: Iterable[bool], of: int) -> float:
        return sum(passed) / of if of else float("nan")

    return Validity(
        len(parts), share(map(brackets_close, parts), len(parts)), share(map(indentation_holds, parts), len(parts)),
        share((tree is not None for tree in trees), len(parts)),
        share((not used_before_defined(tree) for tree in parsed), len(parsed)),
    )


def parse(text: str) -> ast.Module | None:
    """The syntax tree, if it is one that compiles."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes and comparisons
            tree = ast.parse(text)
            compile(tree, "", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree


def brackets_close(text: str) -> bool:
    """Whether every bracket outside strings and comments is closed by its own kind."""
    open_: list[str] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type != tokenize.OP:
                continue
            if token.string in "([{":
                open_.append(token.string)
            elif token.string in PAIRS and (not open_ or open_.pop() != PAIRS[token.string]):
                return False
    except IndentationError:
        return not open_  # which is not about brackets
    except (tokenize.TokenError, SyntaxError):
        return False  # the end came inside brackets, or inside a string
    return not open_


def indentation_holds(text: str) -> bool:
    """Whether blocks are indented, and dedented to where they began."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except IndentationError:
        return False
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return True


def used_before_defined(tree: ast.AST) -> list[str]:
    """Local names of functions that are read above every line that binds them, by the order in which the code runs.

    What a branch or an earlier loop binds counts as bound, so code that works is never accused.
    """
    return [name for node in ast.walk(tree) if isinstance(node, _FUNCTIONS) for name in _Order(node).early]


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _bound_by(nodes: Iterable[ast.AST]) -> tuple[set[str], set[str]]:
    """The names that code binds in its own scope, and those it declares to be of another."""
    bound, elsewhere, waiting = set(), set(), list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            elsewhere.update(node.names)
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name.split(".")[0])
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            bound.add(node.name)
        elif isinstance(node, ast.MatchMapping):
            bound.add(node.rest)
        if isinstance(node, _COMPREHENSIONS):
            waiting += _walruses(node)
        elif not isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return bound - {None}, elsewhere


def _walruses(node: ast.AST) -> Iterator[ast.NamedExpr]:
    """What binds with := in a comprehension, and so outside of it."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.NamedExpr):
            yield part
        elif not isinstance(part, ast.Lambda):
            yield from _walruses(part)


def _skips(node: ast.AST) -> bool:
    """Whether an expression may leave out a part of itself."""
    return isinstance(node, ast.BoolOp | ast.IfExp) or (isinstance(node, ast.Compare) and len(node.ops) > 1)


class _Order(ast.NodeVisitor):
    """Visits a function's own statements as they run, and notes the local names that are read before they are bound."""

    def __init__(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.early: list[str] = []
        arguments = function.args
        self._bound = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
        self._bound |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a}
        local, elsewhere = _bound_by(function.body)
        self._local = local - elsewhere
        self._run(function.body)

    def _run(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        """Parts in the order of the source, then what the node itself binds."""
        super().generic_visit(node)
        if isinstance(node, ast.alias | ast.MatchAs | ast.MatchStar | ast.MatchMapping):
            self._bound |= _bound_by([node])[0]

    def visit_Name(self, node: ast.Name) -> None:
        """A read or a write."""
        if isinstance(node.ctx, ast.Load) and node.id in self._local - self._bound:
            self.early.append(node.id)
        self._bound.add(node.id)  # what was read too early is told once

    def visit_Assign(self, node: ast.Assign) -> None:
        """The value first."""
        self._run([node.value, *node.targets])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """The value first."""
        self._run([node.value, node.target])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value first; without one nothing is bound."""
        if node.value is not None:
            self._run([node.value, node.target])

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """The target is read."""
        if isinstance(node.target, ast.Name):
            self.visit_Name(ast.Name(node.target.id, ast.Load()))
        self._run([node.target, node.value])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        """What its body binds may have been bound by the round before."""
        self._run([node.iter, node.target])
        self._bound |= _bound_by(node.body)[0]
        self._run([*node.body, *node.orelse])

    visit_AsyncFor = visit_For  # noqa: N815

    def visit_While(self, node: ast.While) -> None:
        """As `for`; parts of the test may be skipped in the first round."""
        if not any(map(_skips, ast.walk(node.test))):
            self._run([node.test])
        self._bound |= _bound_by(node.body)[0]
        self._run([node.test, *node.body, *node.orelse])

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """Binds its name before the body."""
        self._run([node.type])
        self._bound |= {node.name} - {None}
        self._run(node.body)

    def _visit_scope(self, node: ast.AST) -> None:
        """A function or class runs later: only its decorators, defaults and bases now; its name is bound."""
        arguments = getattr(node, "args", None)
        defaults = [*arguments.defaults, *arguments.kw_defaults] if isinstance(arguments, ast.arguments) else []
        self._run([*getattr(node, "decorator_list", []), *defaults, *getattr(node, "bases", [])])
        self._bound |= {getattr(node, "name", None)} - {None}

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _visit_scope  # noqa: N815

    def _visit_comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp) -> None:
        """Its targets are its own; what it binds with := is the function's."""
        own = {part.id for loop in node.generators for part in ast.walk(loop.target) if isinstance(part, ast.Name)}
        before = own & self._bound
        for loop in node.generators:
            self._run([loop.iter])
            self._bound |= own
            self._run(loop.ifs)
        self._run([getattr(node, "key", None), getattr(node, "value", None), getattr(node, "elt", None)])
        self._bound -= own - before

    visit_ListComp = visit_SetComp = visit_DictComp = _visit_comprehension  # noqa: N815

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        """Only its first iterator is looked at now; what the others read and bind may be there when they run."""
        self._run([node.generators[0].iter])
        self._bound |= _bound_by([node])[0]
