"""Tables and charts of recorded debates: belief over rounds, calibration, quotes, differences between settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.spec import Condition, Number, Table
from superalign.report import charts as draw
from superalign.report.numbers import format_number
from superalign.studies.debates import quoted
from superalign.studies.debates.doubt import ACCURACY, BINS, STATISTICS, mean
from superalign.studies.debates.quoted import Quoting
from superalign.studies.debates.sittings import Graded, grade

if TYPE_CHECKING:
    from superalign.studies.debates.record import Remeasured

FEWEST = 10
"""Beliefs that a point over rounds rests on at least; a row of a table and a bin need half as many."""


def tables(found: Remeasured, quotes: Sequence[Quoting]) -> dict[str, Table]:
    """Per round, differences between settings, quotes, and what each kind of clustering does to the intervals."""
    made = {"rounds": _rounds(found), "quotes": _quotes(found, quotes), "intervals": _intervals(found)}
    live = [c for c in found.conditions if c in found.spec.settings]
    if len(live) > 1:
        made["differences"] = _differences(found, live)
    return made


def charts(found: Remeasured, conditions: Sequence[Condition]) -> dict[str, dict[str, Any]]:
    """Accuracy per condition, accuracy and belief by round, calibration."""
    rows = [{"name": c.name, **_ends(c.numbers["accuracy"])} for c in conditions]
    by_round = [(c, n, g) for c, n, g in by_rounds(found) if c in found.spec.settings and len(g) >= FEWEST]
    note = f"rounds with at least {FEWEST} judges; who goes on is not drawn at random"
    lines = {
        key: [
            {"step": n, "series": c, **_ends(found.draws.number(g, STATISTICS[key]))} for c, n, g in by_round
        ]
        for key in ("accuracy", "belief")
    }  # fmt: skip
    return {
        "accuracy": draw.bars_with_intervals(rows, "Accuracy of the judges", references=(("chance", 0.5),)),
        "accuracy-by-round": draw.curves(
            lines["accuracy"], "Accuracy of the most probable answer, by round", x="rounds of speeches heard", y="accuracy", note=note
        ),
        "belief-by-round": draw.curves(
            lines["belief"], "Mean belief in the truth, by round", x="rounds of speeches heard", y="probability", note=note
        ),
        "calibration": draw.scatter(
            list(_calibration(found)), "Calibration of final beliefs", x="confidence", y="accuracy",
            note=f"final beliefs in {BINS} bins; on the diagonal, a judge is as often right as sure",
        ),
    }  # fmt: skip


def by_rounds(found: Remeasured) -> Iterator[tuple[str, int, Graded]]:
    """Every condition's beliefs after each number of rounds of speeches, graded; the last where there are several."""
    for condition in found.conditions:
        some = [s for s in found.sittings if s.condition == condition]
        for heard in sorted({n for s in some for n in s.heard}):
            last = [(s, dict(zip(s.heard, s.beliefs, strict=True)).get(heard)) for s in some]
            yield condition, heard, grade(found.corpus.task, [(s, b) for s, b in last if b is not None])


def _rounds(found: Remeasured) -> Table:
    rows = []
    for condition, heard, graded in by_rounds(found):
        if len(graded) < FEWEST // 2:
            continue
        numbers = [_text(found.draws.number(graded, STATISTICS[k])) for k in ("accuracy", "belief", "log2", "ece")]
        rows.append((condition, heard, len(graded), *numbers))
    note = (
        "Beliefs after so many rounds of speeches, of finished debates and of those that nobody ended; equal beliefs "
        "count half before the end. A judge who is sure stops, so later rounds hold harder debates. Rounds with fewer "
        f"than {FEWEST // 2} judges are left out."
    )
    columns = ("condition", "rounds heard", "n", "accuracy", "belief in the truth", "log2 score", "ECE")
    return Table(title="By round", columns=columns, rows=tuple(rows), note=note)


def _quotes(found: Remeasured, quotes: Sequence[Quoting]) -> Table:
    rows = []
    for setting in found.spec.settings:
        some = [q for q in quotes if q.setting == setting]
        honest, dishonest = ([q for q in some if (found.honest[q.debate] == q.side) is true] for true in (True, False))
        for name, part in (("", some), (", honest", honest), (", dishonest", dishonest)):
            rows.append(quoted.row(setting + name, part))
    rows.append(quoted.row("all", list(quotes)))
    note = (
        "Every quote was looked up in its story as text, without case, punctuation and line breaks, and by its recorded "
        "span. Coverage is the mean share of a story's tokens that a game quotes, over games with a speech; overlap is "
        "the mean share of the quoted tokens that both sides quote."
    )
    return Table(title="Quotes", columns=quoted.COLUMNS, rows=tuple(rows), note=note)


def _intervals(found: Remeasured) -> Table:
    ways = {"both": ("story", "judge"), "story": ("story",), "judge": ("judge",)}
    rows = []
    for name in found.conditions:
        graded = found.graded[name]
        cells = [_text(found.draws.number(graded, ACCURACY, by)) for by in ways.values()]
        rows.append((name, len(graded), len(set(graded.story)), len(set(graded.judge)), *cells))
    columns = ("condition", "n", "stories", "judges", "stories and judges", "stories alone", "judges alone")
    note = "The interval of the accuracy when stories, judges or both are drawn again; the first is the one reported."
    return Table(title="Intervals by what is drawn again", columns=columns, rows=tuple(rows), note=note)


def _differences(found: Remeasured, live: Sequence[str]) -> Table:
    rows = []
    for first, second in combinations(live, 2):
        pair = found.graded[first], found.graded[second]
        each = [_text(found.draws.difference(*pair, STATISTICS[k])) for k in ("accuracy", "log2")]
        rows.append((f"{first} - {second}", *each))
    note = (
        "The same stories and judges are drawn for both. Questions were not assigned to settings at random, so a "
        "difference may be one of questions."
    )
    columns = ("settings", "difference of accuracy", "difference of log2 scores")
    return Table(title="Differences between settings", columns=columns, rows=tuple(rows), note=note)


def _calibration(found: Remeasured) -> Iterator[dict[str, Any]]:
    for name in (c for c in found.conditions if c in found.spec.settings):
        graded = found.graded[name]
        place = np.minimum((graded.top * BINS).astype(int), BINS - 1)
        for k in np.unique(place):
            some = graded.where(place == k)
            if len(some) >= FEWEST // 2:
                y = found.draws.number(some, ACCURACY)
                x = found.draws.number(some, mean(lambda g: g.top)).value
                yield {"x": x, "y": y.value, "y_low": y.low, "y_high": y.high, "group": name, "name": f"n={len(some)}"}


def _ends(number: Number) -> dict[str, Any]:
    return {"value": number.value, "low": number.low, "high": number.high, "reason": number.reason}


def _text(number: Number) -> str:
    return format_number(number, decimals=3)
