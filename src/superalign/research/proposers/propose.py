"""What a proposer is: two methods, and no state but what it was told.

A campaign resumes by telling a fresh proposer the history again, so `propose` must be a function of the seed and of
what was told; the built-in ones do not even depend on the order of the telling. A batch is told before the next is asked
for. Scores are of development problems: free, exact, and never reported as a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING
from typing import Protocol as Interface

from superalign.core.digest import digest
from superalign.core.errors import SpecError

if TYPE_CHECKING:
    from superalign.research.space import Method


@dataclass(frozen=True, slots=True)
class Code:
    """A method as a program: the text of one Python file, and the function in it that takes (public, seed)."""

    text: str
    function: str = "method"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A method to be scored on the first `fidelity` development problems of the campaign.

    `proposer` says whose idea it is, `parent` the id of the proposal that it changes.
    """

    proposer: str
    method: Method | Code
    fidelity: int
    rationale: str = ""
    parent: str | None = None

    @property
    def id(self) -> str:
        """The identity of who proposes what at which fidelity; the words and the parent are no part of it."""
        return digest(self.proposer, self.method, self.fidelity)[:16]


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a proposal: a score for each of its problems, or why there are none.

    It carries the proposal, because a proposer that is told a history again has never made it.
    """

    proposal: Proposal
    scores: tuple[float, ...] = ()
    failure: str | None = None

    def __post_init__(self) -> None:
        if self.failure is None and len(self.scores) != self.proposal.fidelity:
            raise SpecError(
                f"proposal {self.proposal.id} asked for {self.proposal.fidelity} problems and was told "
                f"{len(self.scores)} scores; tell all of them, or why it failed"
            )
        if not all(isfinite(s) for s in self.scores):
            raise SpecError(f"proposal {self.proposal.id} was told scores that are not finite; tell it as a failure")


class Proposer(Interface):
    """Anything that proposes methods. A new one is one file and one entry point of `superalign.proposers`:
    a factory `(*, space, seed, **options)`, with a first parameter `argument` where it takes one."""

    name: str

    def propose(self, n: int) -> list[Proposal]:
        """At most `n` proposals; none where the proposer has nothing more to try."""
        ...

    def tell(self, told: Told) -> None:
        """Take note of a proposal's fate, also of one that another proposer made."""
        ...


def whole(least: int = 1, **options: int) -> None:
    """Refuse options that are not whole numbers of `least` or more. Raises SpecError."""
    for name, value in options.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SpecError(f"{name}={value!r} is not a whole number of {least} or more; write {name}={least + 5}")
