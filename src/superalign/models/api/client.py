"""Sending one JSON request until it is answered or given up.

What may pass is tried again: 408, 409, 429, 5xx, lost connections, timeouts, bodies that are cut, empty or no JSON.
Between tries a call waits for a random time up to a bound that doubles ("full jitter"), and at least as long as the
server asks. A body has a deadline as a whole, so a server that sends a byte now and then does not hold a call for ever.
"""

from __future__ import annotations

import json
import random
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx

from superalign.models.api.limit import Limit, asked_to_wait
from superalign.models.api.service import Service
from superalign.models.api.wire import Failed, complaint

Read = TypeVar("Read")

LONGEST = 30.0
"""Seconds: the bound of random waits ends here."""

PATIENCE = 120.0
"""Seconds: a call whose server asks for a longer wait is given up; the next run makes it again."""

LARGEST = 32 << 20
"""Bytes of a reply that are read."""

SHOWN = 300
"""Characters of what a server says that a failure repeats."""

_HEADERS = {"content-type": "application/json", "accept": "application/json", "user-agent": "superalign"}


class Client:
    """Sends to a service. Shared by threads; `close` (or garbage collection) closes its connections.

    `timeout` in seconds for a try as a whole; `retries` after the first try; `backoff` is the bound in seconds of the
    first random wait. Holds no key: headers come with every request.
    """

    def __init__(self, service: Service, *, most: int, timeout: float, retries: int, backoff: float) -> None:
        self.service, self.timeout, self.retries, self.backoff = service, timeout, retries, backoff
        self.limit = Limit(most)
        plain = service.local and service.base.startswith("http:")  # nothing to verify, and loading roots is slow
        self._http = httpx.Client(
            timeout=httpx.Timeout(timeout, pool=None),  # the limit, not the pool, makes requests wait
            limits=httpx.Limits(max_connections=most, max_keepalive_connections=most),
            trust_env=not service.local,  # no proxy stands between a machine and itself
            verify=not plain,
        )
        self.close = weakref.finalize(self, self._http.close)

    def send(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str], read: Callable[[Mapping[str, Any]], Read]
    ) -> Read:
        """What `read` makes of the reply. Raises Failed when the call is given up; `read` may raise it too."""
        content = json.dumps(body).encode()
        for attempt in range(self.retries + 1):
            try:
                with self.limit.slot():
                    return read(self._once(path, content, headers))
            except Failed as failed:
                if not failed.again or attempt == self.retries:
                    tried = f" ({attempt + 1} tries)" if attempt else ""
                    raise Failed(failed.why + tried, status=failed.status) from None
            time.sleep(random.uniform(0, min(LONGEST, self.backoff * 2**attempt)))
        raise AssertionError("the last try returns or raises")

    def _once(self, path: str, content: bytes, headers: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            status, told, body = self._exchange(path, content, headers)
        except httpx.TimeoutException:
            raise self._late() from None
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise Failed(f"no connection: {self.service.base}: {error}", again=True) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Failed(f"cut off: {type(error).__name__}: {error}", again=True) from None
        wait = asked_to_wait(told)
        if 0 < wait <= PATIENCE:
            self.limit.pause(wait)
        if status == 200:
            return self._decoded(body)
        raise self._failure(status, body, wait)

    def _exchange(self, path: str, content: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers with lower-case names, and the whole body."""
        deadline = time.monotonic() + self.timeout
        request = self._http.build_request(
            "POST", self.service.base + path, content=content, headers={**_HEADERS, **headers}
        )
        response = self._http.send(request, stream=True)
        body = bytearray()
        try:
            for part in response.iter_bytes():
                body += part
                if time.monotonic() > deadline:
                    raise self._late()
                if len(body) > LARGEST:
                    raise Failed(f"malformed: the reply is longer than {LARGEST:,} bytes")
        finally:
            response.close()
        return response.status_code, {k.lower(): v for k, v in response.headers.items()}, bytes(body)

    def _late(self) -> Failed:
        return Failed(f"timeout: no whole reply within {self.timeout:g} s", again=True, crowded=True)

    def _decoded(self, body: bytes) -> Mapping[str, Any]:
        """The JSON object of a reply. Raises Failed for an empty body and for anything else."""
        if not body.strip():
            raise Failed("cut off: the body of the reply is empty", again=True)
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Failed(f"not JSON: {type(error).__name__} in {self._begins(body)}", again=True) from None
        if not isinstance(reply, dict):
            raise Failed(f"malformed: the reply is no object but {self._begins(body)}", again=True)
        if reply.get("error") and not reply.get("choices"):  # some gateways report errors with status 200
            raise Failed(f"server error 200: {self.service.shown(complaint(body), SHOWN)}", again=True)
        return reply

    def _begins(self, body: bytes) -> str:
        return repr(self.service.shown(body.decode("utf-8", "replace"), 60))

    def _failure(self, status: int, body: bytes, wait: float) -> Failed:
        """What a status other than 200 means."""
        why = self.service.shown(complaint(body), SHOWN)
        if wait > PATIENCE:
            why = f"the server asks to wait {wait:,.0f} s; run again later ({why})"
        if status == 429:
            spent = b"insufficient_quota" in body  # no patience brings the money back
            return Failed(f"rate limit: {why}", again=wait <= PATIENCE and not spent, crowded=True, status=status)
        if status >= 500 or status in (408, 409):
            crowded = status in (408, 503, 529)
            return Failed(f"server error {status}: {why}", again=wait <= PATIENCE, crowded=crowded, status=status)
        kind = "key" if status in (401, 403) else "refused"
        return Failed(f"{kind}: status {status}: {why}", status=status)
