"""Means of labels with their intervals (95 %), and how far raters agree."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations

import numpy as np

from superalign.core import measure
from superalign.core.resample import clustering, number, resample
from superalign.core.spec import Condition, Number, Table
from superalign.studies.rate.agreement import alpha

EVERYBODY = "all raters"

Ratings = Mapping[str, Sequence[tuple[Hashable, float]]]
"""By rater, `(unit, value)` for each label."""


def average(values: Sequence[float], groups: Sequence[Hashable], nothing: str = "nothing was labelled") -> Number:
    """The mean of ratings; `groups` are resampled together. Undefined, with the reason, where there are none."""
    if not values:
        return Number(value=None, n=0, reason=f"undefined: {nothing}")
    rows, clusters = np.array([values], np.float64), clustering(_codes(groups), len(values))
    return number(float(rows.mean()), resample([rows], clusters)[:, 0], rows, clusters).model_copy(
        update={"n": len(values), "seeds": None}
    )


def share(values: Sequence[float], groups: Sequence[Hashable], nothing: str) -> Number:
    """The mean of what is 0, 1 or between; one that is 0 or 1 throughout has the exact binomial bound."""
    if not values:
        return Number(value=None, n=0, reason=f"undefined: {nothing}")
    found = measure.mean(np.array([values], np.float64), _codes(groups))
    return found.model_copy(update={"n": len(values), "seeds": None})


def agreement(ratings: Ratings, metric: str) -> tuple[list[Condition], dict[str, Table]]:
    """Krippendorff's alpha of everybody as a condition; as a table, of every two raters and of the people behind one.

    Nothing where nothing was labelled twice.
    """
    shared = {rater for rater, given in ratings.items() if len({unit for unit, _ in given}) < len(given)}
    if len(ratings) < 2 and not shared:
        return [], {}
    whole = alpha([pair for given in ratings.values() for pair in given], metric)
    rows = [(rater, "its own people", *_cells(alpha(ratings[rater], metric))) for rater in ratings if rater in shared]
    rows += [(a, b, *_cells(alpha([*ratings[a], *ratings[b]], metric))) for a, b in combinations(ratings, 2)]
    rows += [(EVERYBODY, "each other", *_cells(whole))] if len(rows) > 1 else []
    table = Table(
        title="Agreement between raters",
        columns=("rater", "with", "alpha", "low", "high", "labelled by both", "note"),
        rows=tuple(rows),
        note=f"Krippendorff's alpha ({metric}): 1 is agreement, 0 what chance gives. Intervals (95 %) resample what was"
        " labelled.",
    )
    condition = Condition(name=EVERYBODY, numbers={"alpha": whole}, labels={"kind": "agreement"})
    return [condition], {"agreement": table}


def _cells(number: Number) -> tuple[object, ...]:
    return number.value, number.low, number.high, number.n, number.reason or ""


def _codes(groups: Sequence[Hashable]) -> list[int]:
    places: dict[Hashable, int] = {}
    return [places.setdefault(g, len(places)) for g in groups]
