"""Runs in progress, as others see them: which study runs where, how far each step is, and how it ended.

A run writes to the stream `runs` when it begins and ends, and to `run/<id>` while it goes on: at most once in `EVERY`
seconds, besides the ends of steps. `Watch` follows both streams, reading what is new alone.
"""

from __future__ import annotations

import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from superalign.compute.replica import Replica
from superalign.core.errors import StoreError
from superalign.core.ports import Progress, Store, silent
from superalign.core.study import now

INDEX = "runs"
EVERY = 0.5
"""Seconds between two events of a run."""
BEAT = 60.0
"""Seconds after which a run that has nothing new to tell says that it is still there."""
SILENT = 600.0
"""Seconds after which a run on another machine that says nothing is taken for dead."""
FOLLOWED = 256
"""Runs whose steps a `Watch` keeps in memory."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far one step of a run is, and when that was said. `since` is when it was first heard of, with `base` done.

    Times are seconds since 1970.
    """

    name: str
    done: int
    total: int
    at: float
    since: float
    base: int

    def left(self, now: float) -> float | None:
        """Seconds that remain at a moment, at the pace so far; None where nothing can be said yet.

        What is under way and takes longer than those before it slows the pace down.
        """
        known = self.done - self.base
        if known <= 0 or self.at <= self.since:
            return None
        pace = max((self.at - self.since) / known, (now - self.since) / (known + 1))
        return max(0.0, (self.total - self.done) * pace - min(max(0.0, now - self.at), pace))


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a study. `state` is `running`, `waiting` (for people), `finished`, `failed`, `stopped` (by its user)
    or `lost` (it said nothing more and its process is gone). `record` is what it left; `streams` names streams of the
    store in which it tells more than how far it is, such as a policy's rewards."""

    id: str
    study: str
    title: str
    spec: Mapping[str, Any]
    begun: str
    host: str
    pid: int
    started: str = ""
    state: str = "running"
    ended: str = ""
    record: str = ""
    why: str = ""
    steps: Mapping[str, Step] = field(default_factory=dict)
    streams: Mapping[str, str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in ("running", "waiting")


class Live:
    """A run that is going on, and writes so. `record` is what it left; `told` whether its user knows what it waits for.

    A store that fails meanwhile does not stop the run, and a slow one does not slow it down by much: what could not be
    written is tried again after ten times as long as it took to fail.
    """

    def __init__(self, store: Store, run: Run) -> None:
        self.id, self._store = run.id, store
        self._said: dict[str, tuple[int, int]] = {}
        self._fresh: dict[str, dict[str, Any]] = {}
        self._written, self._held = time.monotonic(), 0.0
        self._state = "running"
        self._lock = threading.Lock()
        self.record = ""
        self.told = False

    def progress(self, shown: Progress = silent) -> Progress:
        """Progress that is shown and also written down."""

        def both(name: str, done: int, total: int) -> None:
            shown(name, done, total)
            with self._lock:
                quiet = time.monotonic() - self._written
                if self._said.get(name) != (done, total) or quiet >= BEAT:
                    self._said[name] = (done, total)
                    self._note(name, "step", name=name, done=int(done), total=int(total))
                if quiet >= EVERY or done >= total:
                    self._write()

        return both

    def stream(self, name: str, stream: str) -> None:
        """Tell that `stream` of the store holds what the step `name` has to say."""
        with self._lock:
            self._note(f"stream {name}", "stream", name=name, stream=stream)
            self._write()

    def say(self, state: str, why: str = "") -> None:
        """Tell that it waits for people, or runs again."""
        with self._lock:
            if state != self._state:
                self._state = state
                self._note("state", state, why=why)
                self._write()

    def flush(self) -> None:
        """Write down what has not been written yet."""
        with self._lock:
            self._held = 0.0
            self._write()

    def _note(self, about: str, kind: str, **said: Any) -> None:
        self._fresh[about] = {"kind": kind, "at": round(time.time(), 3), **said}

    def _write(self) -> None:
        before = time.monotonic()
        if not self._fresh or before < self._held:
            return
        try:
            self._store.append(f"run/{self.id}", list(self._fresh.values()))
            self._fresh.clear()
            self._written = time.monotonic()
        except StoreError:
            self._held = time.monotonic() + 10 * (time.monotonic() - before) + EVERY


_current: ContextVar[Live | None] = ContextVar("run", default=None)


def announce(name: str, stream: str) -> None:
    """Tell whoever watches the run in this context that `stream` of the store holds what its step `name` has to say."""
    going = _current.get()
    if going is not None:
        going.stream(name, stream)


@contextmanager
def live(store: Store, study: str, title: str, spec: Mapping[str, Any]) -> Iterator[Live]:
    """A run of a study, seen by others from its beginning to its end, however it ends."""
    name, pid = f"run-{secrets.token_hex(5)}", os.getpid()
    run = Run(name, study, title, spec, now(), platform.node(), pid, _started(pid))
    begun = {"kind": "begun", "run": run.id, "study": study, "title": title, "spec": dict(spec), "at": run.begun}
    store.append(INDEX, [{**begun, "host": run.host, "pid": run.pid, "started": run.started}])
    going = Live(store, run)
    end: dict[str, Any] = {"kind": "ended", "run": run.id, "state": "finished"}
    token = _current.set(going)
    try:
        yield going
    except KeyboardInterrupt:
        end |= {"state": "stopped", "why": "by its user"}
        raise
    except BaseException as error:
        end |= {"state": "failed", "why": f"{type(error).__name__}: {error}"[:2000]}
        raise
    finally:
        _current.reset(token)
        going.flush()
        with suppress(StoreError):
            store.append(INDEX, [{**end, "record": going.record, "at": now()}])


class Watch:
    """The runs of a store, followed: each look reads what is new alone. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index: Replica[_Index] = Replica(store, INDEX, _Index())
        self._courses: dict[str, Replica[_Course]] = {}
        self._lost: set[str] = set()
        self._quiet: dict[str, float] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Run]:
        """Every run, oldest first, as it began and ended: without its steps, and not knowing of those that were lost."""
        return self._index.ask(lambda index: list(index.runs.values()))

    def run(self, name: str) -> Run | None:
        """The run of that id with its steps, as it is now; None where there is none."""
        found = self._index.ask(lambda index: index.runs.get(name))
        return None if found is None else self._watched(found)

    def going(self) -> list[Run]:
        """What runs or waits now, newest first."""
        recent = time.monotonic() - BEAT  # one that is silent speaks once in BEAT seconds if it speaks again
        quiet = {name for name, at in self._quiet.items() if at > recent}
        begun = self._index.ask(
            lambda index: [r for r in reversed(index.runs.values()) if not r.over and r.id not in quiet]
        )
        return [run for r in begun if not self._ended(r) and not (run := self._watched(r)).over]

    def makers(self, record: str) -> list[Run]:
        """The runs that left a record of that id, newest first."""
        return self._index.ask(lambda index: [index.runs[r] for r in reversed(index.makers.get(record, []))])

    def _watched(self, run: Run) -> Run:
        steps, streams, state, why, last = self._course(run.id).ask(lambda course: course.now())
        if run.over:
            state, why = run.state, run.why
        elif self._ended(run):
            state, why = "lost", "its process is gone; the same command goes on from what it kept"
        elif not _here(run) and _silent(run, last):
            state, why = "lost", f"nothing was heard from {run.host} for {SILENT / 60:.0f} minutes"
            self._quiet[run.id] = time.monotonic()
        return replace(run, steps=steps, streams=streams, state=state, why=why)

    def _ended(self, run: Run) -> bool:
        """Whether the run's process was on this machine and is gone, which is looked up until it is so."""
        if run.id not in self._lost and _here(run) and _gone(run):
            self._lost.add(run.id)
        return run.id in self._lost

    def _course(self, name: str) -> Replica[_Course]:
        with self._lock:
            if name not in self._courses and len(self._courses) >= FOLLOWED:
                del self._courses[next(iter(self._courses))]
            return self._courses.setdefault(name, Replica(self._store, f"run/{name}", _Course()))


class _Index:
    """Every run by id, and by record the runs that made it."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.makers: dict[str, list[str]] = {}

    def apply(self, row: Mapping[str, Any]) -> None:
        name = row["run"]
        if row["kind"] == "begun":
            started = row.get("started", "")
            where = (row["at"], row["host"], row["pid"], started)
            self.runs[name] = Run(name, row["study"], row["title"], row["spec"], *where)
        elif name in self.runs:
            ended = {"state": row["state"], "ended": row["at"], "record": row["record"], "why": row.get("why", "")}
            self.runs[name] = replace(self.runs[name], **ended)
            if row["record"]:
                self.makers.setdefault(row["record"], []).append(name)


class _Course:
    """What a run has said of itself."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.streams: dict[str, str] = {}
        self.state, self.why, self.last = "running", "", 0.0

    def apply(self, row: Mapping[str, Any]) -> None:
        if row["kind"] == "step":
            name, done, at = row["name"], row["done"], row["at"]
            known = self.steps.get(name)
            again = known is None or done < known.done  # a step that begins anew has a new pace
            since, base = (at, done) if known is None or again else (known.since, known.base)
            self.steps[name] = Step(name, done, row["total"], at, since, base)
        elif row["kind"] == "stream":
            self.streams[row["name"]] = row["stream"]
        else:
            self.state, self.why = row["kind"], row["why"]
        self.last = row["at"]

    def now(self) -> tuple[dict[str, Step], dict[str, str], str, str, float]:
        return dict(self.steps), dict(self.streams), self.state, self.why, self.last


def _here(run: Run) -> bool:
    """Whether the run's process can be looked for here. (On Windows `os.kill` would end it.)"""
    return run.host == platform.node() and os.name == "posix"


def _silent(run: Run, last: float) -> bool:
    return time.time() - max(last, datetime.fromisoformat(run.begun).timestamp()) > SILENT


def _gone(run: Run) -> bool:
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    there = _started(run.pid)  # another process may have its number by now
    return bool(run.started and there) and there != run.started


def _started(pid: int) -> str:
    """When a process was started, in a form that no other process of that number has; empty where it is not told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        state, *fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        return "ended" if state in ("Z", "X") else f"{boot}/{fields[18]}"
    except (OSError, ValueError, IndexError):
        return ""
