"""What the store holds, ready to be shown: records, games and units, read once and kept while memory allows.

Artifacts never change, so what was read under a key stays true; only the index is looked at again. A warm list of
1,000 records takes 10 ms instead of the seconds that parsing them all would.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from superalign.compute.runs import Watch
from superalign.core import records
from superalign.core.errors import StoreError
from superalign.core.ports import Store
from superalign.core.records import Entry
from superalign.core.spec import Record
from superalign.report import numbers
from superalign.report.files import file_name
from superalign.report.views.boards import ratings
from superalign.web.drawings import Drawings
from superalign.web.page import NotHere, Reading

T = TypeVar("T")
KEPT = 64
"""Records and other things of their size that are kept in memory."""
OPENED = 4
"""Sets of games or of units that are kept in memory; one of 50,000 games takes some 300 MB."""
POLITE = 0.002
"""Seconds between two records that are read in the background."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of the list of runs. `failures` counts kinds of failure; `rated` names the competitors of its leaderboard and
    its other tables of ratings; `damaged` says that it cannot be read."""

    id: str
    study: str
    title: str
    created: str
    answer: str
    conditions: int
    failures: int
    rated: tuple[str, ...] = ()
    damaged: bool = False


class Damaged(NotHere):
    """A record whose bytes cannot be read."""


class Library:
    """Reads a store for the page. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._opened: OrderedDict[Hashable, Any] = OrderedDict()
        self._reading: dict[Hashable, threading.Event] = {}
        self._summaries: dict[str, Summary] = {}
        self._entries: dict[str, Entry] = {}
        self._versions: dict[str, list[Entry]] = {}
        self._position = 0
        self.runs, self.drawings = Watch(store), Drawings()

    def entries(self) -> Sequence[Entry]:
        """The latest version of each record, newest first."""
        with self._lock:
            for event in self.store.read(records.INDEX, self._position):
                entry = Entry(**event.body)
                self._entries.pop(entry.id, None)
                self._entries[entry.id] = entry
                self._versions.setdefault(entry.id, []).append(entry)
                self._position = event.position
            return list(reversed(self._entries.values()))

    def record(self, name: str) -> Record:
        """The record with this id, or whose file has this name. Raises NotHere."""
        return self.version(self.versions(name)[-1])

    def versions(self, name: str) -> Sequence[Entry]:
        """Every version of the record with this id, or whose file has this name, oldest first. Raises NotHere."""
        known = self.entries()
        if name not in self._versions:
            name = next((e.id for e in known if file_name(e.id, "") == name), name)
        if name not in self._versions:
            raise NotHere(f"no record {name!r} in this store")
        return list(self._versions[name])

    def version(self, entry: Entry) -> Record:
        """The record of an entry. Raises Damaged where it cannot be read."""

        def read() -> Record:
            artifact = self.store.get(entry.artifact)
            if artifact is None:
                raise Damaged(f"the record {entry.id} is damaged in the store; run its spec again to mend it")
            try:
                return Record.model_validate_json(artifact.data)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                raise Damaged(
                    f"the record {entry.id} has another form than this version of superalign reads ({where}: "
                    f"{first['msg']}); run its spec again to mend it"
                ) from error

        return self.kept(("record", entry.artifact), read)

    def known(self, entry: Entry) -> Summary | None:
        """A record as a line of a list, where it was read before."""
        return self._summaries.get(entry.artifact)

    def summary(self, entry: Entry) -> Summary:
        """A record as a line of a list."""
        found = self.known(entry)
        if found is None:
            line = (entry.id, entry.study, entry.title, entry.created)
            try:
                record = self.version(entry)
                counts = len(record.conditions), len(record.failures)
                found = Summary(*line, numbers.answer(record), *counts, rated=_rated(record))
            except (NotHere, StoreError) as error:
                found = Summary(*line, str(error), 0, 1, damaged=True)
            self._summaries[entry.artifact] = found
        return found

    def warm(self) -> None:
        """Read the runs and every record once, so that lists and searches know all answers. Requests go first."""
        self.runs.going()
        for entry in self.entries():
            if self.known(entry) is None:
                self.summary(entry)
                time.sleep(POLITE)

    def kept(self, key: Hashable, read: Callable[[], T]) -> T:
        """What `read` gives, kept under a key that names it for good (an artifact's)."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                found: T = self._kept[key]
                return found
        value = read()
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return value

    def opened(self, key: Hashable, what: str, large: bool, read: Callable[[], T]) -> T:
        """What `read` gives, kept like `kept`, but only a few at a time. What is `large` is read in the background, once:
        until it is there Reading is raised, which says `what` is being read."""
        with self._lock:
            if key in self._opened:
                self._opened.move_to_end(key)
                found = self._opened[key]
                if isinstance(found, Exception):
                    del self._opened[key]  # told once; the next visit tries again
                    raise found
                value: T = found
                return value
            done = self._reading.get(key)
            if done is None:
                done = self._reading[key] = threading.Event()
                worker = threading.Thread(
                    target=self._open, args=(key, read, done), daemon=True, name=f"reading {what}"
                )
                worker.start()
        if large:
            raise Reading(what, done)
        done.wait()
        return self.opened(key, what, large, read)

    def _open(self, key: Hashable, read: Callable[[], Any], done: threading.Event) -> None:
        gc.disable()  # nothing of it is a cycle, and looking for some among millions of objects stops every page for 1 s
        try:
            value = read()
        except Exception as error:  # raised where it is asked for
            value = error
        finally:
            gc.enable()
        with self._lock:
            self._opened[key] = value
            while len(self._opened) > OPENED:
                self._opened.popitem(last=False)
            del self._reading[key]
        done.set()


def _rated(record: Record) -> tuple[str, ...]:
    found = ratings(record)
    return (*(row.name for board in found.boards[:1] for row in board.rows), *(table.title for table in found.tables))
