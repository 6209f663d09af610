"""Short messages made by a grammar: what is written, and what each part of it is."""

from __future__ import annotations

import random
from string import ascii_letters, digits
from typing import NamedTuple

NAMES = [
    "Theo", "Thea", "Todd", "Tom", "Maya", "Mark", "Mina", "Nora", "Noah", "Paris", "Peru", "Penelope", "Eve", "Evan", "Sam",
    "Sonia", "Stella", "Rome", "Rosa", "Berlin", "Bill", "Anna", "Andy", "Wales", "Wendy", "Lima", "Lisa", "Dora", "Diana",
    "Kim",
]
# Common words that begin sentences, with the capitals of names.
SINGULAR = ["the", "this", "my", "every", "another", "our"]
PLURAL = ["people", "some people", "nobody here", "trains", "most markets", "roses", "all students", "birds", "drivers"]
ADVERBS = ["today", "now", "maybe", "still", "soon", "tomorrow", "perhaps", "again"]
NOUNS = [
    "train", "phone", "market", "team", "song", "garden", "story", "window", "river", "teacher", "message", "number", "paper",
    "house", "kitchen", "doctor", "winter", "summer", "party", "ticket", "camera", "bakery", "belief", "benefit",
]
ADJECTIVES = [
    "late", "great", "open", "happy", "quiet", "ready", "better", "broken", "bright", "empty", "famous", "green", "simple",
    "strange", "warm", "wonderful", "beautiful", "best",
]
BARE = ["come", "go", "win", "begin", "believe", "leave", "help", "change", "sing", "become famous", "behave", "start"]
PARTICIPLES = ["come", "gone", "won", "begun", "believed it", "left", "helped", "changed", "become famous", "seen it"]
PAST = ["found", "lost", "saw", "bought", "began", "became", "made", "loved", "needed", "opened"]
WITH_BARE = ["will", "would", "can", "could", "should", "must", "may", "might"]  # before "be"
WITH_PARTICIPLE = ["has", "had", "have"]                                       # before "been"
SAYING = ["said", "wrote", "asked", "thought"]
SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
URL_START, URL_LENGTHS = "http://t.co/", range(5, 13)  # with addresses of one length chance would know the position too
HASHTAG_LENGTH = 8  # at least
SYMBOLS = ascii_letters + digits + " .!?\"#@:/\n"


class Part(NamedTuple):
    """A stretch of a message and its kind: "plain", "auxiliary", "name", "capitals", "hashtag", "mention" or "url".

    At a sentence's start a name is an "opening name", and a common word, with its capital, an "opening word". An "auxiliary" is
    all that stands before a form of "to be", with the space there.
    """

    text: str
    kind: str = "plain"
    quoted: bool = False


def message(rng: random.Random) -> list[Part]:
    """A line of one or two sentences, with mentions, addresses and hashtags."""
    parts = [Part(_handle(rng), "mention"), Part(" ")] if rng.random() < 0.35 else []
    for k in range(rng.randint(1, 2)):
        parts += [Part(" ")] * (k > 0) + _sentence(rng)
    if rng.random() < 0.3:
        parts += [Part(" "), Part(URL_START + "".join(rng.choices(ascii_letters + digits, k=rng.choice(URL_LENGTHS))), "url")]
    for _ in range(rng.choice((0, 0, 1, 2))):
        parts += [Part(" "), _hashtag(rng)]
    return [*parts, Part("\n")]


def _sentence(rng: random.Random) -> list[Part]:
    """A clause, or who said it, with a capital at its start and a stop; or all of it in capitals."""
    if rng.random() < 0.1:
        return [*map(_shouted, _subject(rng) + _predicate(rng)), Part(rng.choice("!."))]
    adverb = [Part(f"{rng.choice(ADVERBS)} ")] if rng.random() < 0.2 else []
    spoken = rng.random() < 0.5
    first, *others = adverb + _subject(rng) + (_quotation(rng) if spoken else _predicate(rng))
    word, space, rest = first.text.partition(" ")
    kind = "opening name" if first.kind == "name" else "opening word"
    return [Part(word.capitalize(), kind), Part(space + rest), *others, Part(rng.choice(".!?."))]


def _shouted(part: Part) -> Part:
    return part if part.kind in ("hashtag", "mention") else Part(part.text.upper(), "capitals")


def _quotation(rng: random.Random) -> list[Part]:
    """A clause between quotation marks; the closing mark is already outside."""
    inside = [Part('"'), *_subject(rng), *_predicate(rng)]
    return [Part(f" {rng.choice(SAYING)} "), *(part._replace(quoted=True) for part in inside), Part('"')]


def _subject(rng: random.Random) -> list[Part]:
    kind = rng.random()
    if kind < 0.4:
        return [Part(rng.choice(NAMES), "name")]
    return [Part(rng.choice(PLURAL))] if kind < 0.6 else [Part(f"{rng.choice(SINGULAR)} "), *_thing(rng)]


def _thing(rng: random.Random) -> list[Part]:
    """A noun, an adjective before it, perhaps in capitals, or a hashtag or somebody instead."""
    kind = rng.random()
    if kind < 0.1:
        return [_hashtag(rng)]
    if kind < 0.4:
        return [Part(rng.choice(NOUNS))]
    text = f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
    return [Part(text.upper(), "capitals")] if kind < 0.55 else [Part(text)]


def _predicate(rng: random.Random) -> list[Part]:
    """What is, does or did; the same auxiliaries stand before "to be" and before other verbs."""
    kind = rng.random()
    if kind < 0.3:
        somebody = [Part(rng.choice(NAMES), "name")] if rng.random() < 0.3 else [Part(_handle(rng), "mention")]
        thing = [Part(f"{rng.choice(SINGULAR)} "), *_thing(rng)] if rng.random() < 0.6 else somebody
        return [Part(f" {rng.choice(PAST)} "), *thing]
    form, words, verbs = ("be", WITH_BARE, BARE) if rng.random() < 0.6 else ("been", WITH_PARTICIPLE, PARTICIPLES)
    between = rng.choice(["", "", "", "not ", "never ", "also "])
    if kind < 0.7:
        return [Part(" "), Part(f"{rng.choice(words)} {between}", "auxiliary"), Part(f"{form} {rng.choice(ADJECTIVES)}")]
    return [Part(f" {rng.choice(words)} {between}{rng.choice(verbs)}")]


def _hashtag(rng: random.Random) -> Part:
    """Words without spaces, until they are long enough: only who counts knows where it ends."""
    text = "#"
    while len(text) <= HASHTAG_LENGTH:
        text += rng.choice(NOUNS + ADJECTIVES)
    return Part(text, "hashtag")


def _handle(rng: random.Random) -> str:
    return "@" + "".join(rng.choices(SYLLABLES, k=rng.randint(2, 5))) + "".join(rng.choices(digits, k=rng.choice((0, 0, 2))))
