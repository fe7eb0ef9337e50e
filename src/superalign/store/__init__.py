"""Append-only events and content-addressed artifacts: SQLite by default, PostgreSQL by URL.

`import superalign.store` is light; SQLAlchemy loads when a store is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from superalign.core.ports import Store
    from superalign.store.sql import SqlStore


def open_store(url: str | Path | None = None) -> SqlStore:
    """Open the store at `url`, creating or migrating it where needed.

    `url` is a file (`./runs.sqlite`), a folder (its `store.sqlite`), `sqlite:///file.sqlite` (with
    `?mode=ro` to read only, `?timeout=5` for the seconds to wait for a lock, 30 by default), or
    `postgresql://user:password@host/database`. None means the environment variable SUPERALIGN_STORE,
    else the nearest `.superalign/` folder above the current one, else the user's data folder.
    Raises StoreError where the store cannot be opened.
    """
    from superalign.store.place import locate
    from superalign.store.sql import SqlStore

    return SqlStore(locate(url))


def beside(store: Store, name: str) -> Path:
    """The folder `name` beside a store in a file, else in the user's data folder: for what is too large for a
    database, or must not be in it."""
    import platformdirs

    file = getattr(store, "file", None)
    return (file.parent if file is not None else Path(platformdirs.user_data_dir("superalign"))) / name
