"""Krippendorff's alpha from coincidences, one table or many at once.

alpha = 1 - observed disagreement / expected disagreement (Krippendorff 2011, "Computing Krippendorff's
alpha-reliability"). A coincidence table (C, C) says how often two ratings c and k met in one unit: each ordered pair of
the m ratings of a unit adds 1 / (m - 1), so tables of disjoint units add up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

METRICS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "nominal": lambda values, counts: (values[:, None] != values[None, :]).astype(float),
    "ordinal": lambda values, counts: _ordinal(counts),
    "interval": lambda values, counts: (values[:, None] - values[None, :]) ** 2,
    "ratio": lambda values, counts: _ratio(values),
}
"""Squared distances (..., C, C) of ratings, from their values (C,) and from how often each was given (..., C)."""


def coincidences(table: Floats) -> Floats:
    """The coincidences (C, C) of units (units, C) that say how often each rating was given; two ratings or more each."""
    shares = table / (table.sum(1) - 1)[:, None]
    found: Floats = shares.T @ table - np.diag(shares.sum(0))
    return found


def krippendorff(met: Floats, values: Floats, metric: str) -> Floats:
    """Alpha (...,) of coincidence tables (..., C, C); NaN where all ratings are equal, or there are none."""
    counts = met.sum(-1)
    n = counts.sum(-1)
    distance = METRICS[metric](values, counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = (met * distance).sum((-1, -2)) / n
        expected = (counts[..., :, None] * counts[..., None, :] * distance).sum((-1, -2)) / (n * (n - 1))
        return np.where(expected > 0, 1 - observed / expected, np.nan)


def _ordinal(counts: Floats) -> Floats:
    middle = np.cumsum(counts, -1) - counts / 2
    found: Floats = (middle[..., :, None] - middle[..., None, :]) ** 2
    return found


def _ratio(values: Floats) -> Floats:
    total = values[:, None] + values[None, :]
    return np.divide(values[:, None] - values[None, :], total, out=np.zeros_like(total), where=total != 0) ** 2
