"""The whole report in its two forms, written from the same blocks and read again before it is handed out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from superalign.core.spec import Table
from superalign.report import page, svg
from superalign.report.research import checks, closing, search, verdicts, written
from superalign.report.research.blocks import Block, Figure, Report, Section, Text, say
from superalign.report.research.literals import check_html, check_markdown
from superalign.report.research.provenance import Book, Derivation, Ref, ReportError
from superalign.report.research.view import SOURCES, Campaign, Rows
from superalign.report.text import visible_all
from superalign.research.ledger import SIGNED, Entry, Verified

if TYPE_CHECKING:
    from superalign.research.space import Space

_CSS = Path(page.__file__).parent / "templates" / "research.css"
Made = Callable[[Campaign], Iterator[Block]]

SECTIONS: tuple[tuple[str, Made, bool], ...] = (
    ("Verdicts", verdicts.verdicts, True),
    ("What was tried", search.tried, True),
    ("Care gap", checks.care, True),
    ("Audits", checks.audits, True),
    ("A/A and power", checks.power, True),
    ("Cost", search.cost, True),
    ("Nearest neighbours", search.neighbours, True),
    ("Released results", closing.released, True),
    ("Promised compute", closing.promise, True),
    ("Negative findings", verdicts.negative, True),
    ("Limitations", closing.limitations, True),
    ("Discussion", closing.discussion, True),
    ("Ledger and verification", closing.ledger, True),
    ("Sign-off", closing.sign_off, True),
    ("How to read this", closing.reading, False),
    ("Sources", closing.sources, False),
)
"""Title, what makes it, and whether every number of it must come from the ledger."""
_TABLES = {"Released results": "released", "Promised compute": "promise"}


class Beside(TypedDict, total=False):
    """What a report shows beside its ledger: `space` gives distances between methods, `released` is a table of results that
    others released, `promise` are rows (step in days, value, series) of compute promised and delivered."""

    space: Space | None
    released: Table | None
    promise: Rows


def html(entries: Sequence[Entry], verified: Verified, **beside: Unpack[Beside]) -> str:
    """A campaign's report as a self-contained page, the same bytes for the same ledger.

    Raises ReportError for a number that leads to no entry.
    """
    campaign, report = _begun(entries, verified, **beside)
    text = page.render(
        "research.html", css=_CSS.read_text(encoding="utf-8"), report=report, drawn=_drawn, kind=_kind,
        title="".join(written.plain(report.title)), **_appendix(campaign),
    )  # fmt: skip
    check_html(text, _known(campaign))
    return text


def markdown(entries: Sequence[Entry], verified: Verified, **beside: Unpack[Beside]) -> str:
    """The same report as GitHub-flavoured Markdown; charts are left out, their values are in the tables."""
    campaign, report = _begun(entries, verified, **beside)
    text = written.markdown(report, **_appendix(campaign))
    check_markdown(
        text, _known(campaign), frozenset(s.title for s in report.sections if not s.checked) | set(written.APPENDICES)
    )
    return text


def _begun(entries: Sequence[Entry], verified: Verified, **beside: Unpack[Beside]) -> tuple[Campaign, Report]:
    tables = _tables(beside.get("released"), beside.get("promise", ()))
    campaign = Campaign(entries, verified, beside.get("space"), tables)
    return campaign, build(campaign)


def build(c: Campaign) -> Report:
    """The report as blocks. Raises ReportError where an entry is not what superalign writes."""
    sections = []
    for title, make, checked in SECTIONS:
        table = _TABLES.get(title)
        if table is not None and not c.book.tables.get(table):
            continue
        blocks = _section(c.book, title, lambda make=make: tuple(make(c)))  # type: ignore[misc]
        sections.append(Section(title, blocks, checked))
    title, answer, origin, warnings = _section(
        c.book, "the beginning", lambda: (_title(c), verdicts.answer(c), _origin(c), _warnings(c))
    )
    return Report(title, answer, origin, warnings, tuple(sections))


def _section(book: Book, title: str, make: Callable[[], Any]) -> Any:
    book.section = title
    try:
        return make()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise ReportError(
            f"the section {title!r} cannot be written: an entry or a row is not what superalign writes ({said}); "
            "`superalign research verify` walks the ledger"
        ) from error


def _tables(released: Table | None, promise: Rows) -> dict[str, Rows]:
    """What comes from elsewhere, by name, as rows that can be referred to; absent values have no key."""
    tables: dict[str, Rows] = {"promise": promise} if promise else {}
    if released is not None and released.rows:
        rows = [dict(zip(released.columns, row, strict=True)) for row in released.rows]
        tables["released"] = [{k: v for k, v in row.items() if v is not None} for row in rows]
        tables["statement"] = [{"says": released.note}] if released.note else []
    return tables


def _known(c: Campaign) -> set[tuple[str, str]]:
    return c.book.printed | {(name, "sources") for name in SOURCES}


def _title(c: Campaign) -> Text:
    return (c.book.ref(f"{c.entries[0].number}.question", "whole"),)


def _origin(c: Campaign) -> tuple[Text, ...]:
    at, ref = c.entries[0].number, c.book.ref
    return (
        say("campaign {name}", name=ref(f"{at}.campaign")),
        say("testbed {name}", name=ref(f"{at}.testbed")),
        say("proposer {name}", name=ref(f"{at}.proposer")),
        say("budget {budget}", budget=ref(f"{at}.budget")) if "budget" in c.entries[0].payload else ("no budget",),
        say("begun {time}", time=ref(f"{at}.@time")),
        say("head {head}", head=ref(f"{c.entries[-1].number}.@hash", "hash", "code")),
    )


def _warnings(c: Campaign) -> tuple[Text, ...]:
    """What a reader must know before anything else."""
    found: list[Text] = []
    if not c.verified.intact:
        found.append(say("The ledger is not intact: {fault}. Nothing below can be relied on.",
                         fault=c.book.ref("verified.faults.0", "whole")))  # fmt: skip
    alarms = c.of("alarm")
    if alarms:
        found.append(say("Alarms raised: {count}; see Audits.", count=c.counted(alarms)))
    if not c.of("verdict"):
        found.append(("The campaign is not finished: it has no verdict yet.",))
    return tuple(found)


def _appendix(c: Campaign) -> dict[str, Any]:
    """What the links lead to: derivations, rows of tables, and every entry."""
    return {
        "derivations": [(k, d, _inputs(d)) for k, d in enumerate(c.book.derivations, start=1)],
        "tables": {name: [_json(row) for row in rows] for name, rows in c.book.tables.items()},
        "entries": [(e, _signature(e, c.verified), _json(e.payload)) for e in c.entries],
    }


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(visible_all(dict(value)), ensure_ascii=False, sort_keys=True)


def _signature(entry: Entry, verified: Verified) -> str:
    if not entry.signature:
        return "MISSING, though the scorer alone may write this" if entry.type in SIGNED else "not signed"
    if not verified.signatures:
        return "signed, not checked"
    return "does NOT fit" if any(f"signature of entry {entry.number} " in f for f in verified.faults) else "checked"


def _inputs(derivation: Derivation) -> list[tuple[str, list[tuple[str, str]]]]:
    """The inputs by field, runs of entries as one link: `[("usage.wall_s of", [("10–17", "entry-10"), ...])]`."""
    fields: dict[str, list[Ref]] = {}
    for ref in derivation.inputs:
        head, _, field = ref.origin.partition(".")
        fields.setdefault(field if head.isdecimal() else "", []).append(ref)
    return [(_of(field), list(_runs(refs))) for field, refs in fields.items()]


def _of(field: str) -> str:
    return "" if field in ("", "@number") else f"{field.removeprefix('@')} of"


def _runs(refs: Sequence[Ref]) -> Iterator[tuple[str, str]]:
    begun: Ref | None = None
    last = 0
    for ref in refs:
        head = ref.origin.partition(".")[0]
        number = int(head) if head.isdecimal() else None
        if begun is not None and number == last + 1:
            last = number
            continue
        if begun is not None:
            yield _run(begun, last), begun.anchor
            begun = None
        if number is None:
            yield ref.origin, ref.anchor
        else:
            begun, last = ref, number
    if begun is not None:
        yield _run(begun, last), begun.anchor


def _run(begun: Ref, last: int) -> str:
    first = begun.origin.partition(".")[0]
    return first if int(first) == last else f"{first}–{last}"


def _kind(piece: Any) -> str:
    return type(piece).__name__ if not isinstance(piece, str) else "str"


def _drawn(figure: Figure) -> dict[str, Any]:
    """A figure's title, note and drawings. A chart that cannot be drawn says why; its data are there."""
    title, note = svg.heading(figure.chart)
    found: dict[str, Any] = {"title": title, "note": note, "wide": None, "narrow": None, "fault": ""}
    try:
        found["wide"] = svg.draw(figure.chart, f"wide-{figure.name}")
        found["narrow"] = svg.draw(figure.chart, f"narrow-{figure.name}", svg.PHONE)
    except svg.ChartError as error:
        found["fault"] = str(error)
    return found
