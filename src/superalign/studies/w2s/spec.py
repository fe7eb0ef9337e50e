"""The spec of a weak-to-strong study."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from superalign.core.spec import Seeds, Spec, distinct
from superalign.tasks.divide import Sizes
from superalign.tasks.source import Source


class W2S(Spec):
    """Which weak and strong models meet on which task, by which methods, over which seeds.

    `seeds` takes a count or a list. `metric` is what PGR compares: `accuracy`, or `log` (log score).
    `controls` adds the rows of Burns et al.'s follow-ups that tell what a gain is due to.
    """

    study: Literal["w2s"] = "w2s"
    source: Source
    sizes: Sizes = Field(default_factory=Sizes)
    weak: tuple[str, ...] = ("bow",)
    strong: tuple[str, ...] = ("minilm",)
    methods: tuple[str, ...] = ("xent", "logconf", "confident")
    seeds: Seeds = (0, 1, 2, 3, 4)
    metric: Literal["accuracy", "log"] = "accuracy"
    controls: bool = False
    minimum_gap: float = Field(default=0.01, ge=0)
    split_seed: int = 0

    @field_validator("weak", "strong", "methods", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("weak", "strong", "methods", "seeds")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            raise ValueError("name at least one")
        return distinct(value)
