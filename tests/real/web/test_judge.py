"""Judging at the page: a debate from its first question to its verdict, and everything that may happen on the way."""

from __future__ import annotations

import hashlib
import html
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from superalign.cli.people import to_the_end
from superalign.compute.runs import live
from superalign.core.registry import find
from superalign.core.spec import Record
from superalign.core.types import Ask, Item, Message
from superalign.people.desk import Desk
from superalign.people.questions import Question, question_of
from superalign.protocols.floor import INTERACTIVE, SPEECH
from superalign.protocols.room import listed
from superalign.protocols.template import template
from superalign.store.sql import SqlStore
from superalign.studies.oversee.spec import Oversee
from tests.web.conftest import patient

SHEET = template("debate", "", INTERACTIVE)
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\u202e\u200b'
SECRET = "the-answer-that-a-check-should-get"
SPEC = {
    "study": "oversee", "source": {"task": "evidence"}, "items": 2, "swap": False,
    "protocols": ("debate:kind=interactive:rounds=2",),
}  # fmt: skip


def asked(name: str, section: str = "judge", people: int = 1, text: str = "") -> Question:
    """A question about a debate of two speeches on the item `name`."""
    prompt, answers = f"Is {name} so?{text}", (f"yes {text}", f"no {text}")
    said = "\n".join(SPEECH.format(f"Debater {s}", 1, f"For {s}: <verified>{name}</verified> {text}") for s in "AB")
    fields = {"prompt": prompt, "choices": listed(answers), "evidence": "", "transcript": said}
    choices = {"judge": answers, "more": ("continue", "end"), "question": ()}[section]
    ask = Ask("judge", (Message("user", SHEET.fill(section, **fields)),), choices, Item(name, prompt, answers))
    return question_of(hashlib.sha256(f"{name} {section}".encode()).hexdigest(), ask, people)


def put(store: SqlStore, *questions: Question, **options: Any) -> Desk:
    """The desk `people` with these questions."""
    desk = Desk(store)
    desk.post(questions, **options)
    return desk


def rows(store: SqlStore, kind: str = "") -> list[dict[str, Any]]:
    """The rows of the desk."""
    return [dict(e.body) for e in store.read("people/people") if kind in ("", e.body["kind"])]


def begin(someone: Any) -> str:
    """The address of the next question."""
    return str(someone.send("/judge/people/next").url.path)


# a study, judged at the page


def record(store: SqlStore, **options: Any) -> Record:
    """The record of the study, as a command makes it: people who have to answer are waited for."""
    spec = Oversee.model_validate({**SPEC, **options})
    prepared = find("studies", spec.study).prepare(spec, store)
    with live(store, spec.study, "oversee: evidence", spec.model_dump(mode="json")) as run:
        return to_the_end(prepared, store, run, run.progress())


def judge(page: Any, done: threading.Event, said: Sequence[str]) -> list[str]:
    """Answer whatever comes, with keys alone, until the study is done; the forms that came."""
    came, deadline = [], time.monotonic() + 45
    while not done.is_set() and time.monotonic() < deadline:
        if page.locator("#waiting").count():
            page.wait_for_timeout(50)
            continue
        form = page.get_attribute("#answer", "class").split()[1].removeprefix("form-")
        path = page.evaluate("location.pathname")
        page.wait_for_function("() => document.readyState === 'complete'")  # keys before that go nowhere
        if form == "belief":
            page.keyboard.press("8")
            page.keyboard.press("Enter")
        elif form == "choice":
            page.keyboard.press("c" if came.count("choice") == 0 else "e")
        else:
            page.keyboard.press("t")
            page.keyboard.type(said[0])
            page.keyboard.press("Control+Enter")
        page.wait_for_function("left => location.pathname !== left", arg=path)
        came.append(form)
    return came


def test_a_debate_is_judged_to_its_verdict_with_keys_alone(store: SqlStore, serve: Any, visit: Any) -> None:
    """Two items from the terminal's study to its record, which is of the form of a model-judged one."""
    found: list[Record] = []
    done = threading.Event()

    def run() -> None:
        try:
            found.append(record(store, judge="human"))
        finally:
            done.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    page = visit(f"{serve(store)}/judge", person="Ada")
    while not page.locator("text=Begin").count() and not done.is_set():
        page.reload()
    page.click("text=Begin")
    assert "15 minutes" in page.inner_text("main")  # what is kept is said before anything is
    page.keyboard.press("b")
    page.wait_for_selector("#answer")
    came = judge(page, done, ["What does the text say about X3?"])
    thread.join(10)
    assert found, (came, page.url, page.inner_text("main"), Desk(store).counts(), thread.is_alive())
    assert came.count("text") == 1
    assert came.count("choice") == 2
    assert came.count("belief") == 2 + 2 + 3  # floor, ceiling, and the debates, one of which went on
    by_model = record(store)
    assert form_of(found[0]) == form_of(by_model)
    debate = next(c for c in found[0].conditions if "debate" in c.name)
    assert debate.numbers["accuracy"].n == 2
    shown = [r for r in rows(store, "question") if "What does the text say about X3?" in str(r["messages"])]
    assert shown, "the judge's question reached the next round"
    page.goto(f"{page.evaluate('location.origin')}/judge/people/feedback")
    assert "right of 6 graded judgments" in page.inner_text("main")  # one for each game, now over


