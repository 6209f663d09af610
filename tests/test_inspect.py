"""What written text copies, makes up and gets right: `fastlstm inspect`, rows C6 to C8."""

import ast
import io
import json
import math
import random
import re

import pytest

from fastlstm import Model, cli, structure
from fastlstm.cli_inspect import PASSAGES, passages
from fastlstm.text import standard_library_files

PYTHON = '''"""A module."""

import os
from sys import path


def good(a):
    """Doc."""
    return a


class A:
    def method(self):
        # a comment
        yield 1

    def bare(self):
        pass
'''
JAVA = """/*
 * Licence.
 */
package a.b;

import java.util.List;

public class A {
    /** Comment. */
    @Override
    public int one(int x) {
        if (x > 0) { return 1; }
        return 2;
    }

    private static void two() {
        done();
    }

    // a note
    public List<String> three() {
        throw new Error();
    }

    public int broken() {
        done();
    }
}
"""
PLAY = "First Citizen:\nBefore we proceed.\nHear me.\n\nAll:\nspeak, speak.\n\nnot a speech\n\nROMEO:\n"


def test_python_rates():
    assert list(structure.python([PYTHON + "end\n"]).values()) == [1, 1, 2 / 3, 2 / 3]
    assert list(structure.python([PYTHON]).values()) == [1, 1, 1, 1]  # the last one may go on
    assert structure.python(["def f():\n    pass\nimport os\n"])["imports above all definitions"] == 0
    assert structure.python(["x = 1\n", PYTHON])["begin with a comment or docstring"] == 0.5
    assert all(map(math.isnan, list(structure.python([]).values())))


@pytest.mark.parametrize(("function", "documented", "returns"), [
    ("def f(\n    a: int,\n    b=(1, 2),\n) -> int:  # noqa\n    \"Doc.\"\n    return a\n", True, True),
    ("def f():\n    'Doc, no return'\n    g()\n", True, False),
    ("def f():\n    r'''Doc\n    and return'''\n    x = yield\n", True, True),
    ("def f():\n\n    # a note: no return\n    g()", True, False),
    ("def f():\n    'x'.join(y)\n    if x: return\n", False, True),
    ("def f(a): return a\n", False, True),
    ("def f(): returned()\n", False, False),
    ("    async def f(a,\n                b):\n        \"Doc.\"\n", True, False),
])
def test_python_functions(function, documented, returns):
    rates = structure.python([f"{function}\nend"])
    assert rates["functions with a docstring or comment"] == documented
    assert rates["functions that return or yield"] == returns


def test_python_rates_are_those_of_the_syntax_trees():
    texts = [f"{text}\nend\n" for text in standard_library_files()[:40]]
    trees = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert len(trees) > 500
    gives = [any(isinstance(part, ast.Return | ast.Yield | ast.YieldFrom) for part in ast.walk(tree)) for tree in trees]
    documented = [ast.get_docstring(tree) is not None for tree in trees]
    without_comments = [re.sub(r"(?m)^ *#.*\n", "", text) for text in texts]
    rates = structure.python(without_comments)
    assert rates["functions that return or yield"] == pytest.approx(sum(gives) / len(trees), abs=0.01)
    assert rates["functions with a docstring or comment"] == pytest.approx(sum(documented) / len(trees), abs=0.01)


def test_java_rates():
    assert structure.java([JAVA]) == {
        "begin with a licence": 1, "package, imports, class in order": 1, "fields above all methods": NONE,
        "methods after a comment": 0.5,
        "non-void methods that return or throw": 2 / 3, "void methods that return a value": 0,
    }
    shuffled = "import a.B;\npackage a;\nclass A {\n  public void f() { return 1; }\n}\n"
    rates = structure.java([shuffled])
    assert rates["package, imports, class in order"] == 0
    assert rates["void methods that return a value"] == 1


