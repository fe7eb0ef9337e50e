"""Pages that are one file each: no network, no script, light and dark, phone and paper."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from superalign.core.spec import Number, Record, Table
from superalign.report import charts, numbers, palette, svg
from superalign.report.compare import compare_rows, require_several, spec_differences
from superalign.report.files import file_name
from superalign.report.text import cell, column_cells, one_line, visible, visible_all
from superalign.report.toml import toml

_TEMPLATES = Path(__file__).parent / "templates"
MAX_ROWS = 200
"""Rows of a table that a page shows; the record inside the page has all of them."""
ACROSS = 6
"""Numbers side by side in one table."""
MAX_INSIDE = 1_500_000
"""Bytes of a record that a page carries as a download; browsers refuse much longer addresses."""


def html(record: Record) -> str:
    """One study as a self-contained HTML page, the same bytes for the same record."""
    return render("record.html", title=record.title, **context(record))


def fragment(record: Record) -> str:
    """The inside of `html`, for a page that brings its own frame and `styles()`."""
    return part("record_body.html", **context(record))


def index(records: Sequence[Record], href: Callable[[Record], str] | None = None) -> str:
    """A page that lists runs, newest first. `href` gives the address of each; by default the file beside
    this page that `files.file_name` names."""
    link = href or (lambda record: file_name(record.id))
    runs = [{"record": r, "href": link(r), "answer": numbers.answer(r)} for r in reversed(records)]
    return render("index.html", title="Runs", runs=runs)


def compare(records: Sequence[Record]) -> str:
    """Several records side by side, as a page. Raises UserError for fewer than two."""
    require_several(records)
    return render(
        "compare.html",
        title="Comparison of " + ", ".join(r.id for r in records),
        records=list(records),
        groups=[(name, list(rows)) for name, rows in groupby(compare_rows(records), key=lambda row: row.condition)],
        differences=spec_differences(records),
    )


def styles() -> str:
    """The style sheet of every page."""
    return palette.css() + (_TEMPLATES / "page.css").read_text(encoding="utf-8")


def render(template: str, *, css: str = "", **context: Any) -> str:
    """A whole page from a template that extends `frame.html`; `css` is added to the style sheet of every page."""
    css = styles() + css
    allowed = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    frame = {"css": Markup(css), "style_hash": allowed}
    return _environment().get_template(template).render(**context, **frame)


def part(template: str, **context: Any) -> str:
    """A piece of a page from a template."""
    return _environment().get_template(template).render(context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        cell=cell,
        label=numbers.label,
        short=numbers.short,
        one_line=one_line,
        counted=numbers.counted,
        json=_json,
        base64=lambda text: base64.b64encode(text.encode("utf-8", "replace")).decode(),
    )
    environment.globals.update(
        answer=numbers.answer,
        has_any=lambda condition, columns: any(c["name"] in condition.numbers for c in columns),
        is_defined=numbers.is_defined,
        reason=numbers.reason,
        column_digits=numbers.column_digits,
        format_value=numbers.format_value,
        format_interval=numbers.format_interval,
        format_support=numbers.format_support,
        house=numbers.house,
        max_rows=MAX_ROWS,
    )
    return environment


def _printable(value: Any) -> Any:
    """What a template prints: invisible characters made visible, before Jinja escapes the rest."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _json(value: Any) -> str:
    return json.dumps(visible_all(value), ensure_ascii=False, default=str)


def context(record: Record) -> dict[str, Any]:
    """What the template of a record is filled with."""
    by_condition, shared = numbers.artifacts_of(record)
    inside = record.model_dump_json()
    return {
        "record": record,
        "answer_text": numbers.answer(record),
        "notes": numbers.remarks(record),
        "parts": _parts(record),
        "place": {c.name: i for i, c in enumerate(record.conditions, start=1)},
        "labels": {c.name: numbers.labels(c) for c in record.conditions},
        "figures": [_figure(key, chart, i) for i, (key, chart) in enumerate(record.charts.items(), start=1)],
        "tables": [_table(table) for table in record.tables.values()],
        "artifacts": by_condition,
        "shared": shared,
        "toml": toml(record.spec),
        "spec_file": f"{file_name(record.study, '')}-{numbers.short(record.spec_hash)}.toml",
        "audit_sentence": numbers.audit_sentence(record),
        "leaks": numbers.leaks(record),
        "unaudited": not record.audit and record.study not in numbers.KEYLESS,
        "inside": inside if len(inside) <= MAX_INSIDE else None,
        "inside_file": file_name(record.id, ".json"),
    }


def _parts(record: Record) -> list[list[dict[str, Any]]]:
    """The columns of the results, parted so that no table is wider than a page or a sheet of paper."""
    columns = [_column(record, name) for name in numbers.columns(record)]
    if len(columns) <= ACROSS + 1:
        return [columns]
    return [columns[i : i + ACROSS] for i in range(0, len(columns), ACROSS)]


def _column(record: Record, name: str) -> dict[str, Any]:
    found = numbers.column(record, name)
    support = numbers.usual_support(found)
    return {"name": name, "decimals": numbers.column_digits(found), "support": support}


def _figure(key: str, chart: Mapping[str, Any], number: int) -> dict[str, Any]:
    title, subtitle = svg.heading(chart)
    figure: dict[str, Any] = {"key": key, "title": title or numbers.label(key), "subtitle": subtitle, "chart": chart}
    figure |= {"wide": None, "narrow": None, "fault": None, "table": chart_table(chart)}
    try:
        figure["wide"] = svg.draw(chart, f"c{number}")
        if svg.fits_phone(chart):
            figure["narrow"] = svg.draw(chart, f"n{number}", svg.PHONE)
    except svg.ChartError as error:
        figure["fault"] = str(error)
    return figure


def chart_table(chart: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values of a chart as a table; None where it has none inside."""
    rows = charts.chart_rows(chart)
    if not rows:
        return None
    columns = list(dict.fromkeys(k for row in rows for k in row if any(r.get(k) not in (None, "") for r in rows)))
    body = tuple(tuple(row.get(k) for k in columns) for row in rows)
    return _table(Table(title="", columns=tuple(columns), rows=body))


def _table(table: Table) -> dict[str, Any]:
    shown = [[_as_number(value) for value in row] for row in table.rows[:MAX_ROWS]]
    columns = [[row[i] if i < len(row) else None for row in shown] for i in range(len(table.columns))]
    numeric = [all(isinstance(v, int | float | None) and not isinstance(v, bool) for v in c) for c in columns]
    rows = list(zip(*map(column_cells, columns), strict=True))
    return {"table": table, "numeric": numeric, "rows": rows}


def _as_number(value: Any) -> Any:
    """What looks like a number with its doubt is shown as one."""
    if isinstance(value, Mapping) and {"value", "low", "high"} <= set(value) <= set(Number.model_fields):
        return numbers.format_number(Number.model_validate(dict(value)))
    return value
