"""A confirmation takes two steps and somebody's consent: it can be made once, and it counts in the correction for good."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from superalign.core.errors import SpecError
from superalign.core.ports import Store
from superalign.research.values import PreRegistration


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says of a registration, and why."""

    word: Literal["approved", "waiting", "refused"]
    why: str = ""


Approve = Callable[[PreRegistration], Decision]
"""A policy: a rule, or a person who is asked elsewhere and may take days (`waiting`)."""


class Gate:
    """Asks the policy at the second request for a registration, and lets at most `most` requests in `seconds` through."""

    def __init__(
        self, approve: Approve, most: int = 12, seconds: float = 3600.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._approve, self._most, self._seconds, self._clock = approve, most, seconds, clock
        self._times: deque[float] = deque()
        self._requested: set[str] = set()

    def request(self, claim: PreRegistration) -> Decision | None:
        """The decision; None where this was the first step. Raises SpecError where requests come too fast."""
        now = self._clock()
        while self._times and now - self._times[0] >= self._seconds:
            self._times.popleft()
        if len(self._times) >= self._most:
            wait = self._seconds - (now - self._times[0])
            raise SpecError(f"{self._most} requests in {self._seconds:.0f} s are enough; ask again in {wait:.0f} s")
        self._times.append(now)
        if claim.id not in self._requested:
            self._requested.add(claim.id)
            return None
        return self._approve(claim)


def by_person(store: Store, campaign: str) -> Approve:
    """The policy that waits for `decide`."""

    def approve(claim: PreRegistration) -> Decision:
        for event in store.read(_stream(campaign)):
            if event.body.get("registration") == claim.id:
                word: Literal["approved", "refused"] = "approved" if event.body.get("approved") is True else "refused"
                return Decision(word, f"{event.body.get('by')}: {event.body.get('why')}")
        return Decision("waiting", "a person has to approve it")

    return approve


def decide(store: Store, campaign: str, registration: str, approved: bool, by: str, why: str = "") -> None:
    """Write down what a person decided of a registration. The first decision counts. Raises SpecError without a name."""
    if not by.strip():
        raise SpecError("a decision needs the name of who made it")
    body = {"registration": registration, "approved": approved, "by": by[:200], "why": why[:2000]}
    store.append(_stream(campaign), [body])


def _stream(campaign: str) -> str:
    return f"research/approvals/{campaign}"
