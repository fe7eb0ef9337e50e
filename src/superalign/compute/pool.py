"""A pool of compute as a stream of the store: promises, capacity, requests and their answers, use. Nothing is changed
or taken back; every row says when it was written, beside the time that it is about.

Functions take and return plain values, times in ISO 8601. Use is that of the team to which the promise was made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from superalign.compute.promise import (
    PATIENCE,
    ComputePromise,
    PoolCapacity,
    Request,
    Terms,
    Use,
    accounts,
    answers,
    curve,
    demand_limited,
    moment,
    spent,
)
from superalign.compute.replica import Replica, Row
from superalign.compute.usage import Prices, Usage, unit_of
from superalign.core.errors import SpecError, nearest
from superalign.core.ports import Store

PREFIX = "compute/"
"""Where pools are in a store, before their names."""
DECISIONS = ("granted", "partial", "refused", "withdrawn")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


class Records:
    """The rows of a pool, read."""

    def __init__(self, pool: str) -> None:
        self.pool, self.unit = pool, ""
        self.promises: list[ComputePromise] = []
        self.capacity: list[PoolCapacity] = []
        self.requests: dict[str, Request] = {}
        self.uses: list[Use] = []

    def apply(self, row: Row) -> None:
        """Take a row in. Raises KeyError, TypeError, ValueError or SpecError for one that does not fit."""
        kinds = {"promise": self._promise, "capacity": self._capacity, "request": self._request,
                 "decide": self._decide, "use": self._use}  # fmt: skip
        if row["type"] not in kinds:
            raise ValueError(f"a pool has no rows {row['type']!r}")
        kinds[row["type"]](row)

    def check(self, row: Row) -> None:
        """Raise what `apply` would raise, and take nothing in."""
        trial = Records(self.pool)
        trial.unit, trial.promises, trial.capacity = self.unit, list(self.promises), list(self.capacity)
        trial.requests, trial.uses = dict(self.requests), list(self.uses)
        trial.apply(row)

    def _promise(self, row: Row) -> None:
        unit = self._same_unit(row["unit"])
        steps = tuple((moment(time), share_of(share)) for time, share in row["schedule"])
        new = ComputePromise(
            share_of(row["share"]), self.pool, unit, moment(row["start"]), moment(row["end"]), steps, str(row["source"])
        )
        promises = [*self.promises, new]
        for time in sorted({t for p in promises for t in (p.start, *(t for t, _ in p.schedule))}):
            together = math.fsum(p.at(time) for p in promises)
            if together > 1 + 1e-9:
                raise SpecError(
                    f"from {time.isoformat()} on {together:g} of the pool {self.pool!r} would be promised; "
                    "promises are at most 1 together: give a smaller share or an earlier end"
                )
        self.promises, self.unit = promises, unit

    def _capacity(self, row: Row) -> None:
        unit = self._same_unit(row["unit"])
        self.capacity.append(PoolCapacity(moment(row["at"]), _positive(row["amount"], "a capacity", least=0.0)))
        self.unit = unit

    def _request(self, row: Row) -> None:
        name = str(row["request"])
        if name in self.requests:
            raise SpecError(f"there is a request {name!r} already; leave out its name, or give another one")
        amount = _positive(row["amount"], "a request")
        self.requests[name] = Request(name, moment(row["at"]), amount, str(row["purpose"]))

    def _decide(self, row: Row) -> None:
        found = self.requests.get(row["request"])
        if found is None:
            raise SpecError(f"there is no request {row['request']!r}; {nearest(str(row['request']), self.requests)}")
        if found.decided is not None:
            raise SpecError(
                f"the request {found.id!r} was answered ({found.decision}) on {found.decided.isoformat()}; ask anew: "
                f"superalign compute request {self.pool} AMOUNT"
            )
        decided = moment(row["at"])
        if decided < found.asked:
            raise SpecError(
                f"{found.id!r} was made on {found.asked.isoformat()}; it cannot be decided before, give --at"
            )
        granted = _granted(found, str(row["decision"]), row["amount"])
        self.requests[found.id] = replace(
            found, decision=row["decision"], granted=granted, decided=decided, reason=str(row["reason"])
        )

    def _use(self, row: Row) -> None:
        used = Usage(**row["usage"])
        amount = used.amount(self.needs_unit())
        if not amount > 0:
            raise SpecError(f"this use has no {self.unit}, in which the pool {self.pool!r} is counted; say how much")
        self.uses.append(Use(moment(row["at"]), amount, str(row["experiment"]), used))

    def _same_unit(self, unit: str) -> str:
        if self.unit and unit != self.unit:
            raise SpecError(f"the pool {self.pool!r} is counted in {self.unit}, not in {unit}; use another pool")
        return unit_of(unit)

    def needs_unit(self) -> str:
        """The unit of the pool. Raises SpecError where none was given yet."""
        if not self.unit:
            raise SpecError(
                f"the pool {self.pool!r} has no unit yet; type: superalign compute promise {self.pool} --share 0.2 "
                "--unit gpu-hours --start 2026-01-01 --end 2027-01-01 --source TEXT"
            )
        return self.unit

    def terms(self) -> Terms:
        """What the account is made of. Raises SpecError where nothing was promised."""
        if not self.promises:
            raise SpecError(
                f"nothing was promised of the pool {self.pool!r}; type: superalign compute promise {self.pool} "
                "--share 0.2 --unit gpu-hours --start 2026-01-01 --end 2027-01-01 --source TEXT"
            )
        return Terms(self.promises, self.capacity, self.uses)


class Pool:
    """A pool of a store. Each method that records returns the row that it has written.

    Times are ISO 8601 and now where they are left out. Raises SpecError for what does not fit what is there.
    """

    def __init__(self, store: Store, name: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        if not _NAME.fullmatch(name):
            raise SpecError(f"{name!r} is no name of a pool; use letters, digits, dots, dashes and underscores")
        self.name, self._clock = name, clock
        self._replica = Replica(store, PREFIX + name, Records(name))

    def promise(
        self, share: float, unit: str, start: str, end: str, source: str, schedule: Sequence[tuple[str, float]] = ()
    ) -> Row:
        """Record that a share of the pool was promised, where that is written, and at which times it changes."""
        if not source.strip():
            raise SpecError("a promise needs its source: who said so, where and when; give --source TEXT")
        steps = [[self._time(time), s] for time, s in schedule]
        return self._write({"type": "promise", "share": share, "unit": unit, "start": self._time(start),
                            "end": self._time(end), "schedule": steps, "source": source})  # fmt: skip

    def capacity(self, amount: float, at: str | None = None, unit: str | None = None) -> Row:
        """Record what the pool has an hour from a time on: graphics cards for gpu-hours, cores for cpu-hours."""
        known = unit or self._replica.ask(Records.needs_unit)
        return self._write({"type": "capacity", "amount": amount, "unit": known, "at": self._time(at)})

    def request(self, amount: float, purpose: str, by: str = "", at: str | None = None, name: str | None = None) -> Row:
        """Record a request for an amount, in the unit of the pool. Without a name it gets the next number, r1 and so on."""
        row = {"type": "request", "amount": amount, "purpose": purpose, "by": by, "at": self._time(at)}

        if name is not None and not _NAME.fullmatch(name):
            raise SpecError(f"{name!r} is no name of a request; use letters, digits, dots, dashes and underscores")

        def numbered(records: Records) -> Row:
            records.needs_unit()
            free = (f"r{k}" for k in count(len(records.requests) + 1))
            return {**row, "request": name or next(r for r in free if r not in records.requests)}

        return self._write(numbered)

    def decide(
        self, request: str, decision: str, amount: float | None = None, reason: str = "", at: str | None = None
    ) -> Row:
        """Record the answer to a request: granted, partial with the amount, refused, or withdrawn by who asked."""
        return self._write({"type": "decide", "request": request, "decision": decision, "amount": amount,
                            "reason": reason, "at": self._time(at)})  # fmt: skip

    def use(self, experiment: str, used: Usage, at: str | None = None, prices: Prices | None = None) -> Row:
        """Record what an experiment has used, with its price where there is a table of them."""
        return self._write(self._used(experiment, used, at, prices))

    def check(self, experiment: str, used: Usage, at: str | None = None, prices: Prices | None = None) -> None:
        """Raise what `use` would raise, and record nothing: for work that takes long."""
        row = self._used(experiment, used, at, prices)
        self._replica.ask(lambda records: records.check(row))

    def _used(self, experiment: str, used: Usage, at: str | None, prices: Prices | None) -> Row:
        row = {"type": "use", "experiment": experiment, "at": self._time(at)}
        if prices is None:
            return {**row, "usage": used.row()}
        return {**row, "usage": prices.charge(used).row(), "prices": prices.date}

    @property
    def unit(self) -> str:
        """In what the pool is counted. Raises SpecError where that was not said yet."""
        return self._replica.ask(Records.needs_unit)

    def report(self, as_of: str | None = None, patience: timedelta = PATIENCE) -> dict[str, Any]:
        """Promise and delivery, requests and waits, as of a time, in plain values: `accounts` and `answers`, with
        `demand_limited_deficit` and what was used in all (`spent`)."""
        time = moment(self._time(as_of))

        def ask(records: Records) -> dict[str, Any]:
            told, said = accounts(records.terms(), time), answers(list(records.requests.values()), time, patience)
            limited = demand_limited(told["promised"], told["delivered"], said["requested"])
            return {
                "pool": self.name, "unit": records.unit, "as_of": time.isoformat(),
                "sources": [p.source for p in records.promises], **told, "demand_limited_deficit": limited, **said,
                "patience_days": patience / timedelta(days=1), **spent([use for use in records.uses if use.at <= time]),
            }  # fmt: skip

        return self._replica.ask(ask)

    def curve(self, as_of: str | None = None) -> list[dict[str, Any]]:
        """Rows of a chart of what was promised, delivered and missing."""
        time = moment(self._time(as_of))
        return self._replica.ask(lambda records: curve(records.terms(), time))

    def _time(self, text: str | None) -> str:
        time = self._clock().replace(microsecond=0) if text is None else moment(text)
        return time.isoformat()

    def _write(self, row: Row | Callable[[Records], Row]) -> Row:
        def choose(records: Records) -> list[Row]:
            chosen = {**(row(records) if callable(row) else row), "written": self._time(None)}
            records.check(chosen)
            return [chosen]

        return self._replica.decide(choose)[0]


def share_of(share: Any) -> float:
    """A number, checked to be one. Raises SpecError."""
    return _positive(share, "a share", least=0.0)


def _granted(request: Request, decision: str, amount: float | None) -> float:
    if decision not in DECISIONS:
        raise SpecError(f"a request is not {decision!r}; {nearest(decision, DECISIONS)}")
    whole = {"granted": request.amount, "refused": 0.0, "withdrawn": 0.0}.get(decision)
    if whole is None:
        if amount is None or not 0 < _positive(amount, "a grant") < request.amount:
            raise SpecError(
                f"{request.id!r} asks for {request.amount:g}; a part of it is more than 0 and less: give --amount, or "
                "decide granted or refused"
            )
        return float(amount)
    if amount is not None and amount != whole:
        raise SpecError(
            f"{request.id!r} asks for {request.amount:g}, and {amount:g} of it is not {decision}; say partial"
        )
    return whole


def _positive(value: Any, what: str, least: float = math.ulp(0.0)) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
        raise SpecError(f"{what} of {value!r}; give a number {'above 0' if least else 'of 0 or more'}")
    return float(value)
