"""What keeps the page safe: who may ask (host, session, token), from where (no other site), how much, and what a browser
may do with the answer.

A page on the loopback interface is reachable by every site that the user's browser visits: by a form that posts here,
and by a name that is rebound to 127.0.0.1. So names are checked, forms carry the session's secret, and a browser that
says where a request comes from is believed.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT = 1 << 20
"""Bytes of a request's body."""

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Middleware: refuses foreign names and foreign sites, cuts long bodies off, and puts the headers on answers.

    `names` are the host names by which the page may be called; with `numbers`, any IP address too (nobody can rebind
    one).
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = LOOPBACK, numbers: bool = False) -> None:
        self.app, self.names, self.numbers = app, {n.lower() for n in names} | LOOPBACK, numbers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            await PlainTextResponse(refusal[1], refusal[0], headers=HEADERS)(scope, receive, send)
            return
        await self.app(scope, _limited(receive), _with_headers(send))

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._known(host):
            return 421, f"this page does not answer to the name {host[:100]!r}; start it with --allow-host NAME"
        if not headers.get("content-length", "0").isdecimal() or int(headers.get("content-length", "0")) > LIMIT:
            return 413, f"a request may have {LIMIT:,} bytes; send less"
        if method in ("GET", "HEAD"):
            return None
        if method != "POST":
            return 405, "only GET and POST are answered"
        site, origin = headers.get("sec-fetch-site", "same-origin"), headers.get("origin")
        if site not in ("same-origin", "none") or (origin is not None and urlsplit(origin).netloc != host):
            return 403, "a form of another site cannot be sent to this page"
        return None

    def _known(self, host: str) -> bool:
        if not _HOST.fullmatch(host):
            return False
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self.names:
            return True
        try:
            return self.numbers and bool(ipaddress.ip_address(name))
        except ValueError:
            return False


def _limited(receive: Receive) -> Receive:
    """What is read, until it is too much: a chunked body has no length to look at beforehand."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LIMIT:
            raise TooLarge
        return message

    return counted


def _with_headers(send: Send) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            found = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                found.setdefault(name, value)
        await send(message)

    return headed


class TooLarge(Exception):
    """More bytes than a request may have."""


def csrf(request: HTTPConnection) -> str:
    """The secret of this session, which every form carries; made when it is first needed."""
    found = request.session.get("csrf")
    if not isinstance(found, str):
        found = request.session["csrf"] = secrets.token_urlsafe(24)
    return found


def forged(request: Request, given: str) -> bool:
    """Whether a form does not carry the secret of its session."""
    known = request.session.get("csrf")
    return not (isinstance(known, str) and hmac.compare_digest(known.encode(), given.encode()))


def entered(request: HTTPConnection, token: str) -> bool:
    """Whether the session may come in: always where there is no token."""
    return not token or hmac.compare_digest(str(request.session.get("entered", "")), fingerprint(token))


def fingerprint(token: str) -> str:
    """What a session remembers of the token it came in with; another token ends all sessions."""
    return hmac.new(token.encode(), b"superalign session", "sha256").hexdigest()
