"""What a report is made of: sections of paragraphs, tables, lists and figures, all of them made of pieces of text.

A piece is our own words, a value of the ledger (`Ref`), two of them in brackets (`Interval`), somebody else's words with
their numbers struck (`Words`), or a citation (`Source`). Both forms of a report, the page and the Markdown, are written
from the same blocks.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.report.research.provenance import Ref
from superalign.report.text import one_line

MARK = "█"
"""Stands where somebody else's text had a number."""
_RUN = re.compile(rf"[+−-]?{MARK}(?:(?:[.,:/^×·]|[eE][+−-]?|[+−-])?{MARK})*")
_HIDDEN = re.compile(r"\[U\+[0-9A-F]{4,6}\]")
_SPELLED = re.compile(
    r"\b(?:zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    r"|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|half"
    r"|thirds?|quarters?|twice|thrice|double[ds]?|tripled?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Words:
    """Text by a model, a method or another stranger; its numbers are struck, since they are nobody's results."""

    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """A citation: how it is named in the text, and the work."""

    name: str
    work: str


@dataclass(frozen=True, slots=True)
class Interval:
    """The ends of an interval, which stand in brackets behind an estimate."""

    low: Ref
    high: Ref


Piece = str | Ref | Words | Source | Interval
Text = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; `kind` is empty, `note`, `warning` or `quote`."""

    text: Text
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose first column names its rows. `folded` is what a page writes on it while it is closed."""

    label: str
    columns: tuple[Text, ...]
    rows: tuple[tuple[Text, ...], ...]
    folded: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart in Vega-Lite whose rows are values of the ledger; `drawn_from` says of which entries."""

    name: str
    chart: Mapping[str, Any]
    drawn_from: Text


Block = Paragraph | Bullets | Table | Figure


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report under its title. Where it is not `checked`, numbers may be typed: explanations, sources."""

    title: str
    blocks: tuple[Block, ...]
    checked: bool = True

    @property
    def anchor(self) -> str:
        """Where a link to it goes, as Markdown viewers name it."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report: its title, the answer in a sentence or two, where it is from, warnings, and its sections."""

    title: Text
    answer: Text
    origin: tuple[Text, ...]
    warnings: tuple[Text, ...]
    sections: tuple[Section, ...]


def say(template: str, **pieces: Piece | Text) -> Text:
    """A sentence with pieces in its `{places}`."""
    found: list[Piece] = []
    for literal, name, _, _ in string.Formatter().parse(template):
        found += [literal] if literal else []
        if name is not None:
            piece = pieces[name]
            found += piece if isinstance(piece, tuple) else (piece,)
    return tuple(found)


def heads(*names: str) -> tuple[Text, ...]:
    """The columns of a table that are named in our own words."""
    return tuple((name,) for name in names)


def joined(parts: Sequence[Text], between: str = ", ", last: str | None = None) -> Text:
    """Texts in a row; `last` stands before the last of them, where it is not `between`."""
    found: list[Piece] = []
    for k, part in enumerate(parts):
        gap = between if last is None or k < len(parts) - 1 else last
        found += [gap, *part] if k else part
    return tuple(found)


def struck(text: str, longest: int = 600) -> Words:
    """Somebody else's words on one line, every number replaced: digits of any script, fractions, spelled ones."""
    line = _HIDDEN.sub("[hidden]", one_line(str(text)[: 4 * longest]))
    line = line if len(line) <= longest else f"{line[:longest].rstrip()}…"
    marked = "".join(MARK if c.isnumeric() else c for c in line)
    return Words(_RUN.sub(MARK, _SPELLED.sub(MARK, marked)))
