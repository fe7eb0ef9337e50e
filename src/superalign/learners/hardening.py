"""Hardening of a student's logits under a class prior: how many rows each class gets, and which.

Ranks on logits, not on probabilities: saturated probabilities tie. For two classes this marks the
`floor(pi B + .5)` rows with the largest logit, which is the threshold rule of Burns et al. 2023
(arXiv 2312.09390) without its rounding accidents. For more classes it is the same rule as a
transportation problem: the one-hot rows with the given class counts and the largest sum of logits.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

_SLACK = 1e-9  # a mean of soft labels misses a half-integer by rounding alone
_SWEEPS = 20


def class_counts(prior: Floats, n: int) -> Ints:
    """How many of `n` rows each class gets, (K,), by largest remainder; a tie goes to the higher class."""
    exact = np.asarray(prior, np.float64) / np.sum(prior) * n
    counts = np.floor(exact + _SLACK).astype(np.int64)
    remainders = np.round(exact - counts, 9)
    order = np.lexsort((-np.arange(len(counts)), -remainders))
    counts[order[: n - counts.sum()]] += 1
    return counts


def harden(z: Floats, prior: Floats, ids: Ints | None = None) -> Floats:
    """One-hot rows (B, K) with `class_counts(prior, B)` rows per class and the largest sum of logits.

    Ties go by `ids` (position where absent). K = 2 sorts. K > 2 is exact too; one core took, for random
    logits and K = 6, .2 ms at B = 32, 2.4 ms at B = 1500 and 21 ms at B = 8000 (a dense assignment solver:
    .3 s at B = 1500 and B^3 from there). Raises ValueError for logits that are not finite.
    """
    rows, classes = z.shape
    if not np.isfinite(z).all():
        raise ValueError("logits that are not finite cannot be ranked")
    ids = np.arange(rows) if ids is None else ids
    counts = class_counts(prior, rows)
    if classes == 2:
        order = np.lexsort((ids, z[:, 0] - z[:, 1]))
        place = np.zeros(rows, np.int64)
        place[order[: counts[1]]] = 1
    else:
        order = np.argsort(ids, kind="stable")
        place = np.empty(rows, np.int64)
        place[order] = assign(z[order], counts)
    return np.asarray(np.eye(classes)[place])


def assign(z: Floats, counts: Ints) -> Ints:
    """The class of each row, (B,): `counts` rows per class and the largest sum of `z[row, class]`.

    Prices first: rows that each choose the largest `z + price` are an optimum for the counts they happen
    to have. Then single rows move along cheapest paths from classes with too many to classes with too
    few, which keeps the optimum (successive shortest paths).
    """
    place: Ints = (z + _prices(z, counts)).argmax(axis=1)
    classes = z.shape[1]
    surplus = np.bincount(place, minlength=classes) - counts
    cost = np.full((classes, classes), np.inf)
    mover = np.zeros((classes, classes), np.int64)
    stale = list(range(classes))
    while surplus.any():
        for k in stale:
            members = np.flatnonzero(place == k)
            if len(members):
                loss = z[members, k][:, None] - z[members]
                cost[k], mover[k] = loss.min(axis=0), members[loss.argmin(axis=0)]
            else:
                cost[k] = np.inf
        stale = _cheapest_path(cost, surplus)
        moves = [(mover[a, b], b) for a, b in pairwise(stale)]
        for row, target in moves:
            place[row] = target
        surplus[stale[0]] -= 1
        surplus[stale[-1]] += 1
    return place


def _prices(z: Floats, counts: Ints) -> Floats:
    """One price per class (K,) under which about `counts` rows choose it: each in turn is set exactly."""
    price = np.zeros(z.shape[1])
    for _ in range(_SWEEPS):
        for k, count in enumerate(counts):
            others = np.delete(z + price, k, axis=1).max(axis=1)
            margins = np.sort(z[:, k] - others)[::-1]
            if count == 0:
                price[k] = -margins[0] - 1.0
            elif count == len(z):
                price[k] = -margins[-1] + 1.0
            else:
                price[k] = -(margins[count - 1] + margins[count]) / 2
        if (np.bincount((z + price).argmax(axis=1), minlength=len(counts)) == counts).all():
            break
    return price


def _cheapest_path(cost: Floats, surplus: Ints) -> list[int]:
    """The classes on the cheapest path from one with too many rows to one with too few (Floyd-Warshall)."""
    classes = len(cost)
    total = cost.copy()
    np.fill_diagonal(total, 0.0)
    hop = np.tile(np.arange(classes), (classes, 1))
    for k in range(classes):
        through = total[:, k, None] + total[k]
        better = through < total - 1e-12
        total = np.where(better, through, total)
        hop = np.where(better, hop[:, k, None], hop)
    wanted = np.where((surplus > 0)[:, None] & (surplus < 0), total, np.inf)
    start, end = np.unravel_index(int(wanted.argmin()), wanted.shape)
    path = [int(start)]
    while path[-1] != end:
        path.append(int(hop[path[-1], end]))
    return path
