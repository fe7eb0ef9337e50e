"""The spec of a research campaign."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from superalign.core.spec import Spec

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Research(Spec):
    """A frozen question: on which testbed, who proposes, with what budget, and what would count.

    `budget`: `40s`, `10m`, `2h` for all of it (a fifth is for the search, as much again for each baseline), or a number
    of evaluations for the search (a method on a problem). `fidelity`: development problems of a whole evaluation.
    `sesoi`: the smallest effect of interest, in PGR. `problems`: the most of a claim; how many are taken follows from
    power. `seeds`: training seeds on each. `submissions`: to the public problems. `pairs`: comparisons of a method with
    itself.
    """

    study: Literal["research"] = "research"
    testbed: str = Field(min_length=1)
    question: str = "Does any method of the space improve on equally tuned baselines?"
    proposer: str = "search"
    budget: str = "10m"
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    sesoi: float = Field(default=0.02, gt=0)
    fidelity: int = Field(default=12, ge=3)
    problems: int = Field(default=60, ge=2)
    seeds: int = Field(default=1, ge=1)
    submissions: int = Field(default=50, ge=1)
    pairs: int = Field(default=40, ge=1)
    seed: int = 0

    @field_validator("budget")
    @classmethod
    def _spelled(cls, value: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)?[smh]|\d+", value) or float(value.rstrip("smh")) <= 0:
            raise ValueError("a budget is a time such as 40s, 10m or 2h, or a number of evaluations such as 600")
        return value

    @property
    def seconds(self) -> float | None:
        """The budget in seconds, None where it counts evaluations."""
        return float(self.budget[:-1]) * _UNITS[self.budget[-1]] if self.budget[-1] in _UNITS else None

    @property
    def evaluations(self) -> int | None:
        """The budget in evaluations, None where it is a time."""
        return int(self.budget) if self.seconds is None else None

    @property
    def campaign(self) -> str:
        """The campaign's name: the same spec goes on with the same campaign."""
        return f"research-{self.digest[:8]}"
