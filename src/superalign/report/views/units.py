"""Units of a model: the list of those that a record explains, searched and sorted, and the page of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from markupsafe import Markup

from superalign.core.spec import Record
from superalign.interp.dossier import Dossier, to_json
from superalign.report.text import one_line
from superalign.report.units import scores, tokens
from superalign.report.units.scores import Row
from superalign.report.units.unit import fragment as unit_body
from superalign.report.view import Link, View, fragment

COLUMNS = {
    "unit": "unit", "explanation": "explanation", "score": "score", "gap": "above controls", "density": "fires on",
    "peak": "largest",
}  # fmt: skip
"""What a list can be sorted by, and how it is called."""
FALLING = ("score", "gap", "density", "peak")
"""Sorted with the largest first, at the first click."""


@dataclass(frozen=True, slots=True)
class UnitLine:
    """A unit in a list, with the score that was asked for."""

    name: str
    file: str
    explanation: str
    score: Row | None
    density: str
    peak: str
    planted: str = ""


@dataclass(frozen=True, slots=True)
class FoundUnits:
    """One page of the units that were found. `sort` is a column, `-` before it for the largest first, empty for the order
    of the record; `query` holds what was asked for and is not empty."""

    lines: Sequence[UnitLine]
    total: int
    page: int = 1
    pages: int = 1
    sort: str = ""
    score: str = ""
    query: Mapping[str, Any] = field(default_factory=dict)
    sites: Sequence[str] = ()
    scores: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """The neighbours of a unit (name and file) among those that were found."""

    number: int = 0
    total: int = 0
    previous: tuple[str, str] | None = None
    following: tuple[str, str] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)


def line(dossier: Dossier, file: str, score: str) -> UnitLine:
    """A unit as a line of a list."""
    found = dossier.score(score)
    said = one_line(dossier.explanations[-1].text) if dossier.explanations else ""
    return UnitLine(
        dossier.unit.name, file, said, scores.row(found) if found else None, f"{dossier.density:.3%}",
        tokens.brief(dossier.peak), one_line(dossier.truth or ""),
    )  # fmt: skip


def units(record: Record, found: FoundUnits, link: Link) -> View:
    """The units of a record."""
    heads = [(key, title, _next(key, found.sort), _sorted(key, found.sort)) for key, title in COLUMNS.items()]
    kept = {k: v for k, v in found.query.items() if k != "sort"}
    body = fragment("units.html", record=record, found=found, heads=heads, kept=kept, link=link)
    data = {
        "record": record.id, "total": found.total, "page": found.page, "pages": found.pages, "sort": found.sort,
        "score": found.score, "sites": list(found.sites), "scores": list(found.scores),
        "units": [asdict(each) for each in found.lines],
    }  # fmt: skip
    return View(f"Units of {record.title}", body, data, "runs", ("units.js",))


def unit(record: Record, dossier: Dossier, beside: Beside, link: Link) -> View:
    """One unit, between its neighbours."""
    body = fragment("unit.html", record=record, unit=Markup(unit_body(dossier)), beside=beside, link=link)
    return View(dossier.unit.name, body, json.loads(to_json(dossier)), "runs", ("unit.js",))


def _next(key: str, sort: str) -> str:
    """What a click on a column sorts by."""
    usual = f"-{key}" if key in FALLING else key
    turned = key if key in FALLING else f"-{key}"
    return turned if sort == usual else usual


def _sorted(key: str, sort: str) -> str:
    return {key: "ascending", f"-{key}": "descending"}.get(sort, "none")
