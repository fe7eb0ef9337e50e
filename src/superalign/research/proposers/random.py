"""Random search: methods drawn uniformly, none twice. The reference that every other proposer must beat."""

from __future__ import annotations

from itertools import islice

from superalign.research.proposers.history import History, draws
from superalign.research.proposers.propose import Proposal, Told, whole
from superalign.research.space import Space


class Random:
    """Proposes methods drawn uniformly, each on `fidelity` problems."""

    name = "random"

    def __init__(self, *, space: Space, seed: int, fidelity: int = 12) -> None:
        whole(fidelity=fidelity)
        self._seed, self._fidelity = seed, fidelity
        self._history = History(space)

    def propose(self, n: int) -> list[Proposal]:
        """The next draws that are not known; none where the space is exhausted."""
        drawn = draws(self._history.space, self._seed, "research/random")
        fresh = (m for m in drawn if self._history.find(m, self._fidelity) is None)
        return [Proposal(self.name, m, self._fidelity, "drawn uniformly") for m in islice(fresh, n)]

    def tell(self, told: Told) -> None:
        """Take note."""
        self._history.add(told)
