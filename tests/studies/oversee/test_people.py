"""People as judges in a study: nothing is told too early, nothing is played in vain, and the record is like any other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from superalign.core.errors import SpecError
from superalign.core.spec import Record, validate
from superalign.people.desk import Desk, awaiting
from superalign.people.questions import Question
from superalign.studies.oversee import Oversee, oversee
from superalign.studies.oversee.feedback import PURPOSE
from superalign.studies.oversee.sweep import Sweep, prepare
from tests.people.asking import Clock, Memory, says


def spec(**changes: Any) -> Oversee:
    values: dict[str, Any] = {
        "source": {"task": "evidence"}, "judge": "human", "items": 3,
        "protocols": ["direct", "debate:kind=interactive:rounds=2", "consultancy:rounds=1"],
    }  # fmt: skip
    return validate(Oversee, values | changes)


def answered(desk: Desk, rng: random.Random, people: tuple[str, ...] = ("ann", "bob")) -> Iterator[Question]:
    """People answer whatever they are shown, one question after the other, until nothing is left."""
    while True:
        found = [(p, q) for p in people if (q := desk.next(p)) is not None]
        if not found:
            return
        person, question = rng.choice(found)
        desk.answer(person, question.call, says(question, rng.randrange(2)))
        yield question


def to_the_end(sweep: Sweep, desk: Desk, seed: int = 0) -> tuple[Record, int]:
    """The record once all has been answered, and in how many runs; after some answers the study is run again."""
    rng, runs = random.Random(seed), 0
    while True:
        with awaiting() as awaited:
            record = sweep.run()
        runs += 1
        if not awaited:
            return record, runs
        for _, _ in zip(range(rng.randint(1, 9)), answered(desk, rng), strict=False):
            pass


@pytest.mark.parametrize("protocols", [["direct"], ["debate:kind=interactive:rounds=2", "consultancy:rounds=1"]])
@pytest.mark.parametrize("swap", [True, False])
def test_no_judge_is_told_while_anything_about_the_item_may_still_be_asked(protocols: list[str], swap: bool) -> None:
    store = Memory()
    sweep = prepare(spec(protocols=protocols, swap=swap), store)
    record, _ = to_the_end(sweep, Desk(store))
    rows = [event.body for event in store.read("people/people")]
    item = {row["call"]: row["item"] for row in rows if row["kind"] == "question"}
    told: set[str] = set()
    for row in rows:
        if row["kind"] == "graded":
            told.add(item[row["call"]])
        elif row["kind"] in ("question", "shown", "answered", "taken"):
            assert item[row["call"]] not in told, row
    assert told == {i.id for i in sweep.setting.items}
    (audit,) = [a for a in record.audit if a.purpose == PURPOSE]
    assert (audit.door, audit.n) == ("truth", 3)


def test_judges_need_not_wait_for_the_last_item() -> None:
    store = Memory()
    sweep, desk = prepare(spec(protocols=["direct"]), store), Desk(store)
    sweep.run()
    first, other, _ = (i.id for i in sweep.setting.items)
    entries = desk.ask(lambda queue: list(queue.entries.values()))
    one, *rest = [e.call for e in entries if e.item == first]
    for call in [*rest, *(e.call for e in entries if e.item == other)][:-1]:
        desk.answer("ann", call, says(desk.question(call), 0))
    sweep.run()
    assert not any(e.truth is not None for e in desk.ask(lambda queue: list(queue.entries.values())))
    desk.answer("bob", one, says(desk.question(one), 0))
    sweep.run()
    assert {e.item for e in desk.ask(lambda queue: list(queue.entries.values())) if e.truth is not None} == {first}


def test_judges_are_told_the_place_of_the_right_choice_as_they_saw_it() -> None:
    store = Memory()
    sweep, desk = prepare(spec(), store), Desk(store)
    to_the_end(sweep, desk)
    right = {j.item: j.verdict.answer for j in sweep.setting.task.truth("test", "a test")(sweep.setting.items)}
    texts = {i.id: i.choices[int(right[i.id] or 0)] for i in sweep.setting.items}
    entries = desk.ask(lambda queue: list(queue.entries.values()))
    graded = [e for e in entries if e.truth is not None]
    assert {e.form for e in graded} == {"belief"}
    assert all(desk.question(e.call).choices[e.truth] == texts[e.item] for e in graded)
    assert {e.truth for e in graded} == {0, 1}
    # of each game the last belief: expert 6, direct 6, debates 6, consultancies 12
    assert len(graded) == 30
    early = [e for e in entries if e.form == "belief" and e.truth is None]
    assert 0 < len(early) <= 6, "beliefs in the middle of a debate"


def test_a_study_that_was_stopped_tells_judges_once_it_is_through() -> None:
    """Also about conditions that were finished by then."""
    store, desk = Memory(), Desk(Memory())
    desk = Desk(store)
    few = spec(protocols=["direct"], swap=False)
    to_the_end(prepare(few, store), desk)
    rows = [event for event in store.read("people/people") if event.body["kind"] != "graded"]
    again = Memory()
    again.artifacts, again.events = store.artifacts, {**store.events, "people/people": []}
    again.append("people/people", [event.body for event in rows])
    assert not any(e.truth is not None for e in Desk(again).ask(lambda queue: list(queue.entries.values())))
    record = prepare(few, again).run()
    assert all(e.truth is not None for e in Desk(again).ask(lambda queue: list(queue.entries.values())))
    assert [a.n for a in record.audit if a.purpose == PURPOSE] == [3]


def test_a_record_by_people_is_of_the_same_form_as_one_by_a_model() -> None:
    people, _ = to_the_end(prepare(spec(), store := Memory()), Desk(store))
    model = oversee(spec(judge=None))
    assert [c.name for c in people.conditions] == [c.name for c in model.conditions]
    for ours, theirs in zip(people.conditions, model.conditions, strict=True):
        assert ours.numbers.keys() == theirs.numbers.keys()
        assert ours.labels.keys() == theirs.labels.keys()
    for name in ("charts", "tables", "artifacts"):
        assert getattr(people, name).keys() == getattr(model, name).keys()
    assert {a.purpose for a in people.audit} == {a.purpose for a in model.audit} | {PURPOSE}
    assert not people.failures


def test_however_answers_arrive_the_record_is_that_of_one_run() -> None:
    """Games that wait are kept between runs; a study that starts with all answers plays everything anew."""
    store = Memory()
    sweep = prepare(spec(), store)
    pieces, runs = to_the_end(sweep, Desk(store), seed=5)
    assert runs > 4
    fresh = Memory()
    fresh.events = {name: rows for name, rows in store.events.items() if name.startswith(("people/", "calls/"))}
    at_once = prepare(spec(), fresh).run()
    for ours, theirs in zip(pieces.conditions, at_once.conditions, strict=True):
        assert ours == theirs
    assert pieces.audit == at_once.audit


def test_only_games_about_which_something_was_answered_are_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Memory()
    sweep, desk = prepare(spec(items=12, protocols=["direct"]), store), Desk(store)
    sweep.run()
    played: list[int] = []
    from superalign.studies.oversee import play as module

    real = module.play

    def counted(protocol: Any, cast: Any, games: Any, *rest: Any) -> Any:
        played.append(len(games))
        return real(protocol, cast, games, *rest)

    monkeypatch.setattr(module, "play", counted)
    sweep.run()
    assert sum(played) == 0
    next(answered(desk, random.Random(0)))
    sweep.run()
    assert sum(played) == 4, "both orders, in the floor and the ceiling"


def test_flawed_people_are_asked_once_and_told_too() -> None:
    """The flaw is added to what the person said; the same question is not asked again for it."""
    store = Memory()
    desk = Desk(store)
    sweep = prepare(spec(protocols=["direct"], flaws=["noise=1", "budget=5"], swap=False), store)
    record, _ = to_the_end(sweep, desk)
    entries = desk.ask(lambda queue: list(queue.entries.values()))
    assert len(entries) == 12, "direct and expert, each also with a message cut short"
    assert all(e.truth is not None for e in entries)
    assert record.condition("direct").numbers["accuracy"] != record.condition("direct/noise=1").numbers["accuracy"] or (
        record.condition("direct").numbers["log_score"] != record.condition("direct/noise=1").numbers["log_score"]
    )


@pytest.mark.parametrize("protocol", ["direct+majority:k=3", "debate+swap", "direct+reasoning"])
def test_wrappers_ask_people_too(protocol: str) -> None:
    store = Memory()
    record, _ = to_the_end(prepare(spec(items=1, swap=False, protocols=[protocol]), store), Desk(store))
    assert record.conditions[0].name == "direct"
    assert all(c.numbers["accuracy"].value is not None for c in record.conditions)


def test_two_people_for_each_question() -> None:
    store = Memory()
    sweep, desk = prepare(spec(items=2, protocols=["direct"], swap=False, judge="human:people=2"), store), Desk(store)
    record, _ = to_the_end(sweep, desk)
    entries = desk.ask(lambda queue: list(queue.entries.values()))
    assert {frozenset(e.given) for e in entries} == {frozenset({"ann", "bob"})}
    assert record.condition("direct").labels["judge"] == "human:people=2"


def test_a_person_who_debates_reads_the_source() -> None:
    store = Memory()
    sweep = prepare(spec(items=1, swap=False, protocols=["debate:rounds=1"], judge=None, agent="human"), store)
    sweep.run()
    desk = Desk(store, clock=Clock())
    asked = [desk.question(c) for c in desk.ask(lambda queue: list(queue.entries))]
    speeches = [q for q in asked if q.role.startswith("debater")]
    assert {q.form for q in speeches} == {"text"}
    (item,) = sweep.setting.items
    assert all(str(item.info["source"]) in q.messages[-1].content for q in speeches)
    assert all(not q.parts for q in speeches)


def test_a_plan_asks_nobody() -> None:
    store = Memory()
    plan = prepare(spec(), store).plan()
    assert any("as judge" in remark for remark in plan.remarks)
    assert not store.events


def test_a_referee_is_a_model() -> None:
    with pytest.raises(SpecError, match="--concession human: a referee reads every speech of every game; name a model"):
        prepare(spec(concession="human"), Memory())
