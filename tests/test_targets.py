"""Targets: what each function makes of a text, by hand."""

import re

import numpy as np
import pytest

from fastlstm import targets

NAN = np.nan


@pytest.mark.parametrize(
    ("target", "text", "want"),
    [
        (targets.one_of("ab"), "abcba", [1, 1, 0, 1, 1]),
        (targets.one_of([" and"]), ["x", " and", "and"], [0, 1, 0]),
        (targets.one_of("a"), [b"a", b"\xff"], [1, 0]),
        (targets.one_of(b"\xff"), [b"a", b"\xff"], [0, 1]),
        (targets.count("a"), "abaa", [1, 1, 2, 3]),
        (targets.count("a", reset="\n"), "aab\naXa", [1, 2, 2, 0, 1, 1, 2]),
        (targets.count("ab", reset="bX"), "aabaXa", [1, 2, 0, 1, 0, 1]),
        (targets.position("\n"), "ab\nc\n\nd", [1, 2, 0, 1, 0, 0, 1]),
        (targets.depth("([", ")]"), "f(a[1])", [0, 1, 1, 2, 2, 1, 0]),
        (targets.depth("(", ")"), ")(a)())(", [0, 1, 1, 0, 1, 0, 0, 1]),
        (targets.countdown("\n"), "ab\nc\nde", [2, 1, 0, 1, 0, NAN, NAN]),
        (targets.countdown("\n"), "ab", [NAN, NAN]),
        (targets.matches(r"\d+"), "a12b3", [0, 1, 1, 0, 1]),
        (targets.matches(r"$|x*"), "abc", [0, 0, 0]),
        (targets.matches("an"), ["an", " ban", "d", "ana"], [1, 1, 0, 1]),
        (targets.matches("\xe9"), [b"\xe9", b"e"], [1, 0]),
        (r"#\w+", "a #b c", [0, 0, 1, 1, 0, 0]),
        (re.compile("A", re.I), "aBA", [1, 0, 1]),
        ([True, False, True], "abc", [1, 0, 1]),
        (lambda text: [len(text)] * len(text), "ab", [2, 2]),
    ],
)
def test_by_hand(target, text, want):
    symbols = list(text) if isinstance(text, str) else text
    found = targets.resolve(target, symbols)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("target", [
    targets.one_of("a"), targets.count("a"), targets.position("a"), targets.depth("(", ")"), targets.countdown("a"), "a",
])
def test_text_of_nothing(target):
    assert targets.resolve(target, []).shape == (0,)


def test_errors():
    with pytest.raises(ValueError, match=r"target must have shape \(3,\), got \(2,\)"):
        targets.resolve([1, 2], list("abc"))
    with pytest.raises(ValueError, match="target must hold real numbers"):
        targets.resolve(["x", "y"], list("ab"))
    text = [bytes([number]) for number in "é€è à".encode()]
    with pytest.raises(ValueError, match="the text is one of bytes, of which 'é' has several for a character: give bytes"):
        targets.resolve(targets.count("é"), text)
    assert targets.resolve(targets.count("é".encode()), text).max() == 4  # both its bytes, one of which è and à have too
    with pytest.raises(ValueError, match="the text is one of characters: give a str instead of b'a'"):
        targets.resolve(targets.one_of(b"a"), list("abc"))
    with pytest.raises(ValueError, match="the target must be a regular expression of characters, got b'a'"):
        targets.resolve(re.compile(b"a"), list("abc"))
