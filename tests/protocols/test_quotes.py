"""Quotes are found word for word, whatever the typography, and nothing else is ever called verified."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from superalign.protocols import quotes
from superalign.protocols.quotes import check, coverage, overlap, spans, tally, union, words_of

SOURCE = (
    "“I don’t know,” said the cap\u00adtain — he wasn't part of the crew…\n"
    "The well-known ship cost about $1,000, or -3.5 per cent less in Zürich (where it was built). "
    "Nobody saw the captain again before the long winter was over."
)


@pytest.mark.parametrize(
    "quote",
    [
        '"I don\'t know," said the captain',
        "i DON'T know said the captain",
        "said the captain - he wasn't part of the crew",
        "said the captain\n\n  he   wasn't part",
        "The well known ship cost about $1000",
        "cost about $1,000, or -3.5 per cent",
        "or \u22123.5 per cent",
        "in Zu\u0308rich (where it was built)",
        "in Zürich where it was built",
        "in Zürich -LRB- where it was built -RRB-",
        "I do n't know , '' said the captain",
        "ｓａｗ the captain again",
        "part of the crew... The well-known ship",
        "...saw the captain again...",
        "Nobody saw the captain … the long winter was over",
        "I don't know [...] wasn't part of . . . winter was over",
        "*Nobody* saw the _captain_ again",
    ],
)
def test_typography_does_not_count(quote: str) -> None:
    found = check(quote, SOURCE)
    assert (found.status, found.similarity, found.kind) == ("verified", 1.0, "")


@pytest.mark.parametrize(
    ("quote", "status"),
    [
        ("Nobody saw the captain again before the short winter", "near"),
        ("cost about $1,000, or 3.5 per cent less", "near"),  # a sign counts
        ("cost about $1,000, or -35 per cent less", "near"),  # and a decimal point
        ("in Zurich where it was built", "near"),
        ("saw the captain again before a very long winter", "near"),
        ("the long winter was over ... Nobody saw the captain", "unverified"),  # fragments out of order
        ("Nobody saw ... was over", "unverified"),  # fragments too short
        ("art of the crew", "near"),
        ("art", "unverified"),
        ("", "unverified"),
        ("... !", "unverified"),
        ("the captain was never seen by anyone in that town", "unverified"),
    ],
)
def test_what_is_not_word_for_word_is_not_verified(quote: str, status: str) -> None:
    found = check(quote, SOURCE)
    assert found.status == status
    assert found.similarity < 1
    assert found.parts == ()


def test_kinds() -> None:
    assert check("the captain", SOURCE)[0] == "verified"
    assert check("the captain", SOURCE).kind == "short"
    assert check("one two three four five six seven eight", SOURCE).kind == "fabricated"
    assert check("one two three four five six seven", SOURCE).kind == ""
    assert check("they all said the captain is never to be seen", SOURCE).kind == ""  # three words stand together


def test_a_span_points_at_the_source() -> None:
    found = check("don't know,\" said the captain - he", SOURCE)
    assert SOURCE[found.start : found.end] == "don’t know,” said the cap\u00adtain — he"
    found = check("Nobody saw the captain ... was over before", "Nobody saw the captain. It was over before noon.")
    assert found.parts == ((0, 22), (27, 42))
    assert (found.start, found.end) == (0, 42)
    near = check("Nobody saw the captain again before the short winter", SOURCE)
    assert SOURCE[near.start : near.end] == "Nobody saw the captain again before the long winter"


def test_scripts_without_spaces_are_quoted_by_the_character() -> None:
    source = "船长说他不知道。没有人再见到他。"
    assert check("没有人再见到", source).status == "verified"
    assert check("没有人再看到他", source).status == "near"
    assert check("हिन्दी में लिखा", "यह हिन्दी में लिखा है").status == "verified"


WORD = st.text(st.sampled_from("abcdeé'\u0301ßÅ5-.,ﬁ½中“”—…$\u00ad "), min_size=1, max_size=8)


@given(st.lists(WORD, min_size=1, max_size=30), st.integers(0, 999), st.integers(0, 999))
def test_every_run_of_words_is_verified_where_it_stands(pieces: list[str], first: int, count: int) -> None:
    source = " ".join(pieces)
    words, begins, ends = words_of(source)
    assume(words)
    first %= len(words)
    last = first + count % (len(words) - first)
    run = words[first : last + 1]
    quote = source[begins[first] : ends[last]]
    assume(words_of(quote)[0] == run)  # else a joint or a sign was cut from what gives it its meaning
    for written in (quote, quote.upper(), f"“{quote}”", unicodedata.normalize("NFKC", quote), f" {quote} ,"):
        if words_of(written)[0] == run:
            found = check(written, source)
            assert found.status == "verified"
            assert words_of(source[found.start : found.end])[0] == run


SMALL = st.lists(st.sampled_from(["up", "down", "not", "left"]), min_size=1, max_size=8)


@given(SMALL, SMALL)
def test_verified_means_that_the_words_stand_together(quote: list[str], source: list[str]) -> None:
    together = any(source[k : k + len(quote)] == quote for k in range(len(source)))
    found = check(" ".join(quote), ", ".join(source))
    assert (found.status == "verified") == together
    assert 0 <= found.similarity <= 1


def test_coverage_counts_every_character_once() -> None:
    source = "one two three four five six"
    first = "<quote>one two three</quote> and <quote>two three four</quote> and <quote>nine ten</quote>"
    assert spans(first, source) == ((0, 13), (4, 18))
    assert union([(4, 18), (0, 13), (18, 19), (21, 22)]) == ((0, 19), (21, 22))
    assert coverage([first, first], source) == pytest.approx(18 / 27)
    assert coverage([], source) == coverage([first], "") == 0
    second = "<verified>three four five</verified> <unverified>one two</unverified>"  # as they stand in a transcript
    assert overlap([first], [second], source) == pytest.approx((7 + 10) / 23)
    assert overlap([], [], source) == 0
    assert tally(first, source) == {"verified": 2, "unverified": 1, "short": 1}


def test_a_source_is_read_once() -> None:
    source = f"{SOURCE} Read once."
    before = quotes._read.cache_info()
    for _ in range(50):
        check("Read once", source)
    after = quotes._read.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 49)
