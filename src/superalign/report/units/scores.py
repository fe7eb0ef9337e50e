"""Scores as they are shown: value, interval, what they rest on, their controls, and what a reader must be warned of."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.core.spec import Number
from superalign.interp.dossier import Dossier
from superalign.interp.units import Score
from superalign.report import numbers

MAIN = "correlation:random-only"
"""The number that a page leads with, where it was computed."""

UNSOUND = frozenset((
    "top-and-random", "recall", "precision", "accuracy", "balanced-accuracy", "auc", "deviation", "spearman",
))  # fmt: skip
"""Metrics that hardly fall when a perfect label is doubled or halved (Oikarinen et al. 2025, arXiv 2506.05774)."""


@dataclass(frozen=True, slots=True)
class Badge:
    """A warning beside a score: a word or two, and why."""

    word: str
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """One score as a row of a table, in words."""

    name: str
    value: str
    interval: str
    support: str
    base_rate: str
    controls: tuple[tuple[str, str], ...]
    gap: str
    badges: tuple[Badge, ...]
    reason: str


def main(dossier: Dossier, preferred: str = MAIN) -> Score | None:
    """The score that a page leads with: `preferred`, else the first that is defined, else the first."""
    defined = next((s for s in dossier.scores if is_defined(s)), None)
    return dossier.score(preferred) or defined or next(iter(dossier.scores), None)


def is_defined(score: Score) -> bool:
    """Whether the score has a value."""
    return score.status == "ok" and numbers.is_defined(score.number)


def gap(score: Score) -> float | None:
    """How far the score is above the best of its controls; None without one, or where it is undefined."""
    known = [v for v in map(numbers.finite, score.controls.values()) if v is not None]
    value = numbers.finite(score.number)
    return value - max(known) if known and value is not None and is_defined(score) else None


def badges(score: Score) -> tuple[Badge, ...]:
    """What a reader must know before using the score."""
    found = []
    if not is_defined(score):
        found.append(Badge("undefined" if score.status in ("ok", "undefined") else score.status, why(score)))
    elif gap(score) is None:
        found.append(Badge("no controls", "nothing says what an explanation that knows nothing would score here"))
    elif (score.number.low if score.number.low is not None else score.number.value or 0.0) <= _best(score):
        found.append(Badge("not above its controls", "its interval reaches down to what a control scores"))
    if score.name.replace(":", "-").endswith(tuple(f"-{name}" for name in UNSOUND)):
        found.append(Badge("cannot see breadth", "this metric hardly falls when the explanation covers twice as much"))
    return tuple(found)


def why(score: Score) -> str:
    """Why the score is undefined."""
    return numbers.reason(score.number) or f"the call ended as {score.status}"


def row(score: Score) -> Row:
    """The score in words."""
    number, difference = score.number, gap(score)
    digits = numbers.digits(number)
    n, failed = score.n or number.n or 0, score.failed
    support = [f"n={n:,}"] * bool(n) + [f"{failed:,} failed"] * bool(failed) + [f"{score.split} split"]
    return Row(
        name=numbers.label(score.name),
        value=numbers.format_value(number) if is_defined(score) else "undefined",
        interval=(numbers.format_interval(number) or "no interval") if is_defined(score) else "",
        support=", ".join(support),
        base_rate="" if score.base_rate is None else f"{score.base_rate:.3g}",
        controls=tuple((name, _words(value)) for name, value in score.controls.items()),
        gap="" if difference is None else f"{difference:+.{digits}f}",
        badges=badges(score),
        reason="" if is_defined(score) else why(score),
    )


def _best(score: Score) -> float:
    return max(v for v in map(numbers.finite, score.controls.values()) if v is not None)


def _words(number: Number) -> str:
    return numbers.format_number(number)
