"""A budget that many workers share: what work may use is set aside before it begins, and settled when it has ended.

    reserve   sets aside the most that a piece of work may use; refused where that is more than is left
    settle    charges what it used, at most what was set aside; the rest comes back, and what went over is told
    expire    what a worker that never came back had set aside comes back after its time, and is told as lost

At every row, what is set aside and what was charged are together at most the cap. Rows are a stream of the store, each
decided at the newest head, so this holds for any number of threads, processes and machines; and it is checked again
whenever the stream is read. A hold has the name of its work: a worker that was killed and begins again asks for the
same name and gets the same hold, and work that was settled is not charged twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal

from superalign.compute.replica import Replica, Row
from superalign.core.errors import SpecError, nearest
from superalign.core.ports import Store

RESOURCES = ("seconds", "evaluations", "tokens", "usd")

Amount = Mapping[str, float]
"""How much of each resource. In a cap, a resource that is not named is counted but not bounded."""

TTL = 3600.0
"""Seconds after which a hold comes back by itself. Longer than any piece of work should take."""
MOST = 1e9
"""The most of a resource: millionths of it are exact in a float."""
_SCALE = 10**6
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]*)", re.ASCII)

_Exact = dict[str, int]  # in millionths: sums of floats would exceed a cap by their last bits, or miss it


def parse_budget(text: str) -> dict[str, float]:
    """A cap from what was typed: `40s`, `10m`, `2h`, `600 evaluations` or `600`, `20000 tokens`, `5 usd`; several with
    commas. Raises SpecError for anything else."""
    found: dict[str, float] = {}
    for part in text.lower().split(","):
        match = _PART.fullmatch(part.strip())
        amount, unit = (float(match[1]), match[2] or "evaluations") if match else (0.0, "")
        resource = "seconds" if unit in _TIMES else unit
        if amount <= 0 or resource not in RESOURCES or resource in found:
            raise SpecError(
                f"the budget {text!r} has {part.strip()!r}; write 40s, 10m, 2h, 600 evaluations, 20000 tokens or 5 usd, "
                "each at most once, with commas between"
            )
        found[resource] = amount * _TIMES.get(unit, 1)
    return _plain(_exact(found, f"the budget {text!r}"))


@dataclass(frozen=True, slots=True)
class Held:
    """The answer to a reservation: `held`; `refused`, and why; or `settled` before, so that the work is done."""

    hold: str
    status: Literal["held", "refused", "settled"]
    amount: Amount
    why: str = ""

    def __bool__(self) -> bool:
        """Whether the work may go on."""
        return self.status != "refused"


@dataclass(frozen=True, slots=True)
class Settled:
    """What a hold was settled at: what the budget was charged, and what was used beyond that."""

    hold: str
    charged: Amount
    overrun: Amount


@dataclass(slots=True)
class _Hold:
    amount: _Exact
    until: float


class Budget:
    """The state of a budget: its rows added up. It does no I/O and has no clock.

    `reserve` and `settle` say which rows to append; `apply` takes a row in, and refuses one that breaks the cap.
    """

    def __init__(self) -> None:
        self._cap: _Exact | None = None
        self._holds: dict[str, _Hold] = {}
        self._lapsed: dict[str, _Exact] = {}
        self._settled: dict[str, Settled] = {}
        self._charged: _Exact = {}
        self._overrun: _Exact = {}
        self._refused = 0

    def open(self, cap: Amount | None, now: float) -> list[Row]:
        """Rows that give the budget its cap. Raises SpecError for another cap than it has."""
        asked = None if cap is None else _exact(cap, "the cap")
        if self._cap is None:
            if cap is None:
                raise SpecError("this budget was never opened; open it with a cap, such as {'evaluations': 600}")
            return [{"type": "cap", "at": now, "cap": _plain(asked or {})}]
        if asked is not None and asked != self._cap:
            raise SpecError(
                f"this budget was opened with {_said(self._cap)}, and is asked for {_said(asked)}; a cap is frozen: "
                "go on with the one it has, or open another budget"
            )
        return []

    def reserve(self, hold: str, amount: Amount, purpose: str, now: float, ttl: float) -> list[Row]:
        """Rows that set `amount` aside until `now + ttl`, or refuse it; none where the hold was settled before.

        Holds whose time is over come back first. A hold of this name that is there is replaced, where the new amount
        fits. Raises SpecError where the amount leaves out a resource that is capped, and for an amount of nothing.
        """
        asked = self._complete(_exact(amount, f"the hold {hold!r}"), f"the hold {hold!r} sets aside")
        if not hold or not any(asked.values()):
            raise SpecError(f"the hold {hold!r} has {_said(asked)}; give it a name and more than 0 of something")
        if hold in self._settled:
            return []
        over = [name for name, held in self._holds.items() if held.until <= now and name != hold]
        rows: list[Row] = [{"type": "expire", "at": now, "hold": name} for name in over]
        row = {"hold": hold, "at": now, "amount": _plain(asked), "purpose": purpose}
        lacking = self._lacking(asked, without=(*over, hold))
        if lacking:
            return [*rows, {"type": "refuse", **row, "why": lacking}]
        return [*rows, {"type": "reserve", **row, "until": now + ttl}]

    def settle(self, hold: str, used: Amount, now: float) -> list[Row]:
        """The row that charges what a hold used; none where it was settled before.

        Of what is capped at most the hold is charged, and after its time at most what is left. Raises SpecError for a
        hold that is none, and where `used` leaves out what was set aside.
        """
        if hold in self._settled:
            return []
        live = self._holds.get(hold)
        bound = live.amount if live is not None else self._lapsed.get(hold)
        if bound is None:
            raise SpecError(f"{hold!r} is no hold to settle; {nearest(hold, self._holds)}")
        spent = _exact(used, f"what {hold!r} used")
        missing = [name for name in bound if name not in spent]
        if missing:
            raise SpecError(f"{hold!r} set {missing[0]} aside; say how much it used, 0 for nothing")
        charged = {}
        for name, amount in spent.items():
            most = bound.get(name, 0) if live is not None else min(bound.get(name, 0), self._left(name))
            charged[name] = min(amount, most) if name in (self._cap or {}) else amount
        overrun = {name: amount - charged[name] for name, amount in spent.items()}
        return [{"type": "settle", "at": now, "hold": hold, "used": _plain(spent), "charged": _plain(charged),
                 "overrun": _plain({k: v for k, v in overrun.items() if v})}]  # fmt: skip

    def outcome(self, hold: str) -> Settled | None:
        """What a hold was settled at, None where it was not."""
        return self._settled.get(hold)

    def apply(self, row: Row) -> None:
        """Take a row in. Raises KeyError, TypeError, ValueError or SpecError for one that breaks the rules."""
        kind = row["type"]
        if (self._cap is None) != (kind == "cap"):
            raise ValueError(f"a budget begins with its cap, once, and not with {kind!r}")
        steps = {"cap": self._begin, "reserve": self._hold, "refuse": self._refuse, "settle": self._charge,
                 "expire": self._expire}  # fmt: skip
        if kind not in steps:
            raise ValueError(f"a budget has no rows {kind!r}")
        steps[kind](row)

    def _begin(self, row: Row) -> None:
        self._cap = _exact(row["cap"], "the cap")

    def _hold(self, row: Row) -> None:
        name, amount = str(row["hold"]), _exact(row["amount"], "a hold")
        lacking = self._lacking(amount, without=(name,))
        if lacking or name in self._settled:
            raise ValueError(lacking or f"{name!r} was settled before")
        self._lapsed.pop(name, None)
        self._holds[name] = _Hold(amount, float(row["until"]))

    def _refuse(self, row: Row) -> None:
        self._refused += 1

    def _charge(self, row: Row) -> None:
        name, charged, overrun = (
            str(row["hold"]),
            _exact(row["charged"], "a charge"),
            _exact(row["overrun"], "an overrun"),
        )
        if name in self._settled or (name not in self._holds and name not in self._lapsed):
            raise ValueError(f"{name!r} is no hold to settle")
        lacking = self._lacking(charged, without=(name,))
        if lacking:
            raise ValueError(lacking)
        self._holds.pop(name, None)
        self._lapsed.pop(name, None)
        self._settled[name] = Settled(name, _plain(charged), _plain(overrun))
        self._charged = _sum(self._charged, charged)
        self._overrun = _sum(self._overrun, overrun)

    def _expire(self, row: Row) -> None:
        held = self._holds[str(row["hold"])]
        if float(row["at"]) < held.until:
            raise ValueError(f"{row['hold']!r} expires before its time")
        self._lapsed[str(row["hold"])] = self._holds.pop(str(row["hold"])).amount

    def left(self) -> dict[str, float]:
        """What is left of every resource that is capped."""
        return _plain({name: self._left(name) for name in self._cap or {}})

    def summary(self) -> dict[str, Any]:
        """The budget in plain values. `overrun` was used beyond what was set aside, and is not in `settled`; of `lost`,
        what holds that expired had set aside, nobody knows how much was used."""
        held = _sum(*(h.amount for h in self._holds.values()))
        return {
            "cap": _plain(self._cap or {}), "held": _plain(held), "settled": _plain(self._charged),
            "left": self.left(), "overrun": _plain(self._overrun), "lost": _plain(_sum(*self._lapsed.values())),
            "holds": {name: _plain(h.amount) for name, h in self._holds.items()}, "refused": self._refused,
        }  # fmt: skip

    def _complete(self, amount: _Exact, what: str) -> _Exact:
        missing = [name for name in self._cap or {} if name not in amount]
        if missing:
            raise SpecError(f"{what} {_said(amount)}, and {missing[0]} is capped too; write {missing[0]}=0 for none")
        return amount

    def _left(self, name: str, without: tuple[str, ...] = ()) -> int:
        held = sum(h.amount.get(name, 0) for key, h in self._holds.items() if key not in without)
        return (self._cap or {}).get(name, 0) - self._charged.get(name, 0) - held

    def _lacking(self, amount: _Exact, without: tuple[str, ...]) -> str:
        """Of which resource less is left than `amount`, as a sentence; empty where there is enough."""
        for name in self._cap or {}:
            left = self._left(name, without)
            if amount.get(name, 0) > left:
                return f"{_said({name: amount[name]})} is more than the {_said({name: left})} left"
        return ""


class Account:
    """A budget in a stream of the store. One may be shared by threads; each process opens its own.

    The first who opens it gives it its `cap`, which is frozen; to open one that is there, `cap` may be left out.
    """

    def __init__(
        self, store: Store, stream: str, cap: Amount | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.stream, self._clock = stream, clock
        self._replica = Replica(store, stream, Budget())
        self._replica.decide(lambda budget: budget.open(cap, self._now()))

    def reserve(self, hold: str, amount: Amount, purpose: str = "", ttl: float = TTL) -> Held:
        """Set the most that a piece of work may use aside, under a name that is the work's own.

        `ttl`: the hold comes back after so many seconds, unless it was settled or reserved again.
        """
        rows = self._replica.decide(lambda budget: budget.reserve(hold, amount, purpose, self._now(), ttl))
        if not rows:
            return Held(hold, "settled", amount)
        last = rows[-1]
        refused = last["type"] == "refuse"
        return Held(hold, "refused" if refused else "held", last["amount"], last["why"] if refused else "")

    def settle(self, hold: str, used: Amount) -> Settled:
        """Charge what a piece of work has used. What it was settled at before stands."""
        self._replica.decide(lambda budget: budget.settle(hold, used, self._now()))
        found = self._replica.ask(lambda budget: budget.outcome(hold))
        assert found is not None
        return found

    def left(self) -> dict[str, float]:
        """What is left of every resource that is capped. Another worker may take it at any time."""
        return self._replica.ask(Budget.left)

    def summary(self) -> dict[str, Any]:
        """As `Budget.summary`."""
        return self._replica.ask(Budget.summary)

    def _now(self) -> float:
        return round(self._clock(), 3)


def _exact(amount: Amount, what: str) -> _Exact:
    """Amounts in millionths, rounded up. Raises SpecError for a resource that is none or a number that cannot be."""
    found = {}
    for name, value in amount.items():
        if name not in RESOURCES:
            raise SpecError(f"{what} names {name!r}; {nearest(str(name), RESOURCES)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
            raise SpecError(f"{what} has {name}={value!r}; give a number from 0 to {MOST:,.0f}")
        found[name] = int((Decimal(repr(float(value))) * _SCALE).to_integral_value(ROUND_CEILING))
    return found


def _plain(amount: _Exact) -> dict[str, float]:
    return {name: value // _SCALE if value % _SCALE == 0 else value / _SCALE for name, value in amount.items()}


def _said(amount: _Exact) -> str:
    return ", ".join(f"{value:,} {name}" for name, value in _plain(amount).items()) or "no cap"


def _sum(*amounts: _Exact) -> _Exact:
    return {name: sum(a.get(name, 0) for a in amounts) for name in RESOURCES if any(name in a for a in amounts)}
