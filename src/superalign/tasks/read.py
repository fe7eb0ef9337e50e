"""Bytes to rows: CSV, TSV, JSON, JSON lines, parquet, and the plain-line forms of SUBJ, SST and TREC.

A line ends at `\\n` alone. Old corpora hold other characters that Unicode counts as line breaks (`\\x85`), and
splitting there would cut sentences in two. Every fault is named by its line.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from superalign.core.errors import TaskError
from superalign.tasks import fetch
from superalign.tasks.source import Format

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_TREC = re.compile(r"^[A-Z]+:\w+ ")


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row by column, and where it stands (`line 12`)."""

    where: str
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one file."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def read(blob: fetch.Blob, format: Format | None = None, encoding: str | None = None) -> Table:  # noqa: A002
    """The rows of a file. `format` and `encoding` override what its name and content say.

    Raises TaskError for an empty file, a form that cannot be told, and any broken line.
    """
    if not blob.data.strip():
        raise TaskError(f"{blob.name!r} is empty")
    suffix = PurePosixPath(blob.name).suffix.lower()
    form = format or _SUFFIXES.get(suffix)
    if form == "parquet" or (form is None and blob.data.startswith(b"PAR1")):
        return _parquet(blob)
    text, notes = _decode(blob, encoding)
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    form = form or _sniff(blob.name, lines)
    rows: tuple[Row, ...]
    if form in ("csv", "tsv"):
        columns, rows, more = _separated(blob.name, lines, form)
        notes = (*notes, *more)
    elif form in ("json", "jsonl"):
        rows = _json(blob.name, text, lines, form)
        columns = tuple(dict.fromkeys(name for row in rows for name in row.cells))
    else:
        columns, rows = ("label", "text"), tuple(_plain(blob.name, lines, form))
    if not rows:
        raise TaskError(f"{blob.name!r} is empty: it has no row of data")
    return Table(blob.name, columns, rows, notes)


def _decode(blob: fetch.Blob, encoding: str | None) -> tuple[str, tuple[str, ...]]:
    data = blob.data
    if encoding is not None:
        try:
            return data.decode(encoding).removeprefix("\ufeff"), ()
        except LookupError as error:
            raise TaskError(f"no encoding is named {encoding!r}; type utf-8, latin-1, cp1252 or utf-16") from error
        except UnicodeError as error:
            line = data[: getattr(error, "start", 0)].count(b"\n") + 1
            raise TaskError(
                f"{blob.name!r} is not {encoding} at line {line}: {error}; give another encoding"
            ) from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _decode(blob, "utf-16")
    sample = data[: 2**16]
    control = sum(byte < 32 and byte not in b"\t\n\r\f\v\x1b" for byte in sample)
    if b"\0" in data or control > len(sample) / 50:
        raise TaskError(
            f"{blob.name!r} is binary, not text; give csv, tsv, json, jsonl, parquet, or a zip or gz of these"
        )
    try:
        return data.decode("utf-8").removeprefix("\ufeff"), ()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        note = f"{blob.name} is not UTF-8 (first at line {line}), read as latin-1; set encoding if that is wrong"
        return data.decode("latin-1"), (note,)


def _sniff(name: str, lines: list[str]) -> Format:
    full = [line for line in lines if line.strip()]
    head = full[:50]
    if head[0].lstrip().startswith("["):
        return "json"
    if head[0].lstrip().startswith("{"):
        return "jsonl"
    if all(_TREC.match(line) for line in head):
        return "trec"
    labels = Counter(line.split(None, 1)[0] for line in full)
    tabs = {line.count("\t") for line in head}
    if tabs != {0} and len(tabs) == 1 and labels[head[0].split(None, 1)[0]] == 1:
        return "tsv"
    if len(labels) <= min(100, len(full) / 2) and all(" " in line or "\t" in line for line in head):
        return "lines"
    if "," in head[0] and len(head) > 1:
        return "csv"
    raise TaskError(
        f"cannot tell the form of {name!r} from its name or content; set format: csv, tsv, json, jsonl, lines, trec"
    )


