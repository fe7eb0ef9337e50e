"""Ranks that state their rule: by intervals, by tests of differences, and the set of ranks that data allow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit
from scipy.stats import norm

from superalign.core.errors import SpecError
from superalign.core.power import holm
from superalign.studies.rate.bradley_terry import SCALE, Fit, Floats, Ints

_Z = float(norm.ppf(0.975))


@dataclass(frozen=True, slots=True)
class Board:
    """Ratings (M,) with 95 % intervals, and `rank`, `best`, `worst`: see `interval_ranks`."""

    rating: Floats
    low: Floats
    high: Floats
    rank: Ints
    worst: Ints


def board(fit: Fit, *, anchor: int | None = None, at: float = 1000.0, replicates: Floats | None = None) -> Board:
    """Ratings on the scale of 400 points per factor of ten, sum-to-zero at 1000 or with one competitor fixed.

    With `anchor`, that competitor has no interval and every other has that of its difference to it, which is wider.
    `replicates` (rounds, M) of a bootstrap replace the sandwich errors by percentiles.
    """
    theta, m = fit.theta, len(fit.theta)
    level = theta if anchor is None else theta - theta[anchor]
    if replicates is not None:
        shifted = replicates if anchor is None else replicates - replicates[:, [anchor]]
        low, high = np.percentile(shifted, [2.5, 97.5], axis=0)
    else:
        se = fit.se() if anchor is None else np.asarray([fit.difference(i, anchor)[1] for i in range(m)])
        low, high = level - _Z * se, level + _Z * se
    rating, low, high = (at + SCALE * v for v in (level, low, high))
    rank, worst = interval_ranks(low, high)
    return Board(rating, low, high, rank, worst)


def interval_ranks(low: ArrayLike, high: ArrayLike) -> tuple[Ints, Ints]:
    """The best and the worst rank of each competitor by 95 % intervals, (M,) each.

    The best is 1 + the number of those whose interval lies wholly above (the rule of public boards; ranks are shared);
    the worst is M less the number of those wholly below.
    """
    below, above = np.asarray(low, float), np.asarray(high, float)
    best = 1 + (below[None, :] > above[:, None]).sum(1)
    worst = len(below) - (above[None, :] < below[:, None]).sum(1)
    return best, worst


def better(fit: Fit, level: float = 0.05) -> np.ndarray:
    """Which competitor is better than which beyond noise, (M, M) bool: z-tests of the differences, Holm-corrected."""
    m = len(fit.theta)
    upper = np.triu_indices(m, 1)
    v = fit.covariance[:m, :m]
    variance = np.diag(v)[:, None] + np.diag(v)[None, :] - 2 * v
    z = (fit.theta[:, None] - fit.theta[None, :])[upper] / np.sqrt(np.maximum(variance[upper], 1e-300))
    p = np.asarray(holm((2 * norm.sf(np.abs(z))).tolist()))
    found = np.zeros((m, m), bool)
    found[upper] = (p < level) & (z > 0)
    found.T[upper] = (p < level) & (z < 0)
    return found


def ranks_by_tests(fit: Fit) -> Ints:
    """1 + the number of competitors that are better beyond noise, (M,)."""
    ranks: Ints = 1 + better(fit).sum(0)
    return ranks


def win_rate(fit: Fit) -> tuple[Floats, Floats, Floats]:
    """The expected share of wins against all others at equal odds of meeting, with its 95 % interval, (M,) each.

    By the delta method on the logit, so the interval stays in [0, 1].
    """
    m = len(fit.theta)
    p = expit(fit.theta[:, None] - fit.theta[None, :])
    slope = p * (1 - p)
    np.fill_diagonal(slope, 0.0)
    np.fill_diagonal(p, 0.0)
    rate = p.sum(1) / (m - 1)
    jacobian = (np.diag(slope.sum(1)) - slope) / (m - 1)
    se = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, fit.covariance[:m, :m], jacobian))
    logit, width = np.log(rate / (1 - rate)), _Z * se / (rate * (1 - rate))
    return rate, expit(logit - width), expit(logit + width)


def online_elo(left: Ints, right: Ints, won: Floats, n: int, *, k: float = 4.0, start: float = 1000.0) -> Floats:
    """Online Elo in the order of the votes, (M,): r += k (won - P), base 10, scale 400 (Elo 1978).

    For comparison only: it depends on that order, by several places on real votes.
    """
    if not k > 0:
        raise SpecError(f"the step of online Elo must be positive, got {k}")
    ratings = [start] * n
    for a, b, y in zip(left.tolist(), right.tolist(), won.tolist(), strict=True):
        move = k * (y - 1 / (1 + 10 ** ((ratings[b] - ratings[a]) / 400)))
        ratings[a] += move
        ratings[b] -= move
    return np.asarray(ratings)
