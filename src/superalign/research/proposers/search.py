"""The default search: successive halving, evolution of its best, then ablation of what was found.

With its defaults 48 + 16 + 6 methods by halving (312 evaluations of a method on a problem) and 30 children (360); the
ablation added 72 to 252 in six searches on `w2s-micro`.
"""

from __future__ import annotations

from superalign.research.proposers.ablation import Ablation
from superalign.research.proposers.evolve import Evolve
from superalign.research.proposers.halving import Halving
from superalign.research.proposers.propose import Proposal, Proposer, Told, whole
from superalign.research.space import Space


class Search:
    """Stages that know of each other's results; a proposal names the stage that made it."""

    name = "search"

    def __init__(self, *, space: Space, seed: int, fidelity: int = 12, width: int = 48, children: int = 30) -> None:
        whole(children=children)  # 0 would be evolution without end
        self._stages: tuple[Proposer, ...] = (
            Halving(space=space, seed=seed, fidelity=fidelity, width=width),
            Evolve(space=space, seed=seed, fidelity=fidelity, children=children),
            Ablation(space=space, seed=seed, fidelity=fidelity),
        )

    def propose(self, n: int) -> list[Proposal]:
        """What the first stage that is not done proposes; none where all are."""
        for stage in self._stages:
            if proposals := stage.propose(n):
                return proposals
        return []

    def tell(self, told: Told) -> None:
        """Every stage takes note."""
        for stage in self._stages:
            stage.tell(told)
