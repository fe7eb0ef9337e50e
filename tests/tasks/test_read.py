"""Bytes to rows: every format, every broken line by its number, and texts that survive the round trip."""

from __future__ import annotations

import csv
import io
import json
import sys

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import TaskError
from superalign.tasks import fetch
from superalign.tasks.fetch import Blob
from superalign.tasks.read import Table, read
from superalign.tasks.source import Format


def rows(name: str, data: str | bytes, format: Format | None = None, encoding: str | None = None) -> Table:  # noqa: A002
    return read(Blob(name, data if isinstance(data, bytes) else data.encode()), format, encoding)


def cells(table: Table) -> list[dict[str, object]]:
    return [dict(row.cells) for row in table.rows]


TWO = [{"text": "a", "label": "0"}, {"text": "b", "label": "1"}]


def test_every_format_gives_the_same_rows() -> None:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(TWO), sink)
    lines = "\n".join(json.dumps(row) for row in TWO)
    for name, data in {
        "a.csv": "text,label\na,0\nb,1\n",
        "b.csv": "\ufefftext;label\r\na;0\r\n\r\nb;1",
        "a.tsv": "text\tlabel\na\t0\nb\t1\n",
        "a.json": json.dumps(TWO, indent=1),
        "b.json": lines,  # JSON lines under the name of JSON
        "a.jsonl": lines + "\n\n",
        "a.parquet": sink.getvalue(),
        "nameless": sink.getvalue(),
        "utf16.csv": "text,label\na,0\nb,1\n".encode("utf-16"),
    }.items():
        assert cells(rows(name, data)) == TWO, name


def test_forms_are_told_by_content_where_the_name_does_not() -> None:
    plain = "".join(f"{k % 2} text {k}\n" for k in range(10))
    assert cells(rows("subj.all", plain))[3] == {"label": "1", "text": "text 3"}
    tabbed = "".join(f"{'spam' if k % 3 else 'ham'}\ttext {k}\n" for k in range(10))
    assert cells(rows("sms", tabbed))[0] == {"label": "ham", "text": "text 0"}
    assert cells(rows("sms", "Label\tText\n" + tabbed))[0] == {"Label": "ham", "Text": "text 0"}
    trec = "NUM:dist How far ?\nLOC:city Where ?\n"
    assert cells(rows("TREC.train", trec)) == [
        {"label": "NUM", "text": "How far ?"},
        {"label": "LOC", "text": "Where ?"},
    ]
    assert cells(rows("TREC.train", trec, "lines"))[0]["label"] == "NUM:dist"
    assert cells(rows("data.txt", "text,label\na,0\nb,1\nc,0"))[2] == {"text": "c", "label": "0"}
    assert cells(rows("data.txt", '[{"a": 1}]')) == cells(rows("data.txt", '{"a": 1}')) == [{"a": 1}]
    with pytest.raises(
        TaskError, match=r"cannot tell the form of 'story.txt' from its name or content; set format: csv"
    ):
        rows("story.txt", "Once upon a time\nthere was\na line")


def test_lines_end_at_newline_alone() -> None:
    text = "1 one\x85two\u2028three\x0bfour\r\n0 five\n" * 4
    assert [c["text"] for c in cells(rows("a.all", text))][:2] == ["one\x85two\u2028three\x0bfour", "five"]
    quoted = 'text,label\n"one\ntwo\u2028three, ""four""",0\nb,1\n'
    table = rows("a.csv", quoted)
    assert table.rows[0].cells["text"] == 'one\ntwo\u2028three, "four"'
    assert [row.where for row in table.rows] == ["line 2", "line 4"]


def test_encodings() -> None:
    latin = "text,label\ncafé,0\nthé,1\n".encode("latin-1")
    table = rows("a.csv", latin)
    assert table.rows[0].cells["text"] == "café"
    assert table.notes == ("a.csv is not UTF-8 (first at line 2), read as latin-1; set encoding if that is wrong",)
    assert rows("a.csv", latin, encoding="cp1252").notes == ()
    with pytest.raises(TaskError, match=r"'a.csv' is not utf-8 at line 2: .*; give another encoding"):
        rows("a.csv", latin, encoding="utf-8")
    with pytest.raises(TaskError, match=r"no encoding is named 'utf-9'; type utf-8, latin-1, cp1252 or utf-16"):
        rows("a.csv", latin, encoding="utf-9")


def test_quotes_in_a_tsv_may_be_plain_characters() -> None:
    table = rows("a.tsv", 'text\tlabel\n"quoted" then not\t0\n"never closed\t1\n')
    assert [c["text"] for c in cells(table)] == ['"quoted" then not', '"never closed']
    assert table.notes == ("a.tsv: quotes are read as plain characters",)
    assert cells(rows("a.tsv", 'text\tlabel\n"with ""tab""\there"\t0\n'))[0]["text"] == 'with "tab"\there'


