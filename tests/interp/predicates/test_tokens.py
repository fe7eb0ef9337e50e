"""Tests of single tokens: what holds, what is refused, and that no pattern can be slow."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import SpecError
from superalign.interp.predicates.tokens import (
    CLASSES,
    LONGEST,
    PIECES,
    Among,
    Ends,
    Is,
    Like,
    Starts,
    Stem,
    Vocabulary,
    pattern_of,
)
from tests.interp.predicates.texts import tests


@pytest.mark.parametrize(
    "test, true, false",
    [
        (Among(("a", " b")), ["a", " b"], ["b", " a", ""]),
        (Starts("wal"), [" walked", "Wal", "wal"], ["swal", " w"]),
        (Ends("ed"), [" walked", "ED", "ed "], ["edge", " e d"]),
        (Stem("walk"), [" walk", "Walking", " walks", "walker"], [" walkway", "sidewalk", " wal"]),
        (Is("number"), ["7", " 42", "\u0663"], ["4th", "3.5", ""]),
        (Is("capitalised"), [" The", "A"], ["the", " 1A", ""]),
        (Is("upper"), [" USA", "AB"], ["A", "Ab"]),
        (Is("letters"), [" cat", "\u00e9t\u00e9"], ["it's", "a b", ""]),
        (Is("punctuation"), [".", ' "', "--"], ["a.", " ", ""]),
        (Is("blank"), [" ", "\n", "\t "], ["", "a"]),
        (Is("newline"), ["\n", ".\n"], [" "]),
        (Is("start"), [" cat", "\tcat"], ["cat", " "]),
        (Is("foreign"), ["\u00e9", " \u732b"], ["cat", "~"]),
        (Like(" [A-Z][a-z]+"), [" Hello"], ["Hello", " HEllo", " hello", " H"]),
        (Like("[^ A-Za-z0-9]+"), ["\n\n", "\u00e9\u00e9", "--"], ["a-", "- -"]),
    ],
    ids=repr,
)
def test_what_a_test_says(test: Ends, true: list[str], false: list[str]) -> None:
    assert [t for t in true if not test.holds(t)] == []
    assert [t for t in false if test.holds(t)] == []
    strings = (*true, *false, *true)
    mask = Vocabulary(strings).mask(test)
    assert mask.tolist() == [*(t in true for t in strings), False]  # the last: no token at all


@given(st.text(max_size=12))
def test_a_text_matches_its_own_pattern(text: str) -> None:
    if text:
        assert Like(pattern_of(text)).holds(text)


@given(st.text(max_size=12), tests)
def test_a_vocabulary_says_what_its_tests_say(text: str, test: Ends) -> None:
    assert Vocabulary((text,)).mask(test)[0] == test.holds(text)


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.booleans()), min_size=1, max_size=LONGEST), st.text(max_size=20))
def test_a_pattern_that_is_taken_is_matched_in_one_pass(pieces: list[tuple[str, bool]], text: str) -> None:
    """It is taken exactly where each run can only end where the next piece begins."""
    pattern = "".join(piece + "+" * more for piece, more in pieces)
    ambiguous = any(a == b and more for (a, more), (b, _) in pairwise(pieces))
    if ambiguous:
        with pytest.raises(SpecError, match="repeats what already repeats"):
            Like(pattern)
    else:
        assert Like(pattern).holds(text) == (re.fullmatch(pattern, text) is not None)


@pytest.mark.parametrize("pattern", ["(a+)+$", ".*", "", "[a-z]*", "[a-f]", "[a-z]+" * 2, "[a-z][0-9]" * 7])
def test_a_pattern_of_any_other_kind_is_refused(pattern: str) -> None:
    with pytest.raises(SpecError, match=r"is no pattern; write 1 to 12 of the pieces|repeats what already repeats"):
        Like(pattern)


def test_what_is_refused() -> None:
    with pytest.raises(SpecError, match="a token set needs at least one string"):
        Among(())
    with pytest.raises(SpecError, match="no class of tokens is called 'numbers'; did you mean 'number'"):
        Is("numbers")
    for letters in ("", "Ed", " ed"):
        with pytest.raises(SpecError, match='give small letters without blanks around them, such as ends "ing"'):
            Ends(letters)
    for kind, name in ((Starts, "starts"), (Stem, "stem")):
        with pytest.raises(SpecError, match=f"{name} 'A': give small letters"):
            kind("A")


def test_a_set_is_sorted_and_holds_each_string_once() -> None:
    assert Among(("b", "a", "b")) == Among(("a", "b"))
    assert sorted(CLASSES) == ["blank", "capitalised", "foreign", "letters", "newline", "number", "punctuation", "start", "upper"]  # fmt: skip
