"""Means with 95 % intervals, by a nested bootstrap over seeds and clusters of items.

The design is crossed: every seed of every model is scored on the same test items, so a number carries
the noise of seeds (training) and of items (the test set), and more seeds never shrink the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.core.errors import SpecError
from superalign.core.random import stream
from superalign.core.spec import Number

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REPLICATES = 2000
LEVEL = 0.95
_CELLS = 2_000_000  # counts held at once, 16 MB each of draws and counts: bounds memory for any number of items


def resample(matrices: Sequence[Floats], clusters: Ints, groups: Sequence[int] | None = None) -> Floats:
    """Means of `matrices` (seeds, items) in nested bootstrap replicates, (REPLICATES, len(matrices)).

    A replicate draws seeds with replacement, and clusters of items with replacement, one draw for all
    matrices. Matrices of one group share the draw of seeds; by default all do. A matrix of one seed has
    its items drawn alone, a matrix of one cluster its seeds. `clusters` (items,) counts from 0.
    Noise of single cells (seed x item) is counted up to three times (Owen 2007, The pigeonhole bootstrap), so
    the intervals err on the wide side where it rules. Deterministic: the stream depends on the shapes alone,
    so methods of one shape meet the same draws.
    """
    groups = [0] * len(matrices) if groups is None else groups
    count = int(clusters.max()) + 1
    rng = stream(0, "bootstrap", [list(m.shape) for m in matrices], list(groups), count)
    rows = {g: len(m) for g, m in zip(groups, matrices, strict=True)}
    seeds = {g: rng.multinomial(j, np.full(j, 1 / j), REPLICATES) / j for g, j in rows.items()}
    sums = np.concatenate(
        [cluster_sums(m, clusters) for m in matrices] + [cluster_sums(np.ones_like(clusters), clusters)]
    )
    totals = np.empty((REPLICATES, len(sums)))
    step = max(1, _CELLS // count)
    for start in range(0, REPLICATES, step):
        size = min(step, REPLICATES - start)
        draws = rng.integers(0, count, (size, count))
        draws += count * np.arange(size)[:, None]
        counts = np.bincount(draws.ravel(), minlength=size * count).reshape(size, count)
        totals[start : start + size] = counts.astype(np.float64) @ sums.T
    means = totals[:, :-1] / totals[:, -1:]
    ends = np.cumsum([len(m) for m in matrices])[:-1]
    return np.stack([(p * seeds[g]).sum(1) for p, g in zip(np.split(means, ends, 1), groups, strict=True)], 1)


def cluster_sums(matrix: NDArray[Any], clusters: Ints) -> Floats:
    """Sums over the items of each cluster: (seeds, items) or (items,) to (seeds, clusters)."""
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    return np.add.reduceat(np.atleast_2d(matrix)[:, order].astype(np.float64), starts, axis=1)


def interval(replicates: Floats) -> tuple[float, float]:
    """The percentile interval at LEVEL. Order statistics, not interpolated, so infinities do not leak inwards."""
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return float(low), float(high)


def mean(matrix: ArrayLike, clusters: ArrayLike | None = None) -> Number:
    """Mean of a score matrix with its interval over seeds and items.

    `clusters` (items,) says which items are resampled together. With one seed the interval holds the
    sampling of items alone, with one column the spread over seeds alone, with neither there is none.
    """
    m = checked(matrix, "score")
    if m.size == 0:
        return Number(value=None, n=m.shape[1], seeds=m.shape[0], reason="undefined: there are no items to average")
    groups = clustering(clusters, m.shape[1])
    return level(m, resample([m], groups)[:, 0], groups)


def checked(values: ArrayLike, what: str) -> Floats:
    """The score matrix (seeds, items) as floats. SpecError for another shape and for scores that are not finite."""
    m = np.asarray(values, np.float64)
    if m.ndim != 2:
        raise SpecError(
            f"the {what} matrix has shape {m.shape}, not (seeds, items); one run of n items is scores[None, :]"
        )
    if not np.isfinite(m).all():
        bad = int((~np.isfinite(m)).sum())
        raise SpecError(
            f"the {what} matrix has {bad} scores that are not finite; score every item, a refusal as a guess"
        )
    return m


def clustering(clusters: ArrayLike | None, items: int) -> Ints:
    """Cluster of each item, counted from 0; each item is its own where `clusters` is None."""
    if clusters is None:
        return np.arange(items)
    groups = np.unique(np.asarray(clusters), return_inverse=True)[1].ravel()
    if len(groups) != items:
        raise SpecError(f"{len(groups)} clusters for {items} items; give one per item")
    return groups


def number(value: float, replicates: Floats, of: Floats, groups: Ints) -> Number:
    """`value` with the interval of its replicates; `of` (seeds, items) is what it was computed from. There is no
    interval for one seed of one cluster, and no count of items for a matrix of totals."""
    seeds, items = of.shape
    low, high = (None, None) if seeds < 2 and groups.max() < 1 else interval(replicates)
    return Number(value=float(value), low=low, high=high, n=items if items > 1 else None, seeds=seeds)


def level(matrix: Floats, replicates: Floats, groups: Ints) -> Number:
    """A mean. All right or all wrong resamples to itself: its open side is the exact binomial bound for that
    many clusters (Clopper & Pearson 1934), so that 20 of 20 is not reported as certain."""
    plain, count = number(matrix.mean(), replicates, matrix, groups), int(groups.max()) + 1
    open_side = ((1 - LEVEL) / 2) ** (1 / count)
    if count > 1 and (matrix == 1).all():
        return plain.model_copy(update={"low": open_side})
    if count > 1 and (matrix == 0).all():
        return plain.model_copy(update={"high": 1 - open_side})
    return plain


def over_gap(above: Floats, gap: Floats) -> Floats:
    """Replicates of a ratio over the gap; where the gap is 0 or less it is unbounded, in the numerator's direction."""
    safe = np.where(gap > 0, gap, 1.0)
    return np.where(gap > 0, above / safe, np.where(above == 0, 0.0, np.copysign(np.inf, above)))
