"""Several records side by side: what differs in their specs, every number with its difference, charts, ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from superalign.core.spec import Number, Record, Table
from superalign.report import numbers
from superalign.report.compare import compare_rows, spec_differences
from superalign.report.text import column_cells
from superalign.report.view import Link, View, fragment
from superalign.report.views import figures
from superalign.report.views.figures import Drawn, Known
from superalign.report.views.runs import Line, moment

MOST = 6
"""Records that are compared at once."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Methods ranked across the records, or why they cannot be."""

    tables: Mapping[str, Table]
    why: str = ""


def chosen(lines: Sequence[Line], others: Sequence[Line], link: Link) -> View:
    """Too few records for a comparison: those that are chosen, and others to choose from."""
    body = fragment("choose.html", lines=lines, others=others, link=link, moment=moment)
    return View("Compare", body, {"records": [asdict(line) for line in lines]}, "runs")


def compare(
    records: Sequence[Record], others: Sequence[Line], rankable: bool, known: Mapping[str, Known], link: Link
) -> View:
    """Two records or more; `others` can be added, `known` gives each record's drawings. Where the records are `rankable`,
    their ranks follow by themselves: to resample takes longer than a page may."""
    rows = compare_rows(records)
    groups = [(name, list(group)) for name, group in groupby(rows, key=lambda row: row.condition)]
    shared = [g for g in groups if any(sum(v is not None for v in row.values) > 1 for row in g[1])]
    body = fragment(
        "compare.html",
        records=records,
        shared=shared,
        alone=[g for g in groups if g not in shared],
        differences=spec_differences(records),
        rankable=rankable,
        pictures=_pictures(records, known, link),
        others=others if len(records) < MOST else (),
        link=link,
        moment=moment,
    )
    data = {
        "records": [r.id for r in records],
        "specs": [{"field": name, "values": values} for name, values in spec_differences(records)],
        "numbers": [
            {
                "condition": r.condition,
                "number": r.number,
                "values": list(map(_plain, r.values)),
                "differences": list(map(_plain, r.differences)),
            }
            for r in rows
        ],
    }
    return View(f"{len(records)} records side by side", body, data, "runs", wide=len(records) > 2)


def ranked(records: Sequence[Record], ranks: Ranks, link: Link) -> View:
    """Methods ranked across records."""
    tables = {name: _shown(table) for name, table in ranks.tables.items()}
    body = fragment("ranks.html", records=records, ranks=ranks, tables=tables, link=link)
    data = {"records": [r.id for r in records], "why": ranks.why}
    dumped = {name: table.model_dump(mode="json") for name, table in ranks.tables.items()}
    return View("Methods ranked across records", body, data | dumped, "runs")


def _pictures(records: Sequence[Record], known: Mapping[str, Known], link: Link) -> list[tuple[str, list[Any]]]:
    """The charts that two records or more have, each with a picture per record that has it."""
    keys = [
        key for key in dict.fromkeys(k for r in records for k in r.charts) if sum(key in r.charts for r in records) > 1
    ]
    return [
        (
            next(figures.heading(r, key) for r in records if key in r.charts),
            [(n, r, _drawn(r, key, known[r.id], link)) for n, r in enumerate(records, start=1) if key in r.charts],
        )
        for key in keys
    ]


def _drawn(of: Record, key: str, known: Known, link: Link) -> Drawn:
    return known(key) or Drawn(figures.later(link, of, key))


def _plain(number: Number | None) -> dict[str, Any] | None:
    return None if number is None else number.model_dump(mode="json")


def _shown(table: Table) -> list[list[str]]:
    columns = [column_cells([_cell(row[i]) for row in table.rows]) for i in range(len(table.columns))]
    return [list(row) for row in zip(*columns, strict=True)]


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping) and "value" in value:
        return numbers.format_number(Number.model_validate(dict(value)))
    return value
