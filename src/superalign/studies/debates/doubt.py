"""Intervals for beliefs that cluster twice: by story and by judge.

A story is hard for everybody and a judge is good at everything, so neither debates nor judges are independent.
A replicate draws stories with replacement and judges with replacement, and weighs a belief by the product of both
counts (Owen 2007, The pigeonhole bootstrap). One set of draws serves all conditions, so differences are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.core.random import stream
from superalign.core.resample import LEVEL, REPLICATES, Floats, interval
from superalign.core.spec import Number
from superalign.studies.debates.sittings import Graded

BINS = 10
Statistic = Callable[[Graded, Floats], Floats]
"""`statistic(graded, weights (R, n)) -> (R,)`: a number for each way to weigh the beliefs; nan without weight."""


class Draws:
    """How often each story and each judge is drawn, (replicates, names)."""

    def __init__(self, stories: Sequence[str], judges: Sequence[str]) -> None:
        self._counts = {kind: _draw(kind, names) for kind, names in (("story", stories), ("judge", judges))}

    def weights(self, graded: Graded, by: Sequence[str] = ("story", "judge")) -> Floats:
        """The weight of each belief in each replicate, (REPLICATES, n)."""
        found = np.ones((REPLICATES, len(graded)))
        for kind in by:
            names, counts = self._counts[kind]
            found *= counts[:, np.searchsorted(names, getattr(graded, kind))]
        return found

    def number(self, graded: Graded, statistic: Statistic, by: Sequence[str] = ("story", "judge")) -> Number:
        """The statistic with its 95 % interval; undefined without beliefs, no interval for a single cluster."""
        if len(graded) == 0:
            return Number(value=None, n=0, reason="undefined: there are no such judgments")
        value = float(statistic(graded, np.ones((1, len(graded))))[0])
        if all(len(set(getattr(graded, kind))) < 2 for kind in by):
            return Number(value=value, n=len(graded))
        return _bounded(value, statistic(graded, self.weights(graded, by)), graded, statistic)

    def difference(self, first: Graded, second: Graded, statistic: Statistic) -> Number:
        """`first` minus `second`, over the same draws."""
        if not len(first) or not len(second):
            return Number(value=None, reason="undefined: one of the two has no judgments")
        ones = (np.ones((1, len(g))) for g in (first, second))
        value = [float(statistic(g, w)[0]) for g, w in zip((first, second), ones, strict=True)]
        moved = statistic(first, self.weights(first)) - statistic(second, self.weights(second))
        low, high = interval(moved[np.isfinite(moved)])
        return Number(value=value[0] - value[1], low=low, high=high, n=len(first) + len(second))


def mean(of: Callable[[Graded], Floats]) -> Statistic:
    """The mean of a score of each belief."""

    def statistic(graded: Graded, weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            found: Floats = weights @ of(graded) / weights.sum(1)
        return found

    return statistic


def ece(graded: Graded, weights: Floats) -> Floats:
    """Expected calibration error of the top answer, 10 bins of equal width. Small n biases it up."""
    place = np.minimum((graded.top * BINS).astype(int), BINS - 1)
    inside = (place[:, None] == np.arange(BINS)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        found: Floats = np.abs((weights * (graded.right - graded.top)) @ inside).sum(1) / weights.sum(1)
    return found


def _draw(kind: str, names: Sequence[str]) -> tuple[NDArray[Any], Floats]:
    known = np.unique(np.asarray(names, dtype=str))
    rng = stream(0, "debates/draws", kind, len(known))
    return known, rng.multinomial(len(known), np.full(len(known), 1 / len(known)), REPLICATES).astype(np.float64)


def _bounded(value: float, replicates: Floats, graded: Graded, statistic: Statistic) -> Number:
    low, high = interval(replicates[np.isfinite(replicates)])
    clusters = min(len(set(graded.story)), len(set(graded.judge)))
    open_side = ((1 - LEVEL) / 2) ** (1 / clusters)  # all right resamples to itself; 9 of 9 are not certain
    if statistic is ACCURACY and value == 1:
        low = open_side
    if statistic is ACCURACY and value == 0:
        high = 1 - open_side
    return Number(value=value, low=low, high=high, n=len(graded))


ACCURACY = mean(lambda g: g.right)
STATISTICS: dict[str, Statistic] = {
    "accuracy": ACCURACY,
    "log2": mean(lambda g: np.log2(g.truth)),
    "belief": mean(lambda g: g.truth),
    "brier": mean(lambda g: g.brier),
    "ece": ece,
    "overconfidence": mean(lambda g: g.top - g.right),
}
"""What is measured of every condition: `log2` in bits, higher is better; `brier` over both answers, 0 to 2."""

CHANCE_BITS = math.log2(0.5)
