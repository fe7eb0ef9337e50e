"""From outcomes to a record: conditions with their numbers, the comparison, the audit, the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from superalign.core import measure
from superalign.core.digest import digest
from superalign.core.spec import Audit, Condition, Number, Record
from superalign.core.steps import encode
from superalign.core.study import circumstances
from superalign.studies.w2s import figures
from superalign.studies.w2s.anatomy import anatomy, misfit
from superalign.studies.w2s.outcome import Outcome, Pair

if TYPE_CHECKING:
    from superalign.core.ports import Floats
    from superalign.studies.w2s.sweep import Sweep

BASELINES = ("weak", "ceiling", "zero-shot")


def record_of(sweep: Sweep, pairs: Sequence[Pair]) -> Record:
    """The record of a finished sweep. Keeps the graded predictions too, so that records can be compared."""
    graded = [Graded(sweep, pair) for pair in pairs]
    single = len(graded) == 1
    conditions = [c for g in graded for c in g.conditions("" if single else f"@{g.pair.weak}>{g.pair.strong}")]
    tables, charts = {}, {}
    for g in graded:
        suffix = "" if single else f" ({g.pair.weak} > {g.pair.strong})"
        tables.update({name + suffix: table for name, table in figures.tables(g).items()})
        charts.update({name + suffix: chart for name, chart in figures.charts(g).items()})
    near = sweep.near_duplicates()
    if near is not None:
        tables["near-duplicates"] = near
    jobs = [o for pair in pairs for by_seed in pair.outcomes.values() for o in by_seed.values()]
    ran = [d for d in sweep.steps.done if not d.cached and d.name.startswith("w2s-")]
    return Record(
        id=sweep.id,
        title=f"Weak-to-strong on {sweep.pool.name}: {', '.join(sweep.spec.weak)} supervises {', '.join(sweep.spec.strong)}",
        **circumstances(sweep.spec),
        conditions=tuple(conditions),
        artifacts={**artifacts(pairs, single), "graded": keep(sweep, graded)},
        charts=charts,
        tables=tables,
        audit=audit(jobs, pairs),
        costs={
            "seconds": round(sum(o.seconds for o in jobs), 2),
            "seconds_per_step": round(sum(o.seconds for o in jobs) / max(1, len(jobs)), 3),
            "steps_run_now": len(ran),
            "steps_from_store": len(jobs) - len(ran),
            "usd": 0.0,
        },
        failures=failures(pairs),
        notes=(*(g.answer() for g in graded), *dict.fromkeys(n for g in graded for n in g.notes), *sweep.pool.notes),
    )


class Graded:
    """The numbers of one pair of models."""

    def __init__(self, sweep: Sweep, pair: Pair) -> None:
        self.pair, self.metric = pair, sweep.spec.metric
        self.seeds = len(sweep.spec.seeds)
        self.methods = [m.name for m in sweep.methods]
        self.teachers = {m.name: m.teacher_text or "weak" for m in sweep.methods}
        task = sweep.cells[0].task
        self.clusters = task.clusters("test")
        self.minimum_gap = sweep.spec.minimum_gap
        self.test_digest = task.digests["test"]
        self.chance = self._chance(sweep)
        self.notes: list[str] = []
        self._means: dict[tuple[str, str], Number] = {}
        self.elicited: dict[str, measure.Elicited] = {}
        for name in self.gradable():
            if name not in ("weak", "ceiling") and self._floor_stands():
                found = measure.elicited(
                    self.matrix("weak"), self.matrix(name), self.matrix("ceiling"),
                    chance=self.chance, clusters=self.clusters, minimum_gap=self.minimum_gap,
                )  # fmt: skip
                self.elicited[name] = found
        self.notes += self._cautions()

    def _cautions(self) -> list[str]:
        """What the intervals do not hold; of notes that differ by method, the first method's."""
        first = next((e for n, e in self.elicited.items() if n in self.methods), None)
        return list(first.notes) if first else []

    def gradable(self) -> list[str]:
        """Conditions with predictions for every seed."""
        return [n for n in self.pair.names() if n != "expansion" and self.pair.undefined(n, self.seeds) is None]

    def matrix(self, name: str) -> Floats:
        return self.pair.matrix(name, self.metric)

    def mean(self, name: str, metric: str) -> Number:
        """The mean score of a condition, with its interval; computed once."""
        if (name, metric) not in self._means:
            self._means[name, metric] = measure.mean(self.pair.matrix(name, metric), self.clusters)
        return self._means[name, metric]

    def students(self) -> dict[str, Floats]:
        """Scores of the methods that can be compared."""
        return {n: self.matrix(n) for n in self.methods if n in self.elicited}

    @cached_property
    def comparisons(self) -> list[measure.Comparison]:
        """Every pair of methods, Holm-corrected for all of them."""
        if len(self.students()) < 2:
            return []
        return measure.compare(
            self.matrix("weak"), self.students(), self.matrix("ceiling"), self.clusters,
            chance=self.chance, minimum_gap=self.minimum_gap,
        )  # fmt: skip

    def conditions(self, suffix: str) -> list[Condition]:
        """A condition per row, in the order of the documentation."""
        order = [*(n for n in BASELINES if n in self.pair.names()), *self.methods]
        rest = [n for n in self.pair.names() if n not in order and n != "expansion"]
        return [self._condition(name, name + suffix) for name in (*order, *rest)]

    def answer(self) -> str:
        """The study's answer in a sentence or two."""
        pair = f"{self.pair.weak} > {self.pair.strong}"
        first = next((n for n in self.methods if n in self.elicited), None)
        if first is None or not self._floor_stands():
            return f"{pair}: no method could be measured; see the reasons in the table."
        found = self.elicited[first]
        floor, top = (f"{n.value:.3f}" for n in (found.weak, found.ceiling))
        if found.pgr.value is None:
            return f"{pair}: weak {floor}, ceiling {top}; the performance gap recovered is {found.pgr.reason}."
        text = (
            f"{pair}: {first} recovers {_shown(found.pgr)} of the gap between the weak floor ({floor}) "
            f"and the ceiling ({top})."
        )
        best = max(self.students(), key=lambda n: self.elicited[n].pgr.value or float("-inf"))
        if best == first or len(self.students()) < 2:
            return text
        against = [c for c in self.comparisons if {c.a, c.b} == {best, first}]
        certain = "above it beyond noise" if against[0].ranked else "which these seeds and items cannot tell from it"
        return f"{text} The highest is {best}, {_shown(self.elicited[best].pgr)}, {certain}."

    def _condition(self, name: str, shown: str) -> Condition:
        reason = self.pair.undefined(name, self.seeds)
        if reason is not None:
            empty = Number(value=None, reason=reason)
            names = ("accuracy",) if name in ("weak", "ceiling") else ("accuracy", "pgr")
            return Condition(name=shown, numbers=dict.fromkeys(names, empty), labels=self._labels(name))
        numbers = {metric: self.mean(name, metric) for metric in ("accuracy", "log", "brier")}
        numbers["ece"] = self._over_seeds([calibration(o) for o in self._outcomes(name)])
        if name in self.elicited:
            found = self.elicited[name]
            numbers = {"accuracy": numbers["accuracy"], "pgr": found.pgr, "effect": found.effect, **numbers}
            numbers |= self._anatomy(name)
        elif name not in ("weak", "ceiling"):
            numbers["pgr"] = Number(value=None, reason="undefined: there is no weak floor or no ceiling")
        if name == "ceiling" and self.elicited:
            numbers["gap"] = next(iter(self.elicited.values())).gap
        if self._outcomes(name)[0].label_accuracy is not None:
            numbers["label_accuracy"] = self._over_seeds([o.label_accuracy or 0.0 for o in self._outcomes(name)])
        if name == "weak":
            numbers |= self._expansion()
        return Condition(name=shown, numbers=numbers, labels=self._labels(name))

    def _labels(self, name: str) -> dict[str, str]:
        kinds = {"weak": "floor", "ceiling": "ceiling", "zero-shot": "baseline"}
        kind = kinds.get(name, "method" if name in self.methods else "control")
        if name in self.teachers.values() and name != "weak":
            kind = "teacher"
        labels = {"kind": kind}
        # a trained model is named `minilm:C=0.03#1f0a91c2`: the setting that was chosen, and its weights
        chosen = [o.trained.partition("#")[0].partition(":")[2] for o in self.pair.outcomes.get(name, {}).values()]
        if any(chosen):
            labels["chosen"] = ", ".join(f"{c} x{n}" for c, n in sorted(Counter(chosen).items()))
        return labels

    def _anatomy(self, name: str) -> dict[str, Number]:
        teacher = self.teachers.get(name, "weak")
        found = anatomy(
            self.pair.predictions(name), self.pair.predictions(teacher),
            self.pair.matrix(teacher, "accuracy"), self.pair.matrix(name, "accuracy"), clusters=self.clusters,
        )  # fmt: skip
        numbers = {
            "agreement": found.agreement,
            "imitation": found.imitation,
            "corrections": found.corrections,
            "damage": found.damage,
        }
        labels = [o.transfer for o in self._outcomes(teacher)]
        student = [o.transfer for o in self._outcomes(name)]
        known = [(s, w) for s, w in zip(student, labels, strict=True) if s is not None and w is not None]
        if known and not any(np.isnan(w).any() for _, w in known):
            numbers["misfit"] = misfit(np.stack([s for s, _ in known]), np.stack([w for _, w in known]))
        return numbers

    def _expansion(self) -> dict[str, Number]:
        outcomes = list(self.pair.outcomes.get("expansion", {}).values())
        found = {}
        for name in ("expansion", "neighbours_disagree"):
            values = [o.extra[name] for o in outcomes if name in o.extra]
            reason = next((o.reason for o in outcomes if o.reason), self.pair.failures.get("expansion"))
            found[name] = (
                self._over_seeds(values) if values else Number(value=None, reason=reason or "undefined: not computed")
            )
        return found

    def _outcomes(self, name: str) -> list[Outcome]:
        return [o for _, o in sorted(self.pair.outcomes[name].items())]

    def _over_seeds(self, values: Sequence[float]) -> Number:
        """A number that each seed has one of; its interval resamples seeds."""
        if len(values) == 1:
            return Number(value=values[0], seeds=1, n=len(self.clusters))
        return measure.mean(np.asarray(values)[:, None]).model_copy(update={"n": len(self.clusters)})

    def _floor_stands(self) -> bool:
        names = self.gradable()
        return "weak" in names and "ceiling" in names

    def _chance(self, sweep: Sweep) -> float:
        """The score of the best constant answer (accuracy), or of uniform probabilities (log)."""
        task = sweep.cells[0].task
        items = task.items("test")
        if self.metric == "log":
            return float(-np.mean([np.log(len(i.choices)) for i in items]))
        return float(max(task.constant_accuracy("test")))