def _separated(name: str, lines: list[str], form: str) -> tuple[tuple[str, ...], tuple[Row, ...], tuple[str, ...]]:
    """Columns, rows and notes of a table with a header line."""
    header = next((line for line in lines if line.strip()), "")
    mark = "\t" if form == "tsv" else max(",;\t", key=header.count)
    notes = (f"{name}: columns are separated by {mark!r}",) if form == "csv" and mark != "," else ()
    try:
        cells = list(_cells(name, lines, mark, quoted=True))
    except TaskError:
        if form == "csv":
            raise
        # Quotes in a TSV often mean nothing; where they do not pair up they are letters like any other.
        cells, notes = list(_cells(name, lines, mark, quoted=False)), (f"{name}: quotes are read as plain characters",)
    columns = tuple(c.strip() or f"column {k + 1}" for k, c in enumerate(cells[0][1]))
    twice = [c for c, n in Counter(columns).items() if n > 1]
    if twice:
        raise TaskError(f"{name!r}: the header names the column {twice[0]!r} twice; columns: {', '.join(columns)}")
    rows = []
    for line, values in cells[1:]:
        if len(values) != len(columns):
            have = f"{len(values)} field{'s' * (len(values) != 1)} where the header has {len(columns)}"
            raise TaskError(f"{name!r}, line {line}: {have} ({', '.join(columns)}); quote fields that hold {mark!r}")
        rows.append(Row(f"line {line}", dict(zip(columns, values, strict=True))))
    return columns, tuple(rows), notes


def _cells(name: str, lines: list[str], mark: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    limit = csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than a long document
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    ended = (line + "\n" for line in lines)
    reader = csv.reader(ended, delimiter=mark, quoting=quoting, strict=True)  # type: ignore[arg-type]
    start = 1
    try:
        for values in reader:
            if values and (len(values) > 1 or values[0].strip()):
                yield start, values
            start = reader.line_num + 1
    except csv.Error as error:
        raise TaskError(f"{name!r}, line {start}: broken CSV: {error}; check the quotes from there on") from error
    finally:
        csv.field_size_limit(limit)


def _json(name: str, text: str, lines: list[str], form: str) -> tuple[Row, ...]:
    if form == "json" and text.lstrip().startswith("["):
        value = _parse(name, text, 1)
        rows = [(f"item {k + 1}", entry) for k, entry in enumerate(value)]
    else:  # `.json` often holds JSON lines
        rows = [(f"line {k + 1}", _parse(name, line, k + 1)) for k, line in enumerate(lines) if line.strip()]
    for where, entry in rows:
        if not isinstance(entry, dict):
            kind = type(entry).__name__
            raise TaskError(f"{name!r}, {where}: a {kind}, not an object with columns; each row is written {{...}}")
    return tuple(Row(where, entry) for where, entry in rows)


def _parse(name: str, text: str, first: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first + error.lineno - 1
        raise TaskError(f"{name!r}, line {line}: broken JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, nesting without end
        raise TaskError(f"{name!r}, line {first}: JSON that cannot be read: {error}") from error


def _plain(name: str, lines: list[str], form: str) -> Iterator[Row]:
    """`label text` per line; the TREC form keeps what stands before the colon of the label."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        label, *rest = line.split(None, 1)
        coarse, colon, _ = label.partition(":")
        if not rest or (form == "trec" and not colon):
            form_of = "LABEL:detail text" if form == "trec" else "label text"
            raise TaskError(f"{name!r}, line {number}: not of the form `{form_of}`: {line[:60]!r}; set format")
        yield Row(f"line {number}", {"label": coarse if form == "trec" else label, "text": rest[0]})


def _parquet(blob: fetch.Blob) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise TaskError(f"{blob.name!r} needs pyarrow to be read; type: pip install 'superalign[data]'") from error
    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(blob.data))
        size = sum(file.metadata.row_group(k).total_byte_size for k in range(file.metadata.num_row_groups))
        if size > fetch.LIMIT:
            raise TaskError(f"{blob.name!r} unpacks to {size / 2**30:.1f} GiB, so it is refused; give a part of it")
        table = file.read()
    except (pyarrow.ArrowException, OSError) as error:
        raise TaskError(f"{blob.name!r} is not a parquet file that can be read: {error}") from error
    rows = tuple(Row(f"row {k + 1}", cells) for k, cells in enumerate(table.to_pylist()))
    if not rows:
        raise TaskError(f"{blob.name!r} is empty: it has no row of data")
    return Table(blob.name, tuple(table.column_names), rows)