def form_of(of: Record) -> Any:
    """What a record of the same study by another judge has in common with it."""
    conditions = {c.name: (sorted(c.numbers), sorted(c.labels)) for c in of.conditions}
    defined = {c.name: sorted(k for k, n in c.numbers.items() if n.value is not None) for c in of.conditions}
    return (
        sorted(of.model_dump()), conditions, defined, sorted(of.artifacts), {k: v.columns for k, v in of.tables.items()},
        sorted(of.charts), {(a.door, a.split) for a in of.audit}, of.failures,
    )  # fmt: skip


# in a browser


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """`opened(url, person, **options of a context)`: a page whose console may say that a form was refused, and no more."""
    contexts, complaints = [], []

    def go(url: str, person: str, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = patient(contexts[-1].new_page())
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.goto(f"{url}/enter?then=/judge/people")
        page.fill("#person", person)
        page.click("main form button")
        return page

    yield go
    for context in contexts:
        context.close()
    assert not [c for c in complaints if "status of 422" not in c], complaints


def test_a_fault_is_shown_above_the_form_as_it_was(store: SqlStore, serve: Any, opened: Any) -> None:
    put(store, asked("first"))
    page = opened(serve(store), "Ada", viewport={"width": 390, "height": 844})
    page.click("text=Begin")
    page.click("text=A note")
    page.fill("#notes", "because of <b>this</b>")
    assert "Move the slider" in page.inner_text("#stake")
    page.focus("#slider")
    page.keyboard.press("Enter")  # without an answer
    page.wait_for_selector(".fault")
    assert "give one of the answers" in page.inner_text(".fault")
    assert page.evaluate("document.activeElement.className") == "fault"
    assert page.input_value("#notes") == "because of <b>this</b>"
    page.keyboard.press("9")
    assert page.evaluate("document.activeElement.id") == "slider"
    assert page.get_attribute("#slider", "aria-valuetext") == "A 1 %, B 99 %: almost surely B."
    assert "If right +0.99 bits, if wrong −5.64." in page.inner_text("#stake")
    page.keyboard.press("ArrowLeft")
    assert "A 2 %, B 98 %" in page.inner_text("#stake")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.keyboard.press("Enter")
    page.wait_for_selector("#waiting")
    (row,) = rows(store, "answered")
    assert row["answer"] == {"choice": 1, "probs": [pytest.approx(0.02), 0.98], "notes": "because of <b>this</b>"}
    assert row["seconds"] > 0


def test_undo_skip_and_the_next_question_by_itself(store: SqlStore, serve: Any, visit: Any) -> None:
    desk = put(store, asked("first"))
    page = visit(f"{serve(store)}/judge/people", person="Ada")
    page.keyboard.press("b")
    page.wait_for_selector("#slider")
    page.keyboard.press("s")
    page.wait_for_selector("text=Only questions that you skipped are left")
    page.keyboard.press("b")
    page.wait_for_selector("#slider")
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Nothing waits for you now")
    page.keyboard.press("u")
    page.wait_for_selector("#slider")
    assert page.input_value("#slider") == "75"  # as it was
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Nothing waits for you now")
    desk.post([asked("first", "more")])  # the next turn of the game
    page.wait_for_selector("button.big", timeout=5000)
    assert page.inner_text(".judging .before") == "After this round you held A 90 %, B 10 %."
    page.keyboard.press("e")
    page.wait_for_selector("text=Nothing waits for you now")
    kinds = [r["kind"] for r in rows(store)]
    assert kinds == ["question", "shown", "skipped", "shown", "answered", "undone", "shown", "answered", "question",
                     "shown", "answered"]  # fmt: skip
    assert rows(store, "answered")[-1]["answer"] == {"choice": 1}


def test_forms_work_without_script(store: SqlStore, serve: Any, opened: Any) -> None:
    put(store, asked("first"))
    page = opened(serve(store), "Ada", java_script_enabled=False)
    page.click("text=Begin")
    page.check("[name=choice][value='1']")
    page.fill("#confidence", "80")
    page.click("text=Questions about the debate")
    page.select_option("#survey-decided", "quotes")
    page.click("text=Send")
    page.wait_for_selector("text=Nothing waits for you now")
    (row,) = rows(store, "answered")
    assert row["answer"] == {"choice": 1, "probs": [pytest.approx(0.2), 0.8], "survey": {"decided": "quotes"}}


# without a browser


@pytest.fixture
def people(store: SqlStore, serve: Any, session: Any) -> Iterator[Any]:
    """`people(*names)`: sessions at one page."""
    url = serve(store)
    return lambda *names: [session(url, name) for name in names]


def test_to_look_changes_nothing(store: SqlStore, people: Any) -> None:
    question = asked("first")
    put(store, question)
    (ada,) = people("Ada")
    for path in ("", "/people", "/people/waiting", "/people/feedback", f"/people/{question.call}"):
        for twin in ("", ".json"):
            assert ada.get(f"/judge{path}{twin}").status_code == 200, path + twin
    assert [r["kind"] for r in rows(store)] == ["question"]
    for path in ("next", "undo", f"{question.call}/answer", f"{question.call}/skip"):
        assert ada.get(f"/judge/people/{path}").status_code in (404, 405)


def test_who_has_no_name_is_asked_for_it_and_comes_back(store: SqlStore, people: Any) -> None:
    put(store, asked("first"))
    (nobody,) = people("")
    assert "/enter?then=%2Fjudge%2Fpeople" in str(nobody.get("/judge/people").url)
    assert nobody.get("/judge/people.json").status_code == 401
    assert nobody.send("/judge/people/next").url.path == "/enter"
    assert [r["kind"] for r in rows(store)] == ["question"]
    assert nobody.send("/enter", person="Ada", then="/judge/people").url.path == "/judge/people"


def test_a_form_that_is_sent_twice_counts_once(store: SqlStore, people: Any) -> None:
    put(store, asked("first"), asked("second"))
    ada, again = people("Ada", "Ada")  # two tabs
    path = begin(ada)
    fields = {"choice": "1", "confidence": "80"}
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda who: who.send(f"{path}/answer", **fields), (ada, again, ada, again)))
    assert {r.status_code for r in sent} == {200}
    assert len(rows(store, "answered")) == 1
    other = again.send(f"{path}/answer", choice="0", confidence="80")
    assert other.status_code == 409
    assert "undo that answer first" in other.text
    assert len(rows(store, "answered")) == 1
    assert "You have answered this question" in ada.get(path).text  # the back button


