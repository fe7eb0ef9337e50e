"""`/enter`: the token, where there is one, and a person's name."""

from __future__ import annotations

import hmac
import unicodedata

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from superalign.core.errors import UserError
from superalign.report.view import View, absolute
from superalign.report.views import entrance
from superalign.web.page import Fields, act, back, first, look, person, respond
from superalign.web.safety import csrf, entered, fingerprint
from superalign.web.site import Site

LONGEST = 60


def routes(site: Site) -> list[BaseRoute]:
    """The routes of the entrance."""

    def show(request: Request, fault: str = "") -> View:
        locked, then = not entered(request, site.token), local(request.query_params.get("then", "/"))
        return entrance.entrance(absolute, csrf(request), locked, person(request), fault, then)

    def come_in(request: Request, fields: Fields) -> Response:
        if not entered(request, site.token):
            given = first(fields, "token")
            if not hmac.compare_digest(given.encode(), site.token.encode()):
                return respond(
                    request, show(request, "that is not the token; the server printed it when it started"), 403
                )
            request.session["entered"] = fingerprint(site.token)
        name = named(first(fields, "person"))
        if name:
            request.session["person"] = name
        return back(local(first(fields, "then") or "/"))

    return [*look("/enter", show), act("/enter", come_in)]


def named(text: str) -> str:
    """A person's name as it is kept: one line, no invisible characters. Raises UserError where it is too long."""
    name = " ".join("".join(c for c in unicodedata.normalize("NFC", text) if c.isprintable()).split())
    if len(name) > LONGEST:
        raise UserError(f"a name has at most {LONGEST} characters; shorten it")
    return name


def local(address: str) -> str:
    """An address on this page; `/` for any other."""
    fine = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if fine else "/"
