"""Several people, runs and servers at one desk: whatever they do in whatever order, nothing is lost or asked twice."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from superalign.core.digest import digest
from superalign.core.types import Reply
from superalign.people.desk import Desk, Gone
from superalign.people.order import drawn
from superalign.people.questions import Question
from superalign.people.queue import LEASE, Queue
from tests.people.asking import Clock, Memory, belief, ranking, says

PEOPLE = ("ann", "bob", "cyd")
POOL = [
    *(belief("i", flipped=flip, condition=c) for flip in (False, True) for c in ("x", "y")),
    *(belief("j", turn, condition="x") for turn in (1, 2)),
    belief("w", want=2),
    *(ranking(f"r{k}") for k in range(2)),
]
CHECKS = [(belief(f"c{k}", condition="check"), {"choice": k % 2}) for k in range(2)]

people, places = st.sampled_from(PEOPLE), st.integers(0, 1)


class Desks(RuleBasedStateMachine):
    """Two desks on one store, as two servers or a server and a run would have them, and what they ought to hold."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.clock = Memory(), Clock()
        self.desks = [Desk(self.store, clock=self.clock) for _ in range(2)]
        self.posted: dict[str, Question] = {}
        self.given: dict[tuple[str, str], Any] = {}
        self.shown: dict[str, Question] = {}
        self.taken: dict[str, Reply] = {}
        self.reopened: set[str] = set()

    @rule(desk=st.integers(0, 1), some=st.lists(st.sampled_from(POOL), min_size=1, max_size=6))
    def post(self, desk: int, some: list[Question]) -> None:
        self.desks[desk].post(some)
        self.posted |= {q.call: q for q in some}

    @rule(desk=st.integers(0, 1))
    def mix(self, desk: int) -> None:
        self.desks[desk].mix(CHECKS, 3)

    @rule(desk=st.integers(0, 1), person=people, form=st.sampled_from(("", "", "rank")))
    def next(self, desk: int, person: str, form: str) -> None:
        fresh = Desk(self.store, clock=self.clock)
        expected = fresh.ask(lambda queue: by_the_book(queue, person, self.clock.now, form))
        found = self.desks[desk].next(person, form)
        assert (found is None) == (expected is None)
        if found is None:
            return
        entry = fresh.ask(lambda queue: queue.entries[found.call])
        if not entry.only:
            assert found.call == expected
            assert found == self.posted[found.call]
        assert (person, found.call) not in self.given, "nobody is asked twice"
        assert entry.only in ("", person)
        self.shown[person] = found

    @rule(desk=st.integers(0, 1), person=people, place=places)
    def answer(self, desk: int, person: str, place: int) -> None:
        if person not in self.shown:
            return
        question = self.shown[person]
        before = self.given.get((person, question.call))
        try:
            new = self.desks[desk].answer(person, question.call, says(question, place))
        except Gone:
            assert before not in (None, says(question, place))
            return
        assert new == (before is None), "a form that was sent twice counts once"
        self.given[person, question.call] = says(question, place)

    @rule(desk=st.integers(0, 1), person=people, place=places)
    def work(self, desk: int, person: str, place: int) -> None:
        """Several questions in a row, and the run takes what it can."""
        for _ in range(3):
            self.next(desk, person, "")
            self.answer(1 - desk, person, place)
        self.take(desk, list(self.posted.values()))

    @rule(desk=st.integers(0, 1), person=people)
    def skip(self, desk: int, person: str) -> None:
        if person in self.shown:
            self.desks[desk].skip(person, self.shown.pop(person).call)

    @rule(desk=st.integers(0, 1), person=people)
    def undo(self, desk: int, person: str) -> None:
        try:
            call = self.desks[desk].undo(person)
        except Gone:
            mine = [c for p, c in self.given if p == person]
            assert all(self.desks[1 - desk].ask(lambda q, c=c: q.entries[c].taken) for c in mine)
            return
        assert call not in self.taken, "what a run has used stays"
        del self.given[person, call]
        self.shown[person] = self.desks[desk].question(call)
        self.reopened.add(call)

    @rule(desk=st.integers(0, 1), some=st.lists(st.sampled_from(POOL), min_size=1, max_size=4))
    def take(self, desk: int, some: list[Question]) -> None:
        found = self.desks[desk].take(some)
        for call, reply in found.items():
            assert self.taken.setdefault(call, reply) == reply, "a reply that was taken never changes"
            assert sum(c == call for _, c in self.given) >= self.posted[call].want

    @rule(seconds=st.sampled_from((1.0, 9.0, 60.0, LEASE)))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def no_answer_is_lost(self) -> None:
        for desk in self.desks:
            kept = desk.ask(
                lambda queue: {(p, c): g.answer for c, e in queue.entries.items() for p, g in e.given.items()}
            )
            assert kept == self.given

    @invariant()
    def no_more_leases_than_answers_wanted(self) -> None:
        def over(queue: Queue) -> list[str]:
            return [
                e.call
                for e in queue.entries.values()
                if e.open and len(e.given) + sum(self.clock.now - at < LEASE for at in e.shown.values()) > e.want
            ]

        assert set(self.desks[0].ask(over)) <= self.reopened

    @invariant()
    def counts_are_right(self) -> None:
        asked = list(self.posted.values())
        given = {q.call: sum(c == q.call for _, c in self.given) for q in asked}
        waiting = [q for q in asked if given[q.call] < q.want and q.call not in self.taken]
        counts = self.desks[1].counts()
        assert counts.questions == len(asked)
        assert counts.answers == sum(given.values())
        assert counts.waiting == len(waiting)
        assert counts.wanted == sum(q.want - given[q.call] for q in waiting)
        assert counts.people == len({p for p, c in self.given if c in self.posted})


def by_the_book(queue: Queue, person: str, now: float, form: str) -> str | None:
    """The next question as it is described: every question is looked at, nothing is remembered."""
    mask, ranked = int(digest("order of questions", person)[:12], 16), []
    for e in queue.entries.values():
        live = {who for who, at in e.shown.items() if now - at < LEASE}
        if e.only or not e.open or person in e.given or (form and e.form != form):
            continue
        if len(e.given) + len(live - {person}) >= e.want:
            continue
        follows = set(e.follows) - e.skipped
        if len(follows) >= e.want and person not in follows and now - e.posted < LEASE:
            continue
        off, held, turn = person in e.skipped, person in live, person in e.follows
        seen = (e.item or e.thread) in queue.seen.get(person, {})
        near = held or turn
        ranked.append(
            (off, not held, not turn and not held, seen and not off and not near, drawn(e.call) ^ mask, e.call)
        )
    return min(ranked)[-1] if ranked else None


TestDesks = Desks.TestCase
TestDesks.settings = settings(max_examples=100, stateful_step_count=50)
