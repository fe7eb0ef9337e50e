"""`/`: what waits, what runs, what was found."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import BaseRoute

from superalign.report.view import View, absolute
from superalign.report.views import home
from superalign.web.page import look
from superalign.web.routes.runs import line, running
from superalign.web.site import Site

NEWEST = 5


def routes(site: Site) -> list[BaseRoute]:
    """The routes of the first page."""

    def show(request: Request) -> View:
        lines = [line(site, entry) for entry in site.library.entries()[:NEWEST]]
        return home.home(running(site), lines, {d.name: d.counts() for d in site.desks()}, absolute)

    return look("/", show)
