"""Promise and delivery, against examples worked out by hand and against sums over small steps."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.compute.promise import (
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
from superalign.compute.usage import Usage
from superalign.core.errors import SpecError

START = datetime(2026, 1, 1, tzinfo=UTC)


def day(n: float) -> datetime:
    return START + timedelta(days=n)


def promised(share: float = 0.2, start: float = 0, end: float = 100, steps: Any = ()) -> ComputePromise:
    return ComputePromise(share, "lab", "gpu-hours", day(start), day(end), tuple((day(d), s) for d, s in steps))


BY_HAND = Terms(
    [promised()],
    [PoolCapacity(day(0), 100), PoolCapacity(day(50), 200)],
    [Use(day(25), 6000, "a"), Use(day(75), 12000, "b")],
)
"""A fifth of 100 cards, then of 200: 24,000 hours by day 50 and 72,000 by day 100; 6,000 were used by day 25, and
12,000 more by day 75."""


def test_the_example_by_hand() -> None:
    told = accounts(BY_HAND, day(100))
    assert told["promised"] == pytest.approx(0.2 * 100 * 1200 + 0.2 * 200 * 1200)
    assert told["delivered"] == 18_000
    assert told["deficit"] == pytest.approx(54_000)
    assert told["capacity"] == pytest.approx(360_000)
    assert told["promised_share"] == pytest.approx(0.2)
    assert told["delivered_share"] == pytest.approx(0.05)
    # 1 - D/E over four stretches of 600 hours, E in thousands from 0 to 12 to 24 to 48 to 72, D 0, 6, 6 and 18:
    # 600 + (600 - 300 ln 2) + (600 - 150 ln 2) + (600 - 450 ln 1.5), over 2,400
    assert told["time_weighted_deficit"] == pytest.approx(1 - 450 * math.log(3) / 2400)
    assert told["hours_without_capacity"] == 0


def test_as_of_a_day_in_the_middle() -> None:
    told = accounts(BY_HAND, day(60))
    assert told["promised"] == pytest.approx(24_000 + 0.2 * 200 * 240)
    assert told["delivered"] == 6000
    assert told["delivered_share"] == pytest.approx(6000 / (120_000 + 48_000))
    first = accounts(BY_HAND, day(0))
    assert (first["promised"], first["delivered_share"], first["time_weighted_deficit"]) == (0, None, None)


def test_the_account_closes_with_the_promise() -> None:
    late = Terms(BY_HAND.promises, BY_HAND.capacity, [*BY_HAND.uses, Use(day(101), 54_000), Use(day(-1), 9000)])
    assert accounts(late, day(500)) == accounts(BY_HAND, day(100))


def test_more_than_was_promised_is_no_negative_deficit() -> None:
    early = Terms(BY_HAND.promises, BY_HAND.capacity, [Use(day(0), 80_000)])
    told = accounts(early, day(100))
    assert (told["deficit"], told["time_weighted_deficit"]) == (0, 0)
    nothing = accounts(Terms(BY_HAND.promises, BY_HAND.capacity, []), day(100))
    assert nothing["time_weighted_deficit"] == pytest.approx(1)


def test_shares_and_capacity_change_in_steps() -> None:
    terms = Terms(
        [promised(0.1, 0, 20, [(10, 0.3)]), promised(0.2, 15, 30)],
        [PoolCapacity(day(5), 10), PoolCapacity(day(25), 999), PoolCapacity(day(25), 50)],
        [],
    )
    told = accounts(terms, day(30))
    # nothing is known of the first 5 days; then 5 days of .1, 5 of .3, 5 of .5, 5 of .2 of 10 cards, 5 of .2 of 50
    assert told["promised"] == pytest.approx(24 * 10 * (0.5 + 1.5 + 2.5 + 1.0) + 24 * 50 * 1.0)
    assert told["hours_without_capacity"] == 120
    assert told["capacity"] == pytest.approx(24 * (10 * 20 + 50 * 5))
    # it counts from when something is promised
    assert told["time_weighted_deficit"] == pytest.approx(1)


days = st.integers(0, 40)
amounts = st.floats(0, 500)


@given(
    st.lists(st.tuples(days, amounts), max_size=5),
    st.lists(st.tuples(days, st.floats(0.1, 900)), max_size=6),
    st.lists(st.floats(0, 1), min_size=2, max_size=2),
    st.integers(1, 40),
)
def test_integrals_are_those_of_small_steps(capacity: Any, uses: Any, shares: list[float], until: int) -> None:
    promise = promised(shares[0], 0, 30, [(12, shares[1])])
    terms = Terms([promise], [PoolCapacity(day(d), a) for d, a in capacity], [Use(day(d), a) for d, a in uses])
    told = accounts(terms, day(until))
    end, per_day = min(until, 30), 240
    middle = (np.arange(end * per_day) + 0.5) / per_day
    steps = sorted(capacity, key=lambda pair: pair[0])
    pool = np.array([([0.0] + [a for d, a in steps if d <= t])[-1] for t in middle])
    rate = np.where(middle < 12, shares[0], shares[1]) * pool
    grown = np.cumsum(rate) * 24 / per_day - rate * 12 / per_day  # at the middle of each step
    used = np.array([sum(a for d, a in uses if d <= t) for t in middle])
    assert told["promised"] == pytest.approx(rate.sum() * 24 / per_day, abs=1e-6)
    assert told["capacity"] == pytest.approx(pool.sum() * 24 / per_day, abs=1e-6)
    assert told["delivered"] == pytest.approx(sum(a for d, a in uses if d <= end))
    if told["time_weighted_deficit"] is not None and told["promised"] > 1e-6:
        owing = grown > 0
        expected = (1 - np.minimum(used[owing] / grown[owing], 1)).mean()
        assert told["time_weighted_deficit"] == pytest.approx(expected, abs=0.01)
        assert -1e-9 <= told["time_weighted_deficit"] <= 1 + 1e-9


def test_the_chart_has_a_row_at_each_bend() -> None:
    rows = curve(BY_HAND, day(100))

    def points(series: str) -> list[tuple[float, float]]:
        return [(row["step"], round(row["value"], 6)) for row in rows if row["series"] == series]

    assert points("promised") == [(0, 0), (25, 12_000), (50, 24_000), (75, 48_000), (100, 72_000)]
    assert points("delivered") == [(0, 0), (25, 0), (25, 6000), (50, 6000), (75, 6000), (75, 18_000), (100, 18_000)]
    assert points("deficit")[2:4] == [(25, 6000), (50, 18_000)]
    assert rows[0]["time"] == "2026-01-01T00:00:00+00:00"
    assert [r["value"] for r in curve(BY_HAND, day(25)) if r["series"] == "delivered"] == [0, 0, 6000]


REQUESTS = [
    Request("r1", day(0), 100, decision="granted", granted=100, decided=day(1)),
    Request("r2", day(0), 400, decision="partial", granted=100, decided=day(3)),
    Request("r3", day(2), 300, decision="refused", decided=day(7)),
    Request("r4", day(2), 50, decision="withdrawn", decided=day(6)),
    Request("r5", day(4), 200),
    Request("r6", day(19), 10),
]


def test_requests_by_hand() -> None:
    told = answers(REQUESTS, day(20))
    counts = {k: told[k] for k in ("requests", "granted", "partial", "refused", "withdrawn", "pending")}
    assert counts == {"requests": 6, "granted": 1, "partial": 1, "refused": 1, "withdrawn": 1, "pending": 2}
    assert told["unanswered"] == ["r5"]
    assert told["refusal_rate"] == pytest.approx((0 + 0.75 + 1) / 3)
    assert told["refusal_rate_by_amount"] == pytest.approx((300 + 300) / 800)
    assert told["requested"] == 100 + 400 + 300 + 200 + 10
    assert told["granted_amount"] == 200
    # waits of 1, 3 and 5 days are over; 4 (withdrawn), 16 and 1 are not: 5/6, times 3/4, times 1/2
    assert told["wait_p50_days"] == 5.0
    assert told["wait_p95_days"] is None
    assert answers(REQUESTS, day(20), timedelta(days=17))["unanswered"] == []


def test_requests_as_they_stood() -> None:
    told = answers(REQUESTS, day(2))
    assert (told["requests"], told["granted"], told["pending"]) == (4, 1, 3)
    assert told["refusal_rate"] == 0
    assert told["requested"] == 850, "the one that was withdrawn later still counts"
    empty = answers(REQUESTS, day(-1))
    assert (empty["requests"], empty["refusal_rate"], empty["wait_p50_days"]) == (0, None, None)


@pytest.mark.parametrize(
    ("promised", "delivered", "requested", "missing"), [(100, 20, 60, 40), (100, 80, 60, 0), (50, 20, 600, 30)]
)
def test_what_nobody_asked_for_is_not_missing(
    promised: float, delivered: float, requested: float, missing: float
) -> None:
    assert demand_limited(promised, delivered, requested) == missing


def test_what_was_used_by_experiment() -> None:
    uses = [
        Use(day(1), 2, "b", Usage(gpu_s=7200)),
        Use(day(2), 1, "a", Usage(usd=3)),
        Use(day(3), 2, "a", Usage(usd=1)),
    ]
    assert spent(uses) == {"usage": {"gpu_s": 7200, "usd": 4}, "experiments": {"a": 3, "b": 2}}


def test_times() -> None:
    assert moment("2026-01-01") == START
    assert moment("2026-01-01T02:00:00+02:00") == START
    assert moment("2026-01-01T00:00:00Z") == START
    with pytest.raises(SpecError, match="'1 May' is no time; write 2026-01-31"):
        moment("1 May")


def test_promises_that_cannot_be() -> None:
    with pytest.raises(SpecError, match="has the share 20; a share is from 0 to 1"):
        promised(20)
    with pytest.raises(SpecError, match="each later"):
        promised(0.2, 100, 0)
    with pytest.raises(SpecError, match="each later"):
        promised(0.2, 0, 100, [(120, 0.3)])
