"""Runs: the list of records with what is running now, one record, and several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from markupsafe import Markup

from superalign.compute.runs import Run
from superalign.core.spec import Record
from superalign.report import page
from superalign.report.view import Link, View, fragment


@dataclass(frozen=True, slots=True)
class Line:
    """A record in a list."""

    id: str
    study: str
    title: str
    created: str
    answer: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a list shows: one page of the lines that were found, and what was asked for."""

    lines: Sequence[Line]
    total: int
    page: int = 1
    pages: int = 1
    query: str = ""
    study: str = ""
    studies: Sequence[str] = ()


def listed(found: Found, running: Sequence[Run], link: Link) -> View:
    """The list of records, newest first, under what is running."""
    body = fragment("runs.html", found=found, running=running, link=link)
    data = {
        "total": found.total, "page": found.page, "pages": found.pages,
        "running": [run_data(r) for r in running], "records": [asdict(line) for line in found.lines],
    }  # fmt: skip
    return View("Runs", body, data, "runs")


def record(of: Record, link: Link, rooms: Sequence[tuple[str, str]] = ()) -> View:
    """One record. `rooms` are further views of it: what they are called, and their addresses."""
    body = fragment("record.html", body=Markup(page.fragment(of)), record=of, rooms=rooms, link=link)
    return View(of.title, body, of.model_dump(mode="json"), "runs")


def run_data(run: Run) -> dict[str, Any]:
    """A run as JSON values."""
    return asdict(run)
