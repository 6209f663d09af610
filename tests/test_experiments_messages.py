"""The messages experiment: row E12."""

import json
import random
import re
from itertools import pairwise

import numpy as np
import pytest

from fastlstm import Model, cli
from fastlstm.experiments import common, message, messages
from fastlstm.experiments.message import Part
from fastlstm.trace import Trace, TraceLayer


@pytest.fixture(scope="module")
def many():
    rng = random.Random(0)
    return [message.message(rng) for _ in range(500)]


# ---- the grammar ---------------------------------------------------------------------------------------------------


def texts(many, *kinds):
    """Texts of all parts of these kinds."""
    return [part.text for parts in many for part in parts if part.kind in kinds]


def test_kinds_are_what_they_say(many):
    shapes = {
        "hashtag": r"#[a-z]{8,}", "url": r"http://t\.co/[a-zA-Z0-9]{5,12}", "mention": r"@[a-z]{4,10}(\d\d)?",
        "capitals": r"[A-Z ]+", "name": r"[A-Z][a-z]+", "opening name": r"[A-Z][a-z]+", "opening word": r"[A-Z][a-z]+",
    }
    for kind, shape in shapes.items():
        assert len(texts(many, kind)) > 50, kind
        assert [text for text in texts(many, kind) if not re.fullmatch(shape, text)] == []
    assert set(texts(many, "name", "opening name")) == set(message.NAMES)
    assert set("".join(texts(many, *shapes, "plain", "auxiliary"))) <= set(message.SYMBOLS)


def test_lines(many):
    lines = ["".join(part.text for part in parts) for parts in many]
    assert all(line.count("\n") == 1 and line.endswith("\n") and "  " not in line for line in lines)
    assert all(line.count('"') % 2 == 0 for line in lines)
    assert messages.line(random.Random(0)) == lines[0]


def test_openings_stand_at_the_start_of_sentences_and_other_capitals_do_not(many):
    for parts in many:
        for k, part in enumerate(parts):
            before = "".join(p.text for p in parts[:k])
            starts = re.search(r"(^|[.!?] |^@\w+ )$", before) is not None
            if part.kind.startswith("opening"):
                assert starts
            elif part.kind == "name":
                assert not starts


def test_auxiliaries_stand_before_to_be_and_elsewhere(many):
    pairs = [pair for parts in many for pair in pairwise(parts)]
    followed = [(a.text, b.text.split()[0]) for a, b in pairs if a.kind == "auxiliary"]
    assert {form for _, form in followed} == {"be", "been"}
    assert all(text.endswith(" ") and (text.split()[0] in message.WITH_BARE) == (form == "be") for text, form in followed)
    assert set(" ".join(texts(many, "plain")).split()) >= {text.split()[0] for text, _ in followed}
    assert not [a for a, b in pairs if b.text.split()[:1] in (["be"], ["been"]) and a.kind != "auxiliary"]


def test_quotations_are_between_their_marks(many):
    for parts in many:
        inside = "".join(part.text for part in parts if part.quoted)
        line = "".join(part.text for part in parts)
        assert inside == "".join('"' + found for found in re.findall(r'"([^"]*)"', line))


# ---- the questions -------------------------------------------------------------------------------------------------


def test_features():
    parts = [
        Part("@bo", "mention"), Part(" "), Part("Theo", "opening name"), Part(" said "), Part('"', quoted=True),
        Part("Kim", "name", True), Part(" ", quoted=True), Part("has not ", "auxiliary", True), Part("been late", quoted=True),
        Part('"'), Part("."), Part(" "), Part("Now", "opening word"), Part(" A", "capitals"), Part(" "),
        Part("http://t.co/aB", "url"), Part(" "), Part("#go", "hashtag"), Part("\n"),
    ]
    text = "".join(part.text for part in parts)
    found = {name: feature.target for name, feature in messages.features(parts).items()}

    def told(name):
        return [(text[k], value) for k, value in enumerate(found[name].tolist()) if value == value]

    assert told("hashtag") == [("g", 1), ("o", 2)]
    assert told("mention") == [("b", 1), ("o", 2)]
    assert told("url") == [("a", 12), ("B", 13)]
    assert told("name") == [*((c, 1) for c in "heoim"), ("o", 0), ("w", 0)]
    assert told("opening_name") == [*((c, 1) for c in "heo"), ("o", 0), ("w", 0)]
    assert [value for _, value in told("to_be")] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert "".join(c for c, value in told("quotation") if value) == '"Kim has not been late'
    assert told("capitals") == [("T", 0), ("K", 0), ("N", 0), ("A", 1), ("B", 0)]


