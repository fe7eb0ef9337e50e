"""Games with known truth: a task whose players are exact programs, and whose roles a language model may take.

A game is one file: a factory that returns a Game. Its exact players are Models in `models/players/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from superalign.tasks.pool import Pool


@dataclass(frozen=True)
class Game:
    """A pool of items with sealed answers, who plays by default, and what is usually compared.

    `judge`, `agent` and `cast` are references to models (`digits-judge:pixels=6`); the agent takes every chair that
    is not the judge's and not in `cast`. `protocols` are those that show what the game is about. `study` names
    which measures apply: `judging`, or `control`.
    """

    pool: Pool
    judge: str
    agent: str
    cast: Mapping[str, str] = field(default_factory=dict)
    protocols: tuple[str, ...] = ("direct", "consultancy", "debate")
    study: str = "judging"
