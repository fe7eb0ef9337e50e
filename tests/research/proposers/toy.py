"""A toy space with a planted optimum: 256 methods, problems that differ more than the methods do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from superalign.core.random import stream
from superalign.research.proposers.propose import Proposal, Proposer, Told
from superalign.research.space import Axis, Method, Space, Value

SPACE = Space(tuple(Axis(name, (0, 1, 2, 3), 0, ordered=True) for name in "abcd"))
SMALL = Space(SPACE.axes[:2])
PLANTED = SPACE.method(a=2, b=3, c=1)
Score = Callable[[Method, int], float]


def score(method: Method, problem: int) -> float:
    """Less by .1 for each step from the planted method; 0.02 of noise, and .5 that all methods share."""
    steps = sum(abs(int(method[name]) - int(PLANTED[name])) for name in PLANTED)
    return _drawn(problem, *method.values()) - 0.1 * steps


@cache
def _drawn(problem: int, *point: Value) -> float:
    shared, own = stream(problem, "toy"), stream(problem, "toy", list(point))
    return float(0.5 * shared.standard_normal() + 0.02 * own.standard_normal())


def told(proposal: Proposal, by: Score = score) -> Told:
    """The fate of a proposal."""
    method: Any = proposal.method
    return Told(proposal, tuple(by(method, k) for k in range(proposal.fidelity)))


def run(proposer: Proposer, batch: int = 4, limit: int = 400, fate: Callable[[Proposal], Told] = told) -> list[Told]:
    """Propose and tell, until the proposer has nothing more or `limit` proposals were told."""
    history: list[Told] = []
    while len(history) < limit and (proposals := proposer.propose(batch)):
        assert len(proposals) <= batch
        history += [fate(p) for p in proposals]
        tell(proposer, history[-len(proposals) :])
    return history


def tell(proposer: Proposer, history: Sequence[Told]) -> None:
    """Tell it all."""
    for each in history:
        proposer.tell(each)
