"""Feedback: how well a person judged, once the truth is known. Proper scores, and calibration.

Log score and Brier score are proper (Gneiting & Raftery 2007): what scores best on average is what one believes. So
judges who are told theirs learn to say how sure they are (as in Michael et al. 2023, arXiv 2311.08702).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from superalign.core import resample
from superalign.core.spec import Number
from superalign.protocols.room import letter
from superalign.report import numbers
from superalign.report.view import Link, View, fragment

EDGES = (0.0, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Confidence in the answer chosen, in bins that are closed below; the last one holds 1 too."""
SIZE, MARGIN = 220, 34
"""Pixels of the chart of calibration: its square, and the room for its labels."""


@dataclass(frozen=True, slots=True)
class Graded:
    """A judgment whose truth is known: what it was about, the probabilities given, the choice made, the right one."""

    item: str
    title: str
    probs: tuple[float, ...]
    choice: int
    truth: int
    choices: tuple[str, ...] = ()

    @property
    def log2(self) -> float:
        """Bits gained over a guess by the probability of the right answer, which counts as .01 to .99."""
        return math.log2(min(max(self.probs[self.truth], 0.01), 0.99) * len(self.probs))

    @property
    def brier(self) -> float:
        """Squared error summed over the answers, 0 to 2, lower is better."""
        return sum((p - (k == self.truth)) ** 2 for k, p in enumerate(self.probs))

    @property
    def right(self) -> bool:
        """Whether the answer chosen is the right one."""
        return self.choice == self.truth

    @property
    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "title": self.title, "choices": list(self.choices), "probs": list(self.probs), "choice": self.choice,
            "truth": self.truth, "log2": self.log2, "brier": self.brier,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bin:
    """Judgments of about the same confidence: how many, how sure they were, how many were right."""

    low: float
    high: float
    confidence: float
    right: Number


@dataclass(frozen=True, slots=True)
class Score:
    """All of a person's graded judgments: means with intervals over items, and calibration."""

    accuracy: Number
    log2: Number
    brier: Number
    bins: tuple[Bin, ...]

    @property
    def data(self) -> dict[str, Any]:
        """As JSON values."""
        means = {k: getattr(self, k).model_dump(exclude_none=True) for k in ("accuracy", "log2", "brier")}
        bins = [
            {"low": b.low, "high": b.high, "confidence": b.confidence, "right": b.right.model_dump(exclude_none=True)}
            for b in self.bins
        ]
        return {**means, "calibration": bins}


def score(of: Sequence[Graded]) -> Score:
    """The score of one judgment or more. An item that was judged several times is drawn as a whole (`core.resample`)."""
    rows = [[float(g.right) for g in of], [g.log2 for g in of], [g.brier for g in of]]
    items = [g.item for g in of]
    accuracy, log2, brier = (resample.mean([row], items) for row in rows)
    return Score(accuracy, log2, brier, tuple(_bins(of)))


def feedback(desk: str, mine: int, found: Score | None, newest: Sequence[Graded], total: int, link: Link) -> View:
    """How the person at the desk judged. `mine` is the number of answers given, `total` of those that are graded, of
    which `newest` are shown one by one."""
    body = fragment(
        "judge_feedback.html", desk=desk, mine=mine, score=found, newest=newest, total=total, link=link,
        letter=letter, chart=chart(found.bins) if found else "", shown=numbers.format_number,
    )  # fmt: skip
    data = {
        "desk": desk, "mine": mine, "graded": total, **(found.data if found else {}),
        "newest": [g.data for g in newest],
    }  # fmt: skip
    return View("My score", body, data, "judge")


def chart(bins: Sequence[Bin]) -> Markup:
    """Share right against confidence, as a small SVG: on the diagonal one is as often right as one is sure."""

    def x(p: float) -> float:
        return MARGIN + SIZE * p

    def y(p: float) -> float:
        return SIZE * (1 - p) + 8

    parts = [
        _line("axis", x(0), y(0), x(1), y(0)), _line("axis", x(0), y(0), x(0), y(1)),
        _line("even", x(0), y(0), x(1), y(1)),
    ]  # fmt: skip
    for p in (0, 0.5, 1):
        parts.append(_text(f"{p:.0%}".replace("%", " %"), x(p), y(0) + 16, "middle"))
        parts.append(_text(f"{p:.0%}".replace("%", " %"), x(0) - 4, y(p) + 4, "end"))
    most = max((b.right.n or 1 for b in bins), default=1)
    for b in bins:
        low, high = numbers.interval(b.right) or (b.right.value or 0.0, b.right.value or 0.0)
        parts.append(_line("doubt", x(b.confidence), y(low), x(b.confidence), y(high)))
        radius = 3 + 4 * math.sqrt((b.right.n or 1) / most)
        dot = Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>')
        parts.append(dot.format(x(b.confidence), y(b.right.value or 0.0), radius))
    said = "; ".join(f"{b.confidence:.0%} sure, {b.right.value or 0.0:.0%} right" for b in bins)
    frame = Markup('<svg class="reliability" viewBox="0 0 {} {}" role="img" aria-label="Calibration: {}">{}</svg>')
    return frame.format(SIZE + MARGIN + 16, SIZE + 30, said, Markup("").join(parts))


def _bins(of: Sequence[Graded]) -> list[Bin]:
    found = []
    for low, high in pairwise(EDGES):
        inside = [g for g in of if low <= g.probs[g.choice] < high or g.probs[g.choice] == high == 1]
        if inside:
            right = resample.mean([[float(g.right) for g in inside]], [g.item for g in inside])
            right = right.model_copy(update={"n": len(inside)})
            found.append(Bin(low, high, sum(g.probs[g.choice] for g in inside) / len(inside), right))
    return found


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    found = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return found.format(kind, x1, y1, x2, y2)


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)
