"""The state of a desk: which questions wait, who was shown what and when, who answered, what a run has taken.

Rows of the stream `people/<desk>`, in the order in which they were decided: `question`, `shown`, `skipped`, `answered`,
`undone`, `taken`, `graded`; and of quality control `mixed`, a question with a known answer that is to be mixed in, and
`check`, when it was given to a person. A question's text is not kept in memory, only the place of its row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from superalign.people.forms import Answer
from superalign.people.order import Order, drawn

LEASE = 900.0
"""Seconds for which a question is kept for the person it was shown to."""


@dataclass(frozen=True, slots=True)
class Given:
    """One person's answer: when (seconds since 1970), after how many seconds, and from when on a run may take it."""

    person: str
    answer: Answer
    at: float
    seconds: float
    ready: float


@dataclass(slots=True)
class Entry:
    """What is known of a question. `follows` are those who judged the turn before it in its game. `check` is the answer
    that a quality-control question should get: it never leaves the server; `only` names the person whom such a question
    is for. `truth` is the right choice, known once the run has graded the game. `place` is that of the row with its
    text."""

    call: str
    place: int
    form: str
    role: str
    thread: str
    item: str
    title: str
    want: int
    posted: float
    check: Mapping[str, Any] | None = None
    only: str = ""
    follows: tuple[str, ...] = ()
    given: dict[str, Given] = field(default_factory=dict)
    shown: dict[str, float] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    undone: dict[str, Answer] = field(default_factory=dict)
    """What people took back: their forms are filled in with it."""
    taken: bool = False
    truth: int | None = None
    draw: int = field(init=False)

    def __post_init__(self) -> None:
        self.draw = drawn(self.call)

    @property
    def open(self) -> bool:
        """Whether it needs another answer."""
        return not self.taken and len(self.given) < self.want

    @property
    def about(self) -> str:
        """What a person knows who has seen it: its item."""
        return self.item or self.thread

    def settled(self, now: float) -> bool:
        """Whether all its answers are there and may be taken."""
        return not self.open and not self.taken and all(g.ready <= now for g in self.given.values())


@dataclass(frozen=True, slots=True)
class Mixed:
    """A question with a known answer, to be mixed in as every `every`-th that a person is shown."""

    place: int
    row: Mapping[str, Any]
    every: int


