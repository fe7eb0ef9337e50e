"""Runs in progress: what others see of them, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superalign.compute import runs
from superalign.compute.runs import Run, Watch, announce, live
from superalign.core.errors import StoreError
from superalign.store import open_store
from superalign.store.sql import SqlStore

SPEC = {"study": "w2s", "source": {"task": "digits"}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with open_store(tmp_path / "store.sqlite") as opened:
        yield opened


def only(store: SqlStore) -> Run:
    """The one run of a store, as it is now."""
    watch = Watch(store)
    (run,) = watch.all()
    found = watch.run(run.id)
    assert found is not None
    return found


def test_a_run_is_seen_from_its_beginning_to_its_end(store: SqlStore) -> None:
    watch = Watch(store)
    assert watch.all() == []
    assert watch.going() == []
    assert watch.run("run-none") is None
    with live(store, "w2s", "w2s: digits", SPEC) as run:
        progress = run.progress()
        progress("students", 1, 4)
        run.flush()
        (going,) = watch.going()
        assert (going.id, going.state, going.steps["students"].done, going.over) == (run.id, "running", 1, False)
        assert going.spec == SPEC
        assert going.pid == os.getpid()
        run.say("waiting", "2 answers wanted")
        assert [(r.state, r.why) for r in watch.going()] == [("waiting", "2 answers wanted")]
        run.say("running")
        progress("students", 4, 4)
        run.record = "w2s-1"
    ended = watch.run(run.id)
    assert ended is not None
    assert (ended.state, ended.record, ended.over) == ("finished", "w2s-1", True)
    assert watch.going() == []
    assert [r.id for r in watch.makers("w2s-1")] == [run.id]
    assert watch.makers("w2s-2") == []


def fail(store: SqlStore, error: BaseException) -> None:
    """A run that ends by an error."""
    with live(store, "w2s", "w2s", SPEC) as run:
        run.progress()("students", 1, 4)
        raise error


@pytest.mark.parametrize(
    ("error", "state", "why"),
    [
        (KeyboardInterrupt(), "stopped", "by its user"),
        (ValueError("no such task"), "failed", "ValueError: no such task"),
    ],
)
def test_however_it_ends_it_says_so(store: SqlStore, error: BaseException, state: str, why: str) -> None:
    with pytest.raises(type(error)):
        fail(store, error)
    ended = only(store)
    assert (ended.state, ended.why, ended.record) == (state, why, "")
    assert ended.steps["students"].done == 1


CHILD = """
import sys, time
from superalign.compute.runs import live
from superalign.store import open_store
with open_store(sys.argv[1]) as store, live(store, "w2s", "w2s: digits", {}) as run:
    run.progress()("students", 4, 4)
    print("going", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("blow", "state"), [(signal.SIGKILL, "lost"), (signal.SIGINT, "stopped")])
