"""Several processes on one store, and processes that are killed."""

from __future__ import annotations

import itertools
import os
import runpy
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from superalign.store import open_store
from tests.processes import Start, run_together, starting

WORKERS = Path(__file__).parent / "workers.py"
payload = runpy.run_path(str(WORKERS))["payload"]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(worker, url, ...)`; none of them outlives its test."""
    with starting(WORKERS) as begin:
        yield begin


def test_two_processes_append_to_one_stream(url: str, start: Start) -> None:
    open_store(url).close()
    run_together([start("append", url, name, "200") for name in ("a", "b")])
    with open_store(url) as store:
        bodies = [event.body for event in store.read("shared")]
    assert len(bodies) == 400
    for name in ("a", "b"):
        assert [b["i"] for b in bodies if b["writer"] == name] == list(range(200))
    changes = sum(one["writer"] != two["writer"] for one, two in itertools.pairwise(bodies))
    assert changes >= 8, "the two did not run at the same time, so nothing was tested"


def test_four_processes_open_a_new_place_at_once(url: str, start: Start) -> None:
    run_together([start("race_to_open", url) for _ in range(4)])
    with open_store(url) as store:
        assert len({e.body["process"] for e in store.read("opened")}) == 4


@pytest.mark.parametrize(("lines", "delay"), [(1, 0.0), (1, 0.004), (2, 0.013), (5, 0.03), (8, 0.06)])
def test_a_killed_process_loses_nothing_that_it_finished(url: str, start: Start, lines: int, delay: float) -> None:
    worker = start("produce", url)
    assert worker.stdout is not None
    said = [worker.stdout.readline() for _ in range(lines)]
    time.sleep(delay)
    worker.send_signal(signal.SIGKILL)
    said += worker.stdout.readlines()
    assert worker.wait(timeout=60) == -signal.SIGKILL
    finished = [line.split() for line in said if line.endswith("\n")]
    with open_store(url) as store:
        events = list(store.read("log"))
        for what, number, value in finished:
            if what == "put":
                artifact = store.get(f"artifact/{number}")
                assert artifact is not None
                assert (artifact.sha256, artifact.data) == (value, payload(int(number)))
            else:
                assert events[3 * int(number) + 2].hash == value
        assert [(e.body["number"], e.body["part"]) for e in events] == [(i // 3, i % 3) for i in range(len(events))]
        assert len(events) % 3 == 0, "half an append is there"
        first_open = sum(what == "put" for what, _, _ in finished)
        under_way = store.get(f"artifact/{first_open}")
        assert under_way is None or under_way.data == payload(first_open)
        store.put(f"artifact/{first_open}", payload(first_open))  # and the work goes on where it was
        again = store.get(f"artifact/{first_open}")
        assert again is not None
        assert again.data == payload(first_open)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_uses_connections_of_its_own(url: str, start: Start) -> None:
    worker = start("fork", url)
    assert worker.stdout is not None
    assert worker.stdout.read() == "child 0\n"
    with open_store(url) as store:
        bodies = [e.body for e in store.read("forked")]
    for who in ("parent", "child"):
        assert [b["i"] for b in bodies if b["from"] == who] == list(range(50))