@dataclass(slots=True)
class Totals:
    """Questions of runs with one form, or with any: how many there are and wait, answers given and wanted, and how many
    answers each person gave."""

    questions: int = 0
    waiting: int = 0
    answers: int = 0
    wanted: int = 0
    people: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Queue:
    """All questions of a desk. `apply` takes in one row; everything else only looks."""

    entries: dict[str, Entry] = field(default_factory=dict)
    waiting: dict[str, Entry] = field(default_factory=dict)
    """Those that are open, without quality control."""
    untaken: dict[str, Entry] = field(default_factory=dict)
    """Those with all their answers, which no run has taken yet, without quality control."""
    threads: dict[str, list[str]] = field(default_factory=dict)
    """Who answered in a thread, the latest last."""
    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    """By person, the items that the person has answered on, and in which thread first."""
    last: dict[str, list[str]] = field(default_factory=dict)
    """By person, the calls that the person answered, oldest first."""
    totals: dict[str, Totals] = field(default_factory=dict)
    """By form; under "" of all."""
    mixed: dict[str, Mixed] = field(default_factory=dict)
    checks: dict[str, dict[str, Entry]] = field(default_factory=dict)
    """By person, the quality-control questions that the person was given, by the call that was mixed in."""
    place: int = 0
    answered: int = 0
    _opened: list[Entry] = field(default_factory=list)
    _held: dict[str, dict[str, Entry]] = field(default_factory=dict)
    _turns: dict[str, dict[str, Entry]] = field(default_factory=dict)
    """By person, the open next turns of games that the person judges."""
    _orders: dict[str, Order] = field(default_factory=dict)

    def apply(self, row: Mapping[str, Any]) -> None:
        """Take in the next row."""
        kind = row["kind"]
        if kind in ("question", "check"):
            self._add(self._posted(row) if kind == "question" else self._given_out(row))
        elif kind == "mixed":
            self.mixed[row["call"]] = Mixed(self.place + 1, dict(row), row["every"])
        else:
            self._happened(kind, self.entries[row["call"]], row)
        self.place += 1

    def _happened(self, kind: str, entry: Entry, row: Mapping[str, Any]) -> None:
        if kind == "shown":
            entry.shown[row["person"]] = row["at"]
            self._held.setdefault(row["person"], {})[entry.call] = entry
        elif kind == "skipped":
            entry.skipped.add(row["person"])
            self._put_down(entry, row["person"])
        elif kind == "graded":
            entry.truth = row["truth"]
        elif kind in ("answered", "undone", "taken"):
            self._moved(kind, entry, row)
        else:
            raise ValueError(f"no kind of row {kind!r}")

    def _moved(self, kind: str, entry: Entry, row: Mapping[str, Any]) -> None:
        """What changes whether a question waits, and what is counted."""
        self._count(entry, -1)
        try:
            if kind == "answered":
                self._answered(entry, row)
            elif kind == "undone":
                self._undone(entry, row["person"])
            else:
                entry.taken = True
        finally:
            self._count(entry, 1)
            self._file(entry)

    def _posted(self, row: Mapping[str, Any]) -> Entry:
        if row["call"] in self.entries:
            raise ValueError(f"the question {row['call'][:12]} was posted before")
        follows = tuple(self.threads.get(row["thread"], ())[-row["want"] :])
        return Entry(
            row["call"], self.place + 1, row["form"], row["role"], row["thread"], row["item"], row["title"], row["want"],
            row["at"], row.get("check"), follows=follows,
        )  # fmt: skip

    def _given_out(self, row: Mapping[str, Any]) -> Entry:
        """A quality-control question, for one person."""
        model, person = self.mixed[row["of"]], row["person"]
        if row["call"] in self.entries or row["of"] in self.checks.get(person, ()):
            raise ValueError(f"{person} was given the check {row['of'][:12]} before")
        entry = Entry(
            row["call"], model.place, model.row["form"], model.row["role"], row["call"], "", model.row["title"], 1,
            row["at"], model.row["check"], person,
        )  # fmt: skip
        self.checks.setdefault(person, {})[row["of"]] = entry
        return entry

    def _add(self, entry: Entry) -> None:
        self.entries[entry.call] = entry
        if not entry.only:
            self._opened.append(entry)
        self._count(entry, 1)
        self._file(entry)

    def _answered(self, entry: Entry, row: Mapping[str, Any]) -> None:
        person = row["person"]
        if person in entry.given:
            raise ValueError(f"{person} answered {entry.call[:12]} before")
        entry.given[person] = Given(person, dict(row["answer"]), row["at"], row["seconds"], row["ready"])
        entry.undone.pop(person, None)
        self._put_down(entry, person)
        judges = self.threads.setdefault(entry.thread, [])
        judges[:] = [*(p for p in judges if p != person), person]
        self.seen.setdefault(person, {}).setdefault(entry.about, entry.thread)
        self.last.setdefault(person, []).append(entry.call)
        self.answered += 1

    def _undone(self, entry: Entry, person: str) -> None:
        entry.undone[person] = entry.given.pop(person).answer
        self.last[person].remove(entry.call)
        self.answered -= 1
        if not entry.only:
            self._opened.append(entry)

    def _put_down(self, entry: Entry, person: str) -> None:
        entry.shown.pop(person, None)
        self._held.get(person, {}).pop(entry.call, None)

    def _count(self, entry: Entry, sign: int) -> None:
        """Add what a question counts for, or take it away; quality control counts for nothing."""
        if entry.only:
            return
        for form in ("", entry.form):
            totals = self.totals.setdefault(form, Totals())
            totals.questions += sign
            totals.answers += sign * len(entry.given)
            if entry.open:
                totals.waiting += sign
                totals.wanted += sign * (entry.want - len(entry.given))
            for person in entry.given:
                totals.people[person] += sign

    def _file(self, entry: Entry) -> None:
        """Put the question into the right trays."""
        if entry.only:
            return
        trays = [(self.waiting, entry.open), (self.untaken, not entry.open and not entry.taken)]
        trays += [(self._turns.setdefault(person, {}), entry.open) for person in entry.follows]
        for tray, belongs in trays:
            if belongs:
                tray[entry.call] = entry
            else:
                tray.pop(entry.call, None)

    def next(self, person: str, now: float, form: str = "") -> Entry | None:
        """The question to show to a person now; None where nothing is left for that person.

        First what the person holds already, then the next turn of a game that the person judges, then items that are
        new to the person, then the rest; within each, an order of the person's own, drawn by hash. A question is kept
        for whoever it was shown to for `LEASE` seconds, the next turn of a game as long for whoever judged the one
        before. What the person put off comes last.
        """
        order = self._orders.setdefault(person, Order(person))

        def fits(entry: Entry) -> bool:
            return (not form or entry.form == form) and self.free(entry, person, now)

        for put_off in (False, True):
            near = [e for e in self._near(person, now) if (person in e.skipped) is put_off and fits(e)]
            if near:
                return min(near, key=lambda e: (not self._holds(person, e, now), order.rank(e.draw)))
            found = order.first(self._opened, self.seen.get(person, {}), fits, put_off)
            if found is not None:
                return found
        return None

    def free(self, entry: Entry, person: str, now: float) -> bool:
        """Whether a question that waits may be shown to a person: it wants more answers than others are giving."""
        if not entry.open or person in entry.given or entry.only not in ("", person):
            return False
        held = sum(1 for who, at in entry.shown.items() if who != person and now - at < LEASE)
        if len(entry.given) + held >= entry.want:
            return False
        kept_for = [who for who in entry.follows if who not in entry.skipped] if now - entry.posted < LEASE else []
        return person in kept_for or len(kept_for) < entry.want

    def due(self, person: str, like: Entry) -> str:
        """The call of the mixed-in question whose turn it is instead of another of the same form; empty where none is.

        Every person gets each once, in an order of the person's own; one that is open still comes back.
        """
        had, turn = self.checks.get(person, {}), len(self.last.get(person, ())) + 1
        order = self._orders.setdefault(person, Order(person))
        left = [
            (of not in had, order.rank(drawn(of)), of)
            for of, mixed in self.mixed.items()
            if mixed.row["form"] == like.form and mixed.row["role"] == _chair(like.role) and turn % mixed.every == 0
            if of not in had or (had[of].open and person not in had[of].skipped)
        ]  # fmt: skip
        return min(left)[-1] if left else ""

    def controlled(self) -> Iterable[Entry]:
        """The quality-control questions whose answers nobody has taken yet."""
        return (e for given in self.checks.values() for e in given.values() if not e.taken and not e.open)

    def _near(self, person: str, now: float) -> Iterator[Entry]:
        yield from (e for e in self._held.get(person, {}).values() if self._holds(person, e, now) and not e.only)
        yield from self._turns.get(person, {}).values()

    def _holds(self, person: str, entry: Entry, now: float) -> bool:
        return now - entry.shown.get(person, -LEASE) < LEASE


def _chair(role: str) -> str:
    """A role without the number of its seat in a panel."""
    return role.partition("/")[0]
