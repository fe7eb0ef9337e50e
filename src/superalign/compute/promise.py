"""What was promised of a pool of compute, and what came of it.

A promise is a share s of a pool whose capacity C is recorded as it changes; use is counted in the unit of the pool.

    promised     E(t) = integral of s C             delivered  D(t) = use up to t, from the beginning of the promise
    deficit      max(0, E(t) - D(t))                delivered share = D(T) / integral of C
    time-weighted deficit = 1/T integral of deficit(t) / E(t), from when anything is promised: 0 kept all along, 1 never
    demand-limited deficit = max(0, min(E, requested) - D): compute that nobody asked for is no broken promise

Shares and capacities change in steps, so E is linear between events and every integral is exact. Times are aware
datetimes; the capacity of a pool is in its unit an hour: graphics cards for gpu-hours, cores for cpu-hours.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

from superalign.compute.usage import Usage
from superalign.compute.waits import quantile
from superalign.core.errors import SpecError

PATIENCE = timedelta(days=14)
"""A request without an answer for longer is called unanswered."""


def moment(text: str) -> datetime:
    """A time as it was typed, ISO 8601; in UTC where it does not say. Raises SpecError for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise SpecError(f"{text!r} is no time; write 2026-01-31 or 2026-01-31T09:30:00+00:00") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class ComputePromise:
    """A share of a pool from `start` to `end`, as `source` says. `schedule`: at which times it becomes which share.

    Raises SpecError for a share outside 0 to 1, or times out of order.
    """

    share: float
    pool: str
    unit: str
    start: datetime
    end: datetime
    schedule: tuple[tuple[datetime, float], ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        for share in (self.share, *(share for _, share in self.schedule)):
            if not 0 <= share <= 1:
                raise SpecError(f"a promise has the share {share:g}; a share is from 0 to 1, such as 0.2 for a fifth")
        times = [self.start, *(time for time, _ in self.schedule), self.end]
        if any(after <= before for before, after in pairwise(times)):
            said = ", ".join(time.isoformat() for time in times)
            raise SpecError(f"the times of a promise are {said}; give start, then the schedule, then end, each later")

    def at(self, time: datetime) -> float:
        """The share that is promised at a time."""
        if not self.start <= time < self.end:
            return 0.0
        return [self.share, *(share for begun, share in self.schedule if begun <= time)][-1]


@dataclass(frozen=True, slots=True)
class PoolCapacity:
    """From `at` on a pool has `amount` an hour, in its unit."""

    at: datetime
    amount: float


@dataclass(frozen=True, slots=True)
class Use:
    """`amount` was used by `experiment`, in the unit of the pool, and had been by `at`; `usage` is all that it took."""

    at: datetime
    amount: float
    experiment: str = ""
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Request:
    """`amount` was asked for at `asked`. `decision`: granted, partial, refused or withdrawn, or None while it waits."""

    id: str
    asked: datetime
    amount: float
    purpose: str = ""
    decision: str | None = None
    granted: float = 0.0
    decided: datetime | None = None
    reason: str = ""

    def as_of(self, time: datetime) -> Request:
        """The request as it stood at a time."""
        if self.decided is None or self.decided <= time:
            return self
        return Request(self.id, self.asked, self.amount, self.purpose)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A time between events: hours since the beginning, promised at both ends, used until it began, capacity."""

    begin: float
    end: float
    promised: float
    promised_at_end: float
    used: float
    capacity: float | None

    @property
    def hours(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Terms:
    """All that is known of a pool: what was promised of it, what it had, and what of it was used."""

    promises: Sequence[ComputePromise]
    capacity: Sequence[PoolCapacity]
    uses: Sequence[Use]

    def span(self, as_of: datetime) -> tuple[datetime, datetime]:
        """From the first promise's beginning to the last one's end, or to `as_of` before that."""
        start = min(p.start for p in self.promises)
        return start, max(start, min(as_of, max(p.end for p in self.promises)))


def accounts(terms: Terms, as_of: datetime) -> dict[str, Any]:
    """Promised, delivered, capacity, deficit and shares as of a time, in the unit of the pool.

    Shares are None where there was no capacity yet, `time_weighted_deficit` is None where nothing was promised.
    `hours_without_capacity`: hours of the promise for which no capacity is known; nothing counts as promised there.
    """
    start, end = terms.span(as_of)
    stretches = _stretches(terms, start, end)
    promised = stretches[-1].promised_at_end if stretches else 0.0
    delivered = math.fsum(use.amount for use in terms.uses if start <= use.at <= end)
    capacity = math.fsum(s.capacity * s.hours for s in stretches if s.capacity is not None)
    owing = [s for s in stretches if s.promised_at_end > 0]
    hours = math.fsum(s.hours for s in owing)
    return {
        "from": start.isoformat(),
        "until": end.isoformat(),
        "promised": promised,
        "delivered": delivered,
        "capacity": capacity,
        "promised_share": promised / capacity if capacity else None,
        "delivered_share": delivered / capacity if capacity else None,
        "deficit": max(0.0, promised - delivered),
        "time_weighted_deficit": math.fsum(_missed(s) for s in owing) / hours if hours else None,
        "hours_without_capacity": math.fsum(s.hours for s in stretches if s.capacity is None),
    }


def curve(terms: Terms, as_of: datetime) -> list[dict[str, Any]]:
    """Rows of a chart: `step` (days since the promise began), `time`, `value` and `series`, which is promised,
    delivered or deficit. Delivered goes up in steps, so it has two rows at such a time."""
    start, end = terms.span(as_of)
    rows: list[dict[str, Any]] = []

    def add(hours: float, promised: float, delivered: float) -> None:
        time = (start + timedelta(hours=hours)).isoformat(timespec="seconds")
        values = {"promised": promised, "delivered": delivered, "deficit": max(0.0, promised - delivered)}
        rows.extend({"step": hours / 24, "time": time, "value": v, "series": name} for name, v in values.items())

    for stretch in _stretches(terms, start, end):
        add(stretch.begin, stretch.promised, stretch.used)
        add(stretch.end, stretch.promised_at_end, stretch.used)
    whole = accounts(terms, as_of)
    add((end - start) / timedelta(hours=1), whole["promised"], whole["delivered"])
    seen = {(row["series"], row["step"], row["value"]): row for row in rows}
    return sorted(seen.values(), key=lambda row: ("promised", "delivered", "deficit").index(row["series"]))


def _stretches(terms: Terms, start: datetime, end: datetime) -> list[_Stretch]:
    times = {start, end, *(use.at for use in terms.uses), *(c.at for c in terms.capacity)}
    for promise in terms.promises:
        times |= {promise.start, promise.end, *(time for time, _ in promise.schedule)}
    inside = sorted(time for time in times if start <= time <= end)
    capacity = sorted(terms.capacity, key=lambda c: c.at)  # a later row at the same time corrects the one before it
    uses = sorted((use for use in terms.uses if use.at >= start), key=lambda use: use.at)
    totals = list(accumulate((use.amount for use in uses), initial=0.0))
    found: list[_Stretch] = []
    promised = 0.0
    for begin, after in pairwise(inside):
        known = bisect_right(capacity, begin, key=lambda c: c.at)
        had = capacity[known - 1].amount if known else None
        since, until = ((time - start) / timedelta(hours=1) for time in (begin, after))
        grown = promised + sum(p.at(begin) for p in terms.promises) * (had or 0.0) * (until - since)
        used = totals[bisect_right(uses, begin, key=lambda use: use.at)]
        found.append(_Stretch(since, until, promised, grown, used, had))
        promised = grown
    return found


def _missed(s: _Stretch) -> float:
    """The integral of deficit / promised over a stretch, in hours: of 1 - D/E where E, which is linear, is above D."""
    if s.promised_at_end <= s.used:
        return 0.0
    rate = (s.promised_at_end - s.promised) / s.hours
    if rate == 0:
        return s.hours * (1 - s.used / s.promised)
    above = max(s.promised, s.used)
    reached = s.used / rate * math.log(s.promised_at_end / above) if s.used else 0.0
    return (s.promised_at_end - above) / rate - reached


def answers(requests: Sequence[Request], as_of: datetime, patience: timedelta = PATIENCE) -> dict[str, Any]:
    """What became of the requests that were made by `as_of`: counts, refusal rates, waits in days, the unanswered.

    A part of a grant counts as refused for the rest, in both rates: else a token grant would hide a refusal. Who
    withdrew was not answered: it waited at least so long. A median that is not reached yet is None.
    """
    known = [r.as_of(as_of) for r in requests if r.asked <= as_of]
    decided = [r for r in known if r.decision in ("granted", "partial", "refused")]
    asked, refused = math.fsum(r.amount for r in decided), math.fsum(r.amount - r.granted for r in decided)
    waits = [((r.decided or as_of) - r.asked, r in decided) for r in known]
    days = [(wait / timedelta(days=1), answered) for wait, answered in waits]
    counts = {word: sum(r.decision == word for r in known) for word in ("granted", "partial", "refused", "withdrawn")}
    return {
        "requests": len(known),
        **counts,
        "pending": sum(r.decision is None for r in known),
        "unanswered": [r.id for r in known if r.decision is None and as_of - r.asked > patience],
        "requested": math.fsum(r.amount for r in known if r.decision != "withdrawn"),
        "granted_amount": math.fsum(r.granted for r in known),
        "refusal_rate": math.fsum(1 - r.granted / r.amount for r in decided) / len(decided) if decided else None,
        "refusal_rate_by_amount": refused / asked if decided else None,
        "wait_p50_days": quantile(days, Fraction(1, 2)),
        "wait_p95_days": quantile(days, Fraction(19, 20)),
    }


def demand_limited(promised: float, delivered: float, requested: float) -> float:
    """The deficit of what was both promised and asked for. What was granted and is not used yet counts as missing."""
    return max(0.0, min(promised, requested) - delivered)


def spent(uses: Sequence[Use]) -> dict[str, Any]:
    """What was used in all, and by each experiment in the unit of the pool, the largest first."""
    experiments: dict[str, float] = {}
    for use in uses:
        experiments[use.experiment] = experiments.get(use.experiment, 0.0) + use.amount
    return {
        "usage": sum((use.usage for use in uses), Usage()).row(),
        "experiments": dict(sorted(experiments.items(), key=lambda pair: (-pair[1], pair[0]))),
    }
