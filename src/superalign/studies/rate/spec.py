"""The spec of a leaderboard."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from superalign.core.spec import Spec


class Rate(Spec):
    """Which votes are rated, and how.

    `votes`: a file of votes, or a record of played games (its id, `last`, or a unique beginning).
    `columns`: names of the columns left, right, winner, rater, prompt, category where they are not the usual ones.
    `style`: features whose influence is taken out (`<feature>_a`, `<feature>_b` in the file); `position` takes out the
    advantage of the left side, which is fitted and reported in any case. `reweight` gives pairs that met more often no
    more say (1 / max(votes of the pair, 50)). `ridge` is for votes that do not connect all competitors. `bootstrap`
    counts resamples for percentile intervals; 0 gives sandwich intervals. `anchor` fixes a competitor at `at`.
    `minimum`: competitors with fewer votes are left out.
    """

    study: Literal["rate"] = "rate"
    votes: str = Field(min_length=1)
    columns: dict[str, str] = Field(default_factory=dict)
    style: tuple[str, ...] = ()
    position: bool = False
    reweight: bool = False
    ridge: float = Field(default=0.0, ge=0)
    bootstrap: int = Field(default=0, ge=0)
    anchor: str | None = None
    at: float = 1000.0
    minimum: int = Field(default=1, ge=1)
    seed: int = 0

    @field_validator("columns")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        known = ("left", "right", "winner", "rater", "prompt", "category")
        for role in value:
            if role not in known:
                raise ValueError(f"no column is called {role!r}; there is: {', '.join(known)}")
        if ("left" in value) != ("right" in value):
            raise ValueError("give both left and right, or neither")
        return value
