"""Connections and transactions, the one place where SQLite and PostgreSQL differ."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import Pool

from superalign.core.errors import StoreError
from superalign.store.failures import DRIVER, ELSEWHERE, explain, transient
from superalign.store.place import Place

T = TypeVar("T")


class Database:
    """Transactions at a place. Every failure leaves as a StoreError.

    Works from several threads and processes; a forked child gets connections of its own.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.engine = _sqlite(place) if place.file else _postgres(place)
        self._process = os.getpid()
        self._inherited: list[Pool] = []
        self.close = weakref.finalize(self, self.engine.dispose)

    def read(self, work: Callable[[Connection], T]) -> T:
        """`work` in a transaction that writes nothing."""
        return self._patiently(lambda: self._once(work, writing=False))

    def write(self, work: Callable[[Connection], T]) -> T:
        """`work` in a transaction that is there as a whole or not at all.

        `work` runs again when another writer was in the way, for at most the timeout of the place.
        """
        if self.place.read_only:
            raise StoreError(f"the store {self.place.shown}: it was opened to read only; leave out mode=ro to write")
        return self._patiently(lambda: self._once(work, writing=True))

    def write_ahead(self) -> None:
        """Put a SQLite file into write-ahead mode, which the file remembers: readers never wait for a writer."""
        if self.place.file is None or self.place.read_only:
            return

        def change() -> None:
            raw = self.engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA journal_mode=WAL")
            finally:
                raw.close()

        self._patiently(change)

    def lock(self, connection: Connection, *names: str) -> None:
        """Hold what is named until the transaction ends. SQLite's write transactions exclude each other already."""
        if connection.dialect.name == "postgresql":
            number = int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:8], signed=True)
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def _once(self, work: Callable[[Connection], T], writing: bool) -> T:
        if os.getpid() != self._process:
            # A parent's sockets and file locks are not ours to use, nor to close: kept, out of reach.
            self._inherited.append(self.engine.pool)
            self.engine.dispose(close=False)
            self._process = os.getpid()
        with self.engine.connect() as connection:
            connection.execution_options(writing=writing)
            with connection.begin():
                return work(connection)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        deadline = time.monotonic() + self.place.timeout
        with explained(self.place):
            while True:
                try:
                    return attempt()
                except (SQLAlchemyError, sqlite3.Error) as error:
                    if not transient(error) or time.monotonic() >= deadline:
                        raise
                time.sleep(random.uniform(0.001, 0.02))


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """Turn the errors of the drivers into StoreErrors, without their traceback."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise explain(error, place) from None


def _sqlite(place: Place) -> Engine:
    assert place.file is not None
    if not place.read_only:
        try:
            place.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the store {place.shown}: its folder cannot be made ({error.strerror}: {error.filename}); "
                f"make it writable, {ELSEWHERE}"
            ) from None
    # Threads may be many and their transactions are short, so connections are not limited.
    engine = create_engine(place.url, connect_args={"timeout": place.timeout}, max_overflow=-1)
    event.listen(engine, "connect", _pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _pragmas(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # `_begin` says when a transaction starts, not the driver
    connection.execute("PRAGMA foreign_keys=ON")
    # In write-ahead mode a commit is in the operating system's hands before it returns, so a killed
    # process loses nothing. A power cut may take the last commits, whole ones, never the file.
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: Connection) -> None:
    # A write lock taken at the start can be waited for; one taken after a read fails at once.
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _postgres(place: Place) -> Engine:
    patience = {} if "connect_timeout" in place.url.query else {"connect_timeout": 10}
    try:
        # A lock is waited for and then the newest state is read, which is what READ COMMITTED does.
        return create_engine(place.url, connect_args=patience, isolation_level="READ COMMITTED", pool_pre_ping=True)
    except ImportError as error:
        raise StoreError(f"{DRIVER} ({error})") from None
