"""Who is let in, from where, with how much: names, other sites, forged forms, tokens, sizes, and what browsers are told."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from superalign.core.errors import UserError
from superalign.store import open_store
from superalign.store.sql import SqlStore
from superalign.web.routes.entrance import local, named
from superalign.web.server import bound
from superalign.web.site import key

HOSTILE = (
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example:8400",
    "evil.example:80@localhost",
    "[::ffff",
    "",
)


def test_a_name_that_was_rebound_is_refused(store: SqlStore, serve: Any) -> None:
    url = serve(store)
    for name in HOSTILE:
        answer = httpx.get(url, headers={"host": name})
        assert answer.status_code in (400, 421), name
        assert "--allow-host" in answer.text or answer.status_code == 400
    for name in ("localhost:9", "127.0.0.1", "[::1]:8400", "LOCALHOST"):
        assert httpx.get(url, headers={"host": name}).status_code == 200, name
    assert httpx.get(url, headers={"host": "10.0.0.7"}).status_code == 421  # bound to this machine alone
    wide = serve(store, names=("lab.example.org",), numbers=True)
    for name, expected in (("lab.example.org:8400", 200), ("10.0.0.7:8400", 200), ("evil.example", 421)):
        assert httpx.get(wide, headers={"host": name}).status_code == expected, name


def test_forms_of_other_sites_and_forged_forms_are_refused(store: SqlStore, serve: Any, session: Any) -> None:
    someone = session(serve(store))
    secret, send = someone.csrf(), someone.client.post
    fields = {"csrf": secret, "person": "Ada"}
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        answer = send("/enter", data=fields, headers=headers)
        assert (answer.status_code, answer.text) == (403, "a form of another site cannot be sent to this page")
    for forged in ({}, {"csrf": ""}, {"csrf": secret[:-1]}, {"csrf": "é"}):
        answer = send("/enter", data={"person": "Ada", **forged})
        assert answer.status_code == 403
        assert "out of date" in answer.text
    assert "Ada" not in someone.get("/").text
    other = session(str(someone.client.base_url))
    assert other.client.post("/enter", data=fields).status_code == 403  # somebody else's secret
    send("/enter", data=fields)
    assert "Ada" in someone.get("/").text


def test_nothing_happens_by_get_or_by_other_methods(store: SqlStore, serve: Any, session: Any) -> None:
    someone = session(serve(store))
    someone.get(f"/enter?person=Ada&csrf={someone.csrf()}")
    assert "Ada" not in someone.get("/").text
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert someone.client.request(method, "/").status_code == 405
    assert someone.send("/runs").status_code == 405
    assert store.streams() == []


def test_too_much_is_refused(store: SqlStore, serve: Any, session: Any) -> None:
    someone = session(serve(store))
    secret = someone.csrf()
    answer = someone.client.post("/enter", data={"csrf": secret, "person": "x" * (1 << 20)})
    assert (answer.status_code, "1,048,576 bytes" in answer.text) == (413, True)

    def pieces() -> Any:
        for _ in range(40):
            yield b"person=" + b"x" * 50_000 + b"&"

    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert someone.client.post("/enter", content=pieces(), headers=kind).status_code == 413
    many = "&".join(f"f{k}=1" for k in range(3_000))
    assert someone.client.post("/enter", content=many.encode(), headers=kind).status_code == 400
    sent = someone.client.post("/enter", data={"csrf": secret}, files={"file": b"GIF89a"})
    assert sent.status_code == 400  # nothing is uploaded anywhere
    assert someone.get("/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/x/..%2f..%2fapp.py", "/static/x/site.js", "/static/%2e%2e/%2e%2e/etc/passwd",
        "/runs/..%2f..%2fetc%2fpasswd", "/runs/..%2fexport", "/live/%00", "/runs/%ff", "/runs/\u202e",
        "/runs/" + "a" * 5_000, "/runs//export", "/runs/a/games/..%2f/export",
    ],
)  # fmt: skip
def test_addresses_lead_nowhere_else(path: str, store: SqlStore, serve: Any) -> None:
    answer = httpx.get(serve(store) + path)
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert "import" not in answer.text


def test_browsers_are_told_to_run_nothing_of_others(store: SqlStore, serve: Any) -> None:
    url = serve(store)
    for path in ("/", "/none", "/runs.json", "/enter"):
        headers = httpx.get(url + path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
    cookie = httpx.get(url).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_token_is_needed_where_others_can_come(store: SqlStore, serve: Any, session: Any) -> None:
    url = serve(store, token="open-sesame")
    stranger = session(url)
    assert stranger.client.get("/", follow_redirects=False).headers["location"] == "/enter"
    assert stranger.get("/index.json").status_code == 401
    assert stranger.client.get("/runs/x/export", follow_redirects=False).status_code == 303
    assert stranger.send("/runs").status_code == 401
    wrong = stranger.send("/enter", token="close", person="Eve")
    assert (wrong.status_code, "that is not the token" in wrong.text) == (403, True)
    assert stranger.get("/index.json").status_code == 401
    stranger.send("/enter", token="open-sesame", person="Ada")
    assert stranger.get("/index.json").status_code == 200
    cookies = dict(stranger.client.cookies)
    again = httpx.get(serve(store, token="open-sesame") + "/index.json", cookies=cookies)
    assert again.status_code == 200  # a session outlives the server
    assert httpx.get(serve(store, token="another") + "/index.json", cookies=cookies).status_code == 401
    name, value = next(iter(cookies.items()))
    forged = {name: value[:-4] + "AAAA"}
    assert httpx.get(url + "/index.json", cookies=forged).status_code == 401


def test_the_key_of_sessions_is_its_owners_alone(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.sqlite") as store:
        first = key(store)
        assert first == key(store)
        assert len(first) == 64
    assert stat.S_IMODE((tmp_path / "web" / "session.key").stat().st_mode) == 0o600
    (tmp_path / "web" / "session.key").unlink()
    (tmp_path / "web" / "session.key").mkdir()
    with open_store(tmp_path / "store.sqlite") as store, pytest.raises(UserError, match=r"cannot be made or read"):
        key(store)


def test_a_port_that_is_taken_is_said() -> None:
    with bound("127.0.0.1", 0) as taken, pytest.raises(UserError, match=r"choose another with --port, or --port 0"):
        bound("127.0.0.1", taken.getsockname()[1])


def test_where_to_go_after_a_form() -> None:
    assert local("/judge/people?form=rank") == "/judge/people?form=rank"
    for foreign in (
        "//evil.example",
        "/\\evil.example",
        "http://evil.example",
        "judge",
        "",
        "/a\r\nset-cookie: x",
        "\t/",
    ):
        assert local(foreign) == "/"
    assert named("  Ada\u202e \u200b<b>\n\x00 L. ") == "Ada <b> L."
    with pytest.raises(UserError, match=r"at most 60 characters"):
        named("x" * 61)