def test_long_fields_are_read_and_the_csv_module_is_left_as_it_was() -> None:
    before = csv.field_size_limit()
    assert len(str(cells(rows("a.csv", "text,label\n" + "x" * 200_000 + ",0\n"))[0]["text"])) == 200_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("a.csv", "", "'a.csv' is empty"),
        ("a.csv", " \n\n", "'a.csv' is empty"),
        ("a.csv", "text,label\n", "'a.csv' is empty: it has no row of data"),
        ("a.json", "[]", "'a.json' is empty: it has no row of data"),
        ("a.csv", "text,label\na,0\nb\n", r"'a.csv', line 3: 1 field where the header has 2 \(text, label\); quote"),
        ("a.csv", 'text,label\n"a\nb",0\nc,1,2\n', r"'a.csv', line 4: 3 fields where the header has 2"),
        ("a.csv", 'text,label\na,0\n"b,1\nc,0\n', "'a.csv', line 3: broken CSV: .*; check the quotes from there on"),
        ("a.csv", "text,text\na,0\n", "'a.csv': the header names the column 'text' twice; columns: text, text"),
        ("a.json", '[{"a": 1},\n {"a": 2,}\n]', r"'a.json', line 2: broken JSON: .* at column \d+"),
        ("a.jsonl", '{"a": 1}\n\n{"a": \n', r"'a.jsonl', line 3: broken JSON: Expecting value at column"),
        ("a.jsonl", '{"a": 1}\n[2]\n', r"'a.jsonl', line 2: a list, not an object with columns; each row is written"),
        ("a.json", '[{"a": 1}, "b"]', r"'a.json', item 2: a str, not an object with columns"),
        ("a.jsonl", '{"a": ' + "9" * 5000 + "}", "'a.jsonl', line 1: JSON that cannot be read: "),
        ("a.all", "0 a\n1 b\n\n0\n1 c\n0 d\n1 e\n", "cannot tell the form of 'a.all'"),
        ("a.png", bytes(range(256)), "'a.png' is binary, not text; give csv, tsv, json, jsonl, parquet, or a zip or gz"),
        ("a.csv", b"\x01\x02\x03\x04 junk", "'a.csv' is binary, not text"),
        ("a.parquet", "text", "'a.parquet' is not a parquet file that can be read: "),
    ],
)  # fmt: skip
def test_broken_files_are_refused(name: str, data: str | bytes, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        rows(name, data)


def test_forced_line_forms_name_the_line() -> None:
    with pytest.raises(TaskError, match=r"'a.all', line 2: not of the form `label text`: 'lonely'; set format"):
        rows("a.all", "0 a\nlonely\n", "lines")
    with pytest.raises(TaskError, match=r"'a.all', line 2: not of the form `LABEL:detail text`: '0 b'; set format"):
        rows("a.all", "NUM:x a\n0 b\n", "trec")


def test_deep_nesting_is_refused() -> None:
    depth = sys.getrecursionlimit() * 200
    with pytest.raises(TaskError, match=r"'a.jsonl', line 1: (JSON that cannot be read|a list)"):
        rows("a.jsonl", "[" * depth + "]" * depth, "jsonl")


def test_parquet_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), sink)
    with pytest.raises(TaskError, match=r"'a.parquet' is empty: it has no row of data"):
        rows("a.parquet", sink.getvalue())
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["x" * 1000] * 5000}), sink)
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "LIMIT", 100)
        with pytest.raises(TaskError, match=r"'a.parquet' unpacks to .* GiB, so it is refused; give a part of it"):
            rows("a.parquet", sink.getvalue())
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    with pytest.raises(TaskError, match=r"needs pyarrow to be read; type: pip install 'superalign\[data\]'"):
        rows("a.parquet", sink.getvalue())


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cc", "Cs")), max_size=12)
quick = settings(deadline=None, derandomize=True, max_examples=100)


@quick
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_csv_round_trip(values: list[tuple[str, str]]) -> None:
    sink = io.StringIO()
    writer = csv.writer(sink, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "label"), *values])
    table = rows("a.csv", sink.getvalue())
    assert [(c["text"], c["label"]) for c in cells(table)] == values


@quick
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | st.booleans() | st.integers() | texts), min_size=1))
def test_json_round_trips(values: list[dict[str, object]]) -> None:
    assert cells(rows("a.json", json.dumps(values))) == values
    assert cells(rows("a.jsonl", "\n".join(json.dumps(v, ensure_ascii=False) for v in values))) == values


@quick
@given(st.binary(max_size=200), st.sampled_from(["a.csv", "a.tsv", "a.json", "a.jsonl", "a.all", "a.parquet"]))
def test_junk_is_a_task_error_or_rows(data: bytes, name: str) -> None:
    try:
        found = len(rows(name, data).rows)
    except TaskError as error:
        found = str(error).count(name)
    assert found > 0