@pytest.mark.parametrize(("text", "in_order"), [
    ("package a;\nimport b.C;\n/** Doc. */\npublic class D {\n}\n", 1),
    ("// Licence: a class of its own.\n// import nothing\npackage a;\nimport b.C;\nimport static b.D;\nenum E {}\n", 1),
    ("import b.C;\n/* package */\n@Foo\npublic @interface D {}\n", 1),
    (" * and import\nimport a package\n */\npackage a;\nfinal class A {}\n", 1),  # from the middle of a comment
    ("/* Licence */\nimport b.C;\npackage a;\nclass D {}\n", 0),
    ("import b.C;\nclass D {}\nimport b.D;\n", 0),
    ("public class D {}\n", math.nan),
    ("    int x;\n    class Inner {}\n", math.nan),
])
def test_java_order(text, in_order):
    assert structure.java([text])["package, imports, class in order"] == pytest.approx(in_order, nan_ok=True)


NONE = pytest.approx(math.nan, nan_ok=True)


@pytest.mark.parametrize(("method", "returns", "returns_a_value"), [
    ("  public void v() { run(() -> { return 5; }); }", NONE, 0),
    ("  void v() { run(new B() {\n  @Override public int f() {\n return 5;\n } }); }", 1, 0),
    ("  void v() { go(x -> { return 1; }, y -> { if (y) { return 2; } return 3; }); return; }", NONE, 0),
    ("  void v() { go(x -> { return 1; }); return 2; }", NONE, 1),
    ("  public int f() { for (;;) { while (a) { if (b) { return 1; } } } }", 1, NONE),
    ("  int f()\n  {\n    return 1;\n  }", 1, NONE),
    ("  static int f() { run(() -> { return 1; }); }", 0, NONE),
    ("  int f() { String s = \"return }\"; char c = '}', d = '\\'', e = '\\u007b'; /* return } */ go(); } // return", 0, NONE),
    ("  int f() { switch (x) { case 1, 2 -> { return 1; } default -> { throw new E(); } } }", 1, NONE),
    ("  @Foo({\"a\", \"}\"})\n  protected static <T extends A<T>> Map.Entry<T, List<? super T>>[] f(\n"
     "      @Nullable() T x,\n      int... y)\n      throws A, b.C {\n    return x;\n  }", 1, NONE),
    ("  public @Nullable String f() { return \"\"\"\n  } { { \"quoted\" \"\"\"; }", 1, NONE),
    ("  A(int x) { return; }", NONE, NONE),
    ("  public A(int x) { if (x) { y(); } else if (z) { y(); } else for (;;) { } }", NONE, NONE),
    ("  int x = 1; record B(int x) { }  static { new C(1) { }; }", NONE, NONE),
    ("  int f() { if (x) { return 1; }", NONE, NONE),  # cut off
])
def test_java_methods(method, returns, returns_a_value):
    rates = structure.java([f"class A {{\n{method}\n"])
    assert rates["non-void methods that return or throw"] == returns
    assert rates["void methods that return a value"] == returns_a_value


@pytest.mark.parametrize(("before", "is_comment"), [
    ("class A {\n  /** Doc. */\n", True),
    ("class A {\n  // a note\n\n", True),
    ("class A {\n  int x;\n  /* a note */ ", True),
    ("class A {\n  /** Doc. */\n  @Override\n", True),
    ("class A { // a note of the class\n", False),
    ("class A {\n  /** Doc. */\n  int x;  // a note of x\n", False),
    ("class A {\n  String x = \"// no note\";\n\n", False),
])
def test_java_comments_before_methods(before, is_comment):
    assert structure.java([before + "  int f() { return 1; }\n}\n"])["methods after a comment"] == is_comment


@pytest.mark.parametrize(("members", "rate"), [
    ("  private int a;\n  static final List<String> b = new C();\n  int f() { return 1; }\n", 1),
    ("  private int a;\n  int f() { return 1; }\n  @Foo\n  protected int[] b;\n", 0.5),
    ("  int f() {\n    final int local = 1;\n    return local;\n  }\n", NONE),
    ("  int f() { return 1; }\n  // private int a;\n  public int g() { return 2; }\n", NONE),
])
def test_java_members(members, rate):
    assert structure.java([f"class A {{\n{members}}}\n"])["fields above all methods"] == rate


