"""What a database's error means for the person who meets it."""

from __future__ import annotations

import sqlite3

from sqlalchemy import exc
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from superalign.core.errors import StoreError
from superalign.store.place import Place

ELSEWHERE = "or use another place with --store"
DRIVER = "a PostgreSQL store needs the psycopg driver; type: pip install 'superalign[postgres]'"

_LOCKED = "another process held its lock for {timeout:g} s; wait for that process, or stop it, and run again"

_SQLITE = {
    "SQLITE_FULL": "the disk is full; free some space and run again: everything finished is kept",
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_READONLY": f"it is read-only; make the file and its folder writable, {ELSEWHERE}",
    "SQLITE_CANTOPEN": "the file cannot be opened or created; check that its folder exists and is writable, "
    + ELSEWHERE,
    "SQLITE_PERM": f"access is denied; check the file's permissions, {ELSEWHERE}",
    "SQLITE_NOTADB": f"the file is not a SQLite database; move it away, {ELSEWHERE}",
    "SQLITE_CORRUPT": "the database file is damaged; restore a copy of it, " + ELSEWHERE,
    "SQLITE_IOERR": "the disk failed to read or write; check the disk, " + ELSEWHERE,
}

# Codes of the table in PostgreSQL's manual, appendix A.
_POSTGRES = {
    "28P01": "wrong user or password; check both in the URL",
    "28000": "the server refuses this user; check the user in the URL and the server's pg_hba.conf",
    "3D000": "there is no such database; type: createdb NAME, or correct the name in the URL",
    "42501": "this user may not do that; grant CREATE on the schema, or give another user in the URL",
    "25006": "the server is read-only (a standby?); give the primary server in the URL",
    "53100": "the server's disk is full; free some space and run again: everything finished is kept",
    "53300": "the server has no free connection; close some, or raise its max_connections",
    "55P03": "it was locked by another process; wait for that process and run again",
    "57014": "the server cancelled the statement; raise its statement_timeout and run again",
}

# When no connection came about the server's code does not reach the client, only its text does.
_POSTGRES_TEXT = {
    "password authentication failed": _POSTGRES["28P01"],
    "no password supplied": _POSTGRES["28P01"],
    "no pg_hba.conf entry": _POSTGRES["28000"],
    "too many clients": _POSTGRES["53300"],
}


def transient(error: Exception) -> bool:
    """Whether the same transaction may succeed when tried again: busy, or another writer was faster."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        name = getattr(original, "sqlite_errorname", None) or ""
        return name.startswith(
            ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
        )
    return getattr(original, "sqlstate", None) in ("23505", "40001", "40P01")


def explain(error: Exception, place: Place) -> StoreError:
    """The StoreError for what SQLAlchemy, sqlite3 or psycopg raised at `place`."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return StoreError(f"the store {place.shown}: {_sqlite(original, place)}")
    if isinstance(error, exc.TimeoutError):
        return StoreError(f"the store {place.shown}: no free connection within 30 s; use fewer threads at once")
    if isinstance(error, DBAPIError) or not isinstance(error, SQLAlchemyError):
        return StoreError(f"the store {place.shown}: {_postgres(original, error, place)}")
    return StoreError(f"the store {place.shown}: {_first_line(error)}")


def _sqlite(error: sqlite3.Error, place: Place) -> str:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith("SQLITE_CANTOPEN") and place.read_only and place.file and not place.file.exists():
        return f"there is no such file; correct the path, {ELSEWHERE}"
    for code, meaning in _SQLITE.items():
        if name.startswith(code):
            return f"{meaning.format(timeout=place.timeout)} ({_first_line(error)})"
    return f"SQLite failed: {_first_line(error)} ({name or type(error).__name__})"


def _postgres(original: BaseException | None, error: Exception, place: Place) -> str:
    said = str(original or error)
    code = getattr(original, "sqlstate", None)
    if code in _POSTGRES:
        return f"{_POSTGRES[code]} ({_first_line(said)})"
    if code is not None:
        return f"PostgreSQL failed: {_first_line(said)} ({code})"
    for text, meaning in _POSTGRES_TEXT.items():
        if text in said:
            return f"{meaning} ({_first_line(said)})"
    if 'database "' in said and "does not exist" in said:
        return f"{_POSTGRES['3D000']} ({_first_line(said)})"
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return f"the connection broke; everything finished is kept, run again ({_first_line(said)})"
    return f"the PostgreSQL server cannot be reached; check that it runs, and the host and port ({_first_line(said)})"


def _first_line(said: object) -> str:
    return str(said).strip().partition("\n")[0]
