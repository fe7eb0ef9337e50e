"""Runs in progress, as others see them: which study runs where, how far each step is, and how it ended.

A run writes to the stream `runs` when it begins and ends, and to `run/<id>` while it goes on: at most `EVERY` seconds
apart, so that watching costs a run nothing that can be measured (one append is about 1 ms).
"""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from superalign.core.errors import StoreError
from superalign.core.ports import Progress, Store, silent
from superalign.core.study import now

INDEX = "runs"
EVERY = 0.5
"""Seconds between two events of a run."""
SILENT = 120.0
"""Seconds after which a run on another machine that says nothing is taken for dead."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far one step of a run is, and when that was said (seconds since 1970)."""

    name: str
    done: int
    total: int
    at: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a study. `state` is `running`, `waiting` (for people), `finished`, `failed`, `stopped` (by its user)
    or `lost` (it said nothing more and its process is gone). `record` is what it left."""

    id: str
    study: str
    title: str
    spec: Mapping[str, Any]
    begun: str
    host: str
    pid: int
    state: str = "running"
    ended: str = ""
    record: str = ""
    why: str = ""
    steps: Mapping[str, Step] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in ("running", "waiting")


class Live:
    """A run that is going on, and writes so. `record` is what it left; `told` whether its user knows what it waits for."""

    def __init__(self, store: Store, run: Run) -> None:
        self.id, self._store = run.id, store
        self._said: dict[str, int] = {}
        self._kept: dict[str, dict[str, Any]] = {}
        self._last = 0.0
        self._state = "running"
        self.record = ""
        self.told = False

    def progress(self, shown: Progress = silent) -> Progress:
        """Progress that is shown and also written down."""

        def both(name: str, done: int, total: int) -> None:
            shown(name, done, total)
            self._kept[name] = {"kind": "step", "name": name, "done": done, "total": total, "at": round(time.time(), 3)}
            if time.monotonic() - self._last >= EVERY or done >= total:
                self.flush()

        return both

    def flush(self) -> None:
        """Write down what has not been written yet. A store that fails meanwhile does not stop the run."""
        fresh = [e for e in self._kept.values() if self._said.get(e["name"]) != e["done"]]
        self._last = time.monotonic()
        if fresh:
            with suppress(StoreError):
                self._store.append(f"run/{self.id}", fresh)
                self._said |= {e["name"]: e["done"] for e in fresh}

    def say(self, state: str, why: str = "") -> None:
        """Tell that it waits for people, or runs again."""
        if state != self._state:
            self._state = state
            self._store.append(f"run/{self.id}", [{"kind": state, "why": why, "at": round(time.time(), 3)}])


@contextmanager
def live(store: Store, study: str, title: str, spec: Mapping[str, Any]) -> Iterator[Live]:
    """A run of a study, seen by others from its beginning to its end, however it ends."""
    run = Run(f"run-{secrets.token_hex(5)}", study, title, spec, now(), platform.node(), os.getpid())
    begun = {"kind": "begun", "run": run.id, "study": study, "title": title, "spec": dict(spec), "at": run.begun}
    store.append(INDEX, [{**begun, "host": run.host, "pid": run.pid}])
    going = Live(store, run)
    end: dict[str, Any] = {"kind": "ended", "run": run.id, "state": "finished"}
    try:
        yield going
    except KeyboardInterrupt:
        end |= {"state": "stopped", "why": "by its user"}
        raise
    except BaseException as error:
        end |= {"state": "failed", "why": f"{type(error).__name__}: {error}"[:2000]}
        raise
    finally:
        going.flush()
        with suppress(StoreError):
            store.append(INDEX, [{**end, "record": going.record, "at": now()}])


def runs(store: Store) -> list[Run]:
    """Every run, oldest first, without its steps."""
    found: dict[str, Run] = {}
    for event in store.read(INDEX):
        row = event.body
        if row["kind"] == "begun":
            found[row["run"]] = Run(
                row["run"], row["study"], row["title"], row["spec"], row["at"], row["host"], row["pid"]
            )
        elif row["run"] in found:
            ended = {"state": row["state"], "ended": row["at"], "record": row["record"], "why": row.get("why", "")}
            found[row["run"]] = replace(found[row["run"]], **ended)
    return list(found.values())


def watched(store: Store, run: Run) -> Run:
    """The run with its steps, and its state as it is now."""
    steps, state, why, last = dict(run.steps), run.state, run.why, 0.0
    for event in store.read(f"run/{run.id}"):
        row = event.body
        last = row["at"]
        if row["kind"] == "step":
            steps[row["name"]] = Step(row["name"], row["done"], row["total"], row["at"])
        elif not run.over:
            state, why = row["kind"], row["why"]
    if not run.over and _gone(run, last):
        state, why = "lost", "its process is gone; the same command goes on from what it kept"
    return replace(run, steps=steps, state=state, why=why)


def _gone(run: Run, last: float) -> bool:
    if run.host != platform.node():
        return bool(last) and time.time() - last > SILENT
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
