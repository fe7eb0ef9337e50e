"""`/live/<run>` and `/events/...`: runs in progress, and the streams by which pages hear of changes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from superalign.compute.replica import Replica
from superalign.compute.runs import Run
from superalign.report.view import View, absolute
from superalign.report.views import live as views
from superalign.web.page import NotHere, look
from superalign.web.site import Site

T = TypeVar("T")
EVERY = 0.3
"""Seconds between two looks at the store, for each page that follows something."""
BREATH = 15.0
"""Seconds after which a stream says something, so that nobody on the way takes it for dead."""
FOLLOWED = 64
"""Training runs whose events are kept in memory."""


def routes(site: Site) -> list[BaseRoute]:
    """The routes of runs in progress."""
    training = Training(site)

    def find(request: Request) -> Run:
        name = request.path_params["run"]
        found = site.library.runs.run(name)
        if found is None:
            raise NotHere(f"no run {name!r} in this store")
        return found

    def show(request: Request) -> View:
        run = find(request)
        return views.live(run, training.told(run), time.time(), absolute)

    def follow(request: Request) -> Response:
        find(request)
        return stream(lambda: training.newest(find(request)), lambda said: said[0].over)

    def follow_all(request: Request) -> Response:
        return stream(site.library.runs.going, lambda _: False)

    return [
        *look("/live/{run}", show),
        Route("/events/run/{run}", follow, methods=["GET"]),
        Route("/events/runs", follow_all, methods=["GET"]),
    ]


class Training:
    """The events of training runs, read once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._kept: dict[str, Replica[Told]] = {}
        self._lock = threading.Lock()

    def told(self, run: Run) -> dict[str, list[Mapping[str, Any]]]:
        """What each training run of a run has told; those that told nothing are left out."""
        found = {name: self._replica(key).ask(lambda told: list(told.events)) for name, key in run.streams.items()}
        return {name: events for name, events in found.items() if events}

    def newest(self, run: Run) -> tuple[Run, int]:
        """The run, and how many events its last training run has told: what changes while it goes on."""
        streams = list(run.streams.values())
        return run, self._replica(streams[-1]).ask(lambda told: len(told.events)) if streams else 0

    def _replica(self, key: str) -> Replica[Told]:
        with self._lock:
            if key not in self._kept and len(self._kept) >= FOLLOWED:
                del self._kept[next(iter(self._kept))]
            return self._kept.setdefault(key, Replica(self._site.store, key, Told()))


class Told:
    """The events of one training run, in order."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []

    def apply(self, row: Mapping[str, Any]) -> None:
        """Take in the next event, if it is one of a training run."""
        if isinstance(row.get("kind"), str) and isinstance(row.get("iteration"), int):
            self.events.append(row)


class Events(StreamingResponse):
    """Server-sent events, which end when the server is about to: it waits for every answer that is under way."""

    ending: Callable[[], bool] = staticmethod(lambda: False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        self.ending = getattr(scope["app"].state, "ending", self.ending)
        await super().__call__(scope, receive, send)


def stream(look_: Callable[[], T], over: Callable[[T], bool]) -> Response:
    """A stream of server-sent events: `changed` whenever `look_` gives another value, `over` at the end."""

    async def events() -> AsyncIterator[str]:
        before, quiet = await run_in_threadpool(look_), 0.0
        yield "retry: 1000\n\n"
        while not over(before):
            await asyncio.sleep(EVERY)
            if answer.ending():
                return  # without a word: the browser asks again, and finds the next server
            now = await run_in_threadpool(look_)
            quiet += EVERY
            if now != before:
                before, quiet = now, 0.0
                yield "event: changed\ndata:\n\n"
            elif quiet >= BREATH:
                quiet = 0.0
                yield ": still here\n\n"
        yield "event: over\ndata:\n\n"

    answer = Events(events(), media_type="text/event-stream")
    return answer
