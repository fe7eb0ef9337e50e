"""The store on SQLAlchemy Core: one schema, one code, SQLite or PostgreSQL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from superalign.core.errors import Conflict, StoreError
from superalign.core.ports import Artifact, Event
from superalign.store import schema
from superalign.store.chain import canonical, check_name, link, seal
from superalign.store.engine import Database
from superalign.store.place import Place
from superalign.store.schema import artifacts, chunks, events, streams

CHUNK = 4 * 1024 * 1024
"""Bytes per chunk row. Part of the schema: a change needs a migration."""

PAGE = 500
"""Events per query of `read`, which bounds memory and lets writers go on between pages."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The row that makes an artifact visible."""

    key: str
    sha256: str
    size: int
    meta: str
    seal: str


class SqlStore:
    """A `Store` in one SQLite file or one PostgreSQL database, for any number of threads and processes.

    `open_store` makes one. `url` opens the same store in another process and may hold a password;
    the store's repr does not. Every failure is a StoreError.
    """

    def __init__(self, place: Place, migrations: Sequence[schema.Migration] = schema.MIGRATIONS) -> None:
        self.url = place.text
        self._place = place
        self._database = Database(place)
        try:
            number = self._database.read(schema.found)
            schema.check(number, len(migrations))
            if number < len(migrations):
                self._database.write_ahead()
                self._database.write(lambda connection: self._migrate(connection, migrations))
        except StoreError as error:
            self.close()
            raise StoreError(_placed(str(error), place)) from None

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a server."""
        return self._place.file

    def append(self, stream: str, events: Sequence[Mapping[str, Any]], expect: str | None = None) -> str:
        """Append in one transaction and return the new head; an append of nothing returns the head as it is.

        With `expect`, raises Conflict unless the head is that hash ("" for an empty stream). Without,
        several processes may append at once: all events are kept, each append in one piece.
        """
        check_name("stream", stream)
        bodies = [canonical(e, f"event {i} for the stream {stream!r}") for i, e in enumerate(events)]
        if not bodies:
            return self._database.read(lambda connection: _head(connection, stream, expect)[2])
        return self._database.write(lambda connection: self._append(connection, stream, bodies, expect))

    def read(self, stream: str, after: int = 0) -> Iterator[Event]:
        """Events with position > `after`, in order. What was appended before the first `next` is there.

        The chain is verified from `after` on, and its end against the stream's head. Raises StoreError
        that names the stream and the position where it is broken, after the sound events before it.
        """
        check_name("stream", stream)
        number, length, head = self._database.read(lambda connection: _head(connection, stream))
        position = max(after, 0)
        previous = self._hash(number, position) if number is not None and 0 < position < length else ""
        while number is not None and position < length:
            page = self._page(number, position, length)
            for found, body, kept in page:
                position += 1
                if found != position:
                    raise _broken(stream, position, f"the event is missing (the next one there is {found})")
                if kept != link(previous, stream, position, body):
                    raise _broken(stream, position, "the event does not match its hash: it, or one before, was changed")
                if position == length and kept != head:
                    raise _broken(stream, position, "the last event is not the one that was appended last")
                previous = kept
                yield Event(position, json.loads(body), kept)
            if not page:
                raise _broken(stream, position + 1, f"the event is missing, though {length} were appended")

    def put(self, key: str, data: bytes, meta: Mapping[str, Any] | None = None) -> str:
        """Keep `data` under `key` and return the SHA-256 of what is kept there.

        The first writer of a key wins, unless what is there is damaged, which is replaced. The bytes are
        written first, chunk by chunk; the manifest that makes them visible comes last.
        """
        check_name("key", key)
        described = canonical(meta or {}, f"the meta of {key!r}")
        sha256 = hashlib.sha256(data).hexdigest()
        view = memoryview(data)  # slices of it copy one chunk at a time
        new = Manifest(key, sha256, len(data), described, seal(key, sha256, len(data), described))
        while True:
            old = self._database.read(lambda connection: _manifest(connection, key))
            if old is not None and self._sound(old):
                return old.sha256
            for number, start in enumerate(range(0, len(data), CHUNK)):
                self._put_chunk(sha256, number, bytes(view[start : start + CHUNK]))
            if self._replace(old, new):
                return sha256

    def get(self, key: str) -> Artifact | None:
        """What is kept under `key`; None where there is nothing, or where it does not match its hash."""
        check_name("key", key)

        def work(connection: Connection) -> Artifact | None:
            manifest = _manifest(connection, key)
            if manifest is None or not _sealed(manifest):
                return None
            data = b"".join(_pieces(connection, manifest))
            if len(data) != manifest.size or hashlib.sha256(data).hexdigest() != manifest.sha256:
                return None
            return Artifact(data, manifest.sha256, json.loads(manifest.meta))

        return self._database.read(work)

    def streams(self, prefix: str = "") -> list[str]:
        """The names of the streams that start with `prefix`, sorted."""
        query = select(streams.c.name).where(func.substr(streams.c.name, 1, len(prefix)) == prefix)
        return sorted(self._database.read(lambda connection: connection.scalars(query).all()))

    def close(self) -> None:
        """Close all connections. A store that is dropped closes itself."""
        self._database.close()

    def __enter__(self) -> SqlStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SqlStore({self._place.shown})"

    def _migrate(self, connection: Connection, migrations: Sequence[schema.Migration]) -> None:
        self._database.lock(connection, "schema")
        schema.migrate(connection, migrations)

    def _append(self, connection: Connection, stream: str, bodies: Sequence[str], expect: str | None) -> str:
        self._database.lock(connection, "stream", stream)
        number, length, head = _head(connection, stream, expect)
        if number is None:
            made = connection.execute(insert(streams).values(name=stream, length=0, head=""))
            assert made.inserted_primary_key is not None  # never for an insert of one row
            number = int(made.inserted_primary_key[0])
        rows = []
        for position, body in enumerate(bodies, length + 1):
            head = link(head, stream, position, body)
            rows.append({"stream": number, "position": position, "body": body, "hash": head})
        connection.execute(insert(events), rows)
        new = {"length": length + len(rows), "head": head}
        connection.execute(update(streams).where(streams.c.id == number).values(new))
        return head

    def _hash(self, number: int, position: int) -> str:
        query = select(events.c.hash).where(events.c.stream == number, events.c.position == position)
        return self._database.read(lambda connection: connection.scalar(query)) or ""

    def _page(self, number: int, after: int, until: int) -> list[tuple[int, str, str]]:
        query = (
            select(events.c.position, events.c.body, events.c.hash)
            .where(events.c.stream == number, events.c.position > after, events.c.position <= until)
            .order_by(events.c.position)
            .limit(PAGE)
        )
        return self._database.read(lambda connection: [(p, b, h) for p, b, h in connection.execute(query)])

    def _sound(self, manifest: Manifest) -> bool:
        def work(connection: Connection) -> bool:
            size, running = 0, hashlib.sha256()
            for piece in _pieces(connection, manifest):
                size += len(piece)
                running.update(piece)
            return size == manifest.size and running.hexdigest() == manifest.sha256

        return _sealed(manifest) and self._database.read(work)

    def _put_chunk(self, sha256: str, number: int, piece: bytes) -> None:
        here = (chunks.c.sha256 == sha256) & (chunks.c.number == number)

        def there(connection: Connection) -> bool:
            return bool(connection.scalar(select(chunks.c.data).where(here)) == piece)

        def write(connection: Connection) -> None:
            self._database.lock(connection, "chunk", sha256, str(number))
            connection.execute(delete(chunks).where(here))
            connection.execute(insert(chunks).values(sha256=sha256, number=number, data=piece))

        if not self._database.read(there):
            self._database.write(write)

    def _replace(self, old: Manifest | None, new: Manifest) -> bool:
        """Put `new` in the place of `old`; False where another writer has changed it meanwhile."""

        def work(connection: Connection) -> bool:
            self._database.lock(connection, "key", new.key)
            if _manifest(connection, new.key) != old:
                return False
            connection.execute(delete(artifacts).where(artifacts.c.key == new.key))
            values = {name: getattr(new, name) for name in Manifest.__slots__}
            connection.execute(insert(artifacts).values(values))
            return True

        return self._database.write(work)


def _head(connection: Connection, stream: str, expect: str | None = None) -> tuple[int | None, int, str]:
    """The stream's row: id, length, head. Raises Conflict unless the head is `expect`."""
    query = select(streams.c.id, streams.c.length, streams.c.head).where(streams.c.name == stream)
    row = connection.execute(query).one_or_none()
    number, length, head = (row.id, row.length, row.head) if row is not None else (None, 0, "")
    if expect is not None and expect != head:
        there = f"at position {length} with the head {head[:12]}..." if length else "empty"
        wanted = f"the head {expect[:12]}..." if expect else "an empty stream"
        raise Conflict(
            f"the stream {stream!r} is {there}, not {wanted} as expected: another process appended first; "
            "read what is new and append again"
        )
    return number, length, head


def _manifest(connection: Connection, key: str) -> Manifest | None:
    row = connection.execute(select(artifacts).where(artifacts.c.key == key)).one_or_none()
    return None if row is None else Manifest(**row._mapping)


def _sealed(manifest: Manifest) -> bool:
    return manifest.seal == seal(manifest.key, manifest.sha256, manifest.size, manifest.meta)


def _pieces(connection: Connection, manifest: Manifest) -> Iterator[bytes]:
    """The chunks of an artifact, one in memory at a time; it ends early where one is missing."""
    for number in range(-(-manifest.size // CHUNK)):
        query = select(chunks.c.data).where(chunks.c.sha256 == manifest.sha256, chunks.c.number == number)
        piece = connection.scalar(query)
        if piece is None:
            return
        yield piece


def _broken(stream: str, position: int, what: str) -> StoreError:
    advice = "restore a copy of the store, or start another one with --store"
    return StoreError(f"the stream {stream!r} is broken at position {position}: {what}; {advice}")


def _placed(message: str, place: Place) -> str:
    return message if place.shown in message else f"the store {place.shown}: {message}"
