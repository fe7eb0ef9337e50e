"""`/runs`: the list of records, and each record."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import BaseRoute

from superalign.compute.runs import Run, runs, watched
from superalign.core.records import Entry
from superalign.report.view import View, absolute
from superalign.report.views import runs as views
from superalign.report.views.runs import Found, Line
from superalign.web.page import look, number
from superalign.web.site import Site

PAGE = 50


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
        lines = [line(site, e) for e in kept[(at - 1) * PAGE : at * PAGE]]
        return views.listed(Found(lines, len(kept), at, pages, query, study, studies), running(site), absolute)

    def record(request: Request) -> View:
        found = site.library.record(request.path_params["record"])
        return views.record(found, absolute)

    return [*look("/runs", listed), *look("/runs/{record}", record)]


def line(site: Site, entry: Entry) -> Line:
    """A record as a line of a list."""
    s = site.library.summary(entry)
    return Line(s.id, s.study, s.title, s.created, s.answer)


def searched(site: Site, entry: Entry) -> str:
    """What a search looks at."""
    return f"{entry.id} {entry.study} {entry.title} {site.library.summary(entry).answer}".casefold()


def running(site: Site) -> list[Run]:
    """What runs now, newest first."""
    found = [watched(site.store, run) for run in reversed(runs(site.store)) if not run.over]
    return [run for run in found if not run.over]
