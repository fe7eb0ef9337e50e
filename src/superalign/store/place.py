"""Where a store is: what was typed, the environment, the project's folder, the user's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from superalign.core.errors import StoreError

ENVIRONMENT = "SUPERALIGN_STORE"
FILE = "store.sqlite"
FOLDER = ".superalign"
TIMEOUT = 30.0

_FORMS = "a store is a file, a folder, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


@dataclass(frozen=True, slots=True)
class Place:
    """A located store.

    `url` is what SQLAlchemy connects to; `text` opens the same store again (it may hold a password);
    `shown` is for people. `file` is the SQLite file, None for a server. `timeout` is in seconds.
    """

    url: URL
    text: str
    shown: str
    file: Path | None = None
    read_only: bool = False
    timeout: float = TIMEOUT


def locate(given: str | Path | None = None) -> Place:
    """The place that `given`, else SUPERALIGN_STORE, else the project or the user's data folder means.

    Raises StoreError for a URL that is neither SQLite nor PostgreSQL.
    """
    text = str(given or os.environ.get(ENVIRONMENT) or _default())
    if "://" not in text:
        return _sqlite(Path(text), {})
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"{text.split('://')[0]}://... is not a URL that can be read; {_FORMS}") from error
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if not url.database or url.database == ":memory:":
            raise StoreError("a store in memory would keep nothing; give a file, such as sqlite:///store.sqlite")
        return _sqlite(Path(url.database), dict(url.query))
    if url.drivername in ("postgresql", "postgresql+psycopg", "postgres"):
        shown = url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)
        return Place(url.set(drivername="postgresql+psycopg"), text, shown)
    raise StoreError(f"no store is known for {backend or url.drivername!r} ({url.drivername}://...); {_FORMS}")


def _default() -> Path:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER / FILE
    import platformdirs

    return Path(platformdirs.user_data_dir("superalign")) / FILE


def _sqlite(path: Path, query: dict[str, str | tuple[str, ...]]) -> Place:
    if str(path).startswith("file:"):
        raise StoreError(f"{str(path)!r}: write sqlite:///FILE?mode=ro instead of a file: URI")
    unknown = sorted(set(query) - {"mode", "timeout"})
    mode, timeout = query.get("mode", "rw"), query.get("timeout", str(TIMEOUT))
    if unknown or mode not in ("rw", "ro"):
        raise StoreError(f"{path}: a SQLite URL takes ?mode=ro (or rw) and ?timeout=SECONDS, not {dict(query)}")
    try:
        seconds = float(str(timeout))
    except ValueError as error:
        raise StoreError(f"{path}: timeout is a number of seconds, got {timeout!r}") from error
    path = Path(os.path.abspath(path.expanduser()))
    if path.is_dir() or (not path.suffix and not path.exists()):
        path = path / FILE
    if mode == "ro":
        url = URL.create("sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"})
    else:
        url = URL.create("sqlite", database=str(path))
    options = "&".join(f"{k}={v}" for k, v in query.items())
    text = f"sqlite:///{path}?{options}" if options else str(path)
    return Place(url, text, str(path), path, mode == "ro", seconds)