def test_a_fault_keeps_nothing_and_loses_nothing(store: SqlStore, people: Any) -> None:
    put(store, asked("first", "question"), asked("second"))
    (ada,) = people("Ada")
    path = f"/judge/people/{asked('first', 'question').call}"
    long = "x" * 20_001
    found = ada.send(f"{path}/answer", text=long)
    assert found.status_code == 422
    assert "20,001 characters; at most 20,000 are kept" in found.text
    assert long in found.text
    assert ada.send(f"{path}/answer", text=" ").status_code == 422
    path = f"/judge/people/{asked('second').call}"
    for wrong in (
        {},
        {"choice": "7", "confidence": "80"},
        {"choice": "1", "confidence": "20"},
        {"choice": "1", "confidence": HOSTILE},
    ):
        found = ada.send(f"{path}/answer", **wrong)
        assert found.status_code == 422
        assert "<script>alert" not in found.text
    assert not rows(store, "answered")


def test_two_judges_never_get_the_same_question(store: SqlStore, people: Any) -> None:
    put(store, *(asked(f"item-{k}") for k in range(3)))
    ada, bob, eve = people("Ada", "Bob", "Eve")
    theirs = [begin(who) for who in (ada, bob, eve)]
    assert len(set(theirs)) == 3
    assert begin(ada) == theirs[0]  # still the same
    held = ada.get(theirs[1])
    assert "Somebody else is at this question" in held.text
    assert "Is item-" not in held.text
    assert "question" not in ada.get(f"{theirs[1]}.json").json()
    ada.send(f"{theirs[0]}/answer", choice="0", confidence="60", notes="a note of Ada")
    assert "This question has its answer" in bob.get(theirs[0]).text
    for who in (bob, eve):
        for path in (
            "/judge",
            "/judge/people",
            "/judge/people/waiting",
            "/judge/people/feedback",
            theirs[0],
            theirs[1],
        ):
            for twin in ("", ".json"):
                assert "a note of Ada" not in who.get(path + twin).text


