"""The tables, and how an older store becomes a current one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    insert,
    inspect,
    select,
)

import superalign
from superalign.core.errors import StoreError

# Every name carries the prefix, so a PostgreSQL database may hold other tables beside ours.
metadata = MetaData()

schema = Table("superalign_schema", metadata, Column("number", Integer, nullable=False))

streams = Table(
    "superalign_streams",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("length", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
)
"""`length` and `head` repeat the last event: without them a cut tail could not be seen."""

events = Table(
    "superalign_events",
    metadata,
    Column("stream", ForeignKey(streams.c.id), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

chunks = Table(
    "superalign_chunks",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
"""The pieces of some bytes, by the SHA-256 of the whole: equal bytes under two keys are here once."""

artifacts = Table(
    "superalign_artifacts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("meta", Text, nullable=False),
    Column("seal", Text, nullable=False),
)

Migration = Callable[[Connection], None]

MIGRATIONS: Sequence[Migration] = (metadata.create_all,)
"""`MIGRATIONS[n]` makes schema n + 1 out of schema n; schema 0 is an empty database. When a second
step is added, the first must go on making the tables of schema 1, not those of the day."""


def found(connection: Connection) -> int:
    """The schema number of a database, 0 where there is no store yet. Raises StoreError where it is another
    program's SQLite file, or where the number is missing."""
    inspector = inspect(connection)
    if not inspector.has_table(schema.name):
        others = inspector.get_table_names() if connection.dialect.name == "sqlite" else []
        if others:
            raise StoreError(
                f"it is another program's database (it holds the table {others[0]!r}); choose another --store"
            )
        return 0
    numbers = connection.scalars(select(schema.c.number)).all()
    if len(numbers) != 1:
        raise StoreError(
            f"its schema number is missing or doubled ({list(numbers)}); restore a copy, or use another --store"
        )
    return int(numbers[0])


def check(number: int, newest: int) -> None:
    """Raise StoreError for a store that a newer superalign has made."""
    if number > newest:
        raise StoreError(
            f"it has schema {number}, and superalign {superalign.__version__} knows schemas up to {newest}; "
            "type: pip install --upgrade superalign, or use another --store"
        )


def migrate(connection: Connection, steps: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the store to schema `len(steps)`, in the caller's transaction: all steps or none."""
    number = found(connection)
    check(number, len(steps))
    for step in steps[number:]:
        step(connection)
    connection.execute(delete(schema))
    connection.execute(insert(schema).values(number=len(steps)))
