"""How well a simulation agrees with what happened: one number for all positions, with its interval over documents.

Every metric takes `(a, s, documents)`: what happened and what was predicted at each position, both (m,), and the
document of each position. The positions of all windows are joined first and scored once; a mean of scores of single
windows is another, noisier thing. Agreement of values (`correlation`, `cosine`, `explained_variance`) reads the
activations as they are, never rounded; agreement of labels reads `> 0` as "fires". `weights` (m,) undo a sampling that
was not uniform (1 / the chance that a position was drawn): the score is then the one at the prevalence of the text.

Intervals are 95 % percentiles of a bootstrap over documents, from sums per document: a draw costs O(documents), and
all units scored on the same documents share one matrix of draws. A metric that does not exist (a unit that never
fires) is a Number without value and with its reason, never 0 and never NaN.

Which of them notice a wrong label is measured in `interp.sensitivity`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from superalign.core.errors import SpecError
from superalign.core.random import stream
from superalign.core.resample import LEVEL, interval
from superalign.core.spec import Number

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Values = NDArray[Any]

REPLICATES = 1000
_GROUPS = 2000  # more documents are drawn in this many groups of neighbours: draws stay at 16 MB for any corpus
_LEVELS = 64  # thresholds behind the interval of a curve; its value is exact
_DEFINED = 0.95  # the share of draws in which a score must exist for an interval


@dataclass(frozen=True)
class Clusters:
    """Which positions are drawn together: `member` (m,) from 0, `order` (m,) and `starts` (D,) that sort positions by
    member (no order where they stand so already), and `draws` (B, D), how often each document is in each bootstrap draw.
    Made once, used by many scores."""

    member: Ints
    order: Ints | None
    starts: Ints
    draws: Floats

    def sums(self, columns: Floats) -> Floats:
        """Sums of `columns` (k, m) over the positions of each document, (D, k), in float64."""
        sorted_ = columns if self.order is None else columns[:, self.order]
        return np.asarray(np.add.reduceat(sorted_, self.starts, axis=1).T, np.float64)


def clusters(documents: Ints, seed: int = 0, replicates: int = REPLICATES) -> Clusters:
    """The clusters of positions by document (m,). With `replicates` 0 a metric has no interval."""
    _, member = levels(documents)
    count = int(member.max(initial=-1)) + 1
    if count > _GROUPS:
        member, count = member * _GROUPS // count, _GROUPS
    order = None if (np.diff(member) >= 0).all() else np.argsort(member, kind="stable")
    starts = np.flatnonzero(np.diff(member if order is None else member[order], prepend=-1))
    return Clusters(member, order, starts, _draws(seed, count, replicates))


@lru_cache(maxsize=8)
def _draws(seed: int, count: int, replicates: int) -> Floats:
    """(B, D) float64, shared by all scores on as many documents: 860 units need one matrix."""
    if not count:
        return np.zeros((replicates, 0))
    return stream(seed, "documents", count).multinomial(count, np.full(count, 1 / count), replicates).astype(np.float64)


def levels(values: Values) -> tuple[Values, Ints]:
    """The distinct values, ascending, and which of them each is (m,). The labels of a program are two values, and need
    not be sorted: sorting was a third of the time of a unit's scores."""
    if len(values):
        ends = np.array([values.min(), values.max()])
        high = values == ends[1]
        if ends[0] != ends[1] and (high | (values == ends[0])).all():
            return ends, high.astype(np.int64)
    found, level = np.unique(values, return_inverse=True)
    return found, level.ravel()


class Metric(Interface):
    """What every metric of this file is."""

    def __call__(
        self, a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0
    ) -> Number: ...


def correlation(
    a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0
) -> Number:
    """Pearson's correlation of activation and simulation."""
    a, s, w, groups = _checked(a, s, documents, weights, seed)
    if reason := _constant(a, "activation") or _constant(s, "simulation"):
        return Number(value=None, n=len(a), reason=reason)
    a, s = a - a.mean(), s - s.mean()  # sums of squares of values far from 0 lose their digits

    def statistic(sums: Floats) -> Floats:
        n, sa, ss, saa, sss, sas = sums.T
        spread = np.sqrt(_squares(n, sa, saa) * _squares(n, ss, sss))
        return np.asarray(np.clip((sas - sa * ss / n) / spread, -1, 1))

    return _number(np.stack([w, w * a, w * s, w * a * a, w * s * s, w * s * a]), statistic, groups)


def cosine(a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0) -> Number:
    """The cosine of the angle between activations and simulation, which are not centred."""
    a, s, w, groups = _checked(a, s, documents, weights, seed)
    for values, name in ((a, "activation"), (s, "simulation")):
        if not values.any():
            return Number(value=None, n=len(a), reason=f"undefined: the {name} is 0 at all {len(a):,} positions")
    return _number(
        np.stack([w * a * a, w * s * s, w * s * a]), lambda sums: sums[:, 2] / np.sqrt(sums[:, 0] * sums[:, 1]), groups
    )


