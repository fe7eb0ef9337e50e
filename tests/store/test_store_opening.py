"""Which place is meant, schema numbers, and what a person reads when a SQLite place is not right."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from sqlalchemy import Connection, event, text

from superalign.core.errors import StoreError, UserError
from superalign.store import open_store
from superalign.store.place import locate
from superalign.store.schema import MIGRATIONS
from superalign.store.sql import SqlStore


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and no default of the person who runs the tests."""
    monkeypatch.delenv("SUPERALIGN_STORE", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_import_is_light() -> None:
    code = "import sys, superalign.store; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_default_is_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert locate().shown == str(Path(platformdirs.user_data_dir("superalign")) / "store.sqlite")


def test_a_project_folder_above_is_nearer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".superalign").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert locate().shown == str(tmp_path / ".superalign" / "store.sqlite")
    with open_store() as store:
        store.append("s", [{}])
    assert (tmp_path / ".superalign" / "store.sqlite").is_file()


def test_the_environment_is_nearer_than_the_project_and_an_argument_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".superalign").mkdir()
    monkeypatch.setenv("SUPERALIGN_STORE", str(tmp_path / "env.sqlite"))
    assert locate().shown == str(tmp_path / "env.sqlite")
    assert locate(str(tmp_path / "arg.sqlite")).shown == str(tmp_path / "arg.sqlite")
    monkeypatch.setenv("SUPERALIGN_STORE", "")
    assert locate().shown == str(tmp_path / ".superalign" / "store.sqlite")


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ("x.sqlite", "x.sqlite"),
        ("./x.sqlite", "x.sqlite"),
        ("runs", "runs/store.sqlite"),
        ("there", "there/store.sqlite"),
        ("v1.2", "v1.2/store.sqlite"),
        ("plain", "plain"),
        ("sqlite:///x.sqlite", "x.sqlite"),
        ("sqlite+pysqlite:///sub/x.sqlite", "sub/x.sqlite"),
        ("sqlite:///there", "there/store.sqlite"),
        ("sqlite:///x.sqlite?mode=ro", "x.sqlite"),
        ("ümlaut 100%?#&.sqlite", "ümlaut 100%?#&.sqlite"),
    ],
)
def test_a_path_or_url_means_a_file(tmp_path: Path, given: str, file: str) -> None:
    for folder in ("there", "v1.2"):
        (tmp_path / folder).mkdir()
    (tmp_path / "plain").touch()
    assert locate(given).file == tmp_path / file
    assert locate(locate(given).text).file == tmp_path / file
    if "mode=ro" not in given:
        with open_store(given) as store:
            head = store.append("s", [{}])
        with open_store(store.url) as again:
            assert again.append("s", []) == head
        assert (tmp_path / file).stat().st_size > 0


def test_an_absolute_url_and_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/x.sqlite").file == tmp_path / "x.sqlite"
    assert locate(f"sqlite:///{tmp_path}/x.sqlite").file == tmp_path / "x.sqlite"


def test_one_file_is_the_whole_store(tmp_path: Path) -> None:
    with open_store("x.sqlite") as store:
        store.put("k", b"x" * 5_000_000)
        store.append("s", [{}])
    assert os.listdir(tmp_path) == ["x.sqlite"]
    (tmp_path / "x.sqlite").rename(tmp_path / "moved.sqlite")
    with open_store("moved.sqlite") as store:
        assert store.get("k") is not None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mysql://host/db", r"no store is known for 'mysql' .*postgresql://USER"),
        ("postgresql+psycopg2://host/db", r"postgresql\+psycopg2.*postgresql://USER"),
        ("sqlite://", "a store in memory would keep nothing"),
        ("sqlite:///:memory:", "a store in memory would keep nothing"),
        ("sqlite:///x.sqlite?mode=rwc", r"takes \?mode=ro"),
        ("sqlite:///x.sqlite?cache=shared", r"takes \?mode=ro"),
        ("sqlite:///x.sqlite?timeout=long", "timeout is a number of seconds, got 'long'"),
        ("sqlite:///file:x.sqlite", r"write sqlite:///FILE\?mode=ro"),
        ("postgresql://host:port/db", "is not a URL that can be read"),
        ("://", "is not a URL that can be read"),
        ("sqlite:///nothere.sqlite?mode=ro", "there is no such file; correct the path"),
    ],
)
def test_places_that_cannot_be(given: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_store(given)


def test_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"folder cannot be made \(Not a directory.*make it writable, or use another"):
        open_store("file/below/x.sqlite")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_folders_that_take_no_file() -> None:
    with pytest.raises(StoreError, match=r"/proc/store\.sqlite: the file cannot be opened or created.*--store"):
        open_store("/proc")
    with pytest.raises(StoreError, match=r"its folder cannot be made .*/proc/superalign"):
        open_store("/proc/superalign/x.sqlite")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_text("Dear diary,\n" * 200)
    with pytest.raises(StoreError, match=r"x\.sqlite: the file is not a SQLite database; move it away"):
        open_store("x.sqlite")
    assert (tmp_path / "x.sqlite").read_text().startswith("Dear diary")


