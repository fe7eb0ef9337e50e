"""The spec of an oversight study."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from superalign.core.errors import UserError
from superalign.core.spec import Seeds, Spec, distinct
from superalign.models.flawed import flaw
from superalign.tasks.source import Source


class Oversee(Spec):
    """Which protocols make a judge right about an agent's answers, on which task.

    `source.task` names a game, a world or a file. `protocols` are references with wrappers
    (`debate:rounds=2+majority:k=5`); none means the game's own. `judge`, `agent` and `cast` (role to model) are
    references too; a game has its own. `strength` sets how hard the agent's chairs try (a player's own option, or best
    of n; without it, as their references say), `rounds` sets the option of that name where a protocol has it, `flaws` add a worse judge each.
    `swap` judges every item with its choices in both orders. `unparsed` says how a game without a verdict counts:
    as a guess, not at all, or as wrong. `attacks` and `audits` (shares) are for control games. `max_usd` stops a run
    that would cost more, `prices` is the file with the prices of endpoints.
    """

    study: Literal["oversee"] = "oversee"
    source: Source
    items: int = Field(default=300, ge=1)
    protocols: tuple[str, ...] = ()
    judge: str | None = None
    agent: str | None = None
    cast: dict[str, str] = Field(default_factory=dict)
    strength: tuple[int, ...] = ()
    rounds: tuple[int, ...] = ()
    flaws: tuple[str, ...] = ()
    swap: bool = True
    seeds: Seeds = (0,)
    unparsed: Literal["uniform", "exclude", "wrong"] = "uniform"
    tournament: bool = False
    gaps: bool = False
    concession: str | None = None
    attacks: tuple[str, ...] = ()
    audits: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1)
    max_usd: float | None = Field(default=None, gt=0)
    prices: str | None = None

    @field_validator("strength", "rounds", "audits", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("protocols", "flaws", "attacks", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        values = (value,) if isinstance(value, str) else value
        return (
            tuple(v.strip() if isinstance(v, str) else v for v in values)
            if isinstance(values, list | tuple)
            else values
        )

    @field_validator("protocols", "strength", "rounds", "flaws", "seeds", "attacks", "audits")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value)

    @field_validator("strength", "rounds")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(v < 1 for v in value):
            raise ValueError(f"{min(value)} is below 1; strengths and rounds are counts")
        return tuple(sorted(value))

    @field_validator("flaws")
    @classmethod
    def _flaws(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(flaw(text)) for text in value)
        except UserError as error:
            raise ValueError(str(error)) from error

    @field_validator("audits")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        wrong = [v for v in value if not 0 < v <= 1]
        if wrong or not value:
            raise ValueError(f"audit budgets are shares above 0 and up to 1 (.05 is 5 %), got {wrong or 'none'}")
        return tuple(sorted(value))