def explained_variance(
    a: Values,
    s: Values,
    documents: Ints | Clusters,
    *,
    weights: Values | None = None,
    seed: int = 0,
    uncentred: bool = False,
) -> Number:
    """1 - E(a - s)^2 / Var(a), for a calibrated simulation: 0 for one that always says the mean, below 0 for worse.

    `uncentred` divides by E(a^2) instead, which flatters every simulation of a unit whose mean is not 0; it is for
    comparison with numbers published that way.
    """
    a, s, w, groups = _checked(a, s, documents, weights, seed)
    if reason := _constant(a, "activation"):
        return Number(value=None, n=len(a), reason=reason)
    error = (a - s) ** 2
    a = a if uncentred else a - a.mean()

    def statistic(sums: Floats) -> Floats:
        n, sa, saa, errors = sums.T
        return np.asarray(1 - errors / (saa if uncentred else _squares(n, sa, saa)))

    return _number(np.stack([w, w * a, w * a * a, w * error]), statistic, groups)


def ratio(above: Values, below: Values, documents: Ints | Clusters, *, seed: int = 0) -> Number:
    """The sum of `above` (m,) over the sum of `below` (m,)."""
    above, below, _, groups = _checked(above, below, documents, None, seed)
    if not below.sum():
        return Number(value=None, n=len(below), reason="undefined: the denominator is 0")
    return _number(np.stack([above, below]), lambda sums: sums[:, 0] / sums[:, 1], groups)


def f1(a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0) -> Number:
    """F1 of the labels `s > 0` for where it fires, `a > 0`: 2 TP / (2 TP + FP + FN)."""
    return _of_counts(lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn), a, s, documents, weights, seed)


def iou(a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0) -> Number:
    """Intersection over union of where it fires and where it is predicted to: TP / (TP + FP + FN)."""
    return _of_counts(lambda tp, fp, fn, tn: tp / (tp + fp + fn), a, s, documents, weights, seed)


def precision(
    a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0
) -> Number:
    """The share of predicted positions that fire. Blind to missing labels."""
    return _of_counts(lambda tp, fp, fn, tn: tp / (tp + fp), a, s, documents, weights, seed)


def recall(a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0) -> Number:
    """The share of firing positions that are predicted. Blind to extra labels."""
    return _of_counts(lambda tp, fp, fn, tn: tp / (tp + fn), a, s, documents, weights, seed)


def accuracy(
    a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0
) -> Number:
    """The share of positions labelled right. Blind to everything about a unit that fires seldom."""
    return _of_counts(lambda tp, fp, fn, tn: (tp + tn) / (tp + fp + fn + tn), a, s, documents, weights, seed)


def balanced_accuracy(
    a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0
) -> Number:
    """Half of recall plus half of the share of silent positions left alone: .5 for a constant answer. Blind to extra
    labels of a unit that fires seldom."""
    return _of_counts(lambda tp, fp, fn, tn: (tp / (tp + fn) + tn / (tn + fp)) / 2, a, s, documents, weights, seed)


def auprc(a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0) -> Number:
    """Area under precision and recall of "s is high" for where it fires, as a sum of steps (average precision); equal
    values of s are one step. A constant answer scores the base rate."""

    def area(fires: Floats, silent: Floats) -> Floats:
        hits, shown = fires.cumsum(1), (fires + silent).cumsum(1)
        rate = np.divide(hits, shown, out=np.zeros_like(hits), where=shown > 0)
        return np.asarray((fires * rate).sum(1) / hits[:, -1])

    return _of_curve(area, a, s, documents, weights, seed)


def auc(a: Values, s: Values, documents: Ints | Clusters, *, weights: Values | None = None, seed: int = 0) -> Number:
    """The chance that s is higher where it fires than where it does not, ties counting half. .5 for a constant answer.
    Blind to extra labels of a unit that fires seldom."""

    def area(fires: Floats, silent: Floats) -> Floats:
        below = silent.sum(1, keepdims=True) - silent.cumsum(1) + silent / 2
        return np.asarray((fires * below).sum(1) / (fires.sum(1) * silent.sum(1)))

    return _of_curve(area, a, s, documents, weights, seed)


Statistic = Callable[[Floats], Floats]
Counted = Callable[[Floats, Floats, Floats, Floats], Floats]
Area = Callable[[Floats, Floats], Floats]


def _of_counts(
    statistic: Counted, a: Floats, s: Floats, documents: Ints | Clusters, weights: Values | None, seed: int
) -> Number:
    """A function of true and false positives and negatives. In float64: products of counts overflow int64 at 2e5."""
    a, s, w, groups = _checked(a, s, documents, weights, seed)
    fires, said = a > 0, s > 0
    if not fires.any():
        return Number(value=None, n=len(a), reason=f"undefined: it fires at none of {len(a):,} positions")
    counts = np.stack([w * (fires & said), w * (~fires & said), w * (fires & ~said), w * (~fires & ~said)])
    return _certain(_number(counts, lambda sums: statistic(*sums.T), groups), fires, groups)


