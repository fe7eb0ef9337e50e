"""The list of units and the page of one, as views."""

from __future__ import annotations

import json

import pytest

from superalign.report.view import absolute
from superalign.report.views import units as views
from superalign.report.views.units import Beside, FoundUnits
from tests.report import unit_examples as examples
from tests.report.test_page import Page

MAIN = "correlation:random-only"


def test_a_line_has_the_score_that_was_asked_for() -> None:
    line = views.line(examples.dossier(0), "mlp.0-0", MAIN)
    assert line.explanation.startswith("the words ")
    assert line.score is not None
    assert (line.score.value, line.score.gap, line.density) == ("0.500", "+0.080", "0.500%")
    undefined = views.line(examples.dossier(0), "mlp.0-0", "detection:f1")
    assert undefined.score is not None
    assert "undefined" in [b.word for b in undefined.score.badges]
    silent = views.line(examples.dossier(8), "mlp.0-8", MAIN)
    assert (silent.score, silent.explanation) == (None, "")
    assert views.line(examples.planted(), "space-3", MAIN).planted == "token in {ball, toy}"


def test_hostile_units_stay_text_and_twins_are_json() -> None:
    bad = examples.hostile()
    found = FoundUnits(
        [views.line(bad, "x", bad.scores[0].name)], 1, 2, 3, "-score", "s", {"q": "<b>"}, ("a", "b"), ("s",)
    )
    walk = Beside(2, 3, ("<i>", "a"), (bad.unit.name, "b"), {"q": "<b>"})
    for view in (views.units(examples.record(), found, absolute), views.unit(examples.record(), bad, walk, absolute)):
        json.dumps(view.data, allow_nan=False)
        seen = Page(f"<html><body>{view.body}</body></html>")
        assert not {"script", "img"} & {tag for tag, _ in seen.tags}
        assert not any(name.startswith(("on", "style")) for _, given in seen.tags for name in given)
        assert not set("\u202e\u200b\ufeff\x1b") & set(view.body)


@pytest.mark.parametrize(
    "sort, clicked, state",
    [("", "-score", "none"), ("-score", "score", "descending"), ("score", "-score", "ascending")],
)
def test_columns_sort_and_turn_round(sort: str, clicked: str, state: str) -> None:
    found = FoundUnits(
        [views.line(examples.dossier(0), "f", MAIN)], 1, sort=sort, score=MAIN, query={"q": "a", "sort": sort}
    )
    seen = Page(f"<html><body>{views.units(examples.record(), found, absolute).body}</body></html>")
    heads = [given["aria-sort"] for tag, given in seen.tags if tag == "th" and "aria-sort" in given]
    assert heads[2] == state
    assert f"/runs/interp-7f3a/units?sort={clicked}&q=a" in [
        given.get("href") for tag, given in seen.tags if tag == "a"
    ]
