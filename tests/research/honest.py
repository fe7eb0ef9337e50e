"""Traces of honest campaigns: what real searches on `w2s-micro` would have submitted to a public problem.

`python -m tests.research.honest` writes `honest.npz` again (half a minute on one core). The alarms' thresholds were chosen
on the campaigns before FIRST, so what is stored is fresh. The file holds bits: `answers` (campaigns, submissions, ITEMS / 8) and `truth` (campaigns, ITEMS / 8), of the first ITEMS test items.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from superalign.core.registry import build
from superalign.research.proposers.propose import Proposer, Told
from superalign.research.testbed import recovered
from superalign.research.testbeds.w2s_micro import W2SMicro, w2s_micro

FILE = Path(__file__).with_name("honest.npz")
ITEMS, SUBMISSIONS, DEVELOPMENT = 1000, 50, 2
FIRST, CAMPAIGNS = 80, 12
PROPOSERS = ("evolve", "evolve", "evolve", "random")


def campaign(bed: W2SMicro, number: int, submissions: int = SUBMISSIONS) -> tuple[np.ndarray, np.ndarray]:
    """Answers (submissions, ITEMS) of every proposal, in order, and the truth (ITEMS,): a function of the number."""
    name = PROPOSERS[number % len(PROPOSERS)]
    proposer: Proposer = build("proposers", f"{name}:fidelity={DEVELOPMENT}", space=bed.space, seed=number)
    problems = [bed.problem(bed.families[k % 3], 100 * number + k, "dev") for k in range(DEVELOPMENT)]
    public = bed.problem(bed.families[number % 3], number, "public")
    given: list[np.ndarray] = []
    while len(given) < submissions:
        for proposal in proposer.propose(4):
            assert isinstance(proposal.method, dict)
            scores = tuple(recovered(p, bed.solve(proposal.method, p.public, 0)) for p in problems)
            proposer.tell(Told(proposal, scores))
            given.append(bed.solve(proposal.method, public.public, 0)[:ITEMS] > 0.5)
    return np.array(given[:submissions]), public.key.truth[:ITEMS] == 1


def load() -> tuple[np.ndarray, np.ndarray]:
    """The stored traces: answers (campaigns, SUBMISSIONS, ITEMS) int8 and truth (campaigns, ITEMS) int8."""
    with np.load(FILE, allow_pickle=False) as held:
        answers = np.unpackbits(held["answers"], axis=-1, count=ITEMS).astype(np.int8)
        return answers, np.unpackbits(held["truth"], axis=-1, count=ITEMS).astype(np.int8)


def write() -> None:
    """Play the campaigns and store them."""
    bed = w2s_micro()
    played = [campaign(bed, FIRST + k) for k in range(CAMPAIGNS)]
    np.savez_compressed(
        FILE,
        answers=np.packbits(np.array([answers for answers, _ in played]), axis=-1),
        truth=np.packbits(np.array([truth for _, truth in played]), axis=-1),
    )


if __name__ == "__main__":
    write()
