"""The state of a desk: which questions wait, who was shown what and when, who answered, what a run has taken.

Rows of the stream `people/<desk>`, in the order in which they were decided: `question`, `shown`, `skipped`, `answered`,
`undone`, `taken`, `graded`. A question's text is not kept in memory, only the place of its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from superalign.people.forms import Answer

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
    """What is known of a question. `check` is the answer that a quality-control question should get: it never leaves
    the server. `truth` is the right choice, known once the run has graded the game."""

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
    given: dict[str, Given] = field(default_factory=dict)
    shown: dict[str, float] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    taken: bool = False
    truth: int | None = None

    @property
    def open(self) -> bool:
        """Whether it needs another answer."""
        return not self.taken and len(self.given) < self.want


@dataclass(slots=True)
class Queue:
    """All questions of a desk. `apply` takes in one row; everything else only looks."""

    entries: dict[str, Entry] = field(default_factory=dict)
    waiting: dict[str, Entry] = field(default_factory=dict)
    """Those that are open."""
    untaken: dict[str, Entry] = field(default_factory=dict)
    """Those with all their answers, which no run has taken yet."""
    threads: dict[str, str] = field(default_factory=dict)
    """Who answered last in a thread."""
    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    """By person, the items that the person has answered on, and in which thread first."""
    last: dict[str, list[str]] = field(default_factory=dict)
    """By person, the calls that the person answered, oldest first."""
    place: int = 0
    answered: int = 0
    newest: float = 0.0
    """When the last answer became ready to be taken."""

    def apply(self, row: Mapping[str, Any]) -> None:
        """Take in the next row."""
        self.place += 1
        kind = row["kind"]
        if kind == "question":
            self._question(row)
            return
        entry = self.entries[row["call"]]
        if kind == "shown":
            entry.shown[row["person"]] = row["at"]
        elif kind == "skipped":
            entry.skipped.add(row["person"])
            entry.shown.pop(row["person"], None)
        elif kind == "answered":
            self._answered(entry, row)
        elif kind == "undone":
            entry.given.pop(row["person"])
            self.last[row["person"]].remove(entry.call)
            self.answered -= 1
        elif kind == "taken":
            entry.taken = True
        elif kind == "graded":
            entry.truth = row["truth"]
        else:
            raise ValueError(f"no kind of row {kind!r}")
        self._file(entry)

    def _question(self, row: Mapping[str, Any]) -> None:
        if row["call"] in self.entries:
            raise ValueError(f"the question {row['call'][:12]} was posted before")
        entry = Entry(
            row["call"], self.place, row["form"], row["role"], row["thread"], row["item"], row["title"], row["want"],
            row["at"], row.get("check"),
        )  # fmt: skip
        self.entries[entry.call] = self.waiting[entry.call] = entry

    def _answered(self, entry: Entry, row: Mapping[str, Any]) -> None:
        person = row["person"]
        if person in entry.given:
            raise ValueError(f"{person} answered {entry.call[:12]} before")
        entry.given[person] = Given(person, dict(row["answer"]), row["at"], row["seconds"], row["ready"])
        entry.shown.pop(person, None)
        self.threads[entry.thread] = person
        self.seen.setdefault(person, {}).setdefault(entry.item or entry.thread, entry.thread)
        self.last.setdefault(person, []).append(entry.call)
        self.answered += 1
        self.newest = max(self.newest, row["ready"])

    def _file(self, entry: Entry) -> None:
        """Put the question into the right tray."""
        for tray, belongs in ((self.waiting, entry.open), (self.untaken, not entry.open and not entry.taken)):
            if belongs:
                tray[entry.call] = entry
            else:
                tray.pop(entry.call, None)

    def next(self, person: str, now: float, form: str = "") -> Entry | None:
        """The question to show to a person now; None where nothing is left for that person.

        First what the person holds already, then the next turn of a game that the person judges, then items that are
        new to the person, then the rest; within each, an order of the person's own, drawn by hash. A question is kept
        for whoever it was shown to for `LEASE` seconds, the next turn of a game as long for whoever judged the one
        before. What the person skipped comes last.
        """
        mask = int(digest_of(person)[:12], 16)
        seen = self.seen.get(person, {})
        ranked = (
            (*self._rank(entry, person, seen, now), int(entry.call[:12], 16) ^ mask, entry.call)
            for entry in self._offered(person, now, form)
        )
        best = min(ranked, default=None)
        return self.entries[best[-1]] if best is not None else None

    def _offered(self, person: str, now: float, form: str) -> Iterator[Entry]:
        for entry in self.waiting.values():
            if person in entry.given or (form and entry.form != form):
                continue
            held = sum(1 for who, at in entry.shown.items() if who != person and now - at < LEASE)
            if len(entry.given) + held < entry.want:
                holder = self.threads.get(entry.thread)
                if holder in (None, person) or entry.want > 1 or now - entry.posted >= LEASE:
                    yield entry

    def _rank(self, entry: Entry, person: str, seen: Mapping[str, str], now: float) -> tuple[bool, bool, bool, bool]:
        item = entry.item or entry.thread
        mine = entry.shown.get(person)
        return (
            person in entry.skipped,
            mine is None or now - mine >= LEASE,
            seen.get(item) != entry.thread or self.threads.get(entry.thread) != person,
            item in seen,
        )


def digest_of(person: str) -> str:
    """The digest from which a person's own order is drawn."""
    from superalign.core.digest import digest

    return digest("order of questions", person)