def test_two_answers_are_wanted_and_neither_sees_the_other(store: SqlStore, people: Any) -> None:
    put(store, asked("first", people=2))
    ada, bob = people("Ada", "Bob")
    path = begin(ada)
    ada.send(f"{path}/answer", choice="0", confidence="61", notes="a note of Ada")
    assert begin(bob) == path
    for twin in ("", ".json"):
        shown = bob.get(path + twin).text
        assert "a note of Ada" not in shown
        assert "0.61" not in shown
    bob.send(f"{path}/answer", choice="1", confidence="90")
    assert len(rows(store, "answered")) == 2


def test_an_answer_that_comes_late_is_kept(store: SqlStore, people: Any) -> None:
    """Ada's lease ran out and Bob answered: her answer is not lost, and she is told where to go on."""
    question = asked("first")
    desk = put(store, question)
    (ada,) = people("Ada")
    path = begin(ada)
    desk.answer("Bob", question.call, {"choice": 0, "probs": [0.6, 0.4]})
    assert "Somebody else answered it in the meantime" in ada.get(path).text
    assert ada.send(f"{path}/answer", choice="1", confidence="80").status_code == 200
    assert [r["person"] for r in rows(store, "answered")] == ["Bob", "Ada"]
    assert desk.take([question])[question.call].text == "yes "  # the run goes by the first


def test_a_question_that_comes_before_the_page_listens_is_told(store: SqlStore, people: Any) -> None:
    desk = put(store, asked("first", "more"))
    (ada,) = people("Ada")
    waits = ada.send("/judge/people/next", only="belief")
    follow = re.search(r'data-follow="([^"]+)"', waits.text)
    assert follow is not None
    desk.post([asked("second")])
    with ada.client.stream("GET", html.unescape(follow[1])) as events:
        assert "event: changed" in events.iter_lines()  # ends at the first; without it, the client's timeout


def test_undo_ends_where_the_run_has_the_answer(store: SqlStore, people: Any) -> None:
    question = asked("first", "more")
    desk = put(store, question)
    (ada,) = people("Ada")
    ada.send(f"{begin(ada)}/answer", choice="0")
    back = ada.send("/judge/people/undo")
    assert back.url.path.endswith(question.call)
    assert "Before, you chose <bdi>continue</bdi>" in back.text
    ada.send(f"/judge/people/{question.call}/answer", choice="1")
    desk.take([question])
    gone = ada.send("/judge/people/undo")
    assert gone.status_code == 409
    assert "the run has used what you gave" in gone.text
    assert "Undo" not in ada.get("/judge/people/waiting").text


def test_a_skip_keeps_its_reason_and_only_one_form_is_asked_for(store: SqlStore, people: Any) -> None:
    put(store, asked("first"), asked("second", "more"))
    (ada,) = people("Ada")
    path = ada.send("/judge/people/next", only="choice").url.path
    assert path.endswith(asked("second", "more").call)
    after = ada.send(f"{path}/skip", why="I know the author", only="choice")
    assert "Only questions that you skipped are left" in after.text
    assert rows(store, "skipped")[0]["why"] == "I know the author"
    assert begin(ada).endswith(asked("first").call)


def test_what_is_not_there_is_told(store: SqlStore, people: Any) -> None:
    put(store, asked("first"))
    ada, nobody = people("Ada", "")
    assert ada.get("/judge/nowhere.json").json() == {"error": "no desk 'nowhere' in this store"}
    for path in ("/judge/nowhere", "/judge/..%2Fpeople", "/judge/PEOPLE/waiting", "/events/desk/nowhere"):
        assert ada.get(path).status_code == 404, path
    missing = ada.get("/judge/people/c0ffee")
    assert missing.status_code == 404
    assert "no question &#39;c0ffee&#39; at the desk" in missing.text
    assert ada.send("/judge/people/c0ffee/answer", choice="0").status_code == 409
    assert ada.send("/judge/people/c0ffee/skip").status_code == 400
    assert ada.send("/judge/nowhere/next").status_code == 404
    assert nobody.get("/judge").status_code == 200


def test_nobody_asked_anything(people: Any) -> None:
    (ada,) = people("Ada")
    assert "superalign oversee --task evidence" in ada.get("/judge").text
    assert ada.get("/judge.json").json() == {"desks": {}}


