"""A pool in a store: what was recorded is there for the next who opens it, and nothing else gets in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from superalign.compute.pool import Pool
from superalign.compute.usage import Prices, Usage
from superalign.core.errors import SpecError, StoreError
from tests.contract.test_store import InMemory


@pytest.fixture
def place() -> InMemory:
    return InMemory({})


def opened(place: InMemory) -> Pool:
    return Pool(place, "lab", clock=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.fixture
def pool(place: InMemory) -> Pool:
    found = opened(place)
    found.promise(0.2, "gpu-hours", "2026-01-01", "2026-04-11", "a press release", [("2026-04-01", 0.3)])
    found.capacity(100, "2026-01-01")
    return found


def test_what_was_recorded_is_there_for_the_next(place: InMemory, pool: Pool) -> None:
    assert pool.request(500, "debates", "us", "2026-01-02")["request"] == "r1"
    assert opened(place).request(80, "more", at="2026-01-03", name="r3")["request"] == "r3"
    assert [pool.request(1, "x", at="2026-02-27")["request"] for _ in range(2)] == ["r4", "r5"]
    opened(place).decide("r1", "partial", 100, "launch", "2026-01-05")
    pool.use("debates", Usage(gpu_s=60 * 3600, cpu_s=10), "2026-02-01", Prices("2026-01-15", 1, 2))
    pool.use("later", Usage(gpu_s=3600), "2026-02-28")
    told = opened(place).report("2026-02-10")
    assert told["promised"] == pytest.approx(0.2 * 100 * 40 * 24)
    assert told["delivered"] == 60
    assert (told["requests"], told["partial"], told["unanswered"]) == (2, 1, ["r3"])
    assert told["demand_limited_deficit"] == pytest.approx(580 - 60)
    assert told["sources"] == ["a press release"]
    assert told["usage"] == {"cpu_s": 10, "gpu_s": 216_000, "usd": pytest.approx(120 + 10 / 3600)}
    assert told["experiments"] == {"debates": 60}
    assert opened(place).report("2026-02-10", timedelta(days=60))["unanswered"] == []
    now = opened(place).report()
    assert now["as_of"] == "2026-03-01T12:00:00+00:00"
    assert now["delivered"] == 61
    assert pool.curve("2026-02-10")[-1]["value"] == told["deficit"]
    rows = [event.body for event in place.read("compute/lab")]
    assert {row["written"] for row in rows} == {"2026-03-01T12:00:00+00:00"}
    assert [row.get("prices") for row in rows if row["type"] == "use"] == ["2026-01-15", None]


def test_two_who_ask_at_once_get_two_requests(place: InMemory, pool: Pool) -> None:
    other = opened(place)
    assert (pool.request(1, "a")["request"], other.request(2, "b")["request"]) == ("r1", "r2")
    pool.decide("r2", "granted")
    with pytest.raises(SpecError, match=r"'r2' was answered \(granted\) on .*ask anew"):
        other.decide("r2", "refused")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda p: p.promise(0.9, "gpu-hours", "2026-02-01", "2027-01-01", "x"), "1.1 of the pool 'lab' would be promised"),
        (lambda p: p.promise(0.1, "usd", "2026-02-01", "2027-01-01", "x"), "counted in gpu-hours, not in usd"),
        (lambda p: p.promise(0.1, "gpu-hours", "2026-02-01", "2027-01-01", " "), "needs its source"),
        (lambda p: p.promise(float("nan"), "gpu-hours", "2026-02-01", "2027-01-01", "x"), "a share of nan"),
        (lambda p: p.capacity(-1), "a capacity of -1; give a number of 0 or more"),
        (lambda p: p.capacity(1, "soon"), "'soon' is no time"),
        (lambda p: p.request(0, "x"), "a request of 0; give a number above 0"),
        (lambda p: p.request(1, "x", name="asked"), "there is a request 'asked' already"),
        (lambda p: p.request(1, "x", name="a b"), "'a b' is no name of a request"),
        (lambda p: p.decide("aske", "granted"), "no request 'aske'; did you mean 'asked'"),
        (lambda p: p.decide("asked", "grant"), "a request is not 'grant'; did you mean 'granted'"),
        (lambda p: p.decide("asked", "partial"), "'asked' asks for 50; a part of it"),
        (lambda p: p.decide("asked", "partial", 50), "decide granted or refused"),
        (lambda p: p.decide("asked", "granted", 20), "20 of it is not granted; say partial"),
        (lambda p: p.decide("asked", "granted", at="2025-12-31"), "cannot be decided before, give --at"),
        (lambda p: p.use("x", Usage(cpu_s=5)), "this use has no gpu-hours"),
        (lambda p: p.check("x", Usage(cpu_s=5)), "this use has no gpu-hours"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_and_not_kept(place: InMemory, pool: Pool, act: Any, message: str) -> None:
    pool.request(50, "x", at="2026-01-02", name="asked")
    before = len(list(place.read("compute/lab")))
    with pytest.raises(SpecError, match=message):
        act(pool)
    assert len(list(place.read("compute/lab"))) == before
    assert pool.request(1, "still works")["request"] == "r2"


def test_a_check_keeps_nothing(place: InMemory, pool: Pool) -> None:
    pool.check("x", Usage(gpu_s=5))
    assert pool.report()["delivered"] == 0
    assert len(list(place.read("compute/lab"))) == 2


def test_a_new_pool_says_what_to_type(place: InMemory) -> None:
    new = Pool(place, "new")
    for act in (lambda: new.unit, lambda: new.capacity(5), lambda: new.request(5, "x")):
        with pytest.raises(SpecError, match="no unit yet; type: superalign compute promise new"):
            act()
    new.capacity(5, unit="cpu-hours")
    assert new.unit == "cpu-hours"
    with pytest.raises(SpecError, match="nothing was promised of the pool 'new'; type: superalign compute promise new"):
        new.report()
    with pytest.raises(SpecError, match="no name of a pool"):
        Pool(place, "a/b")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"type": "gift"}, "no rows 'gift'"),
        ({"type": "use", "at": "2026-01-01", "experiment": "x", "usage": {"joules": 3}}, "joules"),
        ({"type": "use", "at": "2026-01-01", "experiment": "x", "usage": {"gpu_s": -3}}, "gpu_s=-3"),
        ({"type": "capacity", "unit": "gpu-hours", "amount": "5", "at": "2026-01-01"}, "a capacity of '5'"),
        ({"type": "promise", "unit": "gpu-hours"}, "lacks 'schedule'"),
    ],
)
def test_a_stream_of_another_hand_is_refused(place: InMemory, pool: Pool, row: dict[str, Any], message: str) -> None:
    place.append("compute/lab", [row])
    with pytest.raises(StoreError, match=f"row 3 of the stream 'compute/lab' does not fit .*{message}"):
        opened(place).report()
