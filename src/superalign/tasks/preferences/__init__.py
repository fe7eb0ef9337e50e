"""Preference data: responses to a prompt and which of them somebody preferred.

`reading.load(place, form)` reads every public form, `writing.write` writes those that others read, `quality.quality`
counts what is wrong with it, and `pairs.pool` makes it a task: an item per pair, whose key is the preferred response.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from superalign.core.digest import digest
from superalign.core.errors import TaskError


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two or more responses to one prompt and what is known of their order.

    `scores` order them, the higher the better, and equal ones tie: a ranking is 0, -1, -2, ..., a chosen and a rejected
    response 1 and 0, a reward model's scores are themselves. A pair may have instead `p`, the probability that the first
    is better (a share of votes, a judge's belief). Comparisons of one `group` are resampled together and stay in one
    split; without one it is the prompt. Raises TaskError for anything else.
    """

    prompt: str
    responses: tuple[str, ...]
    scores: tuple[float, ...] = ()
    p: float | None = None
    group: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.responses)
        if count < 2:
            raise TaskError(f"{count} responses to {self.prompt[:40]!r}; a comparison has two or more")
        if (self.p is None) == (not self.scores):
            raise TaskError(f"a comparison of {count} responses has both scores and p, or neither; give one of them")
        if self.p is not None and (count != 2 or not 0 <= self.p <= 1):
            raise TaskError(
                f"p={self.p} for {count} responses; it is the probability, from 0 to 1, that the first of two wins"
            )
        if self.scores and (len(self.scores) != count or not all(math.isfinite(s) for s in self.scores)):
            raise TaskError(f"scores {self.scores} for {count} responses; give each one finite number")
        if not self.group:
            object.__setattr__(self, "group", digest(self.prompt)[:16])

    @property
    def ranking(self) -> tuple[int, ...]:
        """The responses, best first; ties in their order."""
        scores = self.scores or (self._first, 1 - self._first)
        return tuple(sorted(range(len(self.responses)), key=lambda k: -scores[k]))

    @property
    def preferred(self) -> int | None:
        """The best response, None where several are."""
        scores = self.scores or (self._first, 1 - self._first)
        best = [k for k, s in enumerate(scores) if s == max(scores)]
        return best[0] if len(best) == 1 else None

    def pairs(self, *, ties: bool = False, least: float = 0.0) -> tuple[Comparison, ...]:
        """Every two of the responses, in their order, as comparisons of the same group.

        Tied pairs are left out unless `ties`, and others whose scores differ by less than `least` are left out too.
        """
        if self.p is not None:
            return (self,) if ties or self.p != 0.5 else ()
        found = []
        for a, b in combinations(range(len(self.responses)), 2):
            apart = abs(self.scores[a] - self.scores[b])
            if apart < least if apart else not ties:
                continue
            two = (self.responses[a], self.responses[b])
            found.append(replace(self, responses=two, scores=(self.scores[a], self.scores[b])))
        return tuple(found)

    @property
    def _first(self) -> float:
        assert self.p is not None
        return self.p


@dataclass(frozen=True)
class Preferences(Sequence[Comparison]):
    """Comparisons from one place, in its order; `notes` say what was left out and why."""

    name: str
    comparisons: tuple[Comparison, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.comparisons)

    def __getitem__(self, index: Any) -> Any:
        return self.comparisons[index]
