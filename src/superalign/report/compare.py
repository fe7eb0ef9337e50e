"""Several Records side by side: each number of each condition, and how far it is from the first record's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.core.errors import UserError
from superalign.core.spec import Number, Record
from superalign.report import numbers


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of one condition over all records; None where a record does not have it.

    `differences[i]` is record i minus record 0; the first is None.
    """

    condition: str
    number: str
    values: tuple[Number | None, ...]
    differences: tuple[Number | None, ...]


def compare_rows(records: Sequence[Record]) -> list[Compared]:
    """Every number of every condition, in order of first appearance. Raises UserError for fewer than two records."""
    require_several(records)
    tables = [{c.name: c.numbers for c in r.conditions} for r in records]
    conditions = dict.fromkeys(name for table in tables for name in table)
    out = []
    for condition in conditions:
        for name in dict.fromkeys(n for table in tables for n in table.get(condition, {})):
            values = tuple(table.get(condition, {}).get(name) for table in tables)
            first = values[0]
            gaps = tuple(None if first is None or v is None else difference(v, first) for v in values[1:])
            out.append(Compared(condition, name, values, (None, *gaps)))
    return out


def require_several(records: Sequence[Record]) -> None:
    """Raises UserError for fewer than two records."""
    if len(records) < 2:
        raise UserError(f"a comparison takes two records or more; {len(records)} given (`superalign runs` lists them)")


def difference(a: Number, b: Number) -> Number:
    """`a - b`, with the interval that follows from both intervals when the two are independent.

    The bounds are `d - sqrt((a - a_low)^2 + (b_high - b)^2)` and `d + sqrt((a_high - a)^2 + (b - b_low)^2)`
    (Newcombe 1998, Statistics in Medicine 17:873, method 10; general form Zou and Donner 2008, 27:1693).
    Two runs on the same items are positively correlated, so the interval is then too wide, not too narrow.
    """
    left, right = numbers.finite(a), numbers.finite(b)
    if left is None:
        return Number(value=None, reason=f"this record's number is undefined: {numbers.reason(a)}")
    if right is None:
        return Number(value=None, reason=f"the first record's number is undefined: {numbers.reason(b)}")
    gap, bounds_a, bounds_b = left - right, numbers.interval(a), numbers.interval(b)
    if bounds_a is None or bounds_b is None:
        return Number(value=gap)
    below = math.hypot(left - bounds_a[0], bounds_b[1] - right)
    above = math.hypot(bounds_a[1] - left, right - bounds_b[0])
    return Number(value=gap, low=gap - below, high=gap + above)


def spec_differences(records: Sequence[Record]) -> list[tuple[str, tuple[str, ...]]]:
    """The fields in which the specs differ: `(dotted name, value per record)`, an absent field as `-`."""
    flat = [dict(_flat(r.spec)) for r in records]
    names = dict.fromkeys(name for spec in flat for name in spec)
    return [
        (name, values)
        for name, values in ((n, tuple(spec.get(n, "-") for spec in flat)) for n in names)
        if len(set(values)) > 1
    ]


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        return [pair for k, v in value.items() for pair in _flat(v, f"{name}.{k}" if name else str(k))]
    return [(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))]
