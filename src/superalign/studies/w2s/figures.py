"""Tables and charts of a weak-to-strong record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core import measure
from superalign.core.spec import Number, Table
from superalign.report import charts as draw
from superalign.studies.w2s.anatomy import anatomy
from superalign.studies.w2s.outcome import Outcome

if TYPE_CHECKING:
    from superalign.studies.w2s.record import Graded


def tables(graded: Graded) -> dict[str, Table]:
    """Ranks, pairwise differences, label-free predictors, and the anatomy over training."""
    found = {}
    comparisons = graded.comparisons
    if comparisons:
        found["ranks"] = ranks(graded.elicited, comparisons)
        found["differences"] = differences(comparisons)
    if graded.students():
        found["predictors"] = predictors(graded)
        trail = training(graded)
        if trail:
            found["training"] = Table(
                title="Anatomy over training",
                columns=(
                    "method",
                    "share of steps",
                    "accuracy",
                    "agreement where weak is right",
                    "agreement where weak is wrong",
                ),
                rows=tuple(trail),
                note="Means over seeds on the test items. Agreement where the weak model is wrong is imitation of its errors.",
            )
        found["deciles"] = deciles(graded)
    return found


def ranks(elicited: Mapping[str, measure.Elicited], comparisons: list[measure.Comparison]) -> Table:
    """Best and worst possible rank of each method."""
    possible = measure.ranks(comparisons)
    rows = []
    for name, (best, worst) in sorted(possible.items(), key=lambda r: (r[1], -_value(elicited[r[0]].student))):
        found = elicited[name]
        rows.append((name, f"{best}" if best == worst else f"{best} to {worst}", _text(found.pgr), _text(found.effect)))
    note = (
        f"Only pairs that differ beyond noise have an order (Holm-corrected for {len(comparisons)} comparisons); "
        "methods with overlapping ranks must not be put in order."
    )
    return Table(title="Ranks", columns=("method", "possible rank", "PGR", "effect"), rows=tuple(rows), note=note)


def differences(comparisons: list[measure.Comparison]) -> Table:
    """Paired differences of every two methods."""
    rows = []
    for c in comparisons:
        verdict = "differ" if c.ranked else "not told apart"
        rows.append((f"{c.a} - {c.b}", _text(c.difference), _text(c.effect), _p(c.p), _p(c.p_adjusted), verdict))
    columns = ("methods", "difference of PGR", "difference of scores", "p", "p (Holm)", "verdict")
    return Table(title="Paired differences", columns=columns, rows=tuple(rows))


def predictors(graded: Graded) -> Table:
    """What predicts the gain without truth, per method and seed, beside the gain."""
    rows = []
    seeds = sorted(graded.pair.outcomes["weak"])
    for name in graded.students():
        teacher = graded.teachers[name]
        for k, seed in enumerate(seeds):
            student, weak = (graded.pair.outcomes[n][seed] for n in (name, teacher))
            if student.transfer is None or weak.transfer is None or np.isnan(weak.transfer).any():
                continue
            misfit = float(((student.transfer - weak.transfer) ** 2).sum(-1).mean() / 2)
            gain = float(student.scores["accuracy"].mean() - weak.scores["accuracy"].mean())
            pgr = graded.elicited[name].per_seed[k]
            rows.append((name, seed, round(misfit, 4), round(gain, 4), None if pgr is None else round(pgr, 3)))
    note = (
        "Misfit is the mean squared distance of student and weak probabilities on transfer. It bounds the gain only under "
        "the conditions of Charikar et al. (2024), theorem 1; here it is an uncalibrated predictor."
    )
    return Table(
        title="Label-free predictors", columns=("method", "seed", "misfit", "gain", "PGR"), rows=tuple(rows), note=note
    )


def training(graded: Graded) -> list[tuple[Any, ...]]:
    """Accuracy and agreement with the weak model at points of training, means over seeds."""
    rows: list[tuple[Any, ...]] = []
    for name in graded.students():
        outcomes = [o for _, o in sorted(graded.pair.outcomes[name].items())]
        weak = [o for _, o in sorted(graded.pair.outcomes[graded.teachers[name]].items())]
        if any(o.trail is None or len(o.trail_steps) != len(outcomes[0].trail_steps) for o in outcomes):
            continue
        total = max(outcomes[0].trail_steps[-1], 1)
        for point, step in enumerate(outcomes[0].trail_steps):
            shares = np.mean([_point(point, o, w) for o, w in zip(outcomes, weak, strict=True)], axis=0)
            rows.append((name, round(step / total, 3), *(round(float(x), 4) for x in shares)))
    return rows


def deciles(graded: Graded) -> Table:
    """Imitation and corrections of the first method, by how sure the weak model was."""
    name = next(iter(graded.students()))
    teacher = graded.teachers[name]
    confidence = np.stack([np.nan_to_num(o.probs).max(1) for _, o in sorted(graded.pair.outcomes[teacher].items())])
    found = anatomy(
        graded.pair.predictions(name), graded.pair.predictions(teacher),
        graded.pair.matrix(teacher, "accuracy"), graded.pair.matrix(name, "accuracy"),
        weak_confidence=confidence, clusters=graded.clusters,
    )  # fmt: skip
    rows = []
    for k, part in enumerate(found.deciles, 1):
        low, high = part.confidence or (0.0, 0.0)
        cells = (_text(n) for n in (part.weak_accuracy, part.imitation, part.corrections, part.damage))
        rows.append((k, f"{low:.3f} to {high:.3f}", *cells))
    columns = ("decile", "weak confidence", "weak accuracy", "imitation", "corrections", "damage")
    return Table(title=f"By weak confidence ({name})", columns=columns, rows=tuple(rows))


def charts(graded: Graded) -> dict[str, dict[str, Any]]:
    """Accuracy per condition, PGR per method, the anatomy over training, misfit against gain."""
    means = {n: graded.mean(n, graded.metric) for n in graded.gradable()}
    if not means:
        return {}
    metric = "accuracy" if graded.metric == "accuracy" else "log score"
    references = [(n, _value(means[n])) for n in ("weak", "ceiling") if n in means]
    found = {
        "scores": draw.bars_with_intervals(
            [_row(n, v) for n, v in means.items()], metric.capitalize(), references=references, x=metric
        )
    }
    pgr = [_row(n, e.pgr) for n, e in graded.elicited.items()]
    if pgr:
        found["pgr"] = draw.forest(pgr, "Performance gap recovered", x="PGR")
    trail = training(graded)
    rows = [{"step": r[1], "value": r[4], "series": r[0]} for r in trail]
    if rows:
        note = "share of the weak model's errors that the student repeats, means over seeds"
        found["imitation"] = draw.curves(
            rows, "Imitation of weak errors over training", x="share of steps", y="imitation", note=note
        )
    points = predictors(graded).rows if graded.students() else ()
    if points:
        data = [{"x": r[2], "y": r[3], "group": r[0], "name": f"{r[0]}, seed {r[1]}"} for r in points]
        found["misfit"] = draw.scatter(data, "Misfit against gain, each seed", x="misfit", y="gain over weak")
    return found


def _point(point: int, student: Outcome, weak: Outcome) -> tuple[float, float, float]:
    """Accuracy, agreement where weak is right, agreement where weak is wrong, at one point of training."""
    if student.trail is None or student.trail_right is None:
        return 0.0, 0.0, 0.0
    weak_right = weak.scores["accuracy"] > 0.5
    agree = student.trail[point] == weak.predictions
    where = [agree[mask].mean() if mask.any() else 0.0 for mask in (weak_right, ~weak_right)]
    return float(student.trail_right[point].mean()), float(where[0]), float(where[1])


def _row(name: str, number: Number) -> dict[str, Any]:
    return {"name": name, "value": number.value, "low": number.low, "high": number.high, "reason": number.reason}


def _text(number: Number) -> str:
    if number.value is None:
        return "undefined"
    if number.low is None or number.high is None:
        return f"{number.value:.3f}"
    return f"{number.value:.3f} [{number.low:.3f}, {number.high:.3f}]"


def _p(p: float | None) -> str:
    return "" if p is None else f"{p:.2g}"


def _value(number: Number) -> float:
    return float("-inf") if number.value is None else number.value
