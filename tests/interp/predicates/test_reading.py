"""What programs read of a corpus, against loops that walk through every context token by token."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.interp.corpus import Corpus
from superalign.interp.predicates.atoms import (
    Inside,
    Look,
    Not,
    Pair,
    Place,
    Program,
    Repeated,
    both,
    either,
    negation,
)
from superalign.interp.predicates.reading import Reading
from superalign.interp.predicates.tokens import Among, Ends, Is, Stem
from tests.interp.predicates.texts import corpus


@dataclass
class Seen:
    """What a reader knows at one token."""

    text: str
    before: list[str] = field(default_factory=list)


def walk(text: Corpus) -> list[Seen]:
    """Every row in order; a context forgets what came before it."""
    found = []
    for first, last in zip(text.contexts, text.contexts[1:], strict=False):
        read = [text.strings[t] for t in text.tokens[first:last]]
        found += [Seen(each, read[:k]) for k, each in enumerate(read)]
    return found


def depth(before: list[str]) -> int:
    """Open brackets; one that closes nothing counts nothing."""
    level = 0
    for token in before:
        change = sum(c in "([{" for c in token) - sum(c in ")]}" for c in token)
        level = max(level + change, 0)
    return level


def curly(before: list[str]) -> int:
    level = 0
    for token in before:
        level = max(level + token.count("\u201c") - token.count("\u201d"), 0)
    return level


NUMBER = Is("number")
CASES = [
    (Look("token", Ends("ed")), lambda s: s.text.strip().lower().endswith("ed")),
    (Look("token", Among((" cat", ")"))), lambda s: s.text in (" cat", ")")),
    (Look("previous", Stem("walk")), lambda s: s.before[-1:] in ([" walk"], [" walked"], [" walks"])),
    (Look("within", NUMBER, 3), lambda s: any(t.strip().isdecimal() for t in s.before[-3:])),
    (Look("within", NUMBER, 40), lambda s: any(t.strip().isdecimal() for t in s.before)),
    (Look("before", Among(("(",))), lambda s: "(" in s.before),
    (
        Pair(((" cat", " cat"), ("(", " 7"), ("nowhere", " 7"), ("(", "nowhere"))),
        lambda s: (s.before[-1:], s.text) in (([" cat"], " cat"), (["("], " 7")),
    ),
    (Place(3), lambda s: len(s.before) < 3),
    (Repeated(), lambda s: s.text in s.before),
    (Inside("brackets"), lambda s: depth(s.before) >= 1),
    (Inside("brackets", 3), lambda s: depth(s.before) >= 3),
    (
        Inside("quotes"),
        lambda s: (s.before.count('"') % 2 == 1 or curly(s.before) > 0) and s.text not in ('"', "\u201c", "\u201d"),
    ),
    (negation(Place(5)), lambda s: len(s.before) >= 5),
    (both(Place(9), Look("token", NUMBER)), lambda s: len(s.before) < 9 and s.text.strip().isdecimal()),
    (either(Place(2), Look("token", NUMBER)), lambda s: len(s.before) < 2 or s.text.strip().isdecimal()),
]


@pytest.mark.parametrize("program, said", CASES, ids=[repr(p) for p, _ in CASES])
def test_a_program_says_what_a_reader_would(program: Program, said) -> None:  # type: ignore[no-untyped-def]
    text = corpus(seed=3)
    expected = np.array([said(seen) for seen in walk(text)])
    assert 0 < expected.sum() < len(expected)
    rows = np.random.default_rng(0).permutation(len(text))  # in any order
    assert np.array_equal(program.on(text, rows), expected[rows])
    assert np.array_equal(program.at(Reading(text, np.arange(len(text)))), expected)


def test_joined_programs_have_one_form() -> None:
    a, b, c = Place(3), Look("token", NUMBER), Inside("quotes")
    assert both(a, both(b, c)) == both(c, b, a, b)
    assert either(a, either(b, c)) == either(b, c, a)
    assert both(a) == either(a) == negation(negation(a)) == a
    assert isinstance(negation(a), Not)
    with pytest.raises(SpecError, match="nothing to join; give at least one part"):
        both()


def test_the_size_counts_atoms_and_strings() -> None:
    words = Look("token", Among(tuple("abcde")))
    assert words.size() == 2.0
    assert both(words, negation(Place(3))).size() == 3.0
    assert Pair((("a", "b"), ("c", "d"))).size() == pytest.approx(1.8)
    assert either(Inside("quotes"), Repeated()).size() == 2.0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Look("within", NUMBER), "'within' with 0 tokens; write within 3 in"),
        (lambda: Look("token", NUMBER, 3), "'token' with 3 tokens; write within 3 in"),
        (lambda: Place(0), "place < 0 is never true; write place < 1 or more"),
        (lambda: Pair(()), "name pairs, such as pair in"),
        (lambda: Inside("brackets", 0), "inside brackets 0; write inside quotes, or inside brackets 1 or more"),
        (lambda: Inside("quotes", 2), "inside quotes 2; write inside quotes, or inside brackets"),
    ],
)
def test_atoms_that_say_nothing_are_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecError, match=message):
        make()
