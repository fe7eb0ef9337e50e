"""Feature records as Neuronpedia exports them: one JSON object a unit, in a file, a list, or gzipped JSON Lines.

A record has the fields of a dashboard's feature, `explanations` with their `scores`, and `activations` with their
largest and smallest values. People's labels are explanations without a type and a model. A score that is undefined
has no place among numbers: it is told in the explanation's `notes`.

Source of the field names: the public schema of Neuronpedia (tables Neuron, Explanation, ExplanationScore, Activation).
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from superalign.core.errors import TaskError
from superalign.core.spec import Number
from superalign.interp.dossier import Dossier, Excerpt
from superalign.interp.formats.dashboard import dossier_of, feature_of, interval_of, shares_of
from superalign.interp.formats.names import layer_and_dictionary, unit_at
from superalign.interp.formats.reading import Fields, json_of, lines_of
from superalign.interp.formats.writing import json_text, save
from superalign.interp.units import Explanation, Score

_EXPECTED = "a feature record with modelId, layer, index and activations"
_LINES = (".jsonl", ".ndjson")


def record(dossier: Dossier, model: str) -> dict[str, Any]:
    """A dossier as a feature record of a model. Raises TaskError for a site that has no name there."""
    layer, dictionary = layer_and_dictionary(dossier.unit)
    source = "-".join(filter(None, (layer, dictionary)))
    key = {"modelId": model, "layer": source, "index": str(dossier.unit.index)}
    feature = feature_of(dossier, {})
    shares = shares_of(dossier)
    statistics = {k: v for k, v in feature.items() if k not in ("feature_index", "activations")}
    last = len(dossier.explanations) - 1
    claimed = [_explanation(e, key, dossier.scores if k == last else ()) for k, e in enumerate(dossier.explanations)]
    labels = [_explanation(Explanation(text, source="person"), key, ()) for text in dossier.labels]
    return {
        **key,
        **statistics,
        "maxActApprox": round(dossier.peak, 3),
        "explanations": claimed + labels,
        "activations": [_activation(e, key, interval_of(e, dossier, shares)) for e in dossier.excerpts],
    }


def write(dossiers: Sequence[Dossier], path: str | Path, model: str) -> Path:
    """Write records, one a line, gzipped where the name ends in .gz; return the path."""
    target = Path(path)
    data = "".join(f"{json_text(record(d, model), d.unit.name)}\n" for d in dossiers).encode()
    return save(target, gzip.compress(data, mtime=0) if target.suffix == ".gz" else data)


def read(path: str | Path) -> list[Dossier]:
    """The records of a file: JSON Lines (.jsonl), or JSON with one record or a list of them; either may be gzipped.
    Raises TaskError with the line or the place of what is none."""
    return [dossier_in(values, where) for where, values in _records(Path(path))]


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    if Path(path.name.removesuffix(".gz")).suffix in _LINES:
        for number, values in lines_of(path, _EXPECTED):
            yield f"{path.name}, line {number}", values
        return
    found = json_of(path, _EXPECTED)
    for place, values in enumerate(found if isinstance(found, list) else [found]):
        yield f"{path.name}, record {place}", values


def dossier_in(values: Any, where: str = "the record") -> Dossier:
    """A feature record as a dossier. Of several explanations the last one with scores keeps them."""
    fields = Fields(values, where, _EXPECTED)
    layer, _, dictionary = fields.text("layer").partition("-")
    if layer and not layer.isdecimal():
        layer, dictionary = "", fields.text("layer")
    index = fields.text("index")
    if not index.isdecimal():
        raise TaskError(f"{where}: 'index' is {index!r} in place of a whole number")
    dossier = dossier_of(fields, unit_at(layer, dictionary or "mlp-neurons", int(index)))
    return replace(_explained(dossier, fields), peak=max(dossier.peak, fields.number("maxActApprox", 0.0)))


def _explained(dossier: Dossier, fields: Fields) -> Dossier:
    claimed, labels, notes = [], [], []
    for place, values in enumerate(fields.list("explanations")):
        one = Fields(values, f"{fields.where}, explanation {place}", "an object with description")
        kind, model = one.text("typeName", ""), one.text("explanationModelName", "")
        notes += one.text("notes", "").splitlines()
        if kind or model:
            claimed.append((Explanation(one.text("description"), source=":".join(filter(None, (kind, model)))), one))
        else:
            labels.append(one.text("description"))
    claimed.sort(key=lambda pair: bool(pair[1].list("scores")))
    others = sum(bool(one.list("scores")) for _, one in claimed[:-1])
    if others:
        notes.append(f"the scores of {others} more of the explanations are left out: a dossier has those of its last")
    return replace(
        dossier,
        explanations=tuple(e for e, _ in claimed),
        scores=tuple(_scores(claimed[-1][1])) if claimed else (),
        labels=tuple(labels),
        notes=tuple(notes),
    )


def _scores(explanation: Fields) -> Iterator[Score]:
    for place, values in enumerate(explanation.list("scores")):
        one = Fields(values, f"{explanation.where}, score {place}", "an object with value")
        kept = _details(one.text("jsonDetails", ""))
        number = Number(value=one.number("value"), low=kept.get("low"), high=kept.get("high"), n=kept.get("n"))
        controls = {str(name): Number(value=v) for name, v in kept.get("controls", {}).items()}
        yield Score(
            one.text("explanationScoreTypeName", "score"), number, n=kept.get("n") or 0, failed=kept.get("failed") or 0,
            split=kept.get("split", "unknown"), base_rate=kept.get("base_rate"), controls=controls,
        )  # fmt: skip


def _details(text: str) -> dict[str, Any]:
    """What `record` put into `jsonDetails`; nothing where others put something else there."""
    try:
        found = json.loads(text) if text else {}
    except json.JSONDecodeError:
        return {}
    own = found.get("superalign") if isinstance(found, dict) else None
    if not isinstance(own, dict):
        return {}
    numbers = {k: own.get(k) for k in ("low", "high", "n", "failed", "base_rate") if _is_number(own.get(k))}
    named = own["controls"] if isinstance(own.get("controls"), dict) else {}
    controls = {k: v for k, v in named.items() if _is_number(v)}
    return {**numbers, "controls": controls, "split": str(own.get("split", "unknown"))}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _explanation(explanation: Explanation, key: dict[str, str], scores: Sequence[Score]) -> dict[str, Any]:
    kind, _, model = explanation.source.partition(":")
    missing = [f"{s.name} is undefined: {s.number.reason or s.status}" for s in scores if s.number.value is None]
    return {
        **key,
        "description": explanation.text,
        "typeName": None if kind == "person" else kind or "unknown",
        "explanationModelName": model or None,
        "notes": "\n".join(missing) or None,
        "scores": [_score(s, model) for s in scores if s.number.value is not None],
    }


def _score(score: Score, model: str) -> dict[str, Any]:
    number = score.number
    own = {
        "low": number.low, "high": number.high, "n": score.n or number.n, "failed": score.failed, "split": score.split,
        "base_rate": score.base_rate, "controls": {k: v.value for k, v in score.controls.items()},
    }  # fmt: skip
    return {
        "value": number.value,
        "explanationScoreTypeName": score.name,
        "explanationScoreModelName": model or None,
        "jsonDetails": json.dumps({"superalign": own}),
    }


def _activation(excerpt: Excerpt, key: dict[str, str], interval: tuple[float, float, float]) -> dict[str, Any]:
    values = [round(v, 3) for v in excerpt.values]
    largest = max(values, default=0.0)
    return {
        **key, "tokens": list(excerpt.tokens), "values": values, "dataIndex": excerpt.document or None,
        "maxValue": largest, "maxValueTokenIndex": values.index(largest) if values else 0,
        "minValue": min(values, default=0.0), "binMin": interval[0], "binMax": interval[1], "binContains": interval[2],
    }  # fmt: skip
