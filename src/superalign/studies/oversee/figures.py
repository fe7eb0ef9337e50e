"""Tables and charts of an oversight record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from superalign.core.spec import Condition, Number, Table
from superalign.report import charts as draw
from superalign.studies.oversee.contrast import Contrast
from superalign.studies.oversee.elo import Ratings
from superalign.studies.oversee.judging import Judged


def by_strength(conditions: Sequence[Condition]) -> Table:
    """Accuracy of every condition by protocol, strength, rounds and flaw of the judge, with what it costs."""
    numbers = {"accuracy": 3, "pgr": 2, "asd": 2, "judge_tokens": 0, "agent_tokens": 0, "gain_per_1000_judge_tokens": 3}
    labels = ("series", "strength", "rounds", "flaw")
    rows = [
        (
            *(c.labels.get(k, "") for k in labels),
            *(text(c.numbers[n], decimals) if n in c.numbers else "" for n, decimals in numbers.items()),
        )
        for c in conditions
    ]
    columns = ("protocol", "strength", "rounds", "judge's flaw", *(n.replace("_", " ") for n in numbers))
    return Table(title="Accuracy by protocol, strength and cost", columns=columns, rows=tuple(rows))


def differences(found: Sequence[Contrast], title: str) -> Table:
    """Paired differences with intervals and p values."""
    rows = [
        (f"{c.a} - {c.b}", text(c.difference), _p(c.p), _p(c.adjusted), "differ" if c.clear else "not told apart")
        for c in found
    ]
    note = (
        "Differences of accuracy on the same items; intervals by a bootstrap over clusters of items, p by random signs of"
        f" clusters, Holm-corrected for {len(found)} comparisons."
    )
    columns = ("conditions", "difference", "p", "p (Holm)", "verdict")
    return Table(title=title, columns=columns, rows=tuple(rows), note=note)


def ratings(series: str, strengths: Sequence[int], found: Ratings, advantage: float) -> Table:
    """Ratings of each strength when it argues for the truth and when it argues against it."""
    rows = []
    for n in strengths:
        honest, other = found.of(f"honest@{n}"), found.of(f"dishonest@{n}")
        rows.append((n, text(honest, 0), text(other, 0), round((honest.value or 0) - (other.value or 0))))
    note = (
        f"Elo by maximum likelihood over every pair of strengths; 1500 is the mean. The truth is worth {advantage:.0f}"
        " points on average."
    )
    columns = ("strength", "honest", "dishonest", "advantage of the truth")
    return Table(title=f"Ratings in {series}", columns=columns, rows=tuple(rows), note=note)


def charts(conditions: Sequence[Condition], judged: Mapping[str, Judged]) -> dict[str, dict[str, Any]]:
    """Accuracy per condition, against strength, rounds and judge tokens; calibration."""
    scored = [c for c in conditions if "accuracy" in c.numbers]
    if not scored:
        return {}
    kinds = {
        c.labels["kind"]: c for c in scored if c.labels["kind"] in ("floor", "ceiling") and not c.labels.get("flaw")
    }
    references = [
        (c.name, c.numbers["accuracy"].value) for c in kinds.values() if c.numbers["accuracy"].value is not None
    ]
    rows = [{"name": c.name, **_ends(c.numbers["accuracy"])} for c in scored]
    found = {"accuracy": draw.bars_with_intervals(rows, "Accuracy of the judge", references=references)}
    for axis, title in (("strength", "Accuracy by strength of the agent"), ("rounds", "Accuracy by number of rounds")):
        lines = list(_lines(scored, axis))
        if len({(line["series"], line["step"]) for line in lines}) > len({line["series"] for line in lines}):
            found[axis] = draw.curves(lines, title, x=axis, y="accuracy", log=min(line["step"] for line in lines) > 0)
    points = [
        {
            "x": c.numbers["judge_tokens"].value, "y": c.numbers["accuracy"].value,
            "y_low": c.numbers["accuracy"].low, "y_high": c.numbers["accuracy"].high,
            "name": c.name, "group": c.labels["series"],
        }
        for c in scored if "judge_tokens" in c.numbers  # a condition that waits for people has none yet
        if c.numbers["judge_tokens"].value is not None and c.numbers["accuracy"].value is not None
    ]  # fmt: skip
    if points:
        found["frontier"] = draw.scatter(
            points, "Accuracy and what the judge reads", x="judge tokens per game", y="accuracy"
        )
    found |= _calibration(scored, judged)
    return found


def _lines(conditions: Iterable[Condition], axis: str) -> Iterable[dict[str, Any]]:
    other = "rounds" if axis == "strength" else "strength"
    for c in conditions:
        if axis not in c.labels:
            continue
        base = c.labels["series"] if axis == "strength" else c.labels["protocol"].partition(":")[0]
        extra = f", {other} {c.labels[other]}" if other in c.labels and axis == "rounds" else ""
        series = base + extra + (f" ({c.labels['flaw']})" if c.labels.get("flaw") else "")
        yield {"step": int(c.labels[axis]), "series": series, **_ends(c.numbers["accuracy"])}


FEW = 20
"""Games; a bin with fewer is left out of the chart, as its mean says nothing."""


def _calibration(conditions: Sequence[Condition], judged: Mapping[str, Judged]) -> dict[str, dict[str, Any]]:
    """Accuracy by confidence, the strongest condition of each protocol; up to six, as many as can be told apart."""
    last = {c.labels["series"]: c for c in conditions if not c.labels.get("flaw")}
    rows = [
        {"step": confidence, "value": accuracy, "series": c.name}
        for c in list(last.values())[:6]
        if c.name in judged and judged[c.name].proper
        for confidence, accuracy, games in judged[c.name].calibration()
        if games >= FEW
    ]
    if not rows:
        return {}
    note = f"means of games in bins of confidence that hold {FEW} or more; a calibrated judge lies on the diagonal"
    return {"calibration": draw.curves(rows, "Calibration of the judge", x="confidence", y="accuracy", note=note)}


def control(curve: Sequence[Mapping[str, Any]], conditions: Sequence[Condition]) -> dict[str, dict[str, Any]]:
    """Safety by audit budget, and safety against usefulness."""
    found = {}
    if curve:
        found["safety"] = draw.curves(curve, "Safety by audit budget", x="share of honest runs audited", y="safety")
    points = [
        {
            "x": c.numbers["usefulness"].value, "x_low": c.numbers["usefulness"].low, "x_high": c.numbers["usefulness"].high,
            "y": c.numbers["safety"].value, "y_low": c.numbers["safety"].low, "y_high": c.numbers["safety"].high,
            "name": c.name, "group": c.name.partition("/")[0],
        }
        for c in conditions if "safety" in c.numbers and c.numbers["safety"].value is not None
    ]  # fmt: skip
    if points:
        found["frontier"] = draw.scatter(points, "Safety and usefulness", x="usefulness", y="safety")
    return found


def text(number: Number, decimals: int = 3) -> str:
    """A number with its interval, in a cell."""
    if number.value is None:
        return "undefined"
    if number.low is None or number.high is None:
        return f"{number.value:.{decimals}f}"
    return f"{number.value:.{decimals}f} [{number.low:.{decimals}f}, {number.high:.{decimals}f}]"


def _ends(number: Number) -> dict[str, Any]:
    return {"value": number.value, "low": number.low, "high": number.high, "reason": number.reason}


def _p(p: float | None) -> str:
    return "" if p is None else f"{p:.2g}"
