"""Windows in which a unit is silent: drawn uniformly, or near misses that hold a token it likes to fire at.

Whether a window is silent is read from the activations, and none is drawn twice.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import SpecError, nearest
from superalign.core.random import stream
from superalign.interp.corpus import Windows
from superalign.interp.evidence import Evidence

if TYPE_CHECKING:
    from superalign.core.ports import Ints

SOURCES = ("uniform", "near-miss")
"""Where negatives come from. Numbers from different sources are never pooled."""

_PEAKS = 50
"""Strongest windows whose peaks say which tokens the unit likes."""


def peaks(evidence: Evidence, split: str, count: int) -> Ints:
    """The row of the strongest activation in each of the `count` strongest windows of a split, strongest first."""
    windows = evidence.top(split, count)
    values, bounds = evidence.on(windows), windows.bounds
    places = [int(a + values[a:b].argmax()) for a, b in pairwise(bounds.tolist())]
    return windows.rows[np.asarray(places, np.int64)]


def near_misses(evidence: Evidence, split: str, purpose: str = "near") -> Ints:
    """The silent windows of a split that hold a token at which the unit peaks on the split `explain`, shuffled."""
    corpus = evidence.corpus
    liked = np.unique(corpus.tokens[peaks(evidence, "explain", _PEAKS)])
    silent = Windows(corpus, evidence.silent(split))
    held = np.flatnonzero(np.isin(silent.tokens, liked))
    found = silent.index[np.unique(np.searchsorted(silent.bounds, held, side="right") - 1)]
    return stream(evidence.seed, "windows", evidence.unit.name, split, purpose).permutation(found)


def negatives(evidence: Evidence, split: str, source: str, count: int) -> tuple[Ints, int]:
    """At most `count` silent windows from a source, and how many there were. Raises SpecError for another source."""
    if source == "uniform":
        return evidence.quiet(split, count, "negatives").index, len(evidence.silent(split))
    if source == "near-miss":
        found = near_misses(evidence, split)
        return found[:count], len(found)
    raise SpecError(f"no negatives come from {source!r}; {nearest(source, SOURCES)}")
