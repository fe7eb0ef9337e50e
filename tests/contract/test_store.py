"""The Store contract: on our own store, on one that shares no code with it, and on broken ones."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from superalign.core.errors import Conflict, StoreError
from superalign.core.ports import Artifact, Event, Store
from superalign.store import open_store
from superalign.testing.store import StoreContract


class TestSqlite(StoreContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.file = tmp_path / "store.sqlite"

    def open(self) -> Store:
        return open_store(self.file)

    def change(self, statement: str, *values: Any) -> None:
        with sqlite3.connect(self.file) as connection:
            assert connection.execute(statement, values).rowcount == 1
        connection.close()

    def damage(self, key: str) -> None:
        with sqlite3.connect(self.file) as connection:
            query = (
                "SELECT c.rowid, data FROM superalign_chunks c JOIN superalign_artifacts USING (sha256) WHERE key = ?"
            )
            row, data = connection.execute(query, (key,)).fetchone()
        connection.close()
        data = bytearray(data)
        data[1000] ^= 1
        self.change("UPDATE superalign_chunks SET data = ? WHERE rowid = ?", bytes(data), row)

    def tamper(self, stream: str, position: int) -> None:
        where = "position = ? AND stream = (SELECT id FROM superalign_streams WHERE name = ?)"
        self.change(f"UPDATE superalign_events SET body = '{{}}' WHERE {where}", position, stream)


class InMemory:
    """The smallest Store: two dictionaries, shared by all who open the same place."""

    def __init__(self, place: dict[str, Any]) -> None:
        self.streams: dict[str, list[Event]] = place.setdefault("streams", {})
        self.artifacts: dict[str, Artifact] = place.setdefault("artifacts", {})

    def append(self, stream: str, events: Sequence[Mapping[str, Any]], expect: str | None = None) -> str:
        entries = self.streams.get(stream, [])
        head = entries[-1].hash if entries else ""
        if expect not in (None, head):
            raise Conflict(f"{stream!r} has another head")
        new = []
        for position, body in enumerate(events, len(entries) + 1):
            head = self._hash(head, body)
            new.append(Event(position, json.loads(self._text(body)), head))
        self.streams[stream] = entries + new
        return head

    def read(self, stream: str, after: int = 0) -> Iterator[Event]:
        head = ""
        for event in self.streams.get(stream, []):
            head = self._hash(head, event.body)
            if head != event.hash:
                raise StoreError(f"{stream!r} is broken at position {event.position}")
            if event.position > after:
                yield event

    def put(self, key: str, data: bytes, meta: Mapping[str, Any] | None = None) -> str:
        self._text(meta or {})
        if self.get(key) is None:
            self.artifacts[key] = Artifact(data, hashlib.sha256(data).hexdigest(), meta or {})
        return self.artifacts[key].sha256

    def get(self, key: str) -> Artifact | None:
        found = self.artifacts.get(key)
        return found if found and hashlib.sha256(found.data).hexdigest() == found.sha256 else None

    def _hash(self, head: str, body: Mapping[str, Any]) -> str:
        return hashlib.sha256((head + self._text(body)).encode()).hexdigest()

    def _text(self, body: Mapping[str, Any]) -> str:
        try:
            text = json.dumps(body, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StoreError(str(error)) from error
        if any(not isinstance(key, str) for key in body):
            raise StoreError("a key is not a str")
        return text


class TestInMemory(StoreContract):
    kind: type[InMemory] = InMemory

    @pytest.fixture(autouse=True)
    def place(self) -> None:
        self.dictionary: dict[str, Any] = {}

    def open(self) -> Store:
        return self.kind(self.dictionary)

    def damage(self, key: str) -> None:
        found = self.dictionary["artifacts"][key]
        self.dictionary["artifacts"][key] = Artifact(b"x" + found.data[1:], found.sha256, found.meta)

    def tamper(self, stream: str, position: int) -> None:
        entries = self.dictionary["streams"][stream]
        entries[position - 1] = Event(position, {"i": -1}, entries[position - 1].hash)


class Unexpecting(InMemory):
    """Ignores `expect`."""

    def append(self, stream: str, events: Sequence[Mapping[str, Any]], expect: str | None = None) -> str:
        return super().append(stream, events)


class LastWins(InMemory):
    """Overwrites keys."""

    def put(self, key: str, data: bytes, meta: Mapping[str, Any] | None = None) -> str:
        self.artifacts.pop(key, None)
        return super().put(key, data, meta)


class Trusting(InMemory):
    """Checks no hash."""

    def get(self, key: str) -> Artifact | None:
        return self.artifacts.get(key)

    def read(self, stream: str, after: int = 0) -> Iterator[Event]:
        return iter(self.streams.get(stream, [])[after:])


class Unchained(InMemory):
    """Hashes each event alone."""

    def _hash(self, head: str, body: Mapping[str, Any]) -> str:
        return super()._hash("", body)


def failures(kind: type[InMemory]) -> set[str]:
    """The names of the contract's tests that a store does not pass."""
    failed = set()
    for name in [n for n in dir(StoreContract) if n.startswith("test_")]:
        suite = TestInMemory()
        suite.kind, suite.dictionary = kind, {}
        try:
            getattr(suite, name)(suite.open())
        except (AssertionError, pytest.fail.Exception):
            failed.add(name)
    return failed


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (InMemory, set()),
        (
            Unexpecting,
            {"test_another_head_is_a_conflict_and_nothing_is_appended", "test_two_openings_of_a_place_see_each_other"},
        ),
        (LastWins, {"test_the_first_writer_of_a_key_wins"}),
        (Trusting, {"test_a_changed_event_is_seen", "test_damaged_bytes_are_as_good_as_absent_and_are_replaced"}),
        (Unchained, {"test_a_head_chains_everything_before"}),
    ],
)
def test_the_contract_finds_what_a_broken_store_does_wrong(kind: type[InMemory], expected: set[str]) -> None:
    assert failures(kind) == expected


def test_a_suite_without_open_says_what_to_write() -> None:
    with pytest.raises(NotImplementedError, match=r"write open\(self\)"):
        StoreContract().open()


@pytest.mark.parametrize("hook", ["damage", "tamper"])
def test_missing_hooks_skip(hook: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=f"write {hook}"):
        getattr(StoreContract(), hook)(*("s", 1)[: 1 if hook == "damage" else 2])
