"""Runs: the list of records with what is running now, and one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from superalign.compute.runs import Run, Step
from superalign.core.records import Entry
from superalign.core.spec import Record
from superalign.report.toml import toml
from superalign.report.view import Link, View, fragment
from superalign.report.views import figures
from superalign.report.views.figures import Known


@dataclass(frozen=True, slots=True)
class Line:
    """A record in a list; `damaged` where it cannot be read, and `answer` says what to do."""

    id: str
    study: str
    title: str
    created: str
    answer: str
    conditions: int = 0
    failures: int = 0
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a list shows: one page of the lines that were found, and what was asked for. Of `unread` records the search
    has seen the titles alone."""

    lines: Sequence[Line]
    total: int
    page: int = 1
    pages: int = 1
    query: str = ""
    study: str = ""
    studies: Sequence[str] = ()
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Now:
    """What happens now: runs that go on, and those that ended a short while ago; `at` in seconds since 1970."""

    going: Sequence[Run] = ()
    ended: Sequence[Run] = ()
    at: float = 0.0

    def slowest(self, run: Run) -> Step | None:
        """The step that decides when a run is done: of those under way the one with the most left to do."""
        open_ = [step for step in run.steps.values() if step.done < step.total]
        return max(open_, key=lambda step: step.left(self.at) or 0.0, default=None)


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a record beside itself: its versions, oldest first, which of them is shown (from 1), and the runs
    that left one, newest first."""

    versions: Sequence[Entry] = ()
    number: int = 1
    runs: Sequence[Run] = ()


def listed(found: Found, now: Now, link: Link) -> View:
    """The list of records, newest first, under what is running."""
    body = fragment("runs.html", found=found, now=now, link=link, **_words())
    data = {
        "total": found.total, "page": found.page, "pages": found.pages,
        "running": [run_data(r) for r in now.going], "records": [asdict(line) for line in found.lines],
    }  # fmt: skip
    return View("Runs", body, data, "runs")


def record(of: Record, link: Link, about: About, known: Known) -> View:
    """One record: its report, and where more of it is."""
    body = fragment(
        "record.html", body=figures.body(of, link, known), record=of, rooms=rooms(of, link), about=about, link=link
    )
    return View(of.title, body, of.model_dump(mode="json"), "runs")


def rooms(of: Record, link: Link) -> list[tuple[str, str]]:
    """Further views of a record: what they are called, and their addresses."""
    kept = {name.partition("/")[0] for name in of.artifacts}
    found = [
        ("Transcripts", link("runs", of.id, "games"), "games" in kept),
        ("Units", link("runs", of.id, "units"), "units" in kept),
        ("Samples side by side", link("runs", of.id, "samples"), "samples" in of.tables),
        ("Campaign", link("campaigns", of.id), of.study == "research"),
        ("Leaderboard", link("boards", of.id), any("rating" in c.numbers for c in of.conditions)),
    ]
    return [(title, address) for title, address, there in found if there]


def damaged(entry: Entry, why: str, runs: Sequence[Run], link: Link) -> View:
    """A record that cannot be read, with the spec that makes it again where a run has told it."""
    spec = toml(dict(runs[0].spec)) if runs else ""
    body = fragment("damaged.html", entry=entry, why=why, runs=runs, toml=spec, link=link)
    return View(entry.title, body, {**asdict(entry), "error": why, "spec": runs[0].spec if runs else None}, "runs")


def run_data(run: Run) -> dict[str, Any]:
    """A run as JSON values."""
    return asdict(run)


def elapsed(run: Run, at: float) -> float:
    """Seconds from the beginning of a run to its end, or to `at`; of a lost one, to its last word."""
    begun = datetime.fromisoformat(run.begun).timestamp()
    if run.ended:
        at = datetime.fromisoformat(run.ended).timestamp()
    elif run.state == "lost":
        at = max((step.at for step in run.steps.values()), default=begun)
    return max(0.0, at - begun)


def lasting(seconds: float) -> str:
    """A time as people say it: `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    whole = round(seconds)
    for large, small, size, part in (("d", "h", 86_400, 3_600), ("h", "min", 3_600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def moment(iso: str) -> str:
    """A time of a record or run for people: `2025-01-31 14:05 UTC`."""
    try:
        return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return iso


def _words() -> Mapping[str, Any]:
    return {"elapsed": elapsed, "lasting": lasting, "moment": moment}
