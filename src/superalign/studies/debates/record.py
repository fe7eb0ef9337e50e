"""The study of recorded debates: what it reads, measures and keeps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from superalign.core import records
from superalign.core.digest import digest
from superalign.core.ports import Progress, Store, silent
from superalign.core.spec import Audit, Condition, Number, Record
from superalign.core.study import Plan, Planned, Study, circumstances, finish
from superalign.protocols.played import Archive, pack
from superalign.report.numbers import format_number
from superalign.studies.debates import figures
from superalign.studies.debates.doubt import ACCURACY, STATISTICS, Draws, mean
from superalign.studies.debates.quoted import Quoting, coverage, quoting
from superalign.studies.debates.sittings import (
    UNDECIDED,
    Graded,
    Sitting,
    games,
    grade,
    honest_sides,
    sittings,
    verdict,
)
from superalign.studies.debates.spec import Debates
from superalign.tasks.debates import Corpus
from superalign.tasks.debates.nyu import item, nyu

TURN_COST = 0.05
"""What the judges were charged for each round that they asked for, in bits (Michael et al. 2023)."""


class Remeasured:
    """A corpus with the judges of a spec, measured when it is first asked for."""

    def __init__(self, spec: Debates, store: Store | None) -> None:
        self.spec, self.store = spec, store
        self.corpus: Corpus = nyu(spec.folder)
        self.debates = [d for d in self.corpus.debates if d.setting in spec.settings]
        self.sittings = sittings(self.corpus, spec.settings, spec.offline)
        self.finished = [s for s in self.sittings if s.finished]
        self.draws = Draws([d.story.title for d in self.debates], [b.judge for s in self.sittings for b in s.beliefs])

    @cached_property
    def id(self) -> str:
        """The record's id: the same spec on the same debates has the same one."""
        body = self.spec.model_dump(mode="json", exclude={"folder"})
        games_ = [(s.id, s.debate.question, [s_.text for s_ in s.debate.speeches], s.beliefs) for s in self.sittings]
        return f"debates-{digest(body, games_, self.corpus.task.digest)[:10]}"

    @cached_property
    def conditions(self) -> list[str]:
        """Settings with a finished debate, then their offline judges."""
        found = {s.condition for s in self.finished}
        return sorted(found, key=lambda c: ("-stepped" in c or "-timed" in c, self._place(c), c))

    def _place(self, condition: str) -> int:
        return next(k for k, s in enumerate(self.spec.settings) if condition.startswith(s))

    def of(self, condition: str) -> list[Sitting]:
        """The finished sittings of a condition."""
        return [s for s in self.finished if s.condition == condition]

    @cached_property
    def graded(self) -> dict[str, Graded]:
        """The final beliefs of each condition, in the order of `of`."""
        return {c: grade(self.corpus.task, [(s, s.beliefs[-1]) for s in self.of(c)]) for c in self.conditions}

    @cached_property
    def honest(self) -> dict[str, int | None]:
        """The true side that had a speaker, by debate."""
        return honest_sides(self.corpus.task, self.debates)

    def truthful(self, condition: str) -> np.ndarray:
        """Whether the consultant of each finished sitting argued for the truth."""
        return np.array([self.honest[s.debate.id] is not None for s in self.of(condition)], bool)

    def plan(self) -> Plan:
        """One step; it asks no model."""
        known = self.store is not None and any(e.id == self.id for e in records.entries(self.store))
        judged = (
            f"{len(self.debates)} debates, {len(self.sittings)} judges' sittings, {len(self.finished)} of them finished"
        )
        return Plan((Planned("re-measure the recorded judges", self.id, known),), (judged, *self.corpus.notes))

    def run(self, progress: Progress = silent) -> Record:
        """Grade every belief, check every quote, keep every game."""
        start = time.perf_counter()
        quotes = quoting(self.debates, progress)
        conditions = tuple(self._condition(c, quotes) for c in self.conditions)
        return Record(
            id=self.id,
            title=f"Recorded debates: {self.corpus.name}, judged by people",
            **circumstances(self.spec),
            conditions=conditions,
            artifacts=self._keep(),
            charts=figures.charts(self, conditions),
            tables=figures.tables(self, quotes),
            audit=self._audit(),
            costs={"seconds": round(time.perf_counter() - start, 2), "usd": 0.0},
            notes=(self._answer(conditions), *self._cautions(), *self.corpus.notes),
        )

    def _condition(self, name: str, quotes: list[Quoting]) -> Condition:
        found, live = self.graded[name], all(s.live for s in self.of(name))
        numbers = {key: self.draws.number(found, statistic) for key, statistic in STATISTICS.items()}
        if name.startswith(tuple(s for s in self.spec.settings if "consultancy" in s)):
            right = self.truthful(name)
            numbers["accuracy_honest"] = self.draws.number(found.where(right), ACCURACY)
            numbers["accuracy_dishonest"] = self.draws.number(found.where(~right), ACCURACY)
        labels = {"kind": "live judges" if live else "offline judges"}
        if live:
            asked = np.array([sum(not b.ends for b in s.beliefs) for s in self.of(name)])
            numbers["reward"] = self.draws.number(found, mean(lambda g: np.log2(g.truth) - TURN_COST * asked))
            numbers |= _quoted([q for q in quotes if q.setting == name])
        return Condition(name=name, numbers=numbers, labels=labels)

    def _keep(self) -> dict[str, str]:
        """The games of each condition in the store, unfinished ones too."""
        if self.store is None:
            return {}
        right = {s.id: float(r) for c in self.conditions for s, r in zip(self.of(c), self.graded[c].right, strict=True)}
        artifacts = {}
        for condition in dict.fromkeys(s.condition for s in self.sittings):
            some = [s for s in self.sittings if s.condition == condition]
            items = {s.debate.id: item(s.debate) for s in some}
            data = pack(Archive(items, games(some, right, self.honest)))
            key = f"games/{digest(data)}"
            self.store.put(key, data, {"record": self.id})
            artifacts[f"games/{condition}"] = key
        return artifacts

    def _audit(self) -> tuple[Audit, ...]:
        counts: Counter[tuple[str, str]] = Counter()
        for read in self.corpus.task.reads:
            counts[read.split, read.purpose] += read.n
        return tuple(
            Audit(door="score", split=split, purpose=f"grading of recorded beliefs: {purpose}", n=n)
            for (split, purpose), n in counts.items()
        )

    def _answer(self, conditions: tuple[Condition, ...]) -> str:
        by_name = {c.name: c.numbers["accuracy"] for c in conditions}
        said = [f"{name}: {format_number(by_name[name], decimals=3)}" for name in self.spec.settings if name in by_name]
        return "Accuracy of the judges who ended a debate: " + "; ".join(said) + "."

    def _cautions(self) -> list[str]:
        notes = [
            "Intervals draw stories and judges with replacement, the same ones for every condition. All ended debates "
            "count, unfiltered and unweighted, so these are not the figures of the paper, which selects and weights them."
        ]
        left = len(self.sittings) - len(self.finished)
        if left:
            notes.append(f"{left} debates were not ended by a judge: their beliefs count by round, and in no accuracy.")
        ties = [s for s in self.finished if verdict(s.beliefs[-1]).answer == UNDECIDED]
        if ties:
            names = ", ".join(f"{s.condition} ({s.id})" for s in ties)
            notes.append(
                f"{len(ties)} final belief{'s' if len(ties) > 1 else ''} on no side, counted as wrong: {names}."
            )
        return notes


def _quoted(found: list[Quoting]) -> dict[str, Number]:
    """Shares over the quotes of a setting: told apart from the judges' numbers, they carry no interval."""
    count = sum(q.quotes for q in found)
    if not count:
        return {}
    verified = sum(q.statuses["verified"] for q in found) / count
    covered: Mapping[str, float] = coverage(found)
    return {
        "quotes_verified": Number(value=verified, n=count),
        "coverage": Number(value=float(np.mean(list(covered.values()))), n=len(covered)),
    }


def prepare(spec: Debates, store: Store | None = None) -> Remeasured:
    """Read the corpus; nothing is measured yet. Raises TaskError where there is none."""
    return Remeasured(spec, store)


def debates(spec: Debates, store: Store | None = None, progress: Progress = silent) -> Record:
    """Re-measure the recorded judges and return the record; with a store, the games are kept in it."""
    return finish(prepare(spec, store), store, progress)


study = Study("debates", Debates, prepare)
