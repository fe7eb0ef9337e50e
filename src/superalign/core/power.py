"""Paired tests, ratios, and what a comparison of this many seeds and test items can see."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import nctdtr, nctdtrinc, ndtri, stdtr, stdtrit

from superalign.core.errors import SpecError
from superalign.core.resample import LEVEL, Floats, Ints, cluster_sums


def paired_test(differences: Floats, clusters: Ints) -> float | None:
    """Two-sided p of mean difference 0 for paired scores (seeds, items); None for one seed of one cluster.

    A t test with seeds and items both random: variance (seeds) + (items) - (residual) from a two-way
    analysis of variance, never below the larger of the first two; degrees of freedom by Satterthwaite
    (1946). It is the paired t test over seeds where there is one column, and over items where there is
    one seed. Preferred to sign flips over seeds, whose smallest p (.031 at 6 seeds) no Holm step survives.
    """
    sums = cluster_sums(differences, clusters)
    seeds, count = sums.shape
    if seeds < 2 and count < 2:
        return None
    average = float(differences.mean())
    parts = count * (sums - average * np.bincount(clusters)) / len(clusters)  # linear in clusters of unequal size
    rows, columns = parts.mean(1), parts.mean(0)
    rest = parts - rows[:, None] - columns
    by_seed = _variance(rows, seeds - 1)
    by_item = _variance(columns, count - 1)
    residual = _variance(rest, (seeds - 1) * (count - 1))
    variance = max(by_seed + by_item - residual, by_seed, by_item)
    if variance <= 1e-30 * max(average**2, 1e-300):  # every difference is the same
        return 1.0 if average == 0 else 0.0
    pieces = ((by_seed, seeds - 1), (by_item, count - 1), (residual, (seeds - 1) * (count - 1)))
    freedom = variance**2 / sum(v**2 / f for v, f in pieces if f)
    return float(2 * stdtr(freedom, -abs(average) / math.sqrt(variance)))


def _variance(effects: Floats, freedom: int) -> float:
    """Variance of the mean of effects with these degrees of freedom; 0 where there are none."""
    return float((effects**2).sum()) / (freedom * effects.size) if freedom else 0.0


def holm(p: Sequence[float], tried: int | None = None) -> list[float]:
    """Holm's (1979) step-down adjusted p values, in the order given. `tried` counts all comparisons that
    were made, where some are not listed here; it is never less than len(p)."""
    count = max(len(p), tried or 0)
    adjusted, worst = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda j: p[j])):
        worst = max(worst, min(1.0, (count - rank) * p[i]))
        adjusted[i] = worst
    return adjusted


def fieller(n: float, d: float, cov: ArrayLike, level: float = LEVEL) -> tuple[float, float] | None:
    """Interval of the ratio n / d of normal estimates with covariance `cov` (2, 2); None where unbounded.

    Roots of (d2 - u2 v_dd) x2 - 2 (n d - u2 v_nd) x + (n2 - u2 v_nn); bounded only where d is further
    than u standard errors from 0, which is the guard on a gap (Fieller 1954).
    """
    v = np.asarray(cov, np.float64)
    u2 = float(ndtri((1 + level) / 2)) ** 2
    a, b, c = d * d - u2 * v[1, 1], n * d - u2 * v[0, 1], n * n - u2 * v[0, 0]
    if a <= 0:
        return None
    root = math.sqrt(max(b * b - a * c, 0.0))
    return float((b - root) / a), float((b + root) / a)


def delta_sd(weak: float, student: float, ceiling: float, covariance: ArrayLike) -> float:
    """Standard deviation of PGR by the delta method, for planning. `covariance` (3, 3) is that of the
    three means, in this order. The gradient is (-(1 - PGR), 1, -PGR) / gap. SpecError for a gap of 0 or less."""
    gap = _positive(ceiling - weak, "the gap between weak and ceiling")
    pgr = (student - weak) / gap
    gradient = np.array([pgr - 1, 1.0, -pgr]) / gap
    return math.sqrt(float(gradient @ np.asarray(covariance, np.float64) @ gradient))


def item_covariance(accuracies: Sequence[float], items: int, correlation: float = 0.6) -> Floats:
    """Covariance (m, m) of the accuracies of m models on one sample of `items` test items.

    `correlation` is that of the normal variables whose thresholds decide right and wrong (tetrachoric);
    the covariance of the outcomes is its integral (Plackett 1954), with r = sin(angle) to keep it smooth.
    """
    if not all(0 < a < 1 for a in accuracies) or not -1 < correlation < 1:
        given = ", ".join(f"{a:g}" for a in accuracies)
        raise SpecError(
            f"accuracies {given} and correlation {correlation:g}: give accuracies in (0, 1), correlation in (-1, 1)"
        )
    cuts = np.asarray(ndtri(accuracies), np.float64)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    half = math.asin(correlation) / 2
    angle = half * (nodes + 1)
    h, k = cuts[:, None, None], cuts[None, :, None]
    inner = np.exp(-(h * h - 2 * h * k * np.sin(angle) + k * k) / (2 * np.cos(angle) ** 2))
    covariance: Floats = half * (inner * weights).sum(-1) / (2 * math.pi)
    np.fill_diagonal(covariance, [a * (1 - a) for a in accuracies])
    covariance /= items
    return covariance


def seeds_needed(difference: float, sd: float, level: float = 0.05, power: float = 0.8) -> int:
    """Paired seeds with which a two-sided t test sees a mean `difference` at this `power`, where the
    differences of single seeds have standard deviation `sd`. At least 2."""
    ratio = _positive(difference, "the difference") / _positive(sd, "the standard deviation")
    seeds = max(2, int(((float(ndtri(1 - level / 2)) + float(ndtri(power))) / ratio) ** 2))
    while True:
        critical = float(stdtrit(seeds - 1, 1 - level / 2))
        shift = ratio * math.sqrt(seeds)
        if 1 - float(nctdtr(seeds - 1, shift, critical)) + float(nctdtr(seeds - 1, shift, -critical)) >= power:
            return seeds
        seeds += 1


def smallest_difference(
    seeds: int,
    items: int,
    *,
    weak: float = 0.6,
    gap: float = 0.1,
    sd_seed: float = 0.10,
    correlation: float = 0.6,
    level: float = 0.05,
    power: float = 0.8,
) -> float:
    """The smallest difference in PGR between two methods that this many paired seeds and test items can see.

    `weak` and `gap` place both students (accuracy, half-way up the gap); `sd_seed` is the standard
    deviation over seeds of their paired PGR difference (.06 to .14 at real scale), `correlation` that of
    their errors (see `item_covariance`). Variance: sd_seed^2 / seeds, plus that of the accuracy difference
    on the items by the delta method near no difference; items are shared by the seeds, so their part stays.
    Never below what endless items would allow (Satterthwaite's degrees of freedom are generous at 2 seeds).
    """
    if seeds < 2 or items < 2:
        raise SpecError(f"{seeds} seeds and {items} items show no noise to compare with; give at least 2 of each")
    middle = weak + _positive(gap, "the gap") / 2
    students = item_covariance([middle, middle], items, correlation)
    by_seed = _positive(sd_seed, "sd_seed") ** 2 / seeds
    by_item = 2 * float(students[0, 0] - students[0, 1]) / gap**2
    out = 0.0
    for item_part in (by_item, 0.0):
        variance = by_seed + item_part
        freedom = variance**2 / (by_seed**2 / (seeds - 1) + item_part**2 / (items - 1))
        shift = float(nctdtrinc(freedom, 1 - power, stdtrit(freedom, 1 - level / 2)))
        out = max(out, shift * math.sqrt(variance))
    return out


def _positive(value: float, what: str) -> float:
    if not value > 0:
        raise SpecError(f"{what} is {value:g}; it must be above 0")
    return value
