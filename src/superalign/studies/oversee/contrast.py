"""Paired differences between conditions: cluster bootstrap for the interval, sign flips for p, Holm for many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from superalign.core import measure
from superalign.core.random import stream
from superalign.core.resample import Floats, Ints, cluster_sums, number, resample
from superalign.core.spec import Number

FLIPS = 10_000
EXACT = 12  # clusters up to which every pattern of signs is counted


@dataclass(frozen=True, slots=True)
class Contrast:
    """Condition `a` less condition `b`; `p` is two-sided, None for a single cluster, `adjusted` after Holm."""

    a: str
    b: str
    difference: Number
    p: float | None
    adjusted: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the two may be put in order: the interval excludes 0 and the corrected p is .05 or less."""
        low, high = self.difference.low, self.difference.high
        apart = low is not None and high is not None and (low > 0 or high < 0)
        return apart and self.adjusted is not None and self.adjusted <= 0.05


def contrasts(pairs: Sequence[tuple[str, str]], scores: Mapping[str, Floats], clusters: Ints) -> list[Contrast]:
    """The differences of these pairs of conditions, `scores` (seeds, items) by name, Holm-corrected together."""
    found = []
    for a, b in pairs:
        draws = resample([scores[a], scores[b]], clusters)
        parts = scores[a] - scores[b]
        difference = number(parts.mean(), draws[:, 0] - draws[:, 1], parts, clusters)
        found.append(Contrast(a, b, difference, sign_flip(parts, clusters)))
    adjusted = iter(measure.holm([c.p for c in found if c.p is not None]))
    return [Contrast(c.a, c.b, c.difference, c.p, None if c.p is None else next(adjusted)) for c in found]


def sign_flip(differences: Floats, clusters: Ints) -> float | None:
    """Two-sided p of mean difference 0: the share of random signs, one per cluster of items, whose mean is as far out.

    `differences` is (seeds, items). Exact for few clusters; else from 10,000 patterns of signs, the observed one
    among them. None for a single cluster, which has one sign.
    """
    sums = cluster_sums(differences.mean(0), clusters)[0]
    count = len(sums)
    if count < 2:
        return None
    extreme = np.abs(_signs(count) @ sums) >= abs(sums.sum()) - 1e-9 * np.abs(sums).sum()
    return float(extreme.mean())


@lru_cache(maxsize=2)  # the comparisons of a study share it
def _signs(count: int) -> Floats:
    """Patterns of signs, (patterns, count): all there are, or random ones."""
    if count <= EXACT:
        minus = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        minus = stream(0, "sign flips", count).integers(0, 2, (FLIPS, count))
        minus[0] = 0
    return np.asarray(1 - 2 * minus, np.float64)
