"""`/`: what waits, what runs, what was found."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import BaseRoute

from superalign.report.view import View, absolute
from superalign.report.views import home
from superalign.web.page import look
from superalign.web.routes.runs import line, now
from superalign.web.site import Site

NEWEST = 6


def routes(site: Site) -> list[BaseRoute]:
    """The routes of the first page."""

    def show(request: Request) -> View:
        entries = site.library.entries()
        lines = [line(site, entry) for entry in entries[:NEWEST]]
        return home.home(now(site), lines, len(entries), {d.name: d.counts() for d in site.desks()}, absolute)

    return look("/", show)