def calibration(outcome: Outcome) -> float:
    """Expected calibration error of the top choice, from confidence and correctness."""
    known = ~np.isnan(outcome.probs).any(1)
    probs, right = outcome.probs[known], outcome.scores["accuracy"][known] > 0.5
    top = probs.argmax(1)
    return measure.ece(probs, np.where(right, top, (top + 1) % probs.shape[1]))


def audit(jobs: Sequence[Outcome], pairs: Sequence[Pair]) -> tuple[Audit, ...]:
    """Every use of the truth: what the jobs read (also when they came from the store), then the grading."""
    counts: dict[tuple[str, str, str], int] = {}
    for pair in pairs:
        for name, by_seed in pair.outcomes.items():
            for outcome in by_seed.values():
                for door, split, purpose, n in outcome.reads:
                    legal = not outcome.key.startswith("w2s-student")
                    counted = (door, split, purpose if legal else f"leak: {name} read the truth ({purpose})")
                    counts[counted] = counts.get(counted, 0) + n
    rows = [
        Audit(door="truth" if d == "truth" else "score", split=s, purpose=p, n=n) for (d, s, p), n in counts.items()
    ]
    graded = sum(len(o.scores["accuracy"]) for o in jobs if o.scores)
    labelled = sum(len(o.transfer) for o in jobs if o.label_accuracy is not None and o.transfer is not None)
    rows.append(Audit(door="score", split="test", purpose="grading of every condition", n=graded))
    if labelled:
        rows.append(
            Audit(door="score", split="transfer", purpose="accuracy of the weak labels, for the report", n=labelled)
        )
    return tuple(rows)