def test_the_database_of_another_program(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.sqlite") as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    with pytest.raises(StoreError, match=r"another program's database \(it holds the table 'bookmarks'"):
        open_store("x.sqlite")


def test_a_damaged_database_file(tmp_path: Path) -> None:
    with open_store("x.sqlite") as store:
        store.append("s", [{"text": "x" * 100_000}])
    data = bytearray((tmp_path / "x.sqlite").read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    (tmp_path / "x.sqlite").write_bytes(data)
    with pytest.raises(StoreError, match="the database file is damaged; restore a copy"):
        open_store("x.sqlite")


def test_read_only() -> None:
    with open_store("x.sqlite") as store:
        store.append("s", [{"i": 0}])
        store.put("k", b"bytes")
    with open_store("sqlite:///x.sqlite?mode=ro") as store:
        assert [e.body["i"] for e in store.read("s")] == [0]
        assert store.get("k") is not None
        assert store.put("k", b"bytes")
        for write in (lambda: store.append("s", [{}]), lambda: store.put("new", b"bytes")):
            with pytest.raises(StoreError, match="opened to read only; leave out mode=ro to write"):
                write()
        with pytest.raises(StoreError, match="opened to read only"):
            open_store(open_store(store.url).url).append("s", [{}])


def test_a_database_that_became_read_only() -> None:
    """The same code that SQLite gives for a file without write permission, which does not bind root."""
    with open_store("x.sqlite") as store:
        event.listen(store._database.engine, "connect", lambda raw, _: raw.execute("PRAGMA query_only=ON"))
        store._database.engine.dispose()
        with pytest.raises(StoreError, match="it is read-only; make the file and its folder writable"):
            store.append("s", [{}])


def test_a_full_disk_keeps_what_is_finished() -> None:
    def pages(number: int) -> Callable[[sqlite3.Connection, object], None]:
        return lambda raw, _: raw.execute(f"PRAGMA max_page_count={number}") and None

    with open_store("x.sqlite") as store:
        head = store.append("s", [{"i": 0}])
        store.put("small", b"bytes")
        limit = pages(1500)  # 6 MB: one chunk fits, the second does not
        event.listen(store._database.engine, "connect", limit)
        store._database.engine.dispose()
        with pytest.raises(StoreError, match="the disk is full; free some space and run again"):
            store.put("large", b"l" * 9_000_000)
        with pytest.raises(StoreError, match="the disk is full"):
            store.append("s", [{"text": "t" * 6_000_000}])
        assert store.get("large") is None
        assert store.get("small") is not None
        assert [e.hash for e in store.read("s")] == [head]
        event.remove(store._database.engine, "connect", limit)
        event.listen(store._database.engine, "connect", pages(1_000_000))
        store._database.engine.dispose()
        store.put("large", b"l" * 9_000_000)
        found = store.get("large")
        assert found is not None
        assert found.data == b"l" * 9_000_000


def test_a_lock_that_is_held_too_long() -> None:
    with open_store("sqlite:///x.sqlite?timeout=0.2") as store:
        other = sqlite3.connect("x.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"another process held its lock for 0\.2 s; wait for that process"):
            store.append("s", [{"i": 0}])
        assert list(store.read("s")) == []
        other.execute("COMMIT")
        other.close()
        assert store.append("s", [{"i": 0}])


def test_the_settings_that_the_promises_rest_on() -> None:
    with open_store("x.sqlite") as store:

        def pragma(name: str) -> object:
            return store._database.read(lambda c: c.exec_driver_sql(f"PRAGMA {name}").scalar())

        assert pragma("journal_mode") == "wal"  # readers do not wait; a kill loses no commit
        assert pragma("synchronous") == 1  # NORMAL
        assert pragma("foreign_keys") == 1
        assert pragma("busy_timeout") == 30_000


def test_errors_are_for_people() -> None:
    with pytest.raises(UserError) as caught:
        open_store("/proc")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_newer_schema_is_refused(url: str, behind: Callable[[str, str], None]) -> None:
    open_store(url).close()
    behind(url, f"UPDATE superalign_schema SET number = {len(MIGRATIONS) + 1}")
    numbers = f"has schema {len(MIGRATIONS) + 1}, and superalign .* knows schemas up to {len(MIGRATIONS)}"
    with pytest.raises(StoreError, match=f"{numbers}; type: pip install --upgrade superalign, or use another --store"):
        open_store(url)


def test_a_store_without_a_number_is_refused(url: str, behind: Callable[[str, str], None]) -> None:
    open_store(url).close()
    behind(url, "DELETE FROM superalign_schema")
    with pytest.raises(StoreError, match="schema number is missing or doubled"):
        open_store(url)


def steps(log: list[str]) -> tuple[Callable[[Connection], None], ...]:
    """Our schema, then two made-up ones: a new column, and a value in it."""

    def second(connection: Connection) -> None:
        log.append("second")
        connection.execute(text("ALTER TABLE superalign_artifacts ADD COLUMN note TEXT"))

    def third(connection: Connection) -> None:
        log.append("third")
        connection.execute(text("UPDATE superalign_artifacts SET note = 'migrated ' || key"))

    return (*MIGRATIONS, second, third)


def notes(store: SqlStore) -> list[str]:
    return list(store._database.read(lambda c: c.scalars(text("SELECT note FROM superalign_artifacts")).all()))


def test_an_older_schema_is_migrated_in_order_once(url: str) -> None:
    with open_store(url) as store:
        head = store.append("s", [{"i": 0}])
        store.put("k", b"bytes")
    log: list[str] = []
    for _ in range(2):
        with SqlStore(locate(url), steps(log)) as store:
            assert log == ["second", "third"]
            assert notes(store) == ["migrated k"]
            assert store.append("s", []) == head
    with pytest.raises(StoreError, match="has schema 3"):
        open_store(url)


def test_an_older_schema_starts_at_its_own_step(url: str) -> None:
    log: list[str] = []
    SqlStore(locate(url), steps(log)[:2]).close()
    assert log == ["second"]
    SqlStore(locate(url), steps(log)).close()
    assert log == ["second", "third"]


def test_a_migration_that_fails_leaves_the_store_as_it_was(url: str) -> None:
    with open_store(url) as store:
        store.put("k", b"bytes")

    def fails(connection: Connection) -> None:
        connection.execute(text("UPDATE no_such_table SET x = 1"))

    log: list[str] = []
    with pytest.raises(StoreError, match="no_such_table"):
        SqlStore(locate(url), (*steps(log), fails))
    assert log == ["second", "third"]
    with open_store(url) as store:
        assert store.get("k") is not None


def test_an_older_store_is_not_migrated_when_read_only() -> None:
    open_store("x.sqlite").close()
    with pytest.raises(StoreError, match="opened to read only"):
        SqlStore(locate("sqlite:///x.sqlite?mode=ro"), steps([]))


def test_the_chain_can_be_checked_without_superalign() -> None:
    """The format is documented: SHA-256 of the JSON array [previous hash, stream, position, body]."""
    import hashlib

    with open_store("x.sqlite") as store:
        head = store.append("ü", [{"b": 1, "a": "é"}])
    expected = json.dumps(["", "ü", 1, {"a": "é", "b": 1}], separators=(",", ":"))
    assert head == hashlib.sha256(expected.encode()).hexdigest()
