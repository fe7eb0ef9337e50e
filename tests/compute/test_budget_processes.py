"""Fifty workers in several processes on one account, and one that is killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from superalign.compute.budget import Account
from superalign.store import open_store
from tests.compute.test_budget import walk
from tests.compute.workers import STREAM
from tests.processes import Start, run_together, starting


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(worker, url, ...)`; none of them outlives its test."""
    with starting(Path(__file__).parent / "workers.py") as begin:
        yield begin


def test_fifty_workers_never_hold_more_than_there_is(start: Start, tmp_path: Path) -> None:
    url = str(tmp_path / "s.sqlite")
    with open_store(url) as store:
        account = Account(store, STREAM, {"evaluations": 80, "usd": 10})
        run_together([start("spend", url, f"p{k}", "10") for k in range(5)])
        rows = [event.body for event in store.read(STREAM)]
        charged = walk(rows)
        told = account.summary()
    assert told["held"] == {}, "everything was settled"
    assert told["refused"] == 50, "each of the fifty went on until it was refused"
    assert 60 < charged["evaluations"] <= 80
    assert told["overrun"]["evaluations"] > 0
    kinds = [row["type"] for row in rows[1:]]
    assert kinds.count("reserve") == kinds.count("settle")
    open_at_once = most = 0
    for kind in kinds:
        open_at_once += {"reserve": 1, "settle": -1}.get(kind, 0)
        most = max(most, open_at_once)
    assert most >= 8, "they did not run at the same time, so nothing was tested"


def test_what_a_killed_process_held_comes_back(start: Start, tmp_path: Path) -> None:
    url = str(tmp_path / "s.sqlite")
    with open_store(url) as store:
        Account(store, STREAM, {"evaluations": 10})
        worker = start("hold", url, "its work")
        assert worker.stdout is not None
        assert worker.stdout.readline() == "held\n"
        worker.send_signal(signal.SIGKILL)
        assert worker.wait(timeout=60) == -signal.SIGKILL
        until = list(store.read(STREAM))[-1].body["until"]
        before = Account(store, STREAM, clock=lambda: until - 1)
        assert not before.reserve("other work", {"evaluations": 5})
        assert before.reserve("its work", {"evaluations": 6}, ttl=1.0), "who goes on with it need not wait"
        after = Account(store, STREAM, clock=lambda: until + 1)
        assert after.reserve("other work", {"evaluations": 5})
        walk([event.body for event in store.read(STREAM)])
