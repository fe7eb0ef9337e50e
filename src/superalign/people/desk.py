"""The desk: questions that a run puts to people and answers that they give, in a stream of the store.

Runs post and take; the page shows, keeps answers, and lets people skip and undo. Each decision is made on the newest
state and appended in one piece, so any number of runs, servers and people work at one desk: no answer is lost, none
is counted twice, and whoever stops goes on from what the store holds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from superalign.compute.replica import Replica
from superalign.core.digest import digest
from superalign.core.errors import UserError
from superalign.core.ports import Store
from superalign.core.types import Reply
from superalign.people import forms
from superalign.people.forms import Answer
from superalign.people.questions import Question, of_row, to_row
from superalign.people.queue import LEASE, Entry, Queue, Totals

PREFIX = "people/"
DESK = "people"
"""The desk of `human` without a name."""

SETTLES = {"rank": 10.0, "critique": 10.0, "explanation": 10.0}
"""Seconds for which a run leaves an answer on a form so that it can be undone. Answers on other forms move a game on at
once."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

AT_ONCE = 500
"""Questions that are posted in one piece."""

TEXTS = 256
"""Questions whose text a desk keeps at hand: to read one of 50,000 again takes 3 ms."""

_AWAITED: ContextVar[dict[Desk, set[str]] | None] = ContextVar("awaited", default=None)


