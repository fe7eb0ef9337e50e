"""The application: every route, with what guards it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from superalign.core.errors import UserError
from superalign.store.sql import SqlStore
from superalign.web import page
from superalign.web.page import NotHere
from superalign.web.routes import (
    agreement,
    boards,
    campaigns,
    compare,
    entrance,
    games,
    home,
    judge,
    live,
    runs,
    samples,
    share,
    units,
)
from superalign.web.safety import LOOPBACK, Guard, TooLarge, entered
from superalign.web.site import Site, key

DAYS = 30
OPEN = ("/enter", "/enter.json")
"""Addresses that need no token, beside static files."""
ROOMS: tuple[Callable[[Site], list[BaseRoute]], ...] = (
    home.routes,
    runs.routes,
    live.routes,
    compare.routes,
    samples.routes,
    boards.routes,
    entrance.routes,
    agreement.routes,  # before the questions of a desk
    share.routes,
    games.routes,
    units.routes,
    campaigns.routes,
    judge.routes,
)


def create(
    store: SqlStore,
    *,
    names: Collection[str] = LOOPBACK,
    numbers: bool = False,
    token: str = "",
    warm: bool = True,
    static: bool = False,
) -> Starlette:
    """The application for a store. `names` and `numbers` say what it may be called (see `safety.Guard`); with a `token`
    nobody comes in without it; `warm` reads all records in the background; `static` makes pages for files."""
    site = Site(store, token, static)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if warm:
            site.library.runs.going()  # the first page is asked for at once
            threading.Thread(target=site.warm, daemon=True, name="reading the store").start()
        yield

    app = Starlette(
        routes=[r for room in ROOMS for r in room(site)] + [_static(site)],
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, names=names, numbers=numbers),
            Middleware(
                SessionMiddleware, secret_key=key(store), session_cookie="superalign", same_site="strict",
                max_age=DAYS * 86_400,
            ),
            Middleware(Door, token=token),
        ],
        exception_handlers={UserError: _mistake, HTTPException: _refusal, TooLarge: _too_large},
    )  # fmt: skip
    app.state.site = site
    return app


class Door:
    """Middleware: without the token there is the entrance and nothing else."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or send it to the entrance."""
        if scope["type"] == "http" and scope["path"] not in OPEN and not scope["path"].startswith("/static/"):
            request = Request(scope)
            if not entered(request, self.token):
                to_entrance = request.method == "GET" and not request.url.path.endswith(".json")
                answer = page.back("/enter") if to_entrance else PlainTextResponse("enter with the token first", 401)
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _static(site: Site) -> BaseRoute:
    kinds = {".js": "text/javascript", ".css": "text/css"}

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in site.assets or site.asset(name) != request.url.path:
            raise NotHere(f"no file {name!r}")
        kept = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(site.assets[name], media_type=kinds[f".{name.rpartition('.')[2]}"], headers=kept)

    return Route("/static/{tag}/{name}", static, methods=["GET"])


async def _mistake(request: Request, error: Exception) -> Response:
    return page.refused(request, error)


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return page.failed(request, error.status_code, error.detail)


async def _too_large(request: Request, error: Exception) -> Response:
    return PlainTextResponse("too much was sent", 413)
