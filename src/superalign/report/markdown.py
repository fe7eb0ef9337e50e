"""A Record as Markdown: the content of the page, with charts as tables of their data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from superalign.core.spec import Number, Record
from superalign.report import charts, numbers
from superalign.report.compare import compare_rows, spec_differences
from superalign.report.files import file_name
from superalign.report.svg import heading
from superalign.report.text import cell, column_cells, markdown_code, markdown_text
from superalign.report.toml import toml

MAX_ROWS = 50
"""Rows of a chart's data that are printed."""


def markdown(record: Record) -> str:
    """One study as GitHub-flavoured Markdown, the same text for the same record."""
    answer = numbers.answer(record)
    parts = [
        f"# {markdown_text(record.title)}",
        markdown_text(answer) if answer else "",
        f"Study {_text(record.study)}, record {_text(record.id)}, spec {_text(numbers.short(record.spec_hash, 12))}, "
        f"{_text(record.created)}.",
        "## Results",
        _results(record),
        *_charts(record),
        *_tables(record),
        *_section("Notes", _list(map(_text, numbers.remarks(record)))),
        "## Use of the truth",
        _text(numbers.audit_sentence(record)),
        _table(("purpose", "split", "door", "items"), [(a.purpose, a.split, a.door, a.n) for a in record.audit]),
        "## Run it again",
        _again(record),
        "## Origin of every number",
        _origin(record),
        *(
            part
            for name, values in (("Failures", record.failures), ("Costs", record.costs))
            for part in (f"## {name}", _pairs(values) or "None.")
        ),
        *_section("Versions", _pairs(record.versions)),
        *_section("Machine", _pairs(record.machine)),
    ]
    return _joined(parts)


def compare(records: Sequence[Record]) -> str:
    """Several records side by side. Raises UserError for fewer than two."""
    rows = compare_rows(records)
    names = [_text(r.id) for r in records]
    head = ["condition", "number", names[0]]
    for i, name in enumerate(names[1:], start=2):
        head += [name, f"{i} minus 1"]
    body = []
    for row in rows:
        line = [_text(row.condition), _text(numbers.label(row.number)), _number(row.values[0])]
        for value, gap in zip(row.values[1:], row.differences[1:], strict=True):
            line += [_number(value), _number(gap)]
        body.append(line)
    listed = [
        (str(i), r.id, r.title, numbers.short(r.spec_hash, 12), r.created) for i, r in enumerate(records, start=1)
    ]
    differences = [(name, *values) for name, values in spec_differences(records)]
    parts = [
        f"# {len(records)} records side by side",
        _table(("", "record", "title", "spec", "created"), listed),
        "## What differs in the specs",
        _table(("field", *(r.id for r in records)), differences) or "Nothing: the specs are the same.",
        "## Numbers",
        _grid(head, body, [False, False, *(len(head) - 2) * [True]]),
        "Brackets hold 95 % intervals. The interval of a difference takes the records as independent (Newcombe 1998, "
        "method 10); where they share items it is too wide, so it errs to the safe side.",
    ]
    return _joined(parts)


def _results(record: Record) -> str:
    if not record.conditions:
        return "This record has no conditions."
    names = numbers.columns(record)
    found = {name: numbers.column(record, name) for name in names}
    supports = {name: numbers.usual_support(found[name]) for name in names}
    head = [_text(numbers.label(n)) + (f" ({supports[n]})" if supports[n] else "") for n in names]
    body = []
    for condition in record.conditions:
        said = "".join(f"<br>{_text(numbers.label(k))}: {_text(v)}" for k, v in numbers.labels(condition).items())
        line = [_text(condition.name) + said]
        for name in names:
            number = condition.numbers.get(name)
            own = numbers.format_support(number) if number else ""
            shown = _number(number, numbers.column_digits(found[name]))
            line.append(f"{shown}<br>{own}" if own != supports[name] and own else shown)
        body.append(line)
    grid = _grid(["condition", *head], body, [False, *len(names) * [True]])
    return f"{grid}\n\nBrackets hold 95 % intervals."


def _charts(record: Record) -> Iterable[str]:
    if record.charts:
        yield "## Charts"
    for key, chart in record.charts.items():
        title, subtitle = heading(chart)
        yield f"### {_text(title or numbers.label(key))}"
        yield _text(subtitle)
        rows = charts.chart_rows(chart)
        names = list(dict.fromkeys(k for row in rows for k in row if any(r.get(k) not in (None, "") for r in rows)))
        yield (
            _table(names, [[row.get(n) for n in names] for row in rows[:MAX_ROWS]])
            if rows
            else "(its data are in the record)"
        )
        if len(rows) > MAX_ROWS:
            yield f"The first {MAX_ROWS} of {len(rows):,} points; the record has all of them as the chart {_text(key)}."


def _tables(record: Record) -> Iterable[str]:
    for table in record.tables.values():
        yield f"## {_text(table.title)}"
        yield _table(table.columns, table.rows)
        yield _text(table.note)


def _again(record: Record) -> str:
    name = f"{file_name(record.study, '')}-{numbers.short(record.spec_hash)}.toml"
    command = markdown_code(f"superalign run {name}", "sh")
    return f"Save the spec as `{name}` and type\n\n{command}\n\n{markdown_code(toml(record.spec), 'toml')}"


def _origin(record: Record) -> str:
    by_condition, shared = numbers.artifacts_of(record)
    parts = [f"All numbers come from record {_text(record.id)}, made by spec {_text(record.spec_hash)}."]
    for condition in record.conditions:
        parts.append(f"### {_text(condition.name)}")
        said = [numbers.house(n, numbers.label(k), record.spec_hash) for k, n in condition.numbers.items()]
        made = [f"artifact {name}: {key}" for name, key in by_condition[condition.name].items()]
        parts.append(_list(_text(line) for line in [*said, *made]))
    parts += _section("Artifacts shared by the conditions", _pairs(shared), "###")
    return "\n\n".join(p for p in parts if p)


def _section(title: str, body: str, level: str = "##") -> list[str]:
    return [f"{level} {title}", body] if body else []


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(p for p in parts if p) + "\n"


def _text(value: Any) -> str:
    return markdown_text(cell(value))


def _number(number: Number | None, decimals: int | None = None) -> str:
    """A number with its brackets as they are; the reason of an undefined one is foreign text."""
    if number is None:
        return ""
    text = numbers.format_number(number, decimals=decimals)
    return text if numbers.is_defined(number) else markdown_text(text)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _pairs(values: Mapping[str, Any]) -> str:
    return _list(f"{_text(numbers.label(k))}: {_text(v)}" for k, v in values.items())


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    by_column = [[row[i] if i < len(row) else None for row in rows] for i in range(len(columns))]
    right = [all(isinstance(v, int | float | None) and not isinstance(v, bool) for v in c) for c in by_column]
    body = zip(*[[markdown_text(v) for v in column_cells(c)] for c in by_column], strict=True)
    return _grid([_text(numbers.label(c)) for c in columns], list(body), right)


def _grid(head: Sequence[str], body: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A Markdown table from cells that are already escaped."""
    rule = ["---:" if r else "---" for r in right]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *body))
