"""A transcript's page: what is on it, where its links lead, and hostile text that stays text."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superalign.protocols.played import Archive
from superalign.report import transcript
from superalign.report.games.script import Piece, heard
from superalign.report.text import visible
from superalign.report.transcript import segments
from tests.report import game_examples as examples
from tests.report.test_browser import Visit
from tests.report.test_page import Page

DOOR = examples.archives()["debate"].items["door"]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    bad, bad_item = examples.hostile()
    told = heard(Archive({"door": DOOR}, (examples.debate(),)))
    return {
        "debate": transcript.html(examples.debate(), DOOR, "oversee-1"),
        "consultancy": transcript.html(examples.consultancy(), DOOR),
        "judges": transcript.html(told.games[0], told.items["door"]),
        "hostile": transcript.html(bad, bad_item, examples.HARM),
    }


def body(page: str) -> str:
    """The text of a page below its style sheet."""
    return Page("<html><body>" + page.partition("<body>")[2]).text


def test_a_debate_is_all_there(pages: dict[str, str]) -> None:
    text = body(pages["debate"])
    for words in (
        "What colour was the door?", "game d0", "record oversee-1", "source Moon", "4 quotes verified", "2 quotes near",
        "2 quotes unverified", "Verdict: B (0.90) , right. B is true.", "Before the first round", "Round 2",
        "Debater A for A · parrot", "A 0.40, B 0.60", "Hidden reasoning", "I must lie.", "not in the source",
    ):  # fmt: skip
        assert words in text, words


def test_verified_quotes_lead_into_the_source(pages: dict[str, str]) -> None:
    seen = Page(pages["debate"])
    links = {a["href"][1:] for t, a in seen.tags if t == "a" and "quote" in a.get("class", "")}
    place = examples.STORY.index("the red door"), examples.STORY.index("Bo painted the old")
    assert {f"source-{p}" for p in place} <= links <= set(seen.ids)
    assert len(seen.ids) == len(set(seen.ids))
    marked = re.findall(r'<mark class="([\w-]+)"[^>]*>([^<]*)</mark>', pages["debate"])
    assert ("side-1", "the red door") in marked
    assert ("side-2", "Bo painted the old door green") in marked


def test_the_source_is_cut_where_quotes_meet() -> None:
    found = [(0, Piece("bcd", "verified", 1, 4)), (1, Piece("de", "verified", 3, 5)), (1, Piece("no", "unverified"))]
    made = segments("abcdefg", found)
    assert [(s.text, s.sides, s.anchor) for s in made] == [
        ("a", (), ""), ("bc", (0,), "source-1"), ("d", (0, 1), "source-3"), ("e", (1,), ""), ("fg", (), ""),
    ]  # fmt: skip
    assert "".join(s.text for s in made) == "abcdefg"


def test_a_page_for_judges_has_no_verdict_and_no_source(pages: dict[str, str]) -> None:
    text = body(pages["judges"])
    for hidden in ("Verdict", "0.40", "right", "nobody knew", "parrot", "I must lie", examples.CANARY, "is true"):
        assert hidden not in text, hidden
    assert "the red door" in text
    assert "not in the source" in text


def test_hostile_text_stays_text(pages: dict[str, str]) -> None:
    seen = Page(pages["hostile"])  # well-formed: nothing closed a tag that it did not open
    assert {t for t, _ in seen.tags} <= {
        "html", "head", "meta", "title", "style", "body", "main", "header", "section", "article", "p", "h1", "h2", "h4",
        "ol", "li", "b", "bdi", "span", "strong", "code", "details", "summary", "div", "a", "sup", "svg", "rect", "path",
        "mark", "table", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert not any(name.startswith("on") or name == "style" for _, attributes in seen.tags for name in attributes)
    assert all(a["href"].startswith("#source-") for t, a in seen.tags if t == "a")
    assert all(a.get("id", "x").replace("-", "").isalnum() for _, a in seen.tags)
    body = pages["hostile"].partition("<body>")[2]
    assert not set("\u202e\u200b\ufeff") & set(body)
    for attack in examples.ATTACKS[:3]:
        assert attack in " ".join(seen.texts)
    assert visible(examples.ATTACKS[6]) in " ".join(seen.texts)
    forged = re.findall(r'class="quote verified"[^>]*>([^<]*)<', body)
    assert set(forged) <= {"“the red door”"}  # a typed tag verifies nothing; what it quotes is text


def test_the_policy_allows_the_page_s_own_style(pages: dict[str, str]) -> None:
    policy = next(a["content"] for _, a in Page(pages["debate"]).tags if a.get("http-equiv"))
    style = re.search(r"<style>(.*?)</style>", pages["debate"], re.DOTALL)
    assert style is not None
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in policy
    assert style[1] == transcript.styles()


def test_a_fragment_is_the_inside_of_the_page(pages: dict[str, str]) -> None:
    assert transcript.fragment(examples.debate(), DOOR, "oversee-1").strip() in pages["debate"]
    assert transcript.html(examples.debate(), DOOR, "oversee-1") == pages["debate"]


def test_games_without_much(pages: dict[str, str]) -> None:
    assert "no verdict: failed: consultant" in Page(pages["consultancy"]).text
    assert "The call failed: timed out" in Page(pages["consultancy"]).text
    empty = replace(examples.debate(), turns=(), right=None, honest=None)
    assert "Nothing was said." in Page(transcript.html(empty, replace(DOOR, info={}))).text


def test_an_order_that_differs_is_said() -> None:
    swapped = body(transcript.html(examples.debate("d1", (1, 0)), DOOR))
    assert "The judge was shown the answers in the order B, A." in swapped
    in_turn = body(transcript.html(examples.debate("d2", (1, 0), in_turn=True), DOOR))
    assert "was shown the answers" not in in_turn
    assert "A green B red" in in_turn
    assert "A 0.40, B 0.60" in in_turn  # green, then red
    assert "A 0.60, B 0.40" in swapped


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pages: dict[str, str]) -> Path:
    path = tmp_path_factory.mktemp("transcripts")
    for name, text in pages.items():
        (path / f"{name}.html").write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["debate", "consultancy", "judges", "hostile"])
def test_a_page_opens_silently_and_fits(browser: Any, folder: Path, name: str) -> None:
    seen = Visit(browser, folder / f"{name}.html")
    try:
        assert seen.too_wide() == []
        assert seen.complaints == []
        assert seen.asked == [seen.page.url]
        assert seen.page.locator("h1").is_visible()
    finally:
        seen.context.close()


def test_speeches_stand_side_by_side_and_quotes_open_the_source(browser: Any, folder: Path) -> None:
    seen = Visit(browser, folder / "debate.html")

    def columns(width: int) -> int:
        seen.page.set_viewport_size({"width": width, "height": 900})
        boxes = [seen.page.locator("article.speech").nth(k).bounding_box() for k in (0, 1)]
        return len({round(b["x"]) for b in boxes})

    assert (columns(390), columns(1280)) == (1, 2)
    mark = seen.page.locator("mark", has_text="the red door")
    assert not mark.is_visible()
    seen.page.locator("a.quote", has_text="the red door").first.click()
    assert mark.is_visible()
    seen.context.close()
