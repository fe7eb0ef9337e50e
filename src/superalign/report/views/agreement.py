"""Agreement: how far the people at a desk give the same answers, form by form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.core.spec import Number
from superalign.people.agreement import Agreement, Pair
from superalign.report.numbers import plain
from superalign.report.units.tokens import level
from superalign.report.view import Link, View, fragment

AT_MOST = 12
"""People in the table of pairs: those with most answers. The JSON twin has all pairs."""

FORMS: Mapping[str, str] = {
    "belief": "Which answer is right",
    "choice": "Decisions",
    "text": "Texts",
    "rank": "Which response is better",
    "critique": "Critiques",
    "explanation": "Explanations",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """Two people in the table of pairs: the share of equal answers, of how many, and its step on the scale of heat."""

    share: str
    of: int
    step: int


def agreement(desk: str, found: Sequence[Agreement], left: int, link: Link) -> View:
    """The agreement at one desk; `left` is how many of its questions are yet to be counted."""
    found = sorted(found, key=lambda a: list(FORMS).index(a.form))
    tables = {a.form: _pairs([p.name for p in a.people[:AT_MOST]], a.pairs) for a in found}
    body = fragment(
        "agreement.html", desk=desk, found=found, tables=tables, forms=FORMS, at_most=AT_MOST, left=left, link=link
    )
    return View(f"Agreement at the desk {desk}", body, {"desk": desk, "forms": [_data(a) for a in found]}, "judge")


def _pairs(names: Sequence[str], pairs: Sequence[Pair]) -> list[tuple[str, list[Cell | None]]]:
    """Rows of the table: each person with all, None where two have no question in common, and at oneself."""
    cells = {}
    for pair in pairs:
        cell = Cell(plain(pair.same / pair.of, 2), pair.of, level(pair.same / pair.of, 1.0))
        cells[pair.a, pair.b] = cells[pair.b, pair.a] = cell
    return [(a, [cells.get((a, b)) for b in names]) for a in names]


def _data(value: Any) -> Any:
    """JSON values; numbers keep their doubt and their reason."""
    if isinstance(value, Number):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, list | tuple):
        return [_data(v) for v in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _data(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