def test_all_features_vary(many):
    for feature in messages.features([part for parts in many for part in parts]).values():
        counted = feature.target[np.isfinite(feature.target)]
        assert len(counted) > 500
        assert counted.std() > 0.1


def test_a_feature_is_known_only_above_chance_and_above_what_needs_no_learning(many):
    """States that hold a feature, that hold nothing, and that hold it no better than an untrained network's, or the symbol."""
    text = "".join(part.text for parts in many[:100] for part in parts)
    feature = np.array([symbol in "aeiou" for symbol in text]).astype(float)
    following = np.append(feature[1:], 0.0)
    model = Model(vocabulary=sorted(message.SYMBOLS), hidden_size=2, num_layers=1, seed=0)

    def states(values):
        trace, both = model.trace(text), np.stack([values, np.ones(len(values))], axis=1).astype(np.float32)
        layer = TraceLayer("layer 0", dict.fromkeys(messages.QUANTITIES, both))
        return Trace(trace._network, trace.symbols, trace.tokens, [layer])

    noise = np.random.default_rng(0).normal(size=len(text))
    held = messages._answer(states(following), states(noise), following)
    assert held["known"]
    assert held["score"] == pytest.approx(1)
    assert held["correlation"] == pytest.approx(1)
    assert held["steps"] == len(text)
    assert not messages._answer(states(noise), states(noise[::-1]), following)["known"]
    assert not messages._answer(states(following), states(following), following)["known"]
    read = messages._answer(states(feature), states(noise), feature)
    assert read["symbol_alone"] == 1
    assert not read["known"]


# ---- from end to end -----------------------------------------------------------------------------------------------


def test_messages(monkeypatch):
    """E12, with a part of the training: a held-out probe per feature, against chance and what needs no learning."""
    monkeypatch.setattr(messages, "ROUNDS", 3)
    figures = messages.run(0, lambda _: None).figures
    assert set(figures["features"]) == {"hashtag", "url", "mention", "name", "opening_name", "to_be", "quotation", "capitals"}
    for answer in figures["features"].values():
        assert answer["p_value"] == 0.01
        assert answer["score"] > max(answer["chance"], answer["symbol_alone"]) + 0.02
        assert answer["chance"] < (0.55 if answer["measure"] == "balanced accuracy" else 0.05)  # R² may be below 0
    assert figures["features"]["url"]["score"] > 0.9
    assert figures["features"]["capitals"]["score"] > 0.95
    assert {"url", "to_be", "capitals"} <= {name for name, answer in figures["features"].items() if answer["known"]}


def test_command(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(common, "STEPS", 120)
    monkeypatch.setattr(messages, "ROUNDS", 1)
    monkeypatch.setattr(messages, "MESSAGES", 60)
    page = tmp_path / "page.html"
    assert cli.main(["experiment", "messages", "--seed", "3", "--json", "--html", str(page)]) == 0
    figures = json.loads(capfd.readouterr().out)
    assert figures["experiment"] == "messages"
    assert figures["asked"] == 8
    assert {"score", "chance", "p_value", "symbol_alone", "untrained", "neuron"} <= set(figures["features"]["url"])
    assert "The messages experiment, seed 3" in page.read_text()
    assert cli.main(["experiment", "messages", "--seed", "3"]) == 0
    assert "in a quotation" in capfd.readouterr().out


def test_untrained_baseline_is_the_same_network_before_training():
    model = Model(hidden_size=8, num_layers=1, vocabulary=sorted(message.SYMBOLS), seed=4)
    for answer in messages.examine(model, 4).figures["features"].values():
        assert answer["untrained"] == pytest.approx(answer["score"])
