"""The store on a real PostgreSQL: the contract, and what a person reads when the server is not right."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import OperationalError, errors
from sqlalchemy import create_engine, exc, text
from sqlalchemy.engine import make_url

from superalign.core.errors import StoreError
from superalign.core.ports import Store
from superalign.store import open_store
from superalign.store.failures import explain
from superalign.store.place import locate
from superalign.testing.store import StoreContract


class TestPostgres(StoreContract):
    @pytest.fixture(autouse=True)
    def place(self, postgres: str, behind: Callable[[str, str], None]) -> None:
        self.url, self.behind = postgres, behind

    def open(self) -> Store:
        return open_store(self.url)

    def damage(self, key: str) -> None:
        sha256 = f"(SELECT sha256 FROM superalign_artifacts WHERE key = '{key}')"
        flipped = "set_byte(data, 1000, get_byte(data, 1000) # 1)"
        self.behind(self.url, f"UPDATE superalign_chunks SET data = {flipped} WHERE number = 0 AND sha256 = {sha256}")

    def tamper(self, stream: str, position: int) -> None:
        number = f"(SELECT id FROM superalign_streams WHERE name = '{stream}')"
        self.behind(
            self.url, f"UPDATE superalign_events SET body = '{{}}' WHERE position = {position} AND stream = {number}"
        )


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_the_usual_schemes_mean_the_same_store(postgres: str, scheme: str) -> None:
    with open_store(postgres.replace("postgresql", scheme, 1)) as store:
        store.append("s", [{"scheme": scheme}])
        assert "right" not in repr(store), "the password shows"
        assert "tester" in repr(store) or "@" in repr(store)
    with open_store(store.url) as again:
        assert [e.body for e in again.read("s")] == [{"scheme": scheme}]


def test_tables_of_others_may_live_beside(postgres: str, behind: Callable[[str, str], None]) -> None:
    behind(postgres, "CREATE TABLE theirs (x int)")
    with open_store(postgres) as store:
        assert store.append("s", [{}])


def test_no_server(closed_port: int) -> None:
    with pytest.raises(StoreError, match="cannot be reached; check that it runs, and the host and port") as caught:
        open_store(f"postgresql://me:secret@127.0.0.1:{closed_port}/runs")
    assert f"127.0.0.1:{closed_port}/runs" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_such_host() -> None:
    with pytest.raises(StoreError, match="cannot be reached"):
        open_store("postgresql:///runs?host=/nowhere/at/all")


def test_wrong_password(postgres_server: str) -> None:
    url = make_url(postgres_server).set(password="wrong")
    with pytest.raises(StoreError, match="wrong user or password; check both in the URL") as caught:
        open_store(url.render_as_string(hide_password=False))
    assert ":wrong@" not in str(caught.value)


def test_no_such_database(postgres_server: str) -> None:
    url = make_url(postgres_server).set(database="nowhere")
    with pytest.raises(StoreError, match="no such database; type: createdb NAME"):
        open_store(url.render_as_string(hide_password=False))


def test_a_user_who_may_not_make_tables(postgres_server: str, postgres: str) -> None:
    engine = create_engine(make_url(postgres_server).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE superalign_guest LOGIN PASSWORD 'guest'"))
    schema = make_url(postgres).query["options"].split("=")[1]
    try:
        with engine.begin() as connection:
            connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO superalign_guest"))
        url = make_url(postgres).set(username="superalign_guest", password="guest")
        with pytest.raises(StoreError, match="may not do that; grant CREATE on the schema"):
            open_store(url.render_as_string(hide_password=False))
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP OWNED BY superalign_guest"))
            connection.execute(text("DROP ROLE superalign_guest"))
        engine.dispose()


def test_a_read_only_server(postgres: str) -> None:
    open_store(postgres).close()
    url = make_url(postgres)
    options = f"{url.query['options']} -cdefault_transaction_read_only=on"
    with open_store(url.update_query_dict({"options": options}).render_as_string(hide_password=False)) as store:
        assert list(store.read("s")) == []
        with pytest.raises(StoreError, match="the server is read-only"):
            store.append("s", [{}])


def test_a_lock_that_is_not_given(postgres: str) -> None:
    open_store(postgres).close()
    url = make_url(postgres)
    options = f"{url.query['options']} -clock_timeout=100ms"
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    with (
        open_store(url.update_query_dict({"options": options}).render_as_string(hide_password=False)) as store,
        engine.begin() as other,
    ):
        other.execute(text("LOCK TABLE superalign_streams"))
        with pytest.raises(StoreError, match="another process; wait for that process"):
            store.append("s", [{}])
    engine.dispose()


def test_a_connection_that_breaks_is_replaced(postgres: str) -> None:
    url = make_url(postgres).update_query_dict({"application_name": "victim"})
    with open_store(url.render_as_string(hide_password=False)) as store:
        store.append("s", [{"i": 0}])
        engine = create_engine(make_url(postgres).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            killed = connection.execute(
                text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'victim'")
            )
            assert killed.scalars().all() == [True]
        engine.dispose()
        store.append("s", [{"i": 1}])
        assert [e.body["i"] for e in store.read("s")] == [0, 1]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.DiskFull("could not extend file"), "the server's disk is full; free some space and run again"),
        (errors.TooManyConnections("sorry"), "no free connection; close some, or raise its max_connections"),
        (errors.QueryCanceled("slow"), "cancelled the statement; raise its statement_timeout"),
        (errors.DivisionByZero("odd"), "PostgreSQL failed: odd .22012"),
        (OperationalError("FATAL: sorry, too many clients already"), "no free connection"),
        (OperationalError("FATAL: no pg_hba.conf entry for host"), "the server refuses this user; check the user"),
    ],
)
def test_what_a_test_cannot_bring_about(error: Exception, message: str) -> None:
    """The driver's own errors, without the server's state that causes them."""
    place = locate("postgresql://me:secret@host/runs")
    found = explain(exc.DBAPIError.instance("SELECT 1", {}, error, errors.Error), place)
    assert isinstance(found, StoreError)
    assert re.search(message, str(found)), found
    assert str(found).startswith("the store postgresql://me:***@host/runs: ")


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # what Python itself does for "not there"
    with pytest.raises(StoreError, match=r"pip install 'superalign\[postgres\]'"):
        open_store("postgresql://me@localhost/runs")
    open_store(tmp_path / "x.sqlite").close()
