"""A real PostgreSQL for the tests: the one of SUPERALIGN_TEST_POSTGRES, else a server of our own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

PASSWORD = "right"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    return free_port()


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl."""
    on_path = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = [Path(on_path).parent] if on_path else [f for f in folders if (f / "initdb").exists()]
    return found[0] if found else None


def account() -> str | None:
    """The account of the server, which refuses to run as root. None: the one of the tests."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server, with a user who may make schemas."""
    given = os.environ.get("SUPERALIGN_TEST_POSTGRES")
    if given:
        yield given
        return
    folder = binaries()
    if folder is None:
        message = "no PostgreSQL: install it, or set SUPERALIGN_TEST_POSTGRES=postgresql://USER:PASSWORD@HOST/DATABASE"
        if "postgres" in os.environ.get("SUPERALIGN_REQUIRE", ""):
            pytest.fail(message)
        pytest.skip(message)
    place = Path(tempfile.mkdtemp(prefix="superalign-pg-"))  # a short path: sockets allow about 100 characters
    user = account()
    (place / "password").write_text(PASSWORD)
    if user is not None:
        for path in (place, place / "password"):
            shutil.chown(path, user)

    def call(*words: str) -> None:
        with (place / "log").open("ab") as log:
            done = subprocess.run(words, cwd=place, user=user, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        assert done.returncode == 0, (place / "log").read_text(errors="replace")[-2000:]

    data, port = str(place / "data"), free_port()
    try:
        secret = f"--pwfile={place / 'password'}"
        call(str(folder / "initdb"), "-D", data, "-U", "tester", "-A", "scram-sha-256", secret, "-E", "UTF8", "-N")
        options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
        call(str(folder / "pg_ctl"), "-D", data, "-w", "-t", "60", "-o", options, "start")
        yield f"postgresql://tester:{PASSWORD}@127.0.0.1:{port}/postgres"
        call(str(folder / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """The URL of an empty schema of its own in the server."""
    name = f"superalign_test_{secrets.token_hex(6)}"
    engine = create_engine(make_url(postgres_server).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    url = make_url(postgres_server).update_query_dict({"options": f"-csearch_path={name}"})
    yield url.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store, on each engine in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "store.sqlite")
    found: str = request.getfixturevalue("postgres")
    return found


@pytest.fixture
def behind() -> Callable[[str, str], None]:
    """`behind(url, statement)`: change a store's tables without the store."""

    def change(url: str, statement: str) -> None:
        target = f"sqlite:///{url}" if "://" not in url else url.replace("postgresql://", "postgresql+psycopg://", 1)
        engine = create_engine(target)
        try:
            with engine.begin() as connection:
                assert connection.exec_driver_sql(statement).rowcount != 0
        finally:
            engine.dispose()

    return change
