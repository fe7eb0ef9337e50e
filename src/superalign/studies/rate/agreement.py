"""Do people agree? Krippendorff's alpha for any number of raters, with cells missing.

alpha = 1 - observed disagreement / expected disagreement (Krippendorff 2011, "Computing Krippendorff's
alpha-reliability"). 1 is agreement, 0 what chance gives, below 0 systematic disagreement.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

from superalign.core.errors import SpecError, nearest
from superalign.core.spec import Number
from superalign.people.alpha import METRICS, coincidences, krippendorff
from superalign.studies.rate.bradley_terry import Floats


def alpha(
    ratings: Iterable[tuple[Hashable, float]], metric: str = "nominal", *, rounds: int = 1000, seed: int = 0
) -> Number:
    """Krippendorff's alpha of `(unit, rating)` pairs, with a bootstrap interval over units.

    Ratings are numbers (code categories as 0, 1, ... for `nominal`). Units with one rating are dropped. Undefined,
    with the reason, where nothing is rated twice or all ratings are equal. Raises SpecError for another metric.
    """
    if metric not in METRICS:
        raise SpecError(f"no metric of agreement is named {metric!r}; {nearest(metric, METRICS)}")
    values, table = _table(ratings)
    if not len(table):
        return Number(value=None, n=0, reason="undefined: no unit has two ratings")
    if len(values) < 2:
        return Number(value=None, n=len(table), reason="undefined: all ratings are equal")
    point = _alpha(table, values, metric)
    rng = np.random.default_rng(seed)
    drawn = [_alpha(table[rng.integers(0, len(table), len(table))], values, metric) for _ in range(rounds)]
    known = [d for d in drawn if d is not None]
    low, high = np.percentile(known, [2.5, 97.5]) if known else (None, None)
    return Number(value=point, low=low, high=high, n=len(table))


def _table(ratings: Iterable[tuple[Hashable, float]]) -> tuple[Floats, Floats]:
    """The distinct ratings (C,) in order, and how often each unit got each, (units, C)."""
    pairs = list(ratings)
    units = {u: k for k, u in enumerate(dict.fromkeys(u for u, _ in pairs))}
    rows = np.asarray([units[u] for u, _ in pairs], np.int64)
    values, columns = np.unique(np.asarray([v for _, v in pairs], float), return_inverse=True)
    table = np.zeros((len(units), len(values)))
    np.add.at(table, (rows, columns), 1)
    kept = table[table.sum(1) > 1]
    there = kept.sum(0) > 0
    return values[there], kept[:, there]


def _alpha(table: Floats, values: Floats, metric: str) -> float | None:
    found = float(krippendorff(coincidences(table), values, metric))
    return None if np.isnan(found) else found


def raw_agreement(units: Mapping[Hashable, Sequence[float]], *, ties: bool = True) -> float | None:
    """The share of pairs of ratings of one unit that are equal; without `ties`, of those that are not 0.5."""
    same = pairs = 0
    for ratings in units.values():
        kept = [r for r in ratings if ties or r != 0.5]
        for k, a in enumerate(kept):
            for b in kept[k + 1 :]:
                pairs += 1
                same += a == b
    return same / pairs if pairs else None
