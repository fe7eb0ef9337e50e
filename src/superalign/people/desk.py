"""The desk: questions that a run puts to people and answers that they give, in a stream of the store.

Runs post and take; the page shows, keeps answers, and lets people skip and undo. Each decision is made on the newest
state and appended in one piece, so any number of runs, servers and people work at one desk: no answer is lost, none
is counted twice, and whoever stops goes on from what the store holds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.compute.replica import Replica
from superalign.core.errors import UserError
from superalign.core.ports import Store
from superalign.core.types import Reply
from superalign.people import forms
from superalign.people.forms import Answer
from superalign.people.questions import Question, of_row, to_row
from superalign.people.queue import LEASE, Entry, Queue

PREFIX = "people/"
DESK = "people"
"""The desk of `human` without a name."""

SETTLES = {"rank": 10.0, "critique": 10.0, "explanation": 10.0}
"""Seconds for which a run leaves an answer on a form so that it can be undone. Answers on other forms move a game on at
once."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class Gone(UserError):
    """The question is not there to be answered, skipped or undone by this person."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a desk is: questions, those that wait, answers given, answers still wanted, people who answered."""

    questions: int
    waiting: int
    answers: int
    wanted: int
    people: int


class Desk:
    """One desk of a store. Threads may share it; `clock` gives seconds since 1970."""

    def __init__(
        self,
        store: Store,
        name: str = DESK,
        clock: Callable[[], float] = time.time,
        settles: Mapping[str, float] = SETTLES,
    ) -> None:
        if not NAME.fullmatch(name):
            raise UserError(f"{name!r} is no name for a desk; use small letters, digits and hyphens, as in team-a")
        self.name, self._store, self._clock, self._settles = name, store, clock, settles
        self._replica: Replica[Queue] = Replica(store, PREFIX + name, Queue())

    def ask(self, question: Callable[[Queue], Any]) -> Any:
        """What the newest state says; `question` must not change it, nor keep it."""
        return self._replica.ask(question)

    def post(self, questions: Sequence[Question], checks: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Put down the questions that are not there yet. `checks` gives, by call, the answer that one should get."""

        def new(queue: Queue) -> list[dict[str, Any]]:
            fresh = {q.call: q for q in questions if q.call not in queue.entries}
            now, found = self._now(), []
            for call, question in fresh.items():
                row = {"kind": "question", "at": now, "title": question.first_line, **to_row(question)}
                found.append(row | ({"check": dict(checks[call])} if checks and call in checks else {}))
            return found

        self._replica.decide(new)

    def question(self, call: str) -> Question:
        """A question with its text. Raises Gone where there is none."""
        place = self.ask(lambda queue: queue.entries[call].place if call in queue.entries else 0)
        if not place:
            raise Gone(f"no question {call[:12]!r} at the desk {self.name!r}; go back to the list")
        return of_row(next(iter(self._store.read(PREFIX + self.name, place - 1))).body)

    def next(self, person: str, form: str = "") -> Question | None:
        """The next question for a person, kept for that person from now on; None where nothing is left."""
        rows = self._replica.decide(lambda queue: self._show(queue, person, form))
        call = rows[0]["call"] if rows else self.ask(lambda queue: _call(queue.next(person, self._now(), form)))
        return self.question(call) if call else None

    def answer(self, person: str, call: str, answer: Answer) -> bool:
        """Keep a person's answer; False where the same answer was kept before (a form that was sent twice).

        Raises Gone where the question is unknown, or was answered otherwise by this person and not undone.
        """

        def kept(queue: Queue) -> list[dict[str, Any]]:
            entry = _entry(queue, call, self.name)
            before = entry.given.get(person)
            if before is not None:
                if before.answer == answer:
                    return []
                raise Gone("you have answered this question already; undo that answer first")
            now = self._now()
            seconds = round(now - entry.shown.get(person, now), 3)
            ready = now + self._settles.get(entry.form, 0.0)
            row = {"kind": "answered", "call": call, "person": person, "at": now, "seconds": seconds, "ready": ready}
            return [{**row, "answer": answer}]

        return bool(self._replica.decide(kept))

    def skip(self, person: str, call: str) -> None:
        """Leave a question to others; it comes back to this person when nothing else is left."""
        self._replica.decide(lambda queue: self._row("skipped", _entry(queue, call, self.name).call, person))

    def undo(self, person: str) -> str:
        """Take back the person's last answer that no run has taken, and keep its question for the person; its call.

        Raises Gone where there is none.
        """

        def undone(queue: Queue) -> list[dict[str, Any]]:
            for call in reversed(queue.last.get(person, [])):
                if not queue.entries[call].taken:
                    return self._row("undone", call, person) + self._row("shown", call, person)
            raise Gone("there is no answer to undo: the run has used what you gave")

        return str(self._replica.decide(undone)[0]["call"])

    def take(self, questions: Sequence[Question]) -> dict[str, Reply]:
        """The replies to those questions that have all their answers, settled; a reply that was taken stays."""

        def ready(queue: Queue) -> list[dict[str, Any]]:
            now = self._now()
            return [
                {"kind": "taken", "call": q.call}
                for q in questions
                if (entry := queue.entries.get(q.call)) is not None and _settled(entry, now)
            ]

        self._replica.decide(ready)
        found: dict[str, Reply] = self.ask(lambda queue: _replies(queue, questions))
        return found

    def grade(self, truths: Mapping[str, int]) -> None:
        """Tell which choice was right, by call, once nothing more can be asked about it: judges then see their score."""

        def new(queue: Queue) -> list[dict[str, Any]]:
            known = {c: t for c, t in truths.items() if c in queue.entries and queue.entries[c].truth is None}
            return [{"kind": "graded", "call": call, "truth": truth} for call, truth in known.items()]

        self._replica.decide(new)

    def counts(self, form: str = "") -> Counts:
        """How far the desk is, with all forms or with one."""

        def count(queue: Queue) -> Counts:
            entries = [e for e in queue.entries.values() if not form or e.form == form]
            waiting = [e for e in entries if e.open]
            people = {person for e in entries for person in e.given}
            answers = sum(len(e.given) for e in entries)
            return Counts(len(entries), len(waiting), answers, sum(e.want - len(e.given) for e in waiting), len(people))

        found: Counts = self.ask(count)
        return found

    def ready_after(self, moment: float) -> bool:
        """Whether an answer has become ready to be taken since that moment."""
        now = self._now()

        def fresh(queue: Queue) -> bool:
            if queue.newest <= moment:
                return False
            return any(
                max(g.ready for g in e.given.values()) <= now for e in queue.untaken.values() if not e.open and e.given
            )

        return bool(self.ask(fresh))

    def _show(self, queue: Queue, person: str, form: str) -> list[dict[str, Any]]:
        now = self._now()
        entry = queue.next(person, now, form)
        if entry is None or now - entry.shown.get(person, -LEASE) < LEASE:
            return []
        return self._row("shown", entry.call, person)

    def _row(self, kind: str, call: str, person: str) -> list[dict[str, Any]]:
        return [{"kind": kind, "call": call, "person": person, "at": self._now()}]

    def _now(self) -> float:
        return round(self._clock(), 3)


def desks(store: Store) -> list[str]:
    """The names of the desks of a store at which anything was ever asked."""
    found: Sequence[str] = store.streams(PREFIX) if hasattr(store, "streams") else ()
    return [name.removeprefix(PREFIX) for name in found]


def _entry(queue: Queue, call: str, desk: str) -> Entry:
    if call not in queue.entries:
        raise Gone(f"no question {call[:12]!r} at the desk {desk!r}; go back to the list")
    return queue.entries[call]


def _call(entry: Entry | None) -> str:
    return "" if entry is None else entry.call


def _settled(entry: Entry, now: float) -> bool:
    return not entry.open and not entry.taken and all(g.ready <= now for g in entry.given.values())


def _replies(queue: Queue, questions: Sequence[Question]) -> dict[str, Reply]:
    found = {}
    for question in questions:
        entry = queue.entries.get(question.call)
        if entry is not None and entry.taken:
            answers = [g.answer for g in entry.given.values()][: entry.want]
            found[question.call] = forms.reply(answers, question)
    return found
