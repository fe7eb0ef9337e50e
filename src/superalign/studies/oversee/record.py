"""From games to a record: conditions with their numbers, comparisons, tables, charts, audit, the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.resample import Ints, resample
from superalign.core.spec import Audit, Condition, Number, Record, Table
from superalign.core.study import circumstances
from superalign.studies.oversee import control, elo, figures, gaps
from superalign.studies.oversee.conditions import ALONE, CEILING, FLOOR, Contest, suffix
from superalign.studies.oversee.contrast import Contrast, contrasts
from superalign.studies.oversee.judging import Judged, Key, numbers, usable
from superalign.studies.oversee.play import Finished
from superalign.studies.oversee.setting import SPLIT

if TYPE_CHECKING:
    from superalign.studies.oversee.sweep import Sweep


@dataclass
class Results:
    """What came of every condition: its games, the key of its archive, or why there are none."""

    contests: dict[str, Contest] = field(default_factory=dict)
    finished: dict[str, Finished] = field(default_factory=dict)
    archives: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, contest: Contest, finished: Finished, archive: str) -> None:
        """Keep a condition."""
        self.contests[contest.name] = contest
        self.finished[contest.name], self.archives[contest.name] = finished, archive


def record_of(sweep: Sweep, played: Results) -> Record:
    """The record of a finished sweep."""
    task = sweep.setting.task
    items = task.items(SPLIT)
    truth = task.truth(SPLIT, "numbers of every condition, all games over")(items)
    right = np.array([j.verdict.answer for j in truth], np.int64)
    key = Key(right, np.array([len(i.choices) for i in items]), task.clusters(SPLIT))
    parts = _control(sweep, played, key) if sweep.setting.control else Graded(sweep, played, key).parts()
    reads = [r for one in played.finished.values() for r in one.reads]
    reads.append(("truth", SPLIT, "numbers of every condition, all games over", len(items)))
    costs = {
        "seconds": round(sum(one.seconds for one in played.finished.values()), 2),
        "usd": round(sum(float(one.games.new_usd.sum()) for one in played.finished.values()), 4),
        "games": float(sum(len(one.games.place) for one in played.finished.values())),
        "calls_now": float(sweep.transcript.asked) if sweep.asked else 0.0,
        "calls_repeated": float(sweep.transcript.repeated) if sweep.asked else 0.0,
    }
    return Record(
        id=sweep.id,
        title=_title(sweep),
        **circumstances(sweep.spec),
        conditions=tuple(parts.conditions),
        artifacts={f"games/{name}": archive for name, archive in played.archives.items()},
        charts=parts.charts,
        tables=parts.tables,
        audit=_audit(reads),
        costs=costs,
        failures=_failures(played),
        notes=(*parts.notes, *sweep.setting.notes),
    )


@dataclass
class Parts:
    """What differs between the branches of a study."""

    conditions: list[Condition] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def _control(sweep: Sweep, played: Results, key: Key) -> Parts:
    for name, reason in played.failures.items():
        return Parts(notes=[f"{name}: {reason}"])
    rows, tables, curve, answer = control.conditions(
        sweep.spec, sweep.setting, played.finished, key.right, key.clusters
    )
    return Parts(rows, tables, figures.control(curve, rows), [answer])


class Graded:
    """The numbers of a study of judging."""

    def __init__(self, sweep: Sweep, played: Results, key: Key) -> None:
        self.sweep, self.spec, self.played, self.key = sweep, sweep.spec, played, key
        seeds = len(sweep.spec.seeds)
        self.judged = {n: Judged(f.games, key, seeds, sweep.spec.unparsed) for n, f in played.finished.items()}
        self.keep: Ints = usable(self.judged) if self.judged else np.arange(0)
        self.clusters = key.only(self.keep).clusters
        self.rows = [c for c in sweep.contests if c.name in self.judged]

    def parts(self) -> Parts:
        """Everything for the record."""
        if not len(self.keep):
            why = "no item has a verdict in every condition" if self.judged else "no condition is finished"
            return Parts(
                [self._undefined(c, why) for c in self.sweep.contests], notes=[f"Nothing can be compared: {why}."]
            )
        found = [self._condition(c) if c.name in self.judged else self._undefined(c) for c in self.sweep.contests]
        tables = {"strength": figures.by_strength(found)}
        if self.contrasts:
            tables["differences"] = figures.differences(self.contrasts, "Against the floor")
        if self.trends:
            tables["trends"] = figures.differences(self.trends, "The strongest agent against the weakest")
        tables |= self._ratings()
        notes = [self.answer(), *self._cautions()]
        if self.sweep.gaps:
            tables["gaps"] = self._gaps(found)
        return Parts(found, tables, figures.charts(found, self.judged), notes)

    @cached_property
    def contrasts(self) -> list[Contrast]:
        """Every condition against the floor of the same judge."""
        scores = {c.name: self.judged[c.name].accuracy[:, self.keep] for c in self.rows}
        against = [(c.name, floor) for c in self.rows if (floor := self._floor(c)) and c.kind == "protocol"]
        return contrasts(against, scores, self.clusters)

    @cached_property
    def trends(self) -> list[Contrast]:
        """What the strongest agent adds to the weakest, by protocol and judge."""
        ends: dict[tuple[str, str], list[Contest]] = {}
        for c in self.rows:
            if c.strength is not None and c.kind == "protocol":
                ends.setdefault((c.series, c.flaw), []).append(c)
        named = [(max(cs, key=_strength).name, min(cs, key=_strength).name) for cs in ends.values() if len(cs) > 1]
        scores = {c.name: self.judged[c.name].accuracy[:, self.keep] for c in self.rows}
        return contrasts(named, scores, self.clusters)

    def answer(self) -> str:
        """The study's answer in a sentence or two."""
        if self.trends:
            parts = []
            for trend in self.trends:
                series, low, high = trend.a.rpartition("@")[0], trend.b.rpartition("@")[2], trend.a.rpartition("@")[2]
                d = trend.difference
                moved = "gains" if (d.value or 0) > 0 else "loses"
                sure = "" if trend.clear else " (not beyond noise)"
                parts.append(f"{series} {moved} {abs(d.value or 0):.2f}{_span(d)} from strength {low} to {high}{sure}")
            return "Accuracy of the judge: " + "; ".join(parts) + "."
        best = max(self.contrasts, key=lambda c: c.difference.value or 0.0, default=None)
        if best is None:
            return "No protocol could be compared with the floor; see the reasons in the table."
        sure = "beyond noise" if best.clear else "which these items cannot tell from noise"
        d = best.difference
        change = f"{d.value:+.2f}{_span(d)} against {best.b}, {sure}"
        if (d.value or 0) > 0:
            return f"{best.a} lifts the judge's accuracy most: {change}."
        return f"No protocol lifts the judge's accuracy; the best, {best.a}, moves it by {change}."

    def _floor(self, c: Contest) -> str | None:
        name = FLOOR + suffix(c.flaw)
        return name if name in self.judged and name != c.name else None

    def _ceiling(self, c: Contest) -> str | None:
        names = (CEILING + suffix(c.flaw), CEILING, ALONE)
        return next((n for n in names if n in self.judged), None)

    def _condition(self, c: Contest) -> Condition:
        floor, ceiling = self._floor(c), self._ceiling(c)
        judged, done = self.judged, self.played.finished[c.name]
        base = judged[floor] if floor and c.kind == "protocol" else None
        found = numbers(judged[c.name], base, judged[ceiling] if ceiling else None, self.keep)
        if c.kind == "ceiling" and floor:
            gap = judged[c.name].accuracy[:, self.keep], judged[floor].accuracy[:, self.keep]
            found["gap"] = contrasts([("a", "b")], {"a": gap[0], "b": gap[1]}, self.clusters)[0].difference
        return Condition(name=c.name, numbers=found, labels=_labels(c) | {"tokens": done.tokens})

    def _undefined(self, c: Contest, why: str = "not played") -> Condition:
        reason = f"undefined: {self.played.failures.get(c.name, why)}"
        return Condition(name=c.name, numbers={"accuracy": Number(value=None, reason=reason)}, labels=_labels(c))

    def _cautions(self) -> list[str]:
        notes = []
        left = len(self.key.right) - len(self.keep)
        if left:
            notes.append(
                f"{left} items are left out: in some condition no game of theirs has a verdict (unparsed: exclude)."
            )
        for name, one in self.played.finished.items():
            share = 1 - float(one.games.judged.mean())
            if share > 0.02 and name != gaps.GENERATES:
                notes.append(f"{name}: {share:.0%} of the games have no verdict; they count as {self.spec.unparsed}.")
        groups = len(np.unique(self.clusters))
        if groups < 10:
            notes.append(f"{groups} clusters of items: intervals over so few are too narrow.")
        return notes

    def _ratings(self) -> dict[str, Table]:
        """Elo of every strength, honest and dishonest, from cross-play."""
        found = {}
        for series, games in self.sweep.tournament.items():
            seats = {(n, n): f"{series}@{n}" for n in self.spec.strength}
            seats |= {_seats(c): c.name for c in games}
            if not all(name in self.judged for name in seats.values()):
                continue
            rated = self._rated(seats)
            pairs = [(f"honest@{n}", f"dishonest@{n}") for n in self.spec.strength]
            advantage = elo.advantage(rated, pairs)
            found[f"elo {series}"] = figures.ratings(series, self.spec.strength, rated, advantage)
        return found

    def _rated(self, seats: Mapping[tuple[int, int], str]) -> elo.Ratings:
        """Whoever sits with the truth is the honest player of the match; the outcome is the judge's belief in it."""
        cells: dict[tuple[int, int], list[np.ndarray]] = {}
        truth = self.key.right[self.keep]
        for (a, b), name in seats.items():
            one = self.judged[name]
            belief = one.matrix(one.p[np.arange(len(one.truth)), one.truth])[:, self.keep]
            for side, (honest, other) in enumerate(((a, b), (b, a))):
                here = np.broadcast_to((truth == side).astype(np.float64), belief.shape)
                total = cells.setdefault((honest, other), [np.zeros_like(belief), np.zeros_like(belief)])
                total[0] += here * belief
                total[1] += here
        draws = resample([m for cell in cells.values() for m in cell], self.clusters)
        won, games = draws[:, 0::2], np.maximum(draws[:, 1::2], 1e-9)
        size = belief.size
        matches = [
            elo.Match(f"honest@{h}", f"dishonest@{d}", float(w.sum() / max(g.sum(), 1e-9)), float(g.sum()))
            for (h, d), (w, g) in cells.items()
        ]
        return elo.fit(matches, resampled=(np.clip(won / games, 0, 1), games * size))

    def _gaps(self, found: list[Condition]) -> Table:
        both = [self.judged.get(n) for n in (gaps.GENERATES, gaps.DISCRIMINATES)]
        says, tells = (one if one is not None and one.games.judged.any() else None for one in both)
        rows = {}
        for k, c in enumerate(self.sweep.contests):
            if c.name not in self.judged or not any(r.startswith("critic") for r in c.roles) or c.flaw:
                continue
            each = gaps.differences(says, tells, self.judged[c.name], self.keep)
            found[k] = found[k].model_copy(update={"numbers": {**found[k].numbers, **each}})
            alone = [numbers(one, None, None, self.keep)["accuracy"] if one else None for one in (says, tells)]
            rows[c.name] = (alone[0], alone[1], found[k].numbers["accuracy"], each)
        return gaps.table(rows)


