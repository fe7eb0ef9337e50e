"""What was found out about units, kept as it comes, so that a run that was killed goes on.

Explanations are kept by blocks of units, scores by scorer, tables by site: 860 neurons took 45 s to explain and score
again before this was here. Whoever asks models that speak has a transcript already, and is not kept a second time: a
call that failed is to be asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.core.spec import Number
from superalign.core.steps import Steps
from superalign.interp.dossier import Dossier, from_json, to_json
from superalign.interp.units import Explanation, Failed, Score, Unit

JUDGED = ("detection", "fuzzing", "intruder")
"""Scorers that ask a model."""


@dataclass(frozen=True)
class Kept:
    """`key` is everything that the result depends on besides units and explanations: model, text, site, explainer."""

    steps: Steps
    key: Any

    def explanations(
        self, units: Sequence[Unit], compute: Callable[[], Sequence[Explanation | Failed]]
    ) -> list[Explanation | Failed]:
        """The explanation of each unit, or why there is none."""

        def found() -> Mapping[str, Any]:
            made = compute()
            lines = [_line(u, explanations=(e,)) if isinstance(e, Explanation) else None for u, e in _both(units, made)]
            return {"lines": lines, "failed": [[e.status, e.reason] if isinstance(e, Failed) else [] for e in made]}

        held = self.steps.run("interp/explained", 1, [self.key, _names(units)], found)
        return [
            from_json(line).explanations[0] if line is not None else Failed(*why)
            for line, why in zip(held["lines"], held["failed"], strict=True)
        ]

    def scores(
        self, scorer: str, pairs: Sequence[tuple[Explanation, Unit]], compute: Callable[[], Sequence[Sequence[Score]]]
    ) -> list[list[Score]]:
        """The scores of each explanation by a scorer."""
        if scorer.partition(":")[0] in JUDGED:
            return [list(row) for row in compute()]
        units = [unit for _, unit in pairs]
        key = [self.key, scorer, [_line(u, explanations=(e,)) for e, u in pairs]]

        def found() -> Mapping[str, Any]:
            return {"lines": [_line(unit, scores=tuple(row)) for unit, row in _both(units, compute())]}

        held = self.steps.run("interp/scored", 1, key, found)
        return [list(from_json(line).scores) for line in held["lines"]]

    def numbers(
        self, name: str, units: Sequence[Unit], compute: Callable[[], Mapping[str, Sequence[Number]]]
    ) -> dict[str, tuple[Number, ...]]:
        """Named numbers of each unit."""

        def found() -> Mapping[str, Any]:
            return {key: [n.model_dump(mode="json") for n in numbers] for key, numbers in compute().items()}

        held = self.steps.run(f"interp/{name}", 1, [self.key, _names(units)], found)
        return {key: tuple(Number(**n) for n in numbers) for key, numbers in held.items()}


def _both(units: Sequence[Unit], made: Sequence[Any]) -> list[tuple[Unit, Any]]:
    return list(zip(units, made, strict=True))


def _names(units: Sequence[Unit]) -> list[str]:
    return [unit.name for unit in units]


def _line(unit: Unit, **parts: Any) -> str:
    return to_json(Dossier(unit, 0, 0.0, 0.0, 0.0, **parts))
