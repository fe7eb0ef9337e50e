"""What to know of preference data before learning from it, each with its doubt.

Shares are of pairs (K responses to a prompt make K (K - 1) / 2), and intervals resample prompts, whose pairs share
responses. Counts that describe the file itself (ties, copies) have no interval: nothing was sampled.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from superalign.core import measure
from superalign.core.errors import TaskError
from superalign.core.spec import Number
from superalign.studies.rate.agreement import alpha
from superalign.tasks.preferences import Comparison
from superalign.tasks.preferences.pairs import pool
from superalign.tasks.preferences.quality import Quality, quality, ratings

EXACT = 1000
"""Up to so many prompts the test of balance is exact; above, normal."""
SORTED = ("pairs", "hh")
"""Forms that list the preferred response first, so that its place says nothing about who was shown where."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination: `share` of what it is a share of (`n` there), `count`, the `p` of balance, a note."""

    name: str
    count: int | None = None
    share: Number | None = None
    p: float | None = None
    alpha: Number | None = None
    note: str = ""


def checks(comparisons: Sequence[Comparison], form: str) -> list[Check]:
    """All checks, in the order in which they are read."""
    counts = quality(comparisons)
    pairs = [pair for comparison in comparisons for pair in comparison.pairs(ties=True)]
    decided = [pair for pair in pairs if pair.preferred is not None]
    return [
        Check("prompts", counts.groups, note="groups of comparisons that are resampled together"),
        Check("pairs", counts.pairs, note=f"of {counts.comparisons:,} comparisons"),
        _usable(comparisons, counts),
        *_faults(counts),
        _first(decided, form),
        _longer(decided),
        *_agreement(pairs),
    ]


def _usable(comparisons: Sequence[Comparison], counts: Quality) -> Check:
    try:
        left = len(pool(comparisons, "data").items)
    except TaskError:
        left = 0
    note = "decided, of two different responses that say something, once each, not contradicted"
    return Check("usable", left, _share(left, counts.pairs), note=note)


def _faults(counts: Quality) -> list[Check]:
    told = (
        ("ties", counts.ties, "no response is preferred"),
        ("empty", counts.empty, "a response says nothing"),
        ("equal", counts.equal, "both responses are the same"),
        ("copies", counts.copies, "repeat an earlier pair, in either order, and do not contradict it"),
    )
    found = [Check(name, count, _share(count, counts.pairs), note=note) for name, count, note in told]
    return [*found, Check("contradictions", counts.contradictions, note="distinct pairs that were decided both ways")]


def _first(decided: Sequence[Comparison], form: str) -> Check:
    """Whether the place of a response decides."""
    if form in SORTED:
        return Check("first wins", share=_undefined(f"the form {form!r} lists the preferred response first"))
    authors = {(pair.info.get("generator_1"), pair.info.get("generator_2")) for pair in decided}
    if len(authors) == 1 and None not in (both := authors.pop()):
        return Check("first wins", share=_undefined(f"{both[0]} is always first and {both[1]} second"))
    won = np.array([pair.preferred == 0 for pair in decided])
    return _balance("first wins", won, decided, "decided pairs won by the response that is listed first")


def _longer(decided: Sequence[Comparison]) -> Check:
    """Whether the length of a response decides."""
    unequal = [p for p in decided if len(p.responses[0]) != len(p.responses[1])]
    won = np.array([(len(p.responses[0]) > len(p.responses[1])) == (p.preferred == 0) for p in unequal])
    note = "decided pairs of unequal length won by the response with more characters"
    return _balance("longer wins", won, unequal, note)


def _balance(name: str, won: NDArray[np.bool_], pairs: Sequence[Comparison], note: str) -> Check:
    if not len(won):
        return Check(name, 0, _undefined("no pair is decided"), note=note)
    group = np.unique([pair.group for pair in pairs], return_inverse=True)[1]
    nets = np.bincount(group, 2 * won.astype(int) - 1).astype(int)
    share = measure.mean(won[None].astype(float), group)
    return Check(name, int(won.sum()), share, even_odds(nets), note=note)


def even_odds(nets: NDArray[np.int_]) -> float:
    """Two-sided p of groups whose net wins, (groups,), have signs that fair coins threw: of a sum at least as far from 0.

    Where each group is one pair it is the binomial test; else pairs of one prompt are not taken for independent.
    """
    sizes, seen = np.abs(nets[nets != 0]), abs(int(nets.sum()))
    if len(sizes) > EXACT:
        return math.erfc(seen / math.sqrt(2 * float((sizes**2).sum())))
    odds = np.ones(1)  # of the sums -total, ..., total of the groups so far
    for size in sizes:
        wider = np.zeros(len(odds) + 2 * size)
        wider[: len(odds)] += odds / 2
        wider[2 * size :] += odds / 2
        odds = wider
    sums = np.arange(len(odds)) - len(odds) // 2
    return min(1.0, float(odds[np.abs(sums) >= seen].sum()))


def _agreement(pairs: Sequence[Comparison]) -> list[Check]:
    """Of pairs that were judged more than once: verdicts are for one response, for the other, or even."""
    verdicts = [(unit, 0.5 + 0.5 * float(np.sign(rating - 0.5))) for unit, rating in ratings(pairs)]
    units: dict[str, list[float]] = defaultdict(list)
    for unit, verdict in verdicts:
        units[unit].append(verdict)
    same = [(k, a == b) for k, given in enumerate(units.values()) for a, b in combinations(given, 2)]
    share = _undefined("no pair was judged twice")
    if same:
        share = measure.mean(np.array([[float(s) for _, s in same]]), [k for k, _ in same])
    note = "all two verdicts on one pair"
    return [
        Check("agreement", sum(s for _, s in same), share, note=note),
        Check("Krippendorff's alpha", alpha=alpha(verdicts), note="agreement beyond chance, nominal; 1 is perfect"),
    ]


def _undefined(reason: str) -> Number:
    return Number(value=None, reason=f"undefined: {reason}")


def _share(count: int, of: int) -> Number:
    return Number(value=count / of, n=of)