def _labels(c: Contest) -> dict[str, str]:
    labels = {"kind": c.kind, "series": c.series, "protocol": c.protocol}
    for name in ("strength", "rounds"):
        if getattr(c, name) is not None:
            labels[name] = str(getattr(c, name))
    if c.flaw:
        labels["flaw"] = c.flaw
    labels["judge"] = c.chairs["judge"].name
    if c.agent_speaks:
        labels["agent"] = c.chairs.agent.name
    if c.rules.template:
        labels["template"] = c.rules.template[:12]
    return labels


def _seats(c: Contest) -> tuple[int, int]:
    a, b = c.name.rpartition("@")[2].split(":")
    return int(a), int(b)


def _strength(c: Contest) -> int:
    return c.strength or 0


def _span(found: Number) -> str:
    return "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"


def _title(sweep: Sweep) -> str:
    kind = "Control" if sweep.setting.control else "Oversight"
    return f"{kind} on {sweep.setting.task.name}: {sweep.setting.judge} and {sweep.setting.agent}"


def _audit(reads: list[tuple[str, str, str, int]]) -> tuple[Audit, ...]:
    counts: dict[tuple[str, str, str], int] = {}
    for door, split, purpose, n in reads:
        counts[door, split, purpose] = counts.get((door, split, purpose), 0) + n
    return tuple(
        Audit(door="truth" if d == "truth" else "score", split=s, purpose=p, n=n) for (d, s, p), n in counts.items()
    )


def _failures(played: Results) -> dict[str, int]:
    """Conditions without games, games without a verdict and malformed replies, by kind."""
    found: Counter[str] = Counter(played.failures.values())
    for one in played.finished.values():
        found.update(one.abstained)
        found.update({f"malformed: {kind}": n for kind, n in one.faults.items()})
    return dict(found.most_common())