@contextmanager
def awaiting() -> Iterator[dict[Desk, set[str]]]:
    """Collects the calls that were asked for inside and have no reply yet, by desk: what a run has to wait for."""
    awaited: dict[Desk, set[str]] = {}
    token = _AWAITED.set(awaited)
    try:
        yield awaited
    finally:
        _AWAITED.reset(token)
        outer = _AWAITED.get()
        if outer is not None:
            for desk, calls in awaited.items():
                outer.setdefault(desk, set()).update(calls)


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
        self._text = lru_cache(TEXTS)(self._read)

    def ask(self, question: Callable[[Queue], Any]) -> Any:
        """What the newest state says; `question` must not change it, nor keep it."""
        return self._replica.ask(question)

    def post(self, questions: Sequence[Question], checks: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Put down the questions that are not there yet. `checks` gives, by call, the answer that one should get."""

        def new(queue: Queue, some: Sequence[Question]) -> list[dict[str, Any]]:
            fresh = {q.call: q for q in some if q.call not in queue.entries}
            now, found = self._now(), []
            for call, question in fresh.items():
                row = {"kind": "question", "at": now, "title": question.first_line, **to_row(question)}
                found.append(row | ({"check": dict(checks[call])} if checks and call in checks else {}))
            return found

        for start in range(0, len(questions), AT_ONCE):  # so that nobody waits for long who writes meanwhile
            some = questions[start : start + AT_ONCE]
            self._replica.decide(lambda queue, some=some: new(queue, some))  # type: ignore[misc]

    def mix(self, checks: Sequence[tuple[Question, Mapping[str, Any]]], every: int) -> None:
        """Mix in questions with the answer that each should get: every `every`-th that a person is shown is one of them.

        Each person gets each of them once. They count for nothing else, and no run sees their answers.
        """

        def new(queue: Queue) -> list[dict[str, Any]]:
            known, now = {call: mixed.every for call, mixed in queue.mixed.items()}, self._now()
            return [
                {"kind": "mixed", "at": now, "title": q.first_line, "check": dict(check), "every": every, **to_row(q)}
                for q, check in checks
                if known.get(q.call) != every
            ]

        self._replica.decide(new)

    def question(self, call: str) -> Question:
        """A question with its text. Raises Gone where there is none."""
        return replace(self._text(self.ask(lambda queue: _entry(queue, call, self.name).place)), call=call)

    def _read(self, place: int) -> Question:
        return of_row(next(iter(self._store.read(PREFIX + self.name, place - 1))).body)

    def next(self, person: str, form: str = "") -> Question | None:
        """The next question for a person, kept for that person from now on; None where nothing is left."""
        chosen = ""

        def show(queue: Queue) -> list[dict[str, Any]]:
            nonlocal chosen
            chosen, rows = self._show(queue, person, form)
            return rows

        self._replica.decide(show)
        return self.question(chosen) if chosen else None

    def answer(self, person: str, call: str, answer: Answer) -> bool:
        """Keep a person's answer; False where the same answer was kept before (a form that was sent twice).

        Raises Gone where the question is unknown, or was answered otherwise by this person and not undone, and FormError
        for an answer that does not fit it.
        """
        forms.check(answer, self.question(call))

        def kept(queue: Queue) -> list[dict[str, Any]]:
            entry = _entry(queue, call, self.name)
            if entry.only not in ("", person):
                raise Gone(f"no question {call[:12]!r} at the desk {self.name!r} is for you; go back to the list")
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

    def skip(self, person: str, call: str, why: str = "") -> None:
        """Leave a question to others; it comes back to this person when nothing else is left."""

        def skipped(queue: Queue) -> list[dict[str, Any]]:
            rows = self._row("skipped", _entry(queue, call, self.name).call, person)
            return [row | ({"why": why} if why else {}) for row in rows]

        self._replica.decide(skipped)

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
            found = (queue.entries[q.call] for q in questions if q.call in queue.entries)
            return _taken([*found, *queue.controlled()], now)

        self._replica.decide(ready)
        replies: dict[str, Reply] = self.ask(lambda queue: _replies(queue, questions))
        awaited = _AWAITED.get()
        if awaited is not None and len(replies) < len(questions):
            awaited.setdefault(self, set()).update(q.call for q in questions if q.call not in replies)
        return replies

    def due(self, calls: Collection[str]) -> bool:
        """Whether a run that waits for these calls can go on: one of them has all its answers, settled."""
        now = self._now()

        def look(queue: Queue) -> tuple[bool, bool]:
            some = calls if len(calls) < len(queue.untaken) else queue.untaken
            found = (queue.untaken[c] for c in some if c in calls and c in queue.untaken)
            return any(e.settled(now) for e in found), any(e.settled(now) for e in queue.controlled())

        ready, controlled = self.ask(look)
        if controlled:  # they are taken when others would be: nothing tells them apart
            self._replica.decide(lambda queue: _taken(queue.controlled(), now))
        return bool(ready)

    def ready(self, calls: Collection[str]) -> set[str]:
        """Those of the calls that have a reply, or all their answers, settled."""
        now = self._now()

        def look(queue: Queue) -> set[str]:
            return {
                c for c in calls if c in queue.entries and (queue.entries[c].taken or queue.entries[c].settled(now))
            }

        found: set[str] = self.ask(look)
        return found

    def items(self, calls: Collection[str]) -> dict[str, str]:
        """The items that calls are about; empty where they are about none."""
        found: dict[str, str] = self.ask(lambda queue: {c: queue.entries[c].item for c in calls if c in queue.entries})
        return found

    def wanted(self, calls: Collection[str]) -> int:
        """How many answers these calls still want."""
        return int(self.ask(lambda queue: sum(e.want - len(e.given) for c in calls if (e := queue.waiting.get(c)))))

    def grade(self, truths: Mapping[str, int]) -> None:
        """Tell which choice was right, by call, once nothing more can be asked about it: judges then see their score."""

        def new(queue: Queue) -> list[dict[str, Any]]:
            known = {c: t for c, t in truths.items() if c in queue.entries and queue.entries[c].truth is None}
            return [{"kind": "graded", "call": call, "truth": truth} for call, truth in known.items()]

        self._replica.decide(new)

    def counts(self, form: str = "") -> Counts:
        """How far the desk is, with all forms or with one."""

        def count(queue: Queue) -> Counts:
            t = queue.totals.get(form, Totals())
            return Counts(t.questions, t.waiting, t.answers, t.wanted, sum(n > 0 for n in t.people.values()))

        found: Counts = self.ask(count)
        return found

    def _show(self, queue: Queue, person: str, form: str) -> tuple[str, list[dict[str, Any]]]:
        """The call to show to a person, and the rows that keep it for that person."""
        now = self._now()
        entry: Entry | None = queue.next(person, now, form)
        if entry is None:
            return "", []
        of, rows = queue.due(person, entry), []
        if of:
            had = queue.checks.get(person, {}).get(of)
            if had is None:
                call = digest("check", of, person)
                return call, [
                    {"kind": "check", "call": call, "of": of, "person": person, "at": now},
                    *self._row("shown", call, person),
                ]
            entry = had
        if now - entry.shown.get(person, -LEASE) >= LEASE:
            rows = self._row("shown", entry.call, person)
        return entry.call, rows

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


def _taken(entries: Iterable[Entry], now: float) -> list[dict[str, Any]]:
    calls = dict.fromkeys(entry.call for entry in entries if entry.settled(now))
    return [{"kind": "taken", "call": call} for call in calls]


def _replies(queue: Queue, questions: Sequence[Question]) -> dict[str, Reply]:
    found = {}
    for question in questions:
        entry = queue.entries.get(question.call)
        if entry is not None and entry.taken:
            answers = [g.answer for g in entry.given.values()][: entry.want]
            found[question.call] = forms.reply(answers, question)
    return found
