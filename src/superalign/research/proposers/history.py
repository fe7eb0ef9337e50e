"""What was told, and what follows from it: which methods are known, which are best, which is simple enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import Degenerate
from superalign.core.random import stream
from superalign.research.proposers.propose import Code, Told
from superalign.research.space import Method, Space, Value

if TYPE_CHECKING:
    from superalign.core.ports import Floats

Point = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A typed method with its scores (p,) on the first p development problems, minus infinity where it failed."""

    id: str
    method: dict[str, Value]
    scores: Floats

    @property
    def failed(self) -> bool:
        """Whether there are no scores."""
        return not bool(np.isfinite(self.scores).all())


class History:
    """What a proposer was told. Methods are known by their point in the space, whoever proposed them."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._rows: dict[Point, tuple[Row, str]] = {}  # with the name of the proposer
        self._told: dict[str, str] = {}

    def add(self, told: Told) -> None:
        """Take note. A method scored twice is known by its larger fidelity. SpecError for a method not in the space."""
        proposal = told.proposal
        if not isinstance(proposal.method, Code):  # a program is no point of the space: nothing can be derived from it
            method = self.space.check(proposal.method)
            scores = np.array(told.scores) if told.failure is None else np.full(proposal.fidelity, -np.inf)
            row, point = Row(proposal.id, method, scores), tuple(method.values())
            if point not in self._rows or _rank(self._rows[point][0]) < _rank(row):
                self._rows[point] = row, proposal.proposer
        self._told[proposal.id] = proposal.proposer

    def count(self, proposer: str) -> int:
        """How many proposals of that proposer were told."""
        return sum(name == proposer for name in self._told.values())

    def find(self, method: Method, fidelity: int) -> Row | None:
        """The method's row on the first `fidelity` problems; None where it was not scored on that many."""
        known = self._rows.get(tuple(self.space.check(method).values()))
        return None if known is None else _first(known[0], fidelity)

    def scored(self, fidelity: int, without: str = "") -> list[Row]:
        """Every method scored on at least `fidelity` problems, best mean first; not those of one proposer."""
        rows = [_first(row, fidelity) for row, name in self._rows.values() if name != without and not row.failed]
        return sorted((row for row in rows if row is not None), key=self.order)

    def order(self, row: Row) -> tuple[float, int, str]:
        """Best mean first; equal means by complexity, then by a fixed order of methods."""
        return -float(row.scores.mean()), self.space.complexity(row.method), repr(row.method)


def _rank(row: Row) -> tuple[bool, int, str]:
    return not row.failed, len(row.scores), row.id


def _first(row: Row, fidelity: int) -> Row | None:
    """The row on the first problems; a method that failed fails on any number of them."""
    if row.failed:
        return Row(row.id, row.method, np.full(fidelity, -np.inf))
    return Row(row.id, row.method, row.scores[:fidelity]) if len(row.scores) >= fidelity else None


def draws(space: Space, seed: int, step: str) -> Iterator[dict[str, Value]]:
    """Methods drawn uniformly without repetition, until the space is exhausted."""
    rng = stream(seed, step)
    seen: set[Point] = set()
    while len(seen) < space.size:
        method = space.draw(rng)
        if (point := tuple(method.values())) not in seen:
            seen.add(point)
            yield method


def worse(scores: Floats, than: Floats) -> bool:
    """Whether `scores` lie below `than` by more than one standard error of their mean paired difference.

    Paired, because the problems differ more than the methods do. A failure is worse than anything.
    """
    if not np.isfinite(scores).all():
        return True
    behind = than - scores
    error = float(behind.std(ddof=1)) / np.sqrt(len(behind)) if len(behind) > 1 else 0.0
    return bool(behind.mean() > error)


def simplest(space: Space, methods: Sequence[Method], scores: Floats) -> int:
    """The index of the method with the fewest operators on, among those not `worse` than the best mean.

    `scores` (n, p) are on the same problems; a row that is not finite is a failure. Degenerate where all failed.
    """
    finite = [i for i in range(len(methods)) if np.isfinite(scores[i]).all()]
    if not finite:
        raise Degenerate(f"none of {len(methods)} methods has a score on every problem, so none can be chosen")
    means = {i: float(scores[i].mean()) for i in finite}
    best = max(finite, key=lambda i: means[i])
    equal = [i for i in finite if not worse(scores[i], scores[best])]
    return min(equal, key=lambda i: (space.complexity(methods[i]), -means[i], repr(list(methods[i].values()))))
