"""`/live/<run>` and `/events/...`: runs in progress, and the streams by which pages hear of changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from superalign.compute.runs import Run, runs, watched
from superalign.report.view import View, absolute
from superalign.report.views import live as views
from superalign.web.page import NotHere, look
from superalign.web.site import Site

T = TypeVar("T")
EVERY = 0.3
"""Seconds between two looks at the store, for each page that follows something."""
BREATH = 15.0
"""Seconds after which a stream says something, so that nobody on the way takes it for dead."""


def routes(site: Site) -> list[BaseRoute]:
    """The routes of runs in progress."""

    def find(name: str) -> Run:
        found = next((run for run in runs(site.store) if run.id == name), None)
        if found is None:
            raise NotHere(f"no run {name!r} in this store")
        return watched(site.store, found)

    def show(request: Request) -> View:
        return views.live(find(request.path_params["run"]), absolute)

    def follow(request: Request) -> Response:
        name = request.path_params["run"]
        find(name)
        return stream(lambda: find(name), lambda run: run.over)

    return [*look("/live/{run}", show), Route("/events/run/{run}", follow, methods=["GET"])]


def stream(look_: Callable[[], T], over: Callable[[T], bool]) -> Response:
    """A stream of server-sent events: `changed` whenever `look_` gives another value, `over` at the end."""

    async def events() -> AsyncIterator[str]:
        before, quiet = await run_in_threadpool(look_), 0.0
        yield "retry: 1000\n\n"
        while not over(before):
            await asyncio.sleep(EVERY)
            now = await run_in_threadpool(look_)
            quiet += EVERY
            if now != before:
                before, quiet = now, 0.0
                yield "event: changed\ndata:\n\n"
            elif quiet >= BREATH:
                quiet = 0.0
                yield ": still here\n\n"
        yield "event: over\ndata:\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
