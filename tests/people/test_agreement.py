"""The agreement of people at a desk: the same coefficients as from all ratings at once, whatever happened on the way."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.people import agreement
from superalign.people.agreement import Agreement, Tally, share
from superalign.people.desk import Desk
from superalign.people.questions import Question
from superalign.studies.rate.agreement import alpha, raw_agreement
from tests.people.asking import Clock, Memory, belief, says

RATERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
"""Krippendorff (2011): four raters, twelve units, dots missing."""
PEOPLE = ("Ada", "Grace", "Sofia")


def question(k: int, form: str = "explanation", count: int = 3, want: int = 4) -> Question:
    choices = tuple(f"{k}-{c}" for c in range(count)) if form == "rank" else ()
    return Question(f"{k:064x}", form, form, f"t{k}", f"i{k}", f"Question {k}", (), choices, {"answer": "abcdef"}, want)


def at(memory: Memory, *questions: Question, **more: Any) -> tuple[Desk, Tally]:
    desk = Desk(memory, clock=Clock())
    desk.post(questions, **more)
    return desk, Tally(memory, desk)


def only(tally: Tally) -> Agreement:
    (found,), left = tally.agreements()
    assert left == 0
    return found


def ranked(*ranks: int) -> dict[str, Any]:
    return {"ranks": list(ranks)}


def test_classic_data() -> None:
    desk, tally = at(Memory(), *map(question, range(12)))
    for person, row in zip("ABCD", RATERS, strict=True):
        for k, rating in enumerate(row):
            if rating != ".":
                desk.answer(person, question(k).call, {"rating": int(rating)})
    found = only(tally)
    (of,) = found.coefficients
    assert (found.questions, found.shared, of.metric) == (12, 11, "ordinal")
    assert of.alpha.value == pytest.approx(0.815388, abs=1e-6)
    whole = alpha([(k, float(r[k])) for r in RATERS for k in range(12) if r[k] != "."], "ordinal")
    assert of.alpha.low == pytest.approx(whole.low, abs=0.1)
    assert of.alpha.high == pytest.approx(whole.high, abs=0.05)
    assert {(p.a, p.b): (p.same, p.of) for p in found.pairs}["A", "B"] == (8, 9)


@pytest.mark.parametrize("seed", range(3))
def test_what_was_followed_is_what_is_counted_anew(seed: int) -> None:
    """Answers, undone answers, skipped and graded questions, in any order; a second server sees the same."""
    memory, rng = Memory(), random.Random(seed)
    questions = [question(k, ("rank", "critique", "explanation")[k % 3], want=3) for k in range(12)]
    questions += [belief(f"game {k}", want=3) for k in range(4)]
    desk, followed = at(memory, *questions, checks={questions[0].call: ranked(1, 2, 3)})
    for _ in range(150):
        asked, person = rng.choice(questions), rng.choice(PEOPLE)
        state: Any = desk.ask(lambda queue, call=asked.call: queue.entries[call])
        if state.open and person not in state.given:
            desk.answer(person, asked.call, _any(asked, rng))
        elif rng.random() < 0.5 and any(not desk.ask(lambda q, c=c: q.entries[c].taken) for c in _given(desk, person)):
            desk.undo(person)
        if rng.random() < 0.1:
            desk.take([asked])
            if asked.form == "belief":
                desk.grade({asked.call: rng.randrange(2)})
        if rng.random() < 0.3:
            followed.agreements()
    found, left = followed.agreements()
    assert (found, left) == Tally(memory, Desk(memory, clock=Clock())).agreements()
    for of in found:
        assert (
            of.shared
            <= of.questions
            == desk.ask(lambda q, f=of.form: sum(bool(e.given) for e in q.entries.values() if e.form == f))
        )


def _given(desk: Desk, person: str) -> list[str]:
    return list(desk.ask(lambda queue: queue.last.get(person, [])))


def _any(asked: Question, rng: random.Random) -> dict[str, Any]:
    rating = rng.randint(1, 7)
    if asked.form == "rank":
        ranks = [rng.randint(1, 3) for _ in asked.choices]
        return {"ranks": ranks, **({"ratings": [rating] * 3} if rng.random() < 0.7 else {})}
    if asked.form == "critique":
        flaws = [{"start": 0, "end": 2, "severity": "minor", "note": ""}] * rng.randint(0, 1)
        return {"rating": rating, "claims": rng.choice(("yes", "partly", "no")), "flaws": flaws}
    return {"rating": rating} if asked.form == "explanation" else says(asked, rng.randrange(2))


@given(
    st.lists(
        st.lists(st.sampled_from([ranked(1, 2, 2), ranked(1, 2, 3), ranked(3, 2, 1), ranked(1, 1, 1)]), max_size=3),
        max_size=6,
    )
)
def test_ranks_agree_as_preferences_between_two(said: list[list[dict[str, Any]]]) -> None:
    desk, tally = at(Memory(), *(question(k, "rank") for k in range(len(said))))
    units: dict[Any, list[float]] = {}
    for k, answers in enumerate(said):
        for person, answer in zip(PEOPLE, answers, strict=False):
            desk.answer(person, question(k).call, answer)
            a, b, c = answer["ranks"]
            for pair, (x, y) in enumerate(((a, b), (a, c), (b, c))):
                units.setdefault((k, pair), []).append((x > y) - (x < y))
    if not units:
        assert tally.agreements() == ([], 0)
        return
    preference, rating = only(tally).coefficients
    whole = alpha([(u, r) for u, ratings in units.items() for r in ratings], rounds=1)
    assert preference.alpha.value == (whole.value if whole.value is None else pytest.approx(whole.value))
    assert preference.same.value == (pytest.approx(same) if (same := raw_agreement(units)) is not None else None)
    if whole.value is None:
        assert preference.alpha.reason in (
            "undefined: no question has two answers",
            "undefined: all answers are equal",
        )
    assert rating.alpha.reason == "undefined: no question has two answers"


def test_groups_of_questions_give_the_interval_of_single_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, rng = Memory(), random.Random(0)
    questions = [question(k, want=2) for k in range(1500)]
    desk, tally = at(memory, *questions)
    rows = []
    for q in questions:
        truth = rng.randint(2, 6)
        for person in "AB":
            answer = {"rating": truth + rng.randint(-1, 1)}
            rows.append(
                {
                    "kind": "answered",
                    "call": q.call,
                    "person": person,
                    "at": 1.0,
                    "seconds": 1.0,
                    "ready": 1.0,
                    "answer": answer,
                }
            )
    memory.append("people/people", rows)
    (grouped,) = only(tally).coefficients
    monkeypatch.setattr(agreement, "GROUPS", 1500)
    (single,) = only(Tally(memory, desk)).coefficients
    widths = [float(n.alpha.high or 0) - float(n.alpha.low or 0) for n in (grouped, single)]
    assert grouped.alpha.value == single.alpha.value
    assert widths[0] == pytest.approx(widths[1], rel=0.2)


def test_each_person() -> None:
    """Times, equality with the others, the side shown first, log scores."""
    clock, memory = Clock(), Memory()
    desk = Desk(memory, clock=clock)
    games = [belief(f"game {k}", want=3) for k in range(4)]
    desk.post(games)
    tally = Tally(memory, desk)
    for k, game in enumerate(games):
        for person, place in zip(PEOPLE, (0, 0, k % 2), strict=True):
            memory.append("people/people", [{"kind": "shown", "call": game.call, "person": person, "at": clock.now}])
            clock.now += 10 * (k + 1)
            desk.answer(person, game.call, says(game, place))
    found = only(tally)
    ada, _, sofia = (next(p for p in found.people if p.name == name) for name in PEOPLE)
    assert (ada.answers, sofia.answers, found.everyone.answers) == (4, 4, 12)
    assert (ada.seconds, found.everyone.seconds) == (25.0, 25.0)
    assert ada.same.value == pytest.approx(6 / 8)  # with Grace 4 of 4, with Sofia 2 of 4
    assert (ada.first.value, sofia.first.value, sofia.chance) == (1.0, 0.5, 0.5)
    assert ada.log_score.reason == "undefined: no game was graded"
    desk.take(games)
    desk.grade({games[0].call: 0, games[1].call: 1})
    ada = next(p for p in only(tally).people if p.name == "Ada")
    assert ada.log_score.value == pytest.approx((math.log(0.75) + math.log(0.25)) / 2)
    assert ada.log_score.n == 2


def test_a_control_is_counted_when_nobody_can_try_again() -> None:
    memory = Memory()
    desk, tally = at(memory, question(0, "rank", want=1), checks={question(0).call: ranked(1, 2, 2)})
    desk.answer("Ada", question(0).call, ranked(2, 1, 1))
    assert only(tally).everyone.checked == 0
    desk.undo("Ada")
    desk.answer("Ada", question(0).call, ranked(1, 2, 2))
    assert only(tally).everyone.checked == 0
    later = Desk(memory, clock=Clock(2_000_000.0))
    later.take([question(0, "rank")])
    assert (only(tally).everyone.passed, only(tally).everyone.checked) == (1, 1)


def test_mixed_in_controls_are_a_persons_own() -> None:
    """They count for the person, and for no agreement: each person has one of its own."""
    memory, clock = Memory(), Clock()
    desk = Desk(memory, clock=clock)
    desk.post([question(k, "rank", want=2) for k in range(4)])
    desk.mix([(question(9, "rank"), ranked(1, 2, 3))], 2)
    tally = Tally(memory, desk)
    for person, ranks in (("Ada", (1, 2, 3)), ("Grace", (3, 2, 1))):
        while (asked := desk.next(person)) is not None:
            desk.answer(person, asked.call, ranked(*ranks))
    clock.now += 100
    desk.take([question(k, "rank") for k in range(4)])
    found = only(tally)
    assert (found.questions, found.shared) == (4, 4)
    assert {p.name: (p.answers, p.passed, p.checked) for p in found.people} == {"Ada": (5, 1, 1), "Grace": (5, 0, 1)}


def test_a_large_desk_is_counted_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "AT_ONCE", 2)
    memory = Memory()
    desk, tally = at(memory, *map(question, range(5)))
    for k in range(5):
        desk.answer("Ada", question(k).call, {"rating": 3})
    assert tally.agreements(0) == ([], 5)
    assert tally.changes(0) == (0, 5)
    desk.answer("Grace", question(4).call, {"rating": 3})
    assert tally.changes() == (5, 0)
    assert only(tally).shared == 1


def test_ties_say_nothing_of_the_first() -> None:
    desk, tally = at(Memory(), *(question(k, "rank") for k in range(3)))
    for k, answer in enumerate((ranked(1, 1, 2), ranked(1, 2, 3), ranked(2, 1, 1))):
        desk.answer("Ada", question(k).call, answer)
    (ada,) = only(tally).people
    assert (ada.first.n, ada.first.value, ada.chance) == (1, 1.0, pytest.approx(1 / 3))


def test_where_all_agree_there_is_no_interval() -> None:
    desk, tally = at(Memory(), *map(question, range(3)))
    for k in range(3):
        for person in PEOPLE:
            desk.answer(person, question(k).call, {"rating": k + 1})
    (of,) = only(tally).coefficients
    assert (of.alpha.value, of.alpha.low, of.same.value) == (1.0, None, 1.0)
    assert of.same.low is not None
    assert 0.4 < of.same.low < 1


@given(st.integers(1, 500), st.data())
def test_shares_have_sound_intervals(of: int, data: st.DataObject) -> None:
    hits, n = data.draw(st.integers(0, of)), data.draw(st.integers(1, of))
    found = share(hits, of, n)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= hits / of + 1e-12
    assert hits / of - 1e-12 <= found.high <= 1


def test_share_is_wilsons() -> None:
    found = share(8, 10, 10)
    assert (found.low, found.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert share(0, 0, 0).reason == "undefined: there is no such answer"
