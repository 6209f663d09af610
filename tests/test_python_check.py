"""Validity of Python: row C7."""

import math

import pytest

from fastlstm import python_check, text
from fastlstm.python_check import brackets_close, check, definitions, indentation_holds, parse, used_before_defined


def early(body, signature="def f(a, *b, c=1, **d):"):
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    tree = parse(f"{signature}\n{lines}\n")
    assert tree is not None
    return used_before_defined(tree)


@pytest.mark.parametrize("body", [
    "return a + b[0] + c + d['x'] + len(e)",  # e is not local
    "x = 1\ny = x\nx += y",
    "import os.path as p, sys\nreturn p, sys",
    "for x, (y, *z) in a:\n    w = x\nreturn w, y, z",
    "while a:\n    if b:\n        print(x)\n    x = 1",
    "for _ in a:\n    if b:\n        print(x)\n    x = 1",
    "with a as x, x.y as (z, w):\n    return z, w",
    "try:\n    x = 1\nexcept (A, B) as error:\n    print(error)\nelse:\n    print(x)",
    "if a:\n    x = 1\nelse:\n    y = 2\nreturn x, y",
    "return [x + y for x in a for y in x if (n := y)] + [n]",
    "x = 1\nreturn [x for x in a], x",
    "return {k: v for k, v in a}, {s for s in a}, (g for g in a)",
    "if (m := a):\n    return m",
    "def g():\n    return x\nx = 1\nreturn g",
    "g = lambda y: x + y\nx = 1",
    "global x\nprint(x)\nx = 1",
    "x: int = 1\nreturn x",
    "class A:\n    y = x\nreturn A",
    "match a:\n    case [x, *rest]:\n        return x, rest\n    case {'k': v, **more}:\n        return v, more\n"
    "    case A(z) as whole:\n        return z, whole",
    "async with a as x:\n    async for y in x:\n        yield y",
    "first = True\nwhile first or y < 3:\n    y = 5\n    first = False",
    "first = True\nwhile not (y < 3 if a else first) or (z and y):\n    y = 5\n    z = first = False",
    "while 0 < a < y:\n    y = 5",
    "g = (y for x in a)\ny = 1\nreturn list(g)",
    "g = (y for x in a if z for y in x if w)\nz = w = 1\nreturn list(g)",
    "if any((y := x) for x in a):\n    return y",
    "def g():\n    return (m := 1)\nreturn m",
    "g = lambda: (m := 1)\nreturn m",
    "g = [lambda: (m := x) for x in a]\nreturn m",
    "class A:\n    n = (m := 1)\nreturn m",
])
def test_good_code_is_not_accused(body):
    assert early(body, "async def f(a, *b, c=1, **d):" if "async" in body else "def f(a, *b, c=1, **d):") == []


@pytest.mark.parametrize(("body", "names"), [
    ("print(x)\nx = 1", ["x"]),
    ("x = x + 1", ["x"]),
    ("x += 1", ["x"]),
    ("for y in x:\n    pass\nx = 1", ["x"]),
    ("a = [y for y in z]\nz = 1", ["z"]),
    ("with x as y:\n    x = y", ["x"]),
    ("x: int\nprint(x)\nx = 1", ["x"]),
    ("if x and (x := a):\n    pass", ["x"]),
    ("print(os)\nimport os", ["os"]),
    ("g()\ndef g(): pass", ["g"]),
    ("print(x, x, y)\nx = y = 1", ["x", "y"]),
    ("def g(k=x): pass\nx = 1", ["x"]),
    ("def g():\n    print(y)\n    y = 1", ["y"]),
    ("while x < 3:\n    x = 1", ["x"]),
    ("while x:\n    x = 1", ["x"]),
    ("g = (y for x in z)\nz = 1", ["z"]),
    ("print(y, n)\n[n := (y := x) for x in a]", ["y", "n"]),
    ("print(y)\n[[(y := x) for x in b] for b in a]", ["y"]),
])
def test_early_uses_are_found(body, names):
    assert early(body) == names


def test_the_standard_library_is_valid():
    rates = check(text.standard_library_files()[:60])
    assert rates.definitions > 300
    assert min(rates.brackets, rates.parses) > 0.97
    assert rates.indentation > 0.99
    assert rates.defined == 1


def test_definitions():
    parts = ["def f(\n    a,\n):\n    pass\n\n# more\n    y\n", "class A:\n  b\n", "async def g(): pass\n"]
    assert definitions(f"x = (\n{''.join(parts)}z\ndef h():\n    cut") == parts
    assert definitions("define = 1\nclassic = 2\n") == []


@pytest.mark.parametrize(("code", "brackets", "indentation", "parses"), [
    ("def f():\n    return (1, [2, {3: 4}])\n", True, True, True),
    ("def f():\n    return (1]\n", False, True, False),
    ("def f():\n    return (1\n", False, True, False),
    ("def f():\n    return 1)\n", False, True, False),
    ("def f():\n    return '(' # [\n", True, True, True),
    ("def f():\n    x = 1\n  y = 2\n", True, False, False),
    ("def f():\nreturn 1\n", True, False, False),
    ("def f():\n    return return\n", True, True, False),
    ("def f():\n    return\n    await x\n", True, True, False),
    ("def f():\n    '''open\n", False, True, False),
    ("def f():\n    return '\\d'\n", True, True, True),
])
def test_kinds_of_faults(code, brackets, indentation, parses):
    assert brackets_close(code) is brackets
    assert indentation_holds(code) is indentation
    assert (parse(code) is not None) is parses


def test_rates():
    first = "def f():\n    return x\n    x = 1\ndef g(:\n    pass\n"
    rates = check([first, "def h():\n    pass\ndef k():\n    return (\nend\n"])
    assert rates == python_check.Validity(3, 2 / 3, 1.0, 2 / 3, 0.5)
    assert check(["def f():\n    return x\n    x = 1\nend"]).defined == 0
    empty = check(["nothing here"])
    assert empty.definitions == 0
    assert math.isnan(empty.parses)
    assert math.isnan(empty.defined)
