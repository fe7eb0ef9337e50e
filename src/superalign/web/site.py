"""What all routes share: the store, what was read from it, its desks, and the static files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
from pathlib import Path

from superalign.core.errors import SuperalignError, UserError
from superalign.people.desk import Desk, desks
from superalign.report.units import unit
from superalign.report.view import styles
from superalign.store import beside
from superalign.store.sql import SqlStore
from superalign.web.library import Library

STATIC = Path(__file__).parent / "static"


class Site:
    """The page of one store. A `static` one is asked for pages that become files."""

    def __init__(self, store: SqlStore, token: str = "", static: bool = False) -> None:
        self.store, self.token, self.static = store, token, static
        self.library = Library(store)
        self.assets = {p.name: p.read_bytes() for p in STATIC.iterdir() if p.suffix in (".js", ".css")}
        self.assets["superalign.css"] = styles().encode()
        self.assets["unit.js"] = unit.asset("unit.js").encode()
        self._tags = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in self.assets.items()}
        self._desks: dict[str, Desk] = {}
        self._lock = threading.Lock()

    def asset(self, name: str) -> str:
        """The address of a static file; it changes with its content, so browsers may keep it for good."""
        return f"/static/{self._tags[name]}/{name}"

    def desk(self, name: str) -> Desk:
        """A desk of the store, kept so that each request reads only what is new."""
        with self._lock:
            if name not in self._desks:
                self._desks[name] = Desk(self.store, name)
            return self._desks[name]

    def desks(self) -> list[Desk]:
        """The desks at which anything was asked."""
        return [self.desk(name) for name in desks(self.store)]

    def warm(self) -> None:
        """Read desks and records once, so that the first pages are quick too. What cannot be read is told by its page."""
        with contextlib.suppress(SuperalignError):
            for desk in self.desks():
                desk.counts()
            self.library.warm()


def key(store: SqlStore) -> str:
    """The secret that signs sessions, beside the store, readable by its owner alone: sessions survive a restart."""
    folder = beside(store, "web")
    path = folder / "session.key"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            made = folder / f"session.key.{os.getpid()}"
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            try:
                os.link(made, path)  # whoever is first wins, and all read the same
            except FileExistsError:
                pass
            finally:
                made.unlink(missing_ok=True)
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"the key of sessions {str(path)!r} cannot be made or read: {error}; mend or remove it"
        ) from error
