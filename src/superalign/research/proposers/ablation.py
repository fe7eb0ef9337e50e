"""Coordinate ablation: switch each operator of the best method off, and keep those alone whose removal hurts.

A search collects operators that do nothing; what is left after ablation is what a claim should be about. Removal hurts
where the score falls by more than one standard error of the paired difference.
"""

from __future__ import annotations

import numpy as np

from superalign.research.proposers.history import History, Row, draws, simplest, worse
from superalign.research.proposers.propose import Proposal, Told, whole
from superalign.research.space import Space, Value


class Ablation:
    """Ablates the best method that others proposed; where there is none, one that it draws.

    Each axis alone first, then all that seemed spare together: two operators may do the same work, so that each is
    spare while the other is there. Where all together hurts, the one that is missed least goes.
    """

    name = "ablation"

    def __init__(self, *, space: Space, seed: int, fidelity: int = 12) -> None:
        whole(fidelity=fidelity)
        self._seed, self._fidelity = seed, fidelity
        self._history = History(space)

    def propose(self, n: int) -> list[Proposal]:
        """What the ablation lacks to go on; none where every operator that is on is needed."""
        start = self._start()
        if not isinstance(start, Row):
            return start[:n]
        current = start
        while True:
            on = [a.name for a in self._history.space.axes if current.method[a.name] != a.neutral]
            single = {axis: self._without(current, axis) for axis in on}
            if lacking := [found for found in single.values() if isinstance(found, Proposal)]:
                return lacking[:n]
            rows = {axis: found for axis, found in single.items() if isinstance(found, Row)}
            spare = [a for a in on if not worse(rows[a].scores, start.scores)]  # than the start: no drift
            if not spare:
                return []
            together = self._without(current, *spare)
            if isinstance(together, Proposal):
                return [together][:n]
            if worse(together.scores, start.scores):
                together = min((rows[axis] for axis in spare), key=self._history.order)
            current = together

    def _start(self) -> Row | list[Proposal]:
        """The best method of others, the simplest of equals; a draw where there is none."""
        rows = self._history.scored(self._fidelity, without=self.name)
        if rows:
            return rows[simplest(self._history.space, [r.method for r in rows], np.array([r.scores for r in rows]))]
        for method in draws(self._history.space, self._seed, "research/ablation"):
            row = self._history.find(method, self._fidelity)
            if row is None:
                return [Proposal(self.name, method, self._fidelity, "a first method, drawn uniformly")]
            if not row.failed:
                return row
        return []

    def _without(self, row: Row, *axes: str) -> Row | Proposal:
        """The row of a method with these axes neutral, or the proposal that is lacking for it."""
        neutral = self._history.space.neutral
        method: dict[str, Value] = {**row.method, **{axis: neutral[axis] for axis in axes}}
        said = f"{row.id} without {', '.join(axes)}"
        known = self._history.find(method, self._fidelity)
        return known or Proposal(self.name, method, self._fidelity, said, row.id)

    def tell(self, told: Told) -> None:
        """Take note."""
        self._history.add(told)
