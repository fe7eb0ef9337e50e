"""What work used: seconds of processors and of the clock, tokens, dollars, and the wait for its turn.

Processor time is what the system counted (`getrusage`), of all threads, and of child processes once they have ended and
were waited for. A graphics card is counted by how long it was held: a card that idles for one is lost to the others.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from superalign.core.errors import SpecError, nearest

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of processor cores, of graphics cards, of the clock, and of waiting for a turn; tokens; US dollars.

    Raises SpecError for a number below 0 or not finite.
    """

    cpu_s: float = 0.0
    gpu_s: float = 0.0
    wall_s: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    queue_wait_s: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise SpecError(f"a usage has {name}={value!r}; give a number, 0 or more")

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def amount(self, unit: str) -> float:
        """How much it is in the unit of a pool. Raises SpecError for an unknown unit."""
        return _UNITS[unit_of(unit)](self)

    def row(self) -> dict[str, float]:
        """As JSON values, without what is 0."""
        return {name: value for name, value in asdict(self).items() if value}


_UNITS: Mapping[str, Callable[[Usage], float]] = {
    "cpu-hours": lambda used: used.cpu_s / HOUR,
    "gpu-hours": lambda used: used.gpu_s / HOUR,
    "tokens": lambda used: float(used.tokens_in + used.tokens_out),
    "usd": lambda used: used.usd,
}
UNITS = tuple(_UNITS)
"""What a pool can be counted in."""


def unit_of(unit: str) -> str:
    """The unit, checked. Raises SpecError for one that is not known."""
    if unit not in _UNITS:
        raise SpecError(f"no pool is counted in {unit!r}; {nearest(unit, UNITS)}")
    return unit


class Meter:
    """Measures a block: `with Meter() as meter: ...`, then `meter.usage`, which can be read inside the block too.

    Counts what this whole process used meanwhile, other threads included, and the children that ended.
    """

    def __init__(self) -> None:
        self._begun = _now()
        self._used: Usage | None = None

    def __enter__(self) -> Meter:
        self._begun, self._used = _now(), None
        return self

    def __exit__(self, *error: object) -> None:
        self._used = self._since()

    @property
    def usage(self) -> Usage:
        """What was used in the block, or so far."""
        return self._used or self._since()

    def _since(self) -> Usage:
        (wall, cpu), (wall_before, cpu_before) = _now(), self._begun
        return Usage(cpu_s=cpu - cpu_before, wall_s=wall - wall_before)


def _now() -> tuple[float, float]:
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return time.monotonic(), sum(_cpu(resource.getrusage(who)) for who in whose)


def _cpu(spent: resource.struct_rusage) -> float:
    return spent.ru_utime + spent.ru_stime


def measure(command: Sequence[str], gpus: float = 0.0) -> tuple[int, Usage]:
    """Run a command to its end: its exit code (negative for a signal), and what it and its children used.

    `gpus`: how many graphics cards it holds all the while. Raises SpecError where it cannot be started.
    """
    begun = time.monotonic()
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        raise SpecError(f"{command[0]!r} cannot be run ({error.strerror}); write -- and then the command") from error
    while True:
        try:
            _, status, spent = os.wait4(child.pid, 0)
            break
        except KeyboardInterrupt:  # the terminal has sent it to the child as well, whose end is part of its usage
            continue
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - begun
    return child.returncode, Usage(cpu_s=_cpu(spent), gpu_s=gpus * wall, wall_s=wall)


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for an hour of a core or a graphics card and for a million tokens, as they were on `date`.

    None is a price that is not known, which is not the same as 0.
    """

    date: str
    cpu_hour: float | None = None
    gpu_hour: float | None = None
    million_tokens_in: float | None = None
    million_tokens_out: float | None = None

    def charge(self, used: Usage) -> Usage:
        """The usage with its price. Raises SpecError for what has no price, and for what has been charged already."""
        if used.usd:
            raise SpecError(f"this usage has cost ${used.usd:g} already; leave out either the price table or usd")
        amounts = {"cpu_hour": used.amount("cpu-hours"), "gpu_hour": used.amount("gpu-hours"),
                   "million_tokens_in": used.tokens_in / 1e6, "million_tokens_out": used.tokens_out / 1e6}  # fmt: skip
        usd = 0.0
        for name, amount in amounts.items():
            price = getattr(self, name)
            if amount and price is None:
                raise SpecError(
                    f"the prices of {self.date} lack {name}, which was used; add a line, 0 where it is free"
                )
            usd += amount * (price or 0.0)
        return replace(used, usd=usd)


def read_prices(path: str | Path) -> Prices:
    """The price table of a TOML file:

        date = 2026-01-15            the day on which these prices were true
        [usd]
        gpu_hour = 2.5               and cpu_hour, million_tokens_in, million_tokens_out

    Raises SpecError where it cannot be read, has no date, or a price is none.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"no price table {str(path)!r} ({error.strerror}); write one with date = and [usd]") from error
    except ValueError as error:  # of TOML or of UTF-8
        raise SpecError(f"{path}: {error}; a price table is TOML with date = and [usd]") from error
    day, prices = table.get("date"), table.get("usd")
    if type(day) is not date:
        raise SpecError(f"{path} has date = {day!r}; write date = 2026-01-15, the day on which its prices were true")
    if not isinstance(prices, Mapping) or not prices:
        raise SpecError(f"{path} has no prices; write [usd] and below it gpu_hour = 2.5")
    known = [f.name for f in fields(Prices)][1:]
    for name, price in prices.items():
        if name not in known:
            raise SpecError(f"{path} has a price of {name!r}; {nearest(name, known)}")
        _price(path, name, price)
    return Prices(day.isoformat(), **prices)


def _price(path: str | Path, name: str, price: Any) -> None:
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < math.inf:
        raise SpecError(f"{path} has {name} = {price!r}; give it in US dollars, 0 or more")
