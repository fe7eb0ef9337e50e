"""`/judge/<desk>/agreement`: how far the people at a desk agree, kept up to date while they answer."""

from __future__ import annotations

import math
import threading

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from superalign.people.agreement import Tally
from superalign.people.desk import Desk
from superalign.report.view import View, absolute
from superalign.report.views import agreement as views
from superalign.web.page import person, respond, twin
from superalign.web.routes.judge import find, nameless
from superalign.web.routes.live import stream
from superalign.web.site import Site

PATH = "/judge/{desk}/agreement"
PATIENCE = 0.05
"""Seconds that a page waits for counting: all of a large desk takes longer, once, and shows as it is counted."""


def routes(site: Site) -> list[BaseRoute]:
    """The routes of agreement, for whoever has said who they are. They come before those of a desk's questions."""
    tallies = Tallies(site)

    def show(request: Request, seconds: float = PATIENCE) -> View:
        desk = find(site, request)
        return views.agreement(desk.name, *tallies.of(desk).agreements(seconds), absolute)

    def html(request: Request) -> Response:
        return nameless(request) or respond(request, show(request))

    def data(request: Request) -> Response:
        if not person(request):
            return twin({"error": "say who you are first: /enter"}, 401)
        return twin(show(request, math.inf).data)

    def follow(request: Request) -> Response:
        tally = tallies.of(find(site, request))
        return stream(lambda: tally.changes(PATIENCE), lambda _: False)

    return [
        Route(f"{PATH}.json", data, methods=["GET"]),
        Route(PATH, html, methods=["GET"]),
        Route("/events/agreement/{desk}", follow, methods=["GET"]),
    ]


class Tallies:
    """What is counted at each desk, kept while the page is served."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._found: dict[str, Tally] = {}

    def of(self, desk: Desk) -> Tally:
        """The counts of a desk."""
        with self._lock:
            if desk.name not in self._found:
                self._found[desk.name] = Tally(self._site.store, desk)
            return self._found[desk.name]