def test_a_process_that_is_ended(store: SqlStore, blow: signal.Signals, state: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store.file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"going\n"
        watch = Watch(store)
        (going,) = watch.going()
        assert going.pid == child.pid
        assert going.steps["students"].done == 4
        child.send_signal(blow)
        if blow is signal.SIGKILL:  # nobody has asked how it ended, so its number is still taken
            deadline = time.monotonic() + 10
            while watch.going() and time.monotonic() < deadline:
                time.sleep(0.01)
        else:
            child.wait(10)
        assert watch.going() == []
        assert only(store).state == state
        assert (watch.run(going.id) or going).state == state
    finally:
        child.kill()
        child.wait(10)
        child.stdout.close()
    assert only(store).state == state


def begun(store: SqlStore, **changes: Any) -> Run:
    """A run that began and has not ended, with changes to what its first row says."""
    with live(store, "w2s", "w2s", {}):
        row = dict(next(iter(store.read(runs.INDEX))).body)
    store.append(runs.INDEX, [row | {"run": "run-other"} | changes])
    found = Watch(store).run("run-other")
    assert found is not None
    return found


def test_a_number_that_went_to_another_process_is_not_the_run(store: SqlStore) -> None:
    assert begun(store).state == "running"
    if Path("/proc/self/stat").exists():
        assert begun(store, started="an earlier boot/17").state == "lost"
    assert begun(store, started="").state == "running"  # where the system does not tell, the number has to do


def test_on_another_machine_silence_is_all_that_can_be_seen(store: SqlStore) -> None:
    assert begun(store, host="elsewhere").state == "running"
    silent = begun(store, host="elsewhere", at="2020-01-01T00:00:00+00:00")
    assert (silent.state, silent.why) == ("lost", "nothing was heard from elsewhere for 10 minutes")
    store.append("run/run-other", [{"kind": "waiting", "why": "for people", "at": time.time()}])
    heard = Watch(store).run("run-other")
    assert heard is not None
    assert heard.state == "waiting"


def test_a_run_that_waits_says_now_and_then_that_it_is_there(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with live(store, "w2s", "w2s", {}) as run:
        progress = run.progress()
        progress("answers", 1, 1)
        for _ in range(50):
            progress("answers", 1, 1)
        assert len(list(store.read(f"run/{run.id}"))) == 1
        monkeypatch.setattr(runs, "BEAT", 0.0)
        progress("answers", 1, 1)
        assert len(list(store.read(f"run/{run.id}"))) == 2


class Failing(SqlStore):
    """A store that fails while it is told to."""

    broken = False

    def append(self, *arguments: Any, **named: Any) -> str:
        if self.broken:
            raise StoreError("the disk is full")
        return super().append(*arguments, **named)


def test_a_store_that_fails_does_not_stop_the_run(tmp_path: Path) -> None:
    from superalign.store.place import locate

    with Failing(locate(tmp_path / "s.sqlite")) as store:
        shown = []
        with live(store, "w2s", "w2s", {}) as run:
            progress = run.progress(lambda *said: shown.append(said))
            store.broken = True
            progress("students", 4, 4)
            run.say("waiting", "for people")
            run.stream("ppo", "rl/1")
            assert only(store).steps == {}
            store.broken = False
        assert shown == [("students", 4, 4)]
        told = only(store)
        assert told.steps["students"].done == 4
        assert told.streams == {"ppo": "rl/1"}
        assert told.state == "finished"
        with live(store, "w2s", "w2s", {}) as run:
            store.broken = True
        store.broken = False
        last = Watch(store).run(run.id)
        assert last is not None
        assert last.state == "running"


def test_pace_of_steps(store: SqlStore) -> None:
    begun(store)
    rows = [("a", 0, 100, 10.0), ("a", 20, 100, 14.0), ("b", 5, 5, 14.0), ("c", 3, 9, 15.0)]
    store.append(
        "run/run-other",
        [{"kind": "step", "name": n, "done": d, "total": t, "at": at} for n, d, t, at in rows],
    )
    watch = Watch(store)
    run = watch.run("run-other")
    assert run is not None
    assert {name: step.left(step.at) for name, step in run.steps.items()} == {"a": 16.0, "b": None, "c": None}
    store.append("run/run-other", [{"kind": "step", "name": "a", "done": 0, "total": 100, "at": 20.0}])
    run = watch.run("run-other")
    assert run is not None
    assert run.steps["a"].left(21.0) is None
    assert run.steps["a"].since == 20.0


def test_streams_are_announced_to_the_run_that_goes_on(store: SqlStore) -> None:
    announce("ppo", "rl/0")  # nobody watches
    with live(store, "rlhf", "rlhf", {}) as run:
        announce("ppo", "rl/1")
        assert Watch(store).going()[0].streams == {"ppo": "rl/1"}
    announce("ppo", "rl/2")
    assert only(store).streams == {"ppo": "rl/1"}
    assert run.id.startswith("run-")


def test_steps_are_written_at_most_now_and_then(store: SqlStore) -> None:
    with live(store, "w2s", "w2s", {}) as run:
        progress = run.progress()
        for done in range(2000):
            progress("games", done, 5000)
        progress("games", 5000, 5000)
    rows = list(store.read(f"run/{run.id}"))
    assert len(rows) < 200
    assert rows[-1].body["done"] == 5000