def test_play_rates():
    assert structure.play([PLAY]) == {
        "paragraphs that begin with a speaker": 0.75, "speeches with words below the name": 2 / 3,
        "lines that begin with a capital": 2 / 3, "headings of scenes with a number": NONE,
    }


def test_headings_of_scenes():
    text = "ACT I\n\nSCENE II. A public place.\nSAMPSON:\nScene of it\n\nSCENE the third\n\nACT\n\nScenery\nSCENE 4: Rome\n"
    assert structure.play([text])["headings of scenes with a number"] == 3 / 5


@pytest.fixture
def files(tmp_path):
    """A folder of modules, and a model that knows them by heart."""
    (tmp_path / "src").mkdir()
    for k in range(3):
        (tmp_path / "src" / f"m{k}.py").write_text(PYTHON.replace("good", f"good_{k}"))
    model = Model(hidden_size=48, num_layers=1, seed=0)
    text = "".join((tmp_path / "src" / f"m{k}.py").read_text() for k in range(3))
    model.fit(text * 8, epochs=12, batch_size=4, seq_length=50, learning_rate=1e-2, progress=False, validation=None, threads=1)
    model.save(tmp_path / "m.safetensors")
    return tmp_path


def test_command(files, capfd):
    arguments = ["inspect", str(files / "m.safetensors"), str(files / "src"), "--samples", "3", "--length", "300"]
    arguments += ["--seed", "1"]
    assert cli.main([*arguments, "--temperature", "0.2", "--prompt", "import", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [len(sample["text"]) for sample in told["samples"]] == [300] * 3
    for sample in told["samples"]:
        copy = sample["longest_copy"]
        assert sample["text"][copy["start"] :].startswith(copy["text"])
        with open(copy["source"]) as file:
            assert file.read()[copy["place"] :].startswith(copy["text"])
        assert copy["length"] > 50  # it knows them by heart
        assert sample["nearest"]["share"] > 0.4
    assert told["kind"] == "python"
    assert told["structure"]["corpus"]["imports above all definitions"] < 1  # passages go on in the next file, as samples do
    assert told["structure"]["corpus"]["begin with a comment or docstring"] < 0.5  # and begin anywhere
    assert told["validity"]["corpus"]["definitions"] > 100
    assert told["seed"] == 1
    assert cli.main([*arguments, "--temperature", "1.8"]) == 0
    shown = capfd.readouterr().out
    assert re.search(r"sample 2: copied at most \d+ of its 300 characters in one piece, from .*m\d\.py:\n", shown)
    assert re.search(r"of the passage most like it, in .*\.py from character [\d,]+ on, (less than )?\d+% of all runs of 8 "
                     r"characters are also in the sample", shown)
    assert "words of its own: " in shown
    assert "functions with a docstring or comment" in shown


def test_command_without_a_kind(files, capfd):
    (files / "play.txt").write_text(PLAY)
    arguments = ["inspect", str(files / "m.safetensors"), str(files / "play.txt"), "--samples", "1", "--length", "20"]
    assert cli.main([*arguments, "--json"]) == 0
    assert set(json.loads(capfd.readouterr().out)) == {"seed", "samples", "made_up_words"}
    assert cli.main([*arguments, "--json", "--kind", "play"]) == 0
    assert set(json.loads(capfd.readouterr().out)["structure"]) == {"written", "corpus"}
    assert cli.main([*arguments[:-1], "7"]) == 2
    assert "length must be at least 8, got 7" in capfd.readouterr().err


def test_standard_library_is_the_default(files, capfd, monkeypatch):
    monkeypatch.setattr("fastlstm.cli_inspect.standard_library_files", lambda: [PYTHON, PYTHON])
    assert cli.main(["inspect", str(files / "m.safetensors"), "--samples", "1", "--length", "50", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["kind"] == "python"
    assert told["samples"][0]["nearest"]["source"] == "file 0 of the standard library of this Python"


def test_passages_are_as_long_and_from_anywhere():
    texts = [("a", "abc"), ("b", ""), ("c", "defghi")]
    found = passages(texts, [4] * 200 + [2, 50], random.Random(0))
    assert set(found[:200]) == {"abcd", "bcde", "cdef", "defg", "efgh", "fghi"}
    assert len(found[200]) == 2
    assert found[201] == "abcdefghi"


def test_passages_of_the_corpus_are_as_long_as_the_samples(files, capfd, monkeypatch):
    judged = []
    monkeypatch.setitem(structure.KINDS, "play", lambda parts: judged.append(parts) or {})
    arguments = ["inspect", str(files / "m.safetensors"), str(files / "src"), "--samples", "2", "--length", "30"]
    assert cli.main([*arguments, "--prompt", "def", "--kind", "play", "--json"]) == 0
    written, corpus = judged
    assert [len(written), len(corpus)] == [2, PASSAGES]
    assert {len(part) for part in written + corpus} == {33}
    whole = "".join((files / "src" / f"m{k}.py").read_text() for k in range(3))
    assert all(part in whole for part in corpus)


def test_quiz(files, capfd, monkeypatch):
    source = (files / "src" / "m0.py").read_text()
    arguments = ["inspect", str(files / "m.safetensors"), str(files / "src" / "m0.py"), "--samples", "4", "--length", "40"]
    arguments += ["--quiz", "--seed", "1", "--temperature", "3"]

    def asked(answers, *options):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))
        assert cli.main([*arguments, *options]) == 0
        return capfd.readouterr()

    shown = asked("rrrrrrrr")
    assert shown.out == "4 of 8 right\n"
    real = ["It is real." in part for part in shown.err.split("real or generated?")[1:]]
    assert sum(real) == 4
    passages = shown.err.split("  | ", 1)[1].split("real or generated?")[0].replace("\n  | ", "\n").rstrip("\n")
    assert (passages in source) is real[0]
    assert asked("".join("r" if is_real else "g" for is_real in real)).out == "8 of 8 right\n"
    assert json.loads(asked("g", "--json").out) == {"right": int(not real[0]), "asked": 1, "seed": 1}


@pytest.mark.parametrize(("prompt", "words"), [("\nimp", {"new": 1}), ("\nimport ", {"new": 1, "ort": 2})])
def test_words_that_the_prompt_begins_are_not_made_up(files, capfd, monkeypatch, prompt, words):
    monkeypatch.setattr(Model, "sample", lambda *_, **__: ["ort os, new\nf", "ort sys.pa"])
    arguments = ["inspect", str(files / "m.safetensors"), str(files / "src"), "--samples", "2", "--prompt", prompt, "--json"]
    assert cli.main(arguments) == 0
    assert json.loads(capfd.readouterr().out)["made_up_words"] == words


def test_samples_of_fewer_characters_than_bytes(tmp_path, capfd):
    model = Model(symbols="bytes", hidden_size=16, num_layers=1, seed=0)
    model.fit("日本".encode() * 200, epochs=4, batch_size=2, seq_length=20, learning_rate=3e-2, progress=False, validation=None)
    model.save(tmp_path / "m.safetensors")
    (tmp_path / "text").write_text("日本の文章は長い。" * 3)
    arguments = ["inspect", str(tmp_path / "m.safetensors"), str(tmp_path / "text"), "--length", "12", "--temperature", "0.1"]
    assert cli.main([*arguments, "--seed", "1"]) == 0
    assert "no 8 characters in a row are in any text" in capfd.readouterr().out


def test_models_of_bytes(tmp_path, capfd):
    Model(symbols="bytes", hidden_size=4, num_layers=1, seed=0).save(tmp_path / "m.safetensors")
    (tmp_path / "text").write_bytes(b"some text \xff of bytes")
    assert cli.main(["inspect", str(tmp_path / "m.safetensors"), str(tmp_path / "text"), "--length", "50", "--seed", "1"]) == 0
    assert "sample 4" in capfd.readouterr().out
