"""Four words for what a confirmation showed, after correction for everything that the campaign confirmed.

A claim against several baselines is an intersection-union test: it holds where every one of them is beaten, so its
p is the largest of theirs and needs no correction inside. Across claims Holm's (1979) correction counts every
confirmation, those that failed to run among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from superalign.research.inference import Paired

Word = Literal["worse", "no evidence", "underpowered", "improves"]
"""From the weakest to the strongest; a claim takes the weakest word of its comparisons."""

WORDS: tuple[Word, ...] = get_args(Word)

Qualifier = Literal[
    "below-sesoi",
    "exploratory",
    "unhardened",
    "audit-failed",
    "testbed-shortcut",
    "teacher-independent",
    "single-family",
]


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the scorer measured for one claim: a paired comparison per baseline, or none where the run failed."""

    registration: str
    comparisons: Mapping[str, Paired]
    sesoi: float
    alpha: float = 0.05
    qualifiers: tuple[Qualifier, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word on a claim. `deciding` is the baseline that decides it, the numbers are of that comparison;
    `words` and `adjusted` are per baseline."""

    registration: str
    word: Word
    deciding: str
    comparison: Paired | None
    p_adjusted: float
    words: Mapping[str, Word]
    adjusted: Mapping[str, float]
    qualifiers: tuple[Qualifier, ...]


def word_of(comparison: Paired, p_adjusted: float, sesoi: float, alpha: float) -> Word:
    """The word on one comparison: significant with an interval on one side of 0; or shown to be smaller than what
    matters; or neither."""
    if p_adjusted < alpha and comparison.low > 0:
        return "improves"
    if p_adjusted < alpha and comparison.high < 0:
        return "worse"
    return "no evidence" if comparison.high < sesoi else "underpowered"


def verdicts(confirmed: Sequence[Confirmed]) -> list[Verdict]:
    """A verdict per claim, in order, corrected over all of them; a claim whose run failed has p = 1."""
    p = [max((c.p for c in one.comparisons.values()), default=1.0) for one in confirmed]
    factor, worst = [0] * len(p), 0.0
    floor = [0.0] * len(p)
    for rank, k in enumerate(sorted(range(len(p)), key=lambda j: p[j])):
        factor[k] = len(p) - rank
        worst = floor[k] = max(worst, min(1.0, factor[k] * p[k]))
    return [_verdict(one, factor[k], floor[k]) for k, one in enumerate(confirmed)]


def _verdict(one: Confirmed, factor: int, whole: float) -> Verdict:
    if not one.comparisons:
        return Verdict(one.registration, "underpowered", "", None, 1.0, {}, {}, one.qualifiers)
    raw = {name: min(1.0, factor * c.p) for name, c in one.comparisons.items()}
    largest = max(raw.values())
    adjusted = {name: max(v, whole) if v == largest else v for name, v in raw.items()}
    words = {n: word_of(c, adjusted[n], one.sesoi, one.alpha) for n, c in one.comparisons.items()}
    deciding = min(words, key=lambda n: (WORDS.index(words[n]), one.comparisons[n].estimate))
    found = one.comparisons[deciding]
    small = words[deciding] == "improves" and found.estimate < one.sesoi
    qualifiers = (*one.qualifiers, *(("below-sesoi",) if small else ()))
    word = words[deciding]
    return Verdict(one.registration, word, deciding, found, whole, words, adjusted, qualifiers)
