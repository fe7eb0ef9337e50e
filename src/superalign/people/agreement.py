"""Do the people at a desk agree? Coefficients for each form, and how each person compares with the others.

Counts are kept up to date with the desk at the cost of what is new there, so that an answer shows at once at a desk of
any size. No answer to a single question is told. What a quality-control question should have been answered is counted
only when its answers can no longer be undone: else a person could answer it in each way and look.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, islice
from typing import Any

import numpy as np

from superalign.core.ports import Store
from superalign.core.random import stream
from superalign.core.spec import Number
from superalign.people.alpha import Floats, krippendorff
from superalign.people.checks import passed
from superalign.people.codes import MEASURES, Measure, chose_first
from superalign.people.desk import PREFIX, Desk
from superalign.people.files import SURE
from superalign.people.queue import Entry, Given, Queue

GROUPS = 512
"""Groups of questions that the bootstrap draws from, by their place: as good as single questions up to that many, and
its cost is bounded above (the width of an interval is then within 5 % of that from single questions)."""
ROUNDS = 500
AT_ONCE = 500
"""Questions that are copied from a desk at once; others wait for that long."""
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Coefficient:
    """Agreement on one thing that a form asks. `same` is the share of pairs of answers that are equal; `alpha` and
    `same` count questions with two answers or more in `n`."""

    name: str
    metric: str
    alpha: Number
    same: Number


@dataclass(frozen=True, slots=True)
class Person:
    """One person's answers on a form. `seconds` is their median time, `same` the share of others' answers to the same
    questions that are equal, `first` how often the response shown first was chosen and `chance` how often that would be
    by chance, `passed` of `checked` quality-control questions, `log_score` the mean log score in nats."""

    name: str
    answers: int
    seconds: float | None
    same: Number
    first: Number
    chance: float | None
    passed: int
    checked: int
    log_score: Number


@dataclass(frozen=True, slots=True)
class Pair:
    """How often two people gave the same answer, of `of`."""

    a: str
    b: str
    same: int
    of: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """One form: how many questions have an answer, how many two or more, and what these say, without those mixed in for
    quality control, which are each person's own. `everyone` is all people taken together."""

    form: str
    questions: int
    shared: int
    coefficients: tuple[Coefficient, ...]
    everyone: Person
    people: tuple[Person, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What of a question is counted; `control` is one that was mixed in for quality control, for one person."""

    form: str
    place: int
    control: bool
    check: Mapping[str, Any] | None
    truth: int | None
    given: tuple[Given, ...]


def _known(entry: Entry) -> _Known:
    check = entry.check if entry.taken else None
    return _Known(entry.form, entry.place, bool(entry.only), check, entry.truth, tuple(entry.given.values()))


def _copied(calls: Sequence[str], queue: Queue) -> list[tuple[str, _Known]]:
    return [(call, _known(queue.entries[call])) for call in calls]


class Tally:
    """The agreement of the people at a desk. Threads may share it."""

    def __init__(self, store: Store, desk: Desk) -> None:
        self._store, self._desk = store, desk
        self._lock = threading.Lock()
        self._place = self._changes = 0
        self._left: dict[str, None] = {}
        self._known: dict[str, _Known] = {}
        self._forms: dict[str, _Form] = {}

    def agreements(self, seconds: float = math.inf) -> tuple[list[Agreement], int]:
        """What the answers at the desk say now, for each form on which any was given; and how many questions are left to
        be counted. Only the first time there can be any left, after that many seconds."""
        with self._lock:
            self._catch_up(seconds)
            return [form.agreement() for _, form in sorted(self._forms.items()) if form.questions], len(self._left)

    def changes(self, seconds: float = math.inf) -> tuple[int, int]:
        """Numbers that are others after anything has changed, or more is counted."""
        with self._lock:
            self._catch_up(seconds)
            return self._changes, len(self._left)

    def _catch_up(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self._touched()
        while self._left and time.monotonic() < end:
            some = list(islice(self._left, AT_ONCE))
            for call, now in self._desk.ask(partial(_copied, some)):
                self._recount(call, now)
                del self._left[call]

    def _recount(self, call: str, now: _Known) -> None:
        before = self._known.get(call)
        if before == now or (before is None and not now.given):
            return
        if now.form not in self._forms:
            self._forms[now.form] = _Form(now.form)
        if before is not None:
            self._forms[now.form].count(before, -1)
        self._forms[now.form].count(now, 1)
        self._known[call] = now
        self._changes += 1

    def _touched(self) -> None:
        """Note the questions with which anything happened since the last time."""
        if not self._place:
            calls, self._place = self._desk.ask(lambda queue: (dict.fromkeys(queue.entries), queue.place))
            self._left |= calls
            return
        for event in self._store.read(PREFIX + self._desk.name, self._place):
            self._place = event.position
            if event.body["kind"] in ("answered", "undone", "taken", "graded"):
                self._left[event.body["call"]] = None


@dataclass(slots=True)
class _Met:
    """How often which values of a measure met: `cells` by group of questions, number of answers, and the two values, the
    smaller first."""

    measure: Measure
    cells: Counter[tuple[int, int, int, int]] = field(default_factory=Counter)
    pairs: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    shared: Counter[str] = field(default_factory=Counter)
    questions: int = 0
    found: Number | None = None

    def count(self, known: _Known, sign: int) -> None:
        said = [(g.person, codes) for g in known.given if (codes := self.measure.codes(g.answer))]
        if len(said) < 2:
            return
        self.found = None
        self.questions += sign
        group, m = known.place % GROUPS, len(said)
        for person, _ in said:
            self.shared[person] += sign
        for (a, mine), (b, other) in combinations(said, 2):
            tally = self.pairs[min(a, b), max(a, b)]
            for c, k in zip(mine, other, strict=True):
                self.cells[group, m, min(c, k), max(c, k)] += sign
                tally[0] += sign * (c == k)
                tally[1] += sign

    def coefficient(self) -> Coefficient:
        if self.found is None:
            self.found = self._alpha()
        same, of = (sum(p[k] for p in self.pairs.values()) for k in (0, 1))
        return Coefficient(self.measure.name, self.measure.metric, self.found, share(same, of, self.questions))

    def _alpha(self) -> Number:
        """Alpha with a bootstrap interval over groups of questions; none where no two answers differ."""
        if not self.questions:
            return Number(value=None, n=0, reason="undefined: no question has two answers")
        tables, values = self._tables()
        point = float(krippendorff(tables.sum(0), values, self.measure.metric))
        if math.isnan(point):
            return Number(value=None, n=self.questions, reason="undefined: all answers are equal")
        if point == 1 or len(tables) < 2:
            return Number(value=point, n=self.questions)
        g = len(tables)
        drawn = stream(0, "agreement", self.measure.name).integers(0, g, (ROUNDS, g)) + g * np.arange(ROUNDS)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=g * ROUNDS).reshape(ROUNDS, g)
        sums = (weights @ tables.reshape(g, -1)).reshape(ROUNDS, len(values), len(values))
        low, high = np.nanpercentile(krippendorff(sums, values, self.measure.metric), [2.5, 97.5])
        return Number(value=point, low=float(low), high=float(high), n=self.questions)

    def _tables(self) -> tuple[Floats, Floats]:
        """Coincidences of each group of questions (groups, C, C), and the values (C,)."""
        cells = np.array([(*cell, n) for cell, n in self.cells.items() if n], np.int64)
        groups, rows = np.unique(cells[:, 0], return_inverse=True)
        values, codes = np.unique(cells[:, 2:4], return_inverse=True)
        rows = np.concatenate([rows, rows])  # a pair of values meets in both orders
        c, k = codes.reshape(-1, 2).T
        tables = np.zeros((len(groups), len(values), len(values)))
        weights = np.tile(cells[:, 4] / (cells[:, 1] - 1), 2)
        np.add.at(tables, (rows, np.concatenate([c, k]), np.concatenate([k, c])), weights)
        return tables, values.astype(float)


@dataclass(slots=True)
class _Sums:
    """What one person's answers add up to."""

    seconds: list[float] = field(default_factory=list)  # sorted
    first: int = 0
    decided: int = 0
    chance: Counter[int] = field(default_factory=Counter)
    passed: int = 0
    checked: int = 0
    logs: list[float] = field(default_factory=list)  # sorted

    def count(self, form: str, given: Given, known: _Known, sign: int) -> None:
        _keep(self.seconds, given.seconds, sign)
        first = chose_first(form, given.answer)
        if first is not None:
            self.first += sign * first[0]
            self.decided += sign
            self.chance[first[1]] += sign
        if known.check is not None:
            self.checked += sign
            self.passed += sign * passed(given.answer, known.check)
        if known.truth is not None and "probs" in given.answer:
            p = given.answer["probs"][known.truth]
            _keep(self.logs, math.log(min(max(p, 1 - SURE), SURE)), sign)

    def person(self, name: str, same: Number) -> Person:
        n = len(self.seconds)
        median = (self.seconds[(n - 1) // 2] + self.seconds[n // 2]) / 2 if n else None
        chance = sum(count / k for k, count in self.chance.items()) / self.decided if self.decided else None
        first = share(self.first, self.decided, self.decided)
        return Person(name, n, median, same, first, chance, self.passed, self.checked, _mean(self.logs))


@dataclass(slots=True)
class _Form:
    """All that is counted of one form."""

    name: str
    questions: int = 0
    shared: int = 0
    met: tuple[_Met, ...] = ()
    people: dict[str, _Sums] = field(default_factory=lambda: defaultdict(_Sums))
    everyone: _Sums = field(default_factory=_Sums)

    def __post_init__(self) -> None:
        self.met = tuple(_Met(measure) for measure in MEASURES[self.name])

    def count(self, known: _Known, sign: int) -> None:
        self.questions += sign * (bool(known.given) and not known.control)
        self.shared += sign * (len(known.given) > 1)
        for met in self.met:
            met.count(known, sign)
        for given in known.given:
            self.people[given.person].count(self.name, given, known, sign)
            self.everyone.count(self.name, given, known, sign)

    def agreement(self) -> Agreement:
        found = tuple(met.coefficient() for met in self.met)
        pairs = tuple(Pair(a, b, *n) for (a, b), n in sorted(self.met[0].pairs.items()) if n[1]) if self.met else ()
        alone = Number(value=None, n=0, reason="undefined: no question has two answers")
        everyone = self.everyone.person("", found[0].same if found else alone)
        return Agreement(self.name, self.questions, self.shared, found, everyone, tuple(self._people(pairs)), pairs)

    def _people(self, pairs: Sequence[Pair]) -> Iterator[Person]:
        """Most answers first."""
        same, of = Counter[str](), Counter[str]()
        for pair in pairs:
            for name in (pair.a, pair.b):
                same[name] += pair.same
                of[name] += pair.of
        answered = ((name, sums) for name, sums in self.people.items() if sums.seconds)
        for name, sums in sorted(answered, key=lambda each: (-len(each[1].seconds), each[0])):
            yield sums.person(name, share(same[name], of[name], self.met[0].shared[name] if self.met else 0))


def share(hits: int, of: int, n: int) -> Number:
    """A share of `n` questions with its Wilson (1927) interval. `hits` and `of` may count several units of a question,
    which do not make it surer."""
    if not of or not n:
        return Number(value=None, n=0, reason="undefined: there is no such answer")
    p, z = hits / of, _Z**2 / n
    half = _Z * math.sqrt(p * (1 - p) / n + z / (4 * n)) / (1 + z)
    middle = (p + z / 2) / (1 + z)
    return Number(value=p, low=max(0.0, middle - half), high=min(1.0, middle + half), n=n)


def _mean(values: Sequence[float]) -> Number:
    """A mean with Student's interval."""
    from scipy.special import stdtrit

    n = len(values)
    if not n:
        return Number(value=None, n=0, reason="undefined: no game was graded")
    mean = float(np.mean(values))
    half = float(stdtrit(n - 1, 0.975)) * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Number(value=mean, n=n) if math.isnan(half) else Number(value=mean, low=mean - half, high=mean + half, n=n)


def _keep(row: list[float], value: float, sign: int) -> None:
    """Put a value into a sorted row, or take it out."""
    if sign > 0:
        insort(row, value)
    else:
        del row[bisect_left(row, value)]
