"""The page of agreement: numbers with their doubt, names that are shown and not obeyed, no more than fits."""

from __future__ import annotations

import json

from superalign.core.spec import Number
from superalign.people.agreement import Agreement, Coefficient, Pair, Person
from superalign.report.view import absolute
from superalign.report.views.agreement import AT_MOST, agreement

NONE = Number(value=None, n=0, reason="undefined: no question has two answers")


def person(name: str, **more: object) -> Person:
    share = Number(value=0.75, low=0.5, high=0.9, n=12)
    fields: dict[str, object] = {
        "name": name, "answers": 12, "seconds": 31.4, "same": share, "first": share, "chance": 0.5, "passed": 3,
        "checked": 4, "log_score": NONE,
    }  # fmt: skip
    return Person(**{**fields, **more})  # type: ignore[arg-type]


def found(names: list[str], form: str = "rank") -> Agreement:
    alpha = Coefficient(
        "preference between two", "nominal", Number(value=0.41, low=0.2, high=0.6, n=12), person("").same
    )
    pairs = tuple(Pair(a, b, 3, 4) for a in names for b in names if a < b)
    return Agreement(form, 12, 12, (alpha,), person(""), tuple(map(person, names)), pairs)


def test_numbers_have_their_doubt() -> None:
    view = agreement("people", [found(["Ada", "Grace"])], 0, absolute)
    assert "0.41" in view.body
    assert "[0.20, 0.60]" in view.body
    assert "3 of 4" in view.body
    assert "by chance 0.50" in view.body
    assert "mean log score" not in view.body  # no game was graded
    assert 'data-follow="/events/agreement/people"' in view.body
    assert view.data["forms"][0]["people"][0]["same"] == {"value": 0.75, "low": 0.5, "high": 0.9, "n": 12}
    json.dumps(view.data, allow_nan=False)


def test_what_is_undefined_says_why() -> None:
    alone = Agreement("text", 1, 0, (), person("", same=NONE), (person("Ada", same=NONE, seconds=None),), ())
    mute = Agreement("critique", 1, 0, (Coefficient("x", "ordinal", NONE, NONE),), person(""), (person("Ada"),), ())
    body = agreement("people", [alone, mute], 0, absolute).body
    assert "no question has two answers" in body
    assert "undefined" in body
    assert "Nobody has answered at this desk yet." in agreement("people", [], 0, absolute).body
    assert "7 questions left to be counted" in agreement("people", [], 7, absolute).body


def test_names_are_shown_and_not_obeyed() -> None:
    body = agreement("people", [found(["<script>alert(1)</script>", "evil\u202ecod"])], 0, absolute).body
    assert "<script" not in body
    assert "&lt;script&gt;" in body
    assert "\u202e" not in body
    assert "[U+202E]" in body


def test_the_table_of_pairs_holds_those_with_most_answers() -> None:
    names = [f"person {k:02}" for k in range(AT_MOST + 3)]
    view = agreement("people", [found(names)], 0, absolute)
    table = view.body.partition('<table class="met">')[2]
    assert f"person {AT_MOST - 1:02}" in table
    assert f"person {AT_MOST:02}" not in table
    assert f"The {AT_MOST} people with most answers" in table
    assert len(view.data["forms"][0]["pairs"]) == len(names) * (len(names) - 1) // 2
