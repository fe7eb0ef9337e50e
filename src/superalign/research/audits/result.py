"""What an audit found, and what an audit may run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from superalign.research.testbed import Problem
from superalign.research.values import Code, Typed

if TYPE_CHECKING:
    from superalign.core.ports import Ints
    from superalign.research.verdicts import Qualifier

Status = Literal["pass", "flag", "fail"]
"""`flag`: a person should look; `fail`: no claim that this audit belongs to may be called an improvement."""

Run = Callable[[Typed | Code, Problem, int], "Ints | None"]
"""`run(method, problem, seed)`: answers (m,) of the test items, None where the method failed. It is given public arrays
alone; code that nobody has read runs in the sandbox."""


@dataclass(frozen=True, slots=True)
class AuditResult:
    """One audit: a statistic with its 95 % interval (None where there is none), a sentence, and where to look.

    `evidence` names entries of the ledger (`e12`), problems (`family/seed`) or files. `qualifier` is what is to be said
    beside the word of a verdict where the status is not `pass`.
    """

    audit: str
    status: Status
    statistic: float | None
    low: float | None
    high: float | None
    says: str
    evidence: tuple[str, ...] = ()
    qualifier: Qualifier | None = None

    def payload(self, registration: str | None = None) -> dict[str, Any]:
        """The payload of an `audit` entry, about a claim or (None) about the whole campaign."""
        numbers = {name: _finite(getattr(self, name)) for name in ("statistic", "low", "high")}
        return {
            "audit": self.audit, "registration": registration, "status": self.status, **numbers, "says": self.says,
            "evidence": list(self.evidence), "qualifier": self.qualifier,
        }  # fmt: skip


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def named(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Problems as evidence."""
    return tuple(f"{p.family}/{p.seed}" for p in problems)