def artifacts(pairs: Sequence[Pair], single: bool) -> dict[str, str]:
    """The key of every job's value."""
    found = {}
    for pair in pairs:
        suffix = "" if single else f"@{pair.weak}>{pair.strong}"
        for name, by_seed in pair.outcomes.items():
            found.update({f"{name}{suffix}/seed {seed}": outcome.key for seed, outcome in by_seed.items()})
    return found


def failures(pairs: Sequence[Pair]) -> dict[str, int]:
    """Failures by kind."""
    counts: dict[str, int] = {}
    for pair in pairs:
        for reason in pair.failures.values():
            counts[reason] = counts.get(reason, 0) + 1
    return counts


def keep(sweep: Sweep, graded: Sequence[Graded]) -> str:
    """Keep scores (seeds, items) of every condition in the store, for comparison with other records."""
    value: dict[str, object] = {"pairs": [[g.pair.weak, g.pair.strong] for g in graded]}
    for k, g in enumerate(graded):
        value |= {f"{k}/{name}": g.matrix(name) for name in g.gradable()}
        value |= {f"{k}.methods": g.methods, f"{k}.test": g.test_digest, f"{k}.chance": g.chance}
        value[f"{k}.clusters"] = np.asarray(g.clusters)
    if sweep.store is None:
        return ""
    data = encode(value)
    key = f"graded/{digest(data)}"
    sweep.store.put(key, data, {"record": sweep.id})
    return key


def _shown(number: Number) -> str:
    if number.value is None:
        return str(number.reason or "undefined")
    if number.low is None or number.high is None:
        return f"{number.value:.2f}"
    return f"{number.value:.2f} [{number.low:.2f}, {number.high:.2f}]"
