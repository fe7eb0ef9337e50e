"""`/runs`: the list of records, each record, and its charts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.routing import BaseRoute

from superalign.core.records import Entry
from superalign.report.files import file_name
from superalign.report.view import View, absolute
from superalign.report.views import figures
from superalign.report.views import runs as views
from superalign.report.views.runs import About, Found, Line, Now
from superalign.web.library import Damaged
from superalign.web.page import NotHere, look, number
from superalign.web.site import Site

PAGE = 50
PATIENCE = 0.05
"""Seconds that a list spends on reading records that nobody has read yet; the others get their answers a moment later."""
LATELY = 600.0
"""Seconds for which a run that ended is told of beside those that go on."""


def routes(site: Site) -> list[BaseRoute]:
    """The routes of records."""

    def listed(request: Request) -> View:
        query, study = request.query_params.get("q", "").strip(), request.query_params.get("study", "")
        entries = site.library.entries()
        studies = sorted({e.study for e in entries})
        words = query.casefold().split()
        kept = [e for e in entries if study in ("", e.study) and all(w in searched(site, e) for w in words)]
        pages = max(1, -(-len(kept) // PAGE))
        at = number(request, "page", 1, 1, pages)
        shown = kept[(at - 1) * PAGE : at * PAGE]
        lines = _lines(site, shown)
        unread = sum(site.library.known(e) is None for e in (entries if words else shown))
        found = Found(lines, len(kept), at, pages, query, study, studies, unread)
        return views.listed(found, now(site), absolute)

    def record(request: Request) -> View:
        versions = site.library.versions(request.path_params["record"])
        place = number(request, "version", len(versions), 1, len(versions))
        entry = versions[place - 1]
        about = About(versions, place, site.library.runs.makers(entry.id))
        try:
            of = site.library.version(entry)
        except Damaged as error:
            return views.damaged(entry, str(error), about.runs, absolute)
        return views.record(of, absolute, about, site.library.drawings.of(of, entry, now=site.static))

    def chart(request: Request) -> View:
        entry = site.library.versions(request.path_params["record"])[-1]
        of, name = site.library.version(entry), request.path_params["chart"]
        key = next((k for k in of.charts if name in (k, file_name(k, ""))), None)
        if key is None:
            raise NotHere(f"no chart {name!r} in {of.id}")
        drawn = site.library.drawings.of(of, entry, now=True)(key)
        assert drawn is not None
        return figures.chart(of, key, drawn, absolute)

    return [
        *look("/runs", listed),
        *look("/runs/{record}/charts/{chart}", chart),
        *look("/runs/{record}", record),
    ]


def line(site: Site, entry: Entry) -> Line:
    """A record as a line of a list."""
    s = site.library.summary(entry)
    return Line(s.id, s.study, s.title, s.created, s.answer, s.conditions, s.failures, s.damaged)


def _lines(site: Site, entries: Sequence[Entry]) -> list[Line]:
    until = time.monotonic() + PATIENCE
    found = []
    for e in entries:
        read = site.static or site.library.known(e) is not None or time.monotonic() < until
        found.append(line(site, e) if read else Line(e.id, e.study, e.title, e.created, ""))
    return found


def searched(site: Site, entry: Entry) -> str:
    """What a search looks at. The answer of a record that nobody has read yet is not known: to read 1,000 takes a second
    and is done in the background."""
    known = site.library.known(entry)
    return f"{entry.id} {entry.study} {entry.title} {known.answer if known else ''}".casefold()


def now(site: Site) -> Now:
    """What runs now, and what ended a short while ago; nothing of it on a static site."""
    if site.static:
        return Now()
    at = time.time()
    since = datetime.fromtimestamp(at - LATELY, UTC).isoformat(timespec="seconds")
    ended = [run for run in reversed(site.library.runs.all()) if run.ended >= since]
    return Now(site.library.runs.going(), ended[:5], at)
