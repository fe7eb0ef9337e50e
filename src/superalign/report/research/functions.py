"""What a report may compute from values of a ledger. Each function's first sentence is printed with its inputs.

An arm is a list of problems, each a list of one score per training seed, as confirmations hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from superalign.core.spec import Number
from superalign.report.compare import difference as apart
from superalign.research.inference import t_interval

Arm = Sequence[Sequence[float]]


def count(*values: Any) -> int:
    """How many there are."""
    return len(values)


def total(*values: float) -> float:
    """Their sum."""
    return sum(values)


def mean(*values: float) -> float:
    """Their mean."""
    return sum(values) / len(values)


def ratio(a: float, b: float) -> float:
    """The first divided by the second."""
    return a / b


def elapsed(first: str, last: str) -> float:
    """Seconds from the first time to the last."""
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def arm_mean(arm: Arm) -> float:
    """The mean over problems of an arm."""
    return sum(_problems(arm)) / len(arm)


def arm_low(arm: Arm) -> float:
    """The lower end of Student's 95 % interval on the mean over problems of an arm."""
    return _interval(arm)[0]


def arm_high(arm: Arm) -> float:
    """The upper end of Student's 95 % interval on the mean over problems of an arm."""
    return _interval(arm)[1]


def gap(a: Arm, b: Arm) -> float:
    """The mean over problems of the first arm less that of the second, which ran on other problems."""
    return arm_mean(a) - arm_mean(b)


def gap_low(a: Arm, b: Arm) -> float | None:
    """The lower end of the interval of the difference of two arms, from those of both (Newcombe 1998, method 10)."""
    return apart(_number(a), _number(b)).low


def gap_high(a: Arm, b: Arm) -> float | None:
    """The upper end of the interval of the difference of two arms, from those of both (Newcombe 1998, method 10)."""
    return apart(_number(a), _number(b)).high


def _problems(arm: Arm) -> list[float]:
    return [sum(row) / len(row) for row in arm]


def _interval(arm: Arm) -> tuple[float, float]:
    if len(arm) < 2:
        raise ValueError("one problem shows no interval")
    return t_interval(_problems(arm))


def _number(arm: Arm) -> Number:
    return Number(value=arm_mean(arm), low=arm_low(arm), high=arm_high(arm))


REGISTERED: Mapping[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (count, total, mean, ratio, elapsed, arm_mean, arm_low, arm_high, gap, gap_low, gap_high)
}  # fmt: skip
