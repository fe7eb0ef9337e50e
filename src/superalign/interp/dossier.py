"""All that is known of one unit, as a value that a page, a table or a file is made from.

A dossier holds texts of the corpus and of models: untrusted, to be escaped by whoever shows them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

from superalign.core.spec import Number
from superalign.core.types import Cost
from superalign.interp.units import Explanation, Score, Unit


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One window: its tokens, the activation at each, and the calibrated simulation where there is one.

    `stratum` says why it is shown: `top`, `random`, `quantile 3/10`, `quiet`; `split` which split it is from.
    """

    window: int
    document: str
    split: str
    stratum: str
    tokens: tuple[str, ...]
    values: tuple[float, ...]
    simulated: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Dossier:
    """A unit with its statistics, excerpts, explanations and scores.

    `density` is the share of rows where it fires, `mean` its mean over all rows, `peak` its largest activation over
    `rows` rows; `histogram` is (edges, counts) of the non-zero activations; `promoted` and `suppressed` are tokens
    with the direct effect on their logits. `explanations` is a lineage, first attempt first; `scores` are of the
    last. `labels` are explanations by people. `truth` is what was planted, where something was.
    """

    unit: Unit
    rows: int
    density: float
    mean: float
    peak: float
    histogram: tuple[tuple[float, ...], tuple[int, ...]] = ((), ())
    promoted: tuple[tuple[str, float], ...] = ()
    suppressed: tuple[tuple[str, float], ...] = ()
    excerpts: tuple[Excerpt, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    scores: tuple[Score, ...] = ()
    labels: tuple[str, ...] = ()
    truth: str | None = None
    notes: tuple[str, ...] = ()
    facts: dict[str, float] = field(default_factory=dict)

    def score(self, name: str) -> Score | None:
        """The score of that name, where there is one."""
        return next((s for s in self.scores if s.name == name), None)


def to_json(dossier: Dossier) -> str:
    """One line of JSON, without NaN."""
    values = _fields(dossier)  # dataclasses.asdict copies every token: 8 ms a unit, where this takes 1
    values["unit"] = _fields(dossier.unit)
    values["excerpts"] = [_fields(e) for e in dossier.excerpts]
    values["explanations"] = [{**_fields(e), "cost": _fields(e.cost)} for e in dossier.explanations]
    values["scores"] = [_score_values(s) for s in dossier.scores]
    return json.dumps(values, separators=(",", ":"), allow_nan=False)


def from_json(line: str) -> Dossier:
    """The inverse of `to_json`. Raises KeyError or TypeError for what is not a dossier."""
    values: dict[str, Any] = json.loads(line)
    return Dossier(
        **{
            **values,
            "unit": Unit(**values["unit"]),
            "histogram": tuple(tuple(part) for part in values["histogram"]),
            "promoted": _pairs(values["promoted"]),
            "suppressed": _pairs(values["suppressed"]),
            "excerpts": tuple(Excerpt(**_tuples(e)) for e in values["excerpts"]),
            "explanations": tuple(
                Explanation(**{**_tuples(e), "cost": Cost(**e["cost"])}) for e in values["explanations"]
            ),
            "scores": tuple(_score(s) for s in values["scores"]),
            "labels": tuple(values["labels"]),
            "notes": tuple(values["notes"]),
        }
    )


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in fields(value)}


def _score_values(score: Score) -> dict[str, Any]:
    return {
        "name": score.name, "number": score.number.model_dump(mode="json"), "status": score.status, "n": score.n,
        "failed": score.failed, "split": score.split, "base_rate": score.base_rate,
        "controls": {k: v.model_dump(mode="json") for k, v in score.controls.items()},
    }  # fmt: skip


def _score(values: dict[str, Any]) -> Score:
    controls = {k: Number(**v) for k, v in values["controls"].items()}
    return Score(**{**values, "number": Number(**values["number"]), "controls": controls})


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _pairs(values: Any) -> tuple[tuple[str, float], ...]:
    return tuple((str(token), float(effect)) for token, effect in values)
