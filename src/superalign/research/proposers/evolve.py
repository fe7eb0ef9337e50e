"""(mu + lambda) evolution: children of the best methods, with some axes of a second parent and one or two changed.

Parents and children compete together, so the best is never lost (Beyer and Schwefel 2002). The parent is one of the top
three; each axis comes from it with probability .7, else from a mate among the best `mu`; then one or two axes change.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from superalign.core.random import stream
from superalign.research.proposers.history import History, Point, Row, draws
from superalign.research.proposers.propose import Proposal, Told, whole
from superalign.research.space import Axis, Space, Value

if TYPE_CHECKING:
    import numpy as np

PARENTS = 3
FROM_PARENT = 0.7
_TRIES = 200  # a child that is known is drawn again; where 200 are, the neighbourhood is as good as exhausted


class Evolve:
    """Evolution on `fidelity` problems, from the best `mu` methods known to it; `children` many, or without end at 0.

    It starts from what others told it, and draws methods uniformly while it knows fewer than `mu`.
    """

    name = "evolve"

    def __init__(self, *, space: Space, seed: int, fidelity: int = 12, mu: int = 6, children: int = 0) -> None:
        whole(fidelity=fidelity, mu=mu)
        whole(0, children=children)
        self._seed, self._fidelity, self._mu, self._children = seed, fidelity, mu, children
        self._history = History(space)

    def propose(self, n: int) -> list[Proposal]:
        """First methods until there are `mu`, then children; none where all were made or none new is found."""
        population = self._history.scored(self._fidelity)[: self._mu]
        made = self._history.count(self.name)
        if self._children:
            n = max(min(n, self._children - made), 0)
        if len(population) < self._mu and (first := self._first(min(n, self._mu - len(population)))):
            return first
        return self._offspring(n, population, made)

    def _first(self, n: int) -> list[Proposal]:
        drawn = draws(self._history.space, self._seed, "research/evolve/first")
        fresh = (m for m in drawn if self._history.find(m, self._fidelity) is None)
        return [Proposal(self.name, m, self._fidelity, "a first method, drawn uniformly") for m in islice(fresh, n)]

    def _offspring(self, n: int, population: list[Row], made: int) -> list[Proposal]:
        found: dict[Point, Proposal] = {}
        for k in range(made, made + n if population else made):
            rng = stream(self._seed, "research/evolve", k)
            for _ in range(_TRIES):
                parent, mate = (
                    population[int(rng.integers(m))] for m in (min(PARENTS, len(population)), len(population))
                )
                method, said = self._child(rng, parent, mate)
                point = tuple(method.values())
                if point not in found and self._history.find(method, self._fidelity) is None:
                    found[point] = Proposal(self.name, method, self._fidelity, said, parent.id)
                    break
        return list(found.values())

    def _child(self, rng: np.random.Generator, parent: Row, mate: Row) -> tuple[dict[str, Value], str]:
        """A crossover of the two with one or two axes changed, and the change in words."""
        axes = self._history.space.axes
        child = {a.name: (parent if rng.random() < FROM_PARENT else mate).method[a.name] for a in axes}
        movable = [a for a in axes if len(a.values) > 1]
        count = min(int(rng.integers(1, 3)), len(movable))
        changes = []
        for i in sorted(int(k) for k in rng.choice(len(movable), count, replace=False)):
            axis = movable[i]
            new = _other(rng, axis, child[axis.name])
            changes.append(f"{axis.name} {child[axis.name]} to {new}")
            child[axis.name] = new
        return child, f"{parent.id} crossed with {mate.id}; {', '.join(changes)}"

    def tell(self, told: Told) -> None:
        """Take note."""
        self._history.add(told)


def _other(rng: np.random.Generator, axis: Axis, value: Value) -> Value:
    others = [v for v in axis.values if v != value]
    return others[int(rng.integers(len(others)))]
