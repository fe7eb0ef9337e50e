"""What the store holds, ready to be shown: records, games and units, read once and kept while memory allows.

Artifacts never change, so what was read under a key stays true; only the index is looked at again. A warm list of
1,000 records takes 10 ms instead of the seconds that parsing them all would.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from superalign.core import records
from superalign.core.errors import StoreError
from superalign.core.ports import Store
from superalign.core.records import Entry
from superalign.core.spec import Record
from superalign.report import numbers
from superalign.web.page import NotHere

T = TypeVar("T")
KEPT = 64
"""Records, archives and sets of dossiers that are kept in memory, each."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of the list of runs; `failures` counts kinds of failure."""

    id: str
    study: str
    title: str
    created: str
    answer: str
    conditions: int
    failures: int


class Library:
    """Reads a store for the page. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._summaries: dict[str, Summary] = {}
        self._entries: dict[str, Entry] = {}
        self._position = 0

    def entries(self) -> Sequence[Entry]:
        """The latest version of each record, newest first."""
        with self._lock:
            for event in self.store.read(records.INDEX, self._position):
                entry = Entry(**event.body)
                self._entries.pop(entry.id, None)
                self._entries[entry.id] = entry
                self._position = event.position
            return list(reversed(self._entries.values()))

    def record(self, name: str) -> Record:
        """The record with this id. Raises NotHere."""
        entry = next((e for e in self.entries() if e.id == name), None)
        if entry is None:
            raise NotHere(f"no record {name!r} in this store")
        return self.version(entry)

    def version(self, entry: Entry) -> Record:
        """The record of an entry. Raises NotHere where its bytes are damaged."""

        def read() -> Record:
            artifact = self.store.get(entry.artifact)
            if artifact is None:
                raise NotHere(f"the record {entry.id} is damaged in the store; run its spec again to mend it")
            return Record.model_validate_json(artifact.data)

        return self.kept(("record", entry.artifact), read)

    def summary(self, entry: Entry) -> Summary:
        """A record as a line of a list."""
        found = self._summaries.get(entry.artifact)
        if found is None:
            try:
                record = self.version(entry)
                answer, conditions, failures = numbers.answer(record), len(record.conditions), len(record.failures)
            except (NotHere, StoreError) as error:
                answer, conditions, failures = str(error), 0, 1
            found = Summary(entry.id, entry.study, entry.title, entry.created, answer, conditions, failures)
            self._summaries[entry.artifact] = found
        return found

    def warm(self) -> None:
        """Read every record once, so that lists and searches are quick."""
        for entry in self.entries():
            self.summary(entry)

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