def test_hostile_text_is_shown_harmlessly(store: SqlStore, people: Any) -> None:
    questions = [asked(f"item{k}", section, text=HOSTILE) for k, section in enumerate(("judge", "more", "question"))]
    desk = put(store, *questions)
    (ada,) = people(HOSTILE[:55])
    desk.grade({questions[0].call: 1})
    for question in questions:
        path = begin(ada)
        fields = {"choice": "0", "confidence": "70", "text": HOSTILE, "notes": HOSTILE, "survey-decided": HOSTILE}
        shown = ada.get(path).text + ada.send(f"{path}/answer", **{**fields, "choice": HOSTILE, "text": ""}).text
        assert "<script>alert" not in shown, question.form
        assert "<img" not in shown
        assert "\u202e" not in shown
        assert "[U+202E]" in shown
        ada.send(f"{path}/answer", **fields)
    for path in ("/judge", "/judge/people", "/judge/people/waiting", "/judge/people/feedback"):
        shown = ada.get(path).text
        assert "<script>alert" not in shown
        assert "<img" not in shown
    assert len(rows(store, "answered")) == 3


def test_the_key_is_told_to_those_who_judged_and_only_then(store: SqlStore, people: Any) -> None:
    questions = [asked(f"item-{k}") for k in range(4)]
    checks = {q.call: {"choice": 0, "marker": SECRET} for q in questions}
    desk = put(store, *questions, checks=checks)
    ada, bob = people("Ada", "Bob")
    for _ in range(3):
        ada.send(f"{begin(ada)}/answer", choice="1", confidence="80")
    answered = [r["call"] for r in rows(store, "answered")]
    ungraded = next(q.call for q in questions if q.call not in answered)
    assert ada.get("/judge/people/feedback.json").json()["graded"] == 0
    desk.grade({answered[0]: 1, answered[1]: 0, ungraded: 0})
    data = ada.get("/judge/people/feedback.json").json()
    assert (data["mine"], data["graded"], data["accuracy"]["value"]) == (3, 2, 0.5)
    assert [(n["choice"], n["truth"]) for n in data["newest"]] == [(1, 0), (1, 1)]
    assert data["newest"][1]["log2"] == pytest.approx(0.678, abs=1e-3)
    page = ada.get("/judge/people/feedback").text
    assert "50 % right of 2 graded judgments" in page
    assert "log score -1.32, Brier 1.28" in page
    assert bob.get("/judge/people/feedback.json").json() == {"desk": "people", "mine": 0, "graded": 0, "newest": []}
    begin(bob)
    paths = ["/judge", "/judge/people", "/judge/people/waiting", "/judge/people/feedback"]
    paths += [f"/judge/people/{q.call}" for q in questions]
    for who in (ada, bob):
        for path in paths:
            twin = who.get(f"{path}.json")
            assert SECRET not in who.get(path).text + twin.text
            assert path.endswith("feedback") or "truth" not in json.dumps(twin.json())


def test_a_mixed_in_question_looks_like_any_other(store: SqlStore, people: Any) -> None:
    """Every second question is one of quality control: its page and its counts tell nothing, and it is one person's."""
    desk = put(store, *(asked(f"item-{k}") for k in range(3)))
    desk.mix([(asked("known"), {"choice": 0, "marker": SECRET})], every=2)
    ada, bob = people("Ada", "Bob")
    seen = []
    for k in range(3):
        path = begin(ada)
        data = ada.get(f"{path}.json").json()
        seen.append((data["question"]["prompt"], sorted(data["question"]), data["questions"] - data["waiting"]))
        assert data["mine"] == data["questions"] - data["waiting"] == k
        if data["question"]["prompt"] == "Is known so?":
            assert bob.get(path).status_code == 404
            assert bob.send(f"{path}/answer", choice="0", confidence="60").status_code == 409
        assert SECRET not in ada.get(path).text
        ada.send(f"{path}/answer", choice="1", confidence="80")
    assert [prompt for prompt, _, _ in seen].index("Is known so?") == 1
    assert len({str(names) for _, names, _ in seen}) == 1


def test_the_desks_and_their_counts(store: SqlStore, people: Any) -> None:
    put(store, asked("first"), asked("second"), asked("third", "more"))
    (ada,) = people("Ada")
    ada.send(f"{ada.send('/judge/people/next', only='belief').url.path}/answer", choice="1", confidence="80")
    found = ada.get("/judge.json").json()["desks"]["people"]
    assert found == [
        {"form": "belief", "waiting": 1, "done": 1, "answers": 1, "people": 1, "mine": 1},
        {"form": "choice", "waiting": 1, "done": 0, "answers": 0, "people": 0, "mine": 0},
    ]
    start = ada.get("/judge/people").text
    assert "2 questions wait here" in start
    assert "which answer is right" in start
