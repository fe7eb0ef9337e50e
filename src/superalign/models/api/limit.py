"""How many requests are under way at once: as many as the server takes.

The number grows by one for each round of successes and is halved when the server is too busy, once for all the
requests that were sent before the halving, since those say the same thing (additive increase, multiplicative
decrease: Chiu & Jain, 1989). Where a server says how long to wait, everybody waits.
"""

from __future__ import annotations

import contextlib
import email.utils
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from superalign.core.errors import ModelError
from superalign.models.api.wire import Failed


class Limit:
    """At most `most` requests at once, fewer while the server is busy. Shared by threads.

    `clock` gives seconds from any start. Raises ModelError where `most` is not 1 or more.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        if not isinstance(most, int) or most < 1:
            raise ModelError(f"concurrency={most} lets nothing through; write a whole number of 1 or more")
        self.most, self._clock = most, clock
        self.now = float(most)
        """The present limit, from 1.0 to `most`."""
        self._busy = 0
        self._cut = self._until = -math.inf
        self._turn = threading.Condition()

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """One request's place, waited for. A `Failed` that leaves the block is taken as the server's word."""
        sent = self._enter()
        try:
            yield
        except Failed as failed:
            self._leave(sent, crowded=failed.crowded, grown=False)
            raise
        except BaseException:
            self._leave(sent, crowded=False, grown=False)
            raise
        self._leave(sent, crowded=False, grown=True)

    def pause(self, seconds: float) -> None:
        """Nobody sends for so long."""
        with self._turn:
            self._until = max(self._until, self._clock() + seconds)

    def _enter(self) -> float:
        with self._turn:
            while True:
                now = self._clock()
                if now < self._until:
                    self._turn.wait(self._until - now)
                elif self._busy < int(self.now):
                    self._busy += 1
                    return now
                else:
                    self._turn.wait()

    def _leave(self, sent: float, *, crowded: bool, grown: bool) -> None:
        with self._turn:
            self._busy -= 1
            if crowded and sent > self._cut:
                self.now = max(1.0, self.now / 2)
                self._cut = self._clock()
            elif grown:
                self.now = min(float(self.most), self.now + 1 / self.now)
            self._turn.notify(max(1, int(self.now) - self._busy))


def asked_to_wait(headers: Mapping[str, str], now: datetime | None = None) -> float:
    """Seconds that a reply's headers ask to wait before the next request; 0 where they do not.

    Reads `Retry-After` (seconds or an HTTP date, against the server's own `Date`), `retry-after-ms`, and pairs such as
    `x-ratelimit-remaining-requests: 0` with `x-ratelimit-reset-requests: 6m0s`. `headers` have lower-case names.
    """
    now = _date(headers.get("date", "")) or now or datetime.now(UTC)
    milliseconds = _seconds(headers.get("retry-after-ms", ""), now)
    if milliseconds is not None:
        return milliseconds / 1000
    waits = [_seconds(headers.get("retry-after", ""), now)]
    for name, value in headers.items():
        if "ratelimit" in name and "remaining" in name and _seconds(value, now) == 0:
            waits.append(_seconds(headers.get(name.replace("remaining", "reset"), ""), now))
    return max(0.0, *(wait for wait in waits if wait is not None), 0.0)


_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH = 1e9  # a number of seconds this large is a time, not a wait; a thousand times larger, in milliseconds


def _seconds(text: str, now: datetime) -> float | None:
    """A wait in seconds: `1.5`, `1m30s`, `120ms`, a Unix time or a date. None where it is none of them."""
    text = text.strip().lower()
    if re.fullmatch(r"\d{1,15}(\.\d{0,9})?", text):
        number = float(text) / (1000 if float(text) >= 1000 * _EPOCH else 1)
        return max(0.0, number - now.timestamp()) if number >= _EPOCH else number
    parts = _PARTS.findall(text)
    if parts and "".join(a + b for a, b in parts) == text:
        return sum(float(amount) * _UNITS[unit] for amount, unit in parts)
    date = _date(text)
    return max(0.0, (date - now).total_seconds()) if date is not None else None


def _date(text: str) -> datetime | None:
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        with contextlib.suppress(ValueError, TypeError, OverflowError, IndexError):
            date = read(text.strip().upper())
            return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return None
