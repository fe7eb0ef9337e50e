"""Successive halving: many methods on few problems, the best of them on more (Jamieson and Talwalkar 2016).

48 methods on a quarter of the problems, the best 16 on half, the best 6 on all: where problems differ more than good
methods do, a quarter is enough to see which methods are bad.
"""

from __future__ import annotations

from itertools import islice

from superalign.research.proposers.history import History, Row, draws
from superalign.research.proposers.propose import Proposal, Told, whole
from superalign.research.space import Space, Value

Entrant = tuple[dict[str, Value], str | None]
"""A method, and the id of the proposal that earned it its place."""


def rungs(width: int, fidelity: int) -> list[tuple[int, int]]:
    """How many methods are scored on how many problems, in turn: 48, 12 gives (48, 3), (16, 6), (6, 12)."""
    return [(width, -(-fidelity // 4)), (-(-width // 3), -(-fidelity // 2)), (-(-width // 8), fidelity)]


class Halving:
    """One run of successive halving over `width` methods drawn uniformly, up to `fidelity` problems."""

    name = "halving"

    def __init__(self, *, space: Space, seed: int, fidelity: int = 12, width: int = 48) -> None:
        whole(fidelity=fidelity, width=width)
        self._rungs = rungs(width, fidelity)
        self._history = History(space)
        self._drawn = list(islice(draws(space, seed, "research/halving"), width))

    def propose(self, n: int) -> list[Proposal]:
        """What the present rung still lacks; none where the last one is full."""
        entrants: list[Entrant] = [(m, None) for m in self._drawn]
        for rung, (_, fidelity) in enumerate(self._rungs):
            found = [self._history.find(m, fidelity) for m, _ in entrants]
            lacking = [e for e, row in zip(entrants, found, strict=True) if row is None]
            if lacking:
                said = f"rung {rung + 1} of {len(self._rungs)}: one of {len(entrants)} on {fidelity} problems"
                return [Proposal(self.name, m, fidelity, said, parent) for m, parent in lacking[:n]]
            entrants = self._promoted([row for row in found if row is not None], rung + 1)
        return []

    def _promoted(self, rows: list[Row], rung: int) -> list[Entrant]:
        """Who enters a rung: the best of the last one, never a failure."""
        count = self._rungs[rung][0] if rung < len(self._rungs) else 0
        best = sorted((r for r in rows if not r.failed), key=self._history.order)
        return [(row.method, row.id) for row in best[:count]]

    def tell(self, told: Told) -> None:
        """Take note."""
        self._history.add(told)
