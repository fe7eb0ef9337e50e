"""Preference data under examination: its checks as a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from superalign.core.digest import digest
from superalign.core.ports import Progress, Store, silent
from superalign.core.spec import Condition, Number, Record, Table
from superalign.core.study import Plan, Study, circumstances, finish
from superalign.report import charts
from superalign.report.numbers import format_number
from superalign.studies.preferences.checks import Check, checks
from superalign.studies.preferences.spec import Preferences
from superalign.tasks.preferences import Preferences as Data
from superalign.tasks.preferences.reading import load

UNLIKELY = 0.01
"""Below this p a side or a length is said to be favoured."""
TENTATIVE = 0.667
"""The alpha below which Krippendorff (2004, section 11.4.2) draws no conclusion."""


def preferences(spec: Preferences, store: Store | None = None, progress: Progress = silent) -> Record:
    """Examine preference data and return the record: a condition for every check."""
    return finish(prepare(spec, store), store, progress)


def prepare(spec: Preferences, store: Store | None = None) -> Prepared:
    """The preferences, read. Raises TaskError for a file that is not of the form."""
    return Prepared(spec, load(spec.data, spec.form))


@dataclass(frozen=True, slots=True)
class Prepared:
    """Preferences ready to be examined."""

    spec: Preferences
    data: Data

    def plan(self) -> Plan:
        return Plan((), (f"{len(self.data):,} comparisons",))

    def run(self, progress: Progress = silent) -> Record:
        found = checks(self.data.comparisons, self.spec.form)
        content = [(c.prompt, c.responses, c.scores, c.p, c.group) for c in self.data]
        return Record(
            id=f"preferences-{digest(self.spec.digest, content)[:8]}",
            title=f"Preferences of {Path(self.spec.data).name}",
            **circumstances(self.spec),
            conditions=tuple(_condition(check) for check in found),
            charts=_charts(found),
            tables={"checks": _table(found)},
            notes=(*_notes({check.name: check for check in found}), *self.data.notes),
        )


def _condition(check: Check) -> Condition:
    numbers = {
        "count": None if check.count is None else Number(value=check.count),
        "share": check.share,
        "alpha": check.alpha,
    }
    labels = {} if check.p is None else {"p": f"{check.p:.3g}"}
    return Condition(name=check.name, numbers={k: n for k, n in numbers.items() if n is not None}, labels=labels)


def _table(found: Sequence[Check]) -> Table:
    rows = []
    for check in found:
        number = check.share or check.alpha or Number(value=None)
        rows.append((check.name, check.count, number.value, number.low, number.high, number.n, check.p,
                     number.reason or check.note))  # fmt: skip
    note = "Intervals (95 %) resample prompts, those of agreement pairs. p is of even odds, tested by prompt."
    columns = ("check", "count", "share or alpha", "low", "high", "of", "p", "note")
    return Table(title="Checks of the preferences", columns=columns, rows=tuple(rows), note=note)


def _charts(found: Sequence[Check]) -> dict[str, dict[str, object]]:
    known = [(c.name, c.share) for c in found if c.share is not None and c.share.low is not None]
    rows = [{"name": name, "value": share.value, "low": share.low, "high": share.high} for name, share in known]
    title = "Which response wins, and whether judges agree"
    return {"balance": charts.bars_with_intervals(rows, title, x="share", references=[("even", 0.5)])} if rows else {}


def _notes(by: dict[str, Check]) -> Iterator[str]:
    """What to do about it, with the numbers."""
    usable, pairs = by["usable"], by["pairs"]
    yield f"{usable.count:,} of {pairs.count:,} pairs ({by['prompts'].count:,} prompts) can be learnt from."
    first, longer, alike = by["first wins"], by["longer wins"], by["Krippendorff's alpha"].alpha
    if first.p is not None and first.p < UNLIKELY:
        yield (
            f"The response listed first wins {_said(first)} of decided pairs (p = {first.p:.2g}): the place decides, or what"
            " stands there is of another kind. Ask in both orders, or shuffle the places before anybody judges."
        )
    if longer.p is not None and longer.share is not None and longer.share.value is not None:
        best = max(longer.share.value, 1 - longer.share.value)
        rule = "the longer" if longer.share.value >= 0.5 else "the shorter"
        yield (
            f"The longer response wins {_said(longer)} (p = {longer.p:.2g}): a reward model has to beat {best:.3f}, which"
            f' "prefer {rule}" reaches.'
        )
    if by["contradictions"].count:
        yield f"{by['contradictions'].count:,} distinct pairs were decided both ways; a task leaves out all of their copies."
    if alike is not None and alike.value is not None and alike.value < TENTATIVE:
        yield (
            f"Krippendorff's alpha is {format_number(alike)} over {alike.n:,} pairs that were judged twice or more: below"
            f" {TENTATIVE}, where he advises to draw no conclusion."
        )


def _said(check: Check) -> str:
    assert check.share is not None
    return format_number(check.share)


study = Study("preferences", Preferences, prepare)
