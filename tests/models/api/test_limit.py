"""How many requests are under way, and how long servers ask to wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import ModelError
from superalign.models.api.limit import Limit, asked_to_wait
from superalign.models.api.wire import Failed


class Clock:
    """Time that passes when it is told to; it begins at 0, as clocks may."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def one(limit: Limit, crowded: bool | None = None) -> None:
    with limit.slot():
        if crowded is not None:
            raise Failed("server error 500: ...", crowded=crowded)


def failed(limit: Limit, crowded: bool = True) -> None:
    with pytest.raises(Failed):
        one(limit, crowded)


def test_it_halves_when_the_server_is_busy_and_grows_by_one_a_round() -> None:
    clock = Clock()
    limit = Limit(16, clock)
    failed(limit)  # the first call of all, at time 0
    assert limit.now == 8
    clock.now = 1.0
    for _ in range(8):
        one(limit)
    assert 8.9 < limit.now < 9
    failed(limit, crowded=False)
    assert 8.9 < limit.now < 9, "an error that says nothing of the load changes nothing"
    for _ in range(200):
        one(limit)
    assert limit.now == 16
    for second in range(2, 30):
        clock.now = float(second)
        failed(limit)
    assert limit.now == 1


def test_what_was_sent_before_the_halving_says_nothing_new() -> None:
    clock = Clock()
    limit = Limit(16, clock)
    slots = [limit.slot() for _ in range(5)]
    for slot in slots:
        slot.__enter__()
    clock.now = 1.0
    for slot in slots:
        assert not slot.__exit__(Failed, Failed("rate limit: ...", crowded=True), None)
    assert limit.now == 8


@pytest.mark.parametrize("most", [0, -1, None, 2.5])
def test_a_limit_that_lets_nothing_through_is_refused(most: int) -> None:
    with pytest.raises(ModelError, match=f"concurrency={most} lets nothing through; write a whole number"):
        Limit(most)


def test_threads_share_it_and_none_waits_for_ever() -> None:
    limit, lock = Limit(3), threading.Lock()
    inside = most = done = 0

    def work() -> None:
        nonlocal inside, most, done
        for k in range(200):
            try:
                with limit.slot():
                    with lock:
                        inside += 1
                        most = max(most, inside)
                    with lock:
                        inside -= 1
                        done += 1
                    if k % 20 == 0:
                        raise Failed("rate limit: ...", crowded=True)
            except Failed:
                limit.pause(0.0005)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == 1600
    assert most <= 3


NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Fri, 01 May 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Fri, 01 May 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "Fri, 01 May 2026 13:00:30 GMT", "date": "Fri, 01 May 2026 13:00:00 GMT"}, 30),
        ({"retry-after": "9", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": "-3"}, 0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}, 90),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "12"}, 12),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 5)}, 5),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp() * 1000) + 2500)}, 2.5),
        ({"x-ratelimit-remaining": "0"}, 0),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "12"}, 0),
        ({"x-ratelimit-limit": "0", "x-ratelimit-remaining": "", "x-ratelimit-reset": "0"}, 0),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-05-01T12:00:04Z",
            },
            4,
        ),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert asked_to_wait(headers, NOW) == pytest.approx(seconds)


def names() -> Iterator[str]:
    yield from ("retry-after", "retry-after-ms", "date", "x-ratelimit-remaining", "x-ratelimit-reset")


@given(st.dictionaries(st.sampled_from(list(names())), st.text(max_size=30) | st.sampled_from(["0", "1e9", "9" * 15])))
def test_any_headers_are_read_without_error(headers: dict[str, str]) -> None:
    assert asked_to_wait(headers, NOW) >= 0
