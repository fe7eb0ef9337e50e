"""A report as Markdown: links to entries as links to headings, which every viewer of Markdown makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from superalign.report.research.blocks import (
    Block,
    Bullets,
    Figure,
    Interval,
    Paragraph,
    Piece,
    Report,
    Source,
    Table,
    Text,
    Words,
)
from superalign.report.research.literals import EMPTY
from superalign.report.research.provenance import Derivation, Ref
from superalign.report.text import cell, markdown_code, markdown_text
from superalign.research.ledger import Entry

APPENDICES = ("Derived numbers", "Rows from elsewhere", "Ledger")
Inputs = list[tuple[str, list[tuple[str, str]]]]


def markdown(
    report: Report,
    derivations: Sequence[tuple[int, Derivation, Inputs]],
    tables: Mapping[str, Sequence[str]],
    entries: Sequence[tuple[Entry, str, str]],
) -> str:
    """The whole text: the report, then what its links lead to."""
    parts = [f"# {text(report.title)}", *(f"**{text(w)}**" for w in report.warnings), text(report.answer)]
    parts.append("; ".join(text(o) for o in report.origin) + ".")
    for section in report.sections:
        parts.append(f"## {section.title}")
        parts += [block for b in section.blocks for block in _block(b)]
    if derivations:
        parts.append(f"## {APPENDICES[0]}")
        parts += [part for k, d, inputs in derivations for part in _derivation(k, d, inputs)]
    if tables:
        parts.append(f"## {APPENDICES[1]}")
        parts += [p for name, rows in tables.items() for k, r in enumerate(rows, start=1) for p in _row(name, k, r)]
    parts.append(f"## {APPENDICES[2]}")
    parts += [part for e, signature, payload in entries for part in _entry(e, signature, payload)]
    return "\n\n".join(p for p in parts if p) + "\n"


def plain(pieces: Text) -> Iterator[str]:
    """The pieces without links."""
    for piece in pieces:
        if isinstance(piece, Interval):
            yield f"[{piece.low.text}, {piece.high.text}]"
        else:
            yield piece if isinstance(piece, str) else piece.name if isinstance(piece, Source) else piece.text


def text(pieces: Text) -> str:
    """A text with its links."""
    return "".join(_piece(p) for p in pieces)


def _piece(piece: Piece) -> str:
    if isinstance(piece, Ref):
        return f"[{_linked(piece.text)}](#{piece.anchor})"
    if isinstance(piece, Source):
        return f"[{markdown_text(piece.name)}](#sources)"
    if isinstance(piece, Interval):
        return f"[{_piece(piece.low)}, {_piece(piece.high)}]"
    return markdown_text(piece.text) if isinstance(piece, Words) else piece


def _linked(line: str) -> str:
    """Text inside a link; an empty one would be no link."""
    return markdown_text(line) or EMPTY


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield f"**{text(block.text)}**" if block.kind == "warning" else text(block.text)
    elif isinstance(block, Bullets):
        yield "\n".join(f"- {text(item)}" for item in block.items)
    elif isinstance(block, Table):
        yield f"### {block.label}"
        rule = "|" + " --- |" * len(block.columns)
        lines = ["| " + " | ".join(text(c) for c in row) + " |" for row in (block.columns, *block.rows)]
        yield "\n".join([lines[0], rule, *lines[1:]])
    elif isinstance(block, Figure):
        yield f"The page of this report draws a chart of {text(block.drawn_from)} here."


def _derivation(number: int, found: Derivation, inputs: Inputs) -> Iterator[str]:
    yield f"### Derived {number}"
    said = "; ".join(
        f"{markdown_text(of)} {', '.join(f'[{markdown_text(t)}](#{a})' for t, a in links)}".lstrip()
        for of, links in inputs
    )
    yield f"{markdown_text(found.name)}: {markdown_text(cell(found.value))}. {markdown_text(found.says)}: {said}."


def _row(name: str, number: int, payload: str) -> Iterator[str]:
    yield f"### {name.capitalize()} {number}"
    yield markdown_code(payload, "json")


def _entry(entry: Entry, signature: str, payload: str) -> Iterator[str]:
    yield f"### Entry {entry.number}"
    said = (entry.time, entry.actor, entry.type, f"hash {entry.hash[:12]}", f"signature: {signature}")
    yield ", ".join(markdown_text(s) for s in said)
    yield markdown_code(payload, "json")
