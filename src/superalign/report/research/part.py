"""A campaign's report as a part of another page, whose ledger stands elsewhere: long tables and charts are cut short."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Unpack

from markupsafe import Markup, escape

from superalign.report import page
from superalign.report.research import document
from superalign.report.research.blocks import Block, Figure, Paragraph, Report, Table
from superalign.report.research.literals import check_html
from superalign.research.ledger import Entry, Verified

ROWS = 200
"""Rows of a table, at most. With 10,000 entries a whole report has 9 MB, which take half a second to send."""
POINTS = 600
"""Rows of a chart, at most."""
INPUTS = 24
"""Links to the inputs of a derived number, at most."""
CUT = Paragraph(("The table is cut here; the ledger has every entry.",), "note")
THINNED = (" (the chart shows some of them, evenly spread)",)

_ENTRY = re.compile(r'href="#entry-(\d+)"')
"""Only our own links match: quotation marks in foreign text are escaped."""


def fragment(
    entries: Sequence[Entry], verified: Verified, address: Callable[[int], str], **beside: Unpack[document.Beside]
) -> Markup:
    """The inside of `document.html` without the entries of the ledger; `address` says where the page has each.

    Raises ReportError for a number that leads to no entry.
    """
    campaign, report = document._begun(entries, verified, **beside)
    appendix = document._appendix(campaign) | {"entries": []}
    appendix["derivations"] = [(k, d, list(_few(inputs))) for k, d, inputs in appendix["derivations"]]
    text = page.part(
        "research_body.html", report=_short(report), drawn=document._drawn, kind=document._kind, **appendix
    )
    check_html(f"<main>{text}</main>", document._known(campaign))
    return Markup(_ENTRY.sub(lambda m: f'href="{escape(address(int(m[1])))}"', text))


def signature(entry: Entry, verified: Verified) -> str:
    """The state of an entry's signature, in words."""
    return document._signature(entry, verified)


def _short(report: Report) -> Report:
    sections = [replace(s, blocks=tuple(b for block in s.blocks for b in _cut(block))) for s in report.sections]
    return replace(report, sections=tuple(sections))


def _cut(block: Block) -> Iterator[Block]:
    if isinstance(block, Table) and len(block.rows) > ROWS:
        yield replace(block, rows=block.rows[:ROWS])
        yield CUT
    elif isinstance(block, Figure) and len(block.chart.get("data", {}).get("values", ())) > POINTS:
        values = block.chart["data"]["values"]
        some = values[:: -(-len(values) // POINTS)]
        chart = {**block.chart, "data": {**block.chart["data"], "values": some}}
        yield replace(block, chart=chart, drawn_from=(*block.drawn_from, *THINNED))
    else:
        yield block


def _few(inputs: Sequence[tuple[str, list[tuple[str, str]]]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The inputs of a derived number, each with its first links."""
    for of, links in inputs:
        if len(links) <= INPUTS:
            yield of, links
        else:
            yield of, [*links[: INPUTS - 1], ("… and others", links[-1][1])]
