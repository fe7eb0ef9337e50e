"""How a view becomes an answer: a page, its JSON twin, a form that was sent, an error that says what to do."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from superalign.core.errors import UserError
from superalign.report.view import View, absolute, fragment, framed
from superalign.web.safety import csrf, forged

if TYPE_CHECKING:
    from superalign.web.site import Site

Fields = Mapping[str, Sequence[str]]
"""The fields of a form, each with all its values."""

T = TypeVar("T")
SCRIPTS = ("htmx.min.js", "site.js")
FIELDS = 2_000
"""Fields of a form, at most."""
PATIENCE = 60.0
"""Seconds for which a program waits for what is being read; a person is told, and the page goes on by itself."""


class NotHere(UserError):
    """There is nothing at this address."""


class Reading(Exception):
    """What was asked for is large and is being read; `done` is set when it is there."""

    def __init__(self, what: str, done: threading.Event) -> None:
        super().__init__(what)
        self.what, self.done = what, done


def look(path: str, show: Callable[[Request], View]) -> list[BaseRoute]:
    """The routes of a view: the page at `path`, its JSON twin at `path.json`. Views never change anything."""

    def html(request: Request) -> Response:
        site: Site = request.app.state.site
        if site.static or _in_part(request):
            return respond(request, whole(show, request))
        try:
            return respond(request, show(request))
        except Reading as reading:
            answer = respond(request, View("Reading", fragment("reading.html", what=reading.what), {}))
            answer.headers["refresh"] = "1"
            return answer

    def data(request: Request) -> Response:
        return twin(whole(show, request).data)

    beside = f"{path.rstrip('/')}.json" if path != "/" else "/index.json"
    return [Route(beside, data, methods=["GET"]), Route(path, html, methods=["GET"])]


def whole(show: Callable[[Request], T], request: Request) -> T:
    """What is shown, waited for: who asks is a program."""
    while True:
        try:
            return show(request)
        except Reading as reading:
            if not reading.done.wait(PATIENCE):
                raise HTTPException(503, f"{reading.what}: ask again in a moment") from None


def act(path: str, do: Callable[[Request, Fields], Response]) -> BaseRoute:
    """The route of a form: its fields are read, its secret is checked, then `do` is called in a thread."""

    async def sent(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=FIELDS) as form:
            fields = {name: [v for v in form.getlist(name) if isinstance(v, str)] for name in form}
        given = request.headers.get("x-csrf") or first(fields, "csrf")
        fields.pop("csrf", None)
        if forged(request, given):
            raise HTTPException(403, "this form is out of date; open the page again and send it once more")
        return await run_in_threadpool(do, request, fields)

    return Route(path, sent, methods=["POST"])


def first(fields: Fields, name: str) -> str:
    """The first value of a field; empty where there is none."""
    return next(iter(fields.get(name, ())), "")


def twin(data: Any, status: int = 200) -> Response:
    """Values as JSON that every reader takes: ASCII, so that half a character does no harm, null for what is no number,
    and no bracket that anybody could take for a tag."""
    return Response(json.dumps(_finite(data)).replace("<", "\\u003c"), status, media_type="application/json")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


def respond(request: Request, view: View, status: int = 200) -> Response:
    """A view as a page; without its frame where htmx asked for a part of it."""
    if _in_part(request):
        return HTMLResponse(str(view.body), status)
    site: Site = request.app.state.site
    path = request.url.path.rstrip("/") or "/index"
    query = f"?{request.url.query}" if request.url.query else ""
    text = framed(
        view,
        absolute,
        styles=site.asset("superalign.css"),
        scripts=[site.asset(name) for name in (*SCRIPTS, *view.scripts)],
        person=person(request),
        csrf="" if site.static else csrf(request),
        static=site.static,
        store=site.store.file.name if site.store.file else "a database",
        json=f"{path}.json{query}" if status == 200 and request.method == "GET" else "",
    )
    return HTMLResponse(text, status)


def _in_part(request: Request) -> bool:
    """Whether htmx asks for a part of the page."""
    return request.headers.get("hx-request") == "true" and request.headers.get("hx-boosted") != "true"


def person(request: Request) -> str:
    """The name by which whoever sits at this browser answers; empty before it was given."""
    return str(request.session.get("person", ""))


def back(path: str) -> Response:
    """After a form: to a page, by GET."""
    return RedirectResponse(path, 303)


def refused(request: Request, error: Exception) -> Response:
    """A user's mistake as a page, or as JSON where JSON was asked for."""
    status = 404 if isinstance(error, NotHere) or request.method == "GET" else 400
    return failed(request, status, str(error))


def failed(request: Request, status: int, message: str) -> Response:
    """An error in words."""
    if request.url.path.endswith(".json"):
        return twin({"error": message}, status)
    title = "Not here" if status == 404 else "That did not work"
    return respond(request, View(title, fragment("fault.html", title=title, message=message), {}), status)


def number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the address's query, kept within bounds; the default where it is no number."""
    text = request.query_params.get(name, "")
    return min(max(int(text), low), high) if text.isascii() and text.isdecimal() and len(text) < 10 else default
