"""People at the labelling forms in a browser: preferences, rankings, flaws in an answer, explanations; and whether they
agree."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from superalign.people.desk import Desk
from superalign.people.questions import Question
from superalign.store.sql import SqlStore
from tests.report.examples import ATTACKS

ANSWER = "😀😀 The capital of\u200b Australia is Sydney.\n\tIt was chosen in 1908 <b>by vote</b>."


def question(k: int, form: str = "rank", count: int = 2, want: int = 1, **more: Any) -> Question:
    choices = tuple(f"response {c} to question {k}" for c in range(count)) if form == "rank" else ()
    fields = {"prompt": f"Question {k}?", "choices": choices, **more}
    return Question(f"{k:064x}", form, form, f"t{k}", f"i{k}", want=want, **fields)


def critique(k: int, answer: str = ANSWER, **more: Any) -> Question:
    return question(k, "critique", parts={"answer": answer, "critique": "It is Canberra."}, **more)


def given(store: SqlStore, asked: Question) -> dict[str, Any]:
    """The only answer to a question."""
    answers = Desk(store).ask(lambda queue: list(queue.entries[asked.call].given.values()))
    (one,) = answers
    found: dict[str, Any] = one.answer
    return found


def taken(store: SqlStore, questions: list[Question]) -> dict[str, list[float]]:
    """What a run gets once answers have settled: ranks by call."""
    replies = Desk(store, clock=lambda: time.time() + 60).take(questions)
    return {call: json.loads(reply.text)["ranks"] for call, reply in replies.items()}


def here(page: Any) -> str:
    """The call of the question that is shown."""
    return str(page.url.partition("?")[0].rpartition("/")[2])


def send(page: Any) -> None:
    """Send by key, and wait for the next page."""
    with page.expect_navigation():
        page.keyboard.press("Control+Enter")


RANKS = {"1": [1, 2], "2": [1, 2], "3": [1, 1], "4": [2, 1], "5": [2, 1]}


def test_ten_preferences_with_undo(store: SqlStore, serve: Any, visit: Any) -> None:
    """The fifth answer is taken back and changed; a run gets the changed one and the nine others, once each."""
    questions = [question(k) for k in range(10)]
    Desk(store).post(questions)
    page = visit(f"{serve(store)}/judge/people", "Ada")
    with page.expect_navigation():
        page.keyboard.press("b")
    pressed: dict[str, str] = {}
    for n in range(10):
        call, key = here(page), str(n % 5 + 1)
        page.keyboard.press(key)
        pressed[call] = key
        send(page)
        if n == 4:
            with page.expect_navigation():
                page.keyboard.press("u")
            assert here(page) == call
            assert page.is_checked("[name=survey-preference][data-key='5']")  # as it was
            page.keyboard.press("1")
            pressed[call] = "1"
            send(page)
    assert here(page) == "waiting"
    assert len(pressed) == 10
    assert taken(store, questions) == {call: RANKS[key] for call, key in pressed.items()}
    said = Desk(store).ask(
        lambda q: [g.answer["survey"]["preference"] for e in q.entries.values() for g in e.given.values()]
    )
    assert said.count("clearly A") == 3


def test_two_judges_and_their_agreement(store: SqlStore, serve: Any, visit: Any, session: Any) -> None:
    questions = [question(k, want=2) for k in range(5)]
    Desk(store).post(questions)
    url = serve(store)
    ada, grace = (visit(f"{url}/judge/people", name) for name in ("Ada", "Grace"))
    for page in (ada, grace):
        with page.expect_navigation():
            page.keyboard.press("b")
    watched = ada.context.new_page()
    watched.goto(f"{url}/judge/people/agreement")
    assert "Nobody has answered" in watched.inner_text("main")
    for n in range(5):
        for page in (ada, grace):
            odd = int(here(page), 16) % 2
            page.keyboard.press("5" if page is grace and here(page) == questions[4].call else "1" if odd else "4")
            send(page)
        if n == 0:
            watched.wait_for_selector("#agreement >> text=Grace")
    watched.wait_for_selector("text=5 questions with an answer, 5 with two or more.")
    first = session(url, "Sofia").get("/judge/people/agreement.json").json()["forms"][0]
    (preference,) = [c for c in first["coefficients"] if c["name"].startswith("preference")]
    assert preference["alpha"]["value"] == 1
    assert first["pairs"] == [{"a": "Ada", "b": "Grace", "same": 5, "of": 5}]
    with grace.expect_navigation():  # the page changes with an answer
        grace.keyboard.press("u")
    changed = "1" if int(here(grace), 16) % 2 == 0 else "5"
    grace.keyboard.press(changed)
    send(grace)
    watched.wait_for_selector(".met >> text=0.80")
    assert "[" in watched.inner_text("td[data-label=alpha] .interval")


def test_a_ranking_by_keyboard_and_by_pointer(store: SqlStore, serve: Any, visit: Any) -> None:
    asked = question(1, count=4)
    Desk(store).post([asked])
    page = visit(f"{serve(store)}/judge/people/{asked.call}", "Ada")
    page.keyboard.press("Control+Enter")
    assert page.inner_text(".order").startswith("Rank all responses first")
    for key in "cab":
        page.keyboard.press(key)
    page.keyboard.press("=")
    assert page.inner_text(".order") == "From the best: C, then A and B. Not ranked yet: D."
    page.click("button[aria-label='Rank response D, or take it out of the ranking']")
    page.click("button[aria-label='Move response D up']")
    assert page.inner_text(".order") == "From the best: C, then D, then A and B."
    page.keyboard.press("ArrowUp")
    assert page.inner_text(".order") == "From the best: D, then C, then A and B."
    page.click("button[aria-label^='Tie response C']")
    page.click("button[aria-label='Move response A down']")
    assert page.inner_text(".order") == "From the best: D and C, then B, then A."
    page.check("[name=flag-0][value=bias]")
    for k in range(4):
        page.check(f"[name=rating-{k}][value='{k + 2}']")
    send(page)
    assert given(store, asked) == {"ranks": [3, 2, 1, 1], "ratings": [2, 3, 4, 5], "flags": [["bias"], [], [], []]}


def test_without_scripts_the_fields_do(store: SqlStore, serve: Any, session: Any) -> None:
    asked, other = question(1, count=3), critique(2)
    Desk(store).post([asked, other])
    ada = session(serve(store), "Ada")
    path = f"/judge/people/{asked.call}"
    page = ada.get(path).text
    assert 'name="rank-2"' in page
    fault = ada.send(f"{path}/answer", **{"rank-0": "2", "rank-1": "1", "rank-2": ""})
    assert fault.status_code == 422
    assert "give the rank of response C, 1 to 3" in fault.text
    assert "<option selected>2</option>" in fault.text
    ada.send(f"{path}/answer", **{"rank-0": "2", "rank-1": "1", "rank-2": "2"})
    ada.send(f"/judge/people/{other.call}/answer", claims="yes", rating="6")
    assert given(store, asked) == {"ranks": [2, 1, 2]}
    assert given(store, other) == {"rating": 6, "claims": "yes", "flaws": []}


def select(page: Any, text: str) -> None:
    """Select a text of the answer, as a pointer does."""
    page.evaluate(
        """text => {
          const walker = document.createTreeWalker(document.querySelector(".marked"), NodeFilter.SHOW_TEXT);
          for (let node; (node = walker.nextNode());) {
            const at = node.data.indexOf(text);
            if (at >= 0) document.getSelection().setBaseAndExtent(node, at, node, at + text.length);
          }
        }""",
        text,
    )
    page.wait_for_function("text => document.querySelector('.marker .order').textContent.includes(text)", arg=text)


def test_flaws_are_marked_where_python_counts_them(store: SqlStore, serve: Any, visit: Any) -> None:
    """By selection and by words, behind characters of two code units and one that cannot be seen, overlapping."""
    asked = critique(1)
    Desk(store).post([asked])
    url = f"{serve(store)}/judge/people/{asked.call}"
    page = visit(url, "Ada")
    assert page.inner_text(".marked") == ANSWER.replace("\u200b", "[U+200B]")
    select(page, "Sydney")
    page.check("[name=severity][value=critical]")
    page.fill("#flaw-note", "it is Canberra 😀")
    page.keyboard.press("Enter")  # marks, and does not send
    assert page.inner_text(".flaws li").startswith("Sydney critical: it is Canberra 😀")
    page.fill("#flaw-from", "3")
    page.fill("#flaw-to", "6")
    page.keyboard.press("ArrowUp")
    page.check("[name=severity][value=major]")
    page.click(".mark-it")
    select(page, "vote")
    page.click(".mark-it")
    page.click("[aria-label='Remove flaw 3']")
    assert page.inner_text("mark.critical") == "Sydney"
    assert page.locator("mark.deep").count() == 1
    assert page.inner_text(".marked") == ANSWER.replace("\u200b", "[U+200B]")
    page.click("h1")
    page.keyboard.press("p")
    page.keyboard.press("6")
    send(page)
    found = given(store, asked)
    assert (found["claims"], found["rating"]) == ("partly", 6)
    spans = [(ANSWER[f["start"] : f["end"]], f["severity"], f["note"]) for f in found["flaws"]]
    assert spans == [
        ("Sydney", "critical", "it is Canberra 😀"),
        ("capital of\u200b Australia is Sydney.", "major", ""),
    ]
    Desk(store).undo("Ada")
    page.goto(url)
    assert page.locator(".flaws li").count() == 2  # as it was
    assert page.inner_text("mark.critical") == "Sydney"


def test_an_explanation(store: SqlStore, serve: Any, visit: Any) -> None:
    rows = [{"tokens": ["The", " red", " house"], "values": [0, 3.2, 0.1]}, {"tokens": "x", "values": None}, 7]
    asked = question(1, "explanation", parts={"explanation": "colours", "excerpts": rows})
    Desk(store).post([asked])
    page = visit(f"{serve(store)}/judge/people/{asked.call}", "Ada", width=390)
    assert page.locator(".excerpts li").count() == 1
    assert "r9" in page.get_attribute(".excerpts .t", "class")
    page.keyboard.press("4")
    page.fill("#better", "names of colours")
    send(page)
    assert given(store, asked) == {"rating": 4, "better": "names of colours"}


@pytest.mark.parametrize("form", ["rank", "critique", "explanation"])
def test_hostile_text_is_shown_and_not_obeyed(form: str, store: SqlStore, serve: Any, visit: Any) -> None:
    """The browser's complaints (a script that would run, a picture that would load) fail the test."""
    harm = " ".join(
        [*ATTACKS, "<svg onload=alert(1)>", "</bdi></div><img src=x onerror=alert(1)>", "\u202eevil\u2066\u200b"]
    )
    long = f"{harm} " + "word " * 40_000
    rows = [{"tokens": [*ATTACKS, harm], "values": [1.0] * (len(ATTACKS) + 1)}]
    parts = {"answer": f"{harm}{long}", "critique": harm, "explanation": harm, "excerpts": rows}
    asked = question(1, form, prompt=harm, choices=(harm, long, harm) if form == "rank" else (), parts=parts)
    Desk(store).post([asked])
    page = visit(f"{serve(store)}/judge/people/{asked.call}", "Ada")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    shown = page.inner_text("main")
    assert "<svg onload=alert(1)>" in shown
    assert "[U+202E]evil" in shown
    assert page.locator("main img, main svg, main script, main iframe").count() == 0
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    if form == "critique":
        page.fill("#flaw-from", "2")
        page.click(".mark-it")
        assert len(page.inner_text(".flaws li")) < 400
        assert page.locator("main img, main svg, main script").count() == 0


def test_agreement_is_for_people_with_a_name(store: SqlStore, serve: Any, session: Any) -> None:
    Desk(store).post([question(1, want=2)], checks={question(1).call: {"ranks": [1, 2], "notes": "the key"}})
    url = serve(store)
    nobody, ada = session(url), session(url, "Ada")
    assert "Your name" in nobody.get("/judge/people/agreement").text
    assert nobody.get("/judge/people/agreement.json").status_code == 401
    assert ada.get("/judge/none/agreement").status_code == 404
    ada.send(f"/judge/people/{question(1).call}/answer", **{"rank-0": "2", "rank-1": "1", "notes": "mine"})
    for path in ("/judge/people/agreement", "/judge/people/agreement.json"):
        text = ada.get(path).text
        assert "Ada" in text
        assert "the key" not in text
        assert "mine" not in text
        assert question(1).call[:12] not in text