def _of_curve(
    area: Area, a: Floats, s: Floats, documents: Ints | Clusters, weights: Values | None, seed: int
) -> Number:
    """An area from the weights of firing and silent positions at each value of s, (B, L) each, the highest first."""
    a, s, w, groups = _checked(a, s, documents, weights, seed)
    fires = a > 0
    if not fires.any():
        return Number(value=None, n=len(a), reason=f"undefined: it fires at none of {len(a):,} positions")
    values, level = levels(-s)
    count = len(values)
    exact: Floats = np.array([np.bincount(level, w * part, count) for part in (fires, ~fires)], np.float64)
    value = float(_quiet(lambda sums: area(*sums), exact[:, None])[0])
    if count > _LEVELS:
        # Steps of equal weight of firing positions: precision and recall change there and nowhere else.
        share = exact[0].cumsum()
        level, count = np.minimum(_LEVELS * share / share[-1], _LEVELS - 1).astype(np.int64)[level], _LEVELS
    cell = groups.member * count + level
    size = len(groups.starts) * count
    table = np.concatenate([np.bincount(cell, w * part, size).reshape(-1, count) for part in (fires, ~fires)], axis=1)
    found = _number(
        table.T, lambda sums: area(sums[:, :count], sums[:, count:]), groups, rows=len(a), value=value, summed=True
    )
    return _certain(found, fires, groups)


def _number(
    columns: Floats,
    statistic: Statistic,
    groups: Clusters,
    *,
    rows: int | None = None,
    value: float | None = None,
    summed: bool = False,
) -> Number:
    """The statistic of the sums of `columns` (k, m), or (k, D) if `summed`, with its interval. Where `value` is given
    the draws are moved by its difference from the statistic: they were made on coarser levels."""
    sums = np.asarray(columns.T, np.float64) if summed else groups.sums(columns)
    rows = columns.shape[1] if rows is None else rows
    found = float(_quiet(statistic, sums.sum(0)[None])[0])
    if not np.isfinite(found):
        return Number(value=None, n=rows, reason=f"undefined: a denominator is 0 over these {rows:,} positions")
    value = found if value is None else value
    low = high = None
    if len(sums) > 1 and len(groups.draws):
        draws = _quiet(statistic, groups.draws @ sums)
        draws = draws[np.isfinite(draws)] + (value - found)
        if len(draws) >= _DEFINED * len(groups.draws):
            low, high = interval(draws)
    return Number(value=value, low=low, high=high, n=rows)


def _certain(number: Number, fires: Any, groups: Clusters) -> Number:
    """All right or all wrong resamples to itself: its open side is the exact binomial bound for as many documents as
    hold a firing position (Clopper & Pearson 1934), as in core.resample."""
    if number.value not in (0.0, 1.0) or number.low != number.high or number.low is None:
        return number
    bound = ((1 - LEVEL) / 2) ** (1 / len(np.unique(groups.member[fires])))
    return number.model_copy(update={"low": bound} if number.value else {"high": 1 - bound})


def _squares(n: Floats, total: Floats, squares: Floats) -> Floats:
    """Sums of squares about the mean; nan where there is no more than rounding, as in a draw in which a unit is silent."""
    found = squares - total**2 / n
    return np.where(found > 1e-10 * squares, found, np.nan)


def _quiet(statistic: Statistic, sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return statistic(sums)


def _constant(values: Floats, name: str) -> str | None:
    if len(values) and np.ptp(values):
        return None
    if name == "activation" and not values.any():
        return f"undefined: it fires at none of {len(values):,} positions"
    return f"undefined: the {name} is the same at all {len(values):,} positions"


def _checked(
    a: Any, s: Any, documents: Ints | Clusters, weights: Any, seed: int
) -> tuple[Floats, Floats, Floats, Clusters]:
    """Everything in float64. SpecError for shapes that do not fit and values that are not finite."""
    a, s = np.asarray(a, np.float64), np.asarray(s, np.float64)
    w = np.ones(len(a)) if weights is None else np.asarray(weights, np.float64)
    groups = documents if isinstance(documents, Clusters) else clusters(np.asarray(documents), seed)
    if not a.shape == s.shape == w.shape == groups.member.shape or a.ndim != 1:
        raise SpecError(
            f"activations {a.shape}, simulation {s.shape}, weights {w.shape} and documents {groups.member.shape} "
            "do not fit; give one of each per position"
        )
    for values, name in ((a, "activation"), (s, "simulation"), (w, "weight")):
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise SpecError(f"{bad} of {len(values)} {name}s are not finite; leave failed positions out and count them")
    return a, s, w, groups
