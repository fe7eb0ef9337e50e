"""The scorer's door: named requests from the same user, and nothing else."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from superalign.core.errors import ModelError, SpecError, StoreError
from superalign.research.scorer.secret import key_of
from superalign.research.scorer.wire import Desk, Line


def refuse(_: object) -> dict[str, object]:
    raise SpecError("predictions have shape (3,); the problem has 4 test items")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "door"
    with Desk(path, {"echo": lambda r: {"said": r["text"]}, "refuse": refuse}) as desk:
        threading.Thread(target=desk.serve_forever, daemon=True).start()
        yield path
        desk.shutdown()


def test_a_request_is_answered(door: Path) -> None:
    with Line(door) as line:
        assert line.ask("echo", text="hé\n") == {"said": "hé\n"}
        assert line.ask("echo", text="x" * 100_000)["said"] == "x" * 100_000


def test_refusals_are_told(door: Path) -> None:
    with Line(door) as line:
        with pytest.raises(ModelError, match="the scorer knows no 'ecko'; did you mean 'echo'"):
            line.ask("ecko")
        with pytest.raises(ModelError, match=r"refused 'refuse': predictions have shape \(3,\)"):
            line.ask("refuse")
        with pytest.raises(ModelError, match="refused 'echo': KeyError"):
            line.ask("echo")
        assert line.ask("echo", text="still here") == {"said": "still here"}


@pytest.mark.parametrize("sent", [b"{", b"[]\n", b'{"do": 3}\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"null\n"])
def test_garbage_changes_nothing(door: Path, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(door))
        raw.sendall(sent)
        if sent.endswith(b"\n"):
            reply = json.loads(raw.makefile("rb").readline())
            assert reply["ok"] is False
            assert reply["error"]
    with Line(door) as line:
        assert line.ask("echo", text="1") == {"said": "1"}


def test_a_scorer_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no scorer answers at"):
        Line(tmp_path / "nobody")


def test_a_scorer_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "door"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with Line(path) as line:
            connection, _ = server.accept()
            connection.close()
            with pytest.raises(ModelError, match="the scorer went away during 'status'"):
                line.ask("status")


def test_the_door_is_for_one_user(door: Path) -> None:
    assert os.stat(door).st_mode & 0o077 == 0


def test_a_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    key = key_of(tmp_path, "c1")
    assert key_of(tmp_path, "c1") == key
    assert key_of(tmp_path, "c2") != key
    assert len(key) == 32
    assert os.stat(tmp_path / "c1" / "key").st_mode & 0o777 == 0o600
    assert [p.name for p in (tmp_path / "c1").iterdir()] == ["key"]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key_of(tmp_path, "c1")
    os.chmod(tmp_path / "c1" / "key", 0o644)
    with pytest.raises(StoreError, match=r"can be read by others \(mode 644\); type: chmod 600"):
        key_of(tmp_path, "c1")


def test_a_campaign_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot name a campaign"):
        key_of(tmp_path, "../c1")


def test_a_damaged_key_is_told(tmp_path: Path) -> None:
    key_of(tmp_path, "c1")
    (tmp_path / "c1" / "key").write_text("abcd")
    with pytest.raises(StoreError, match=r"holds 2 bytes, a key has 32; .* type: cp COPY .*c1/key"):
        key_of(tmp_path, "c1")
    for damaged in ("no key at all", "ab" * 31 + "a", "é" * 64):
        (tmp_path / "c1" / "key").write_text(damaged, encoding="utf-8")
        said = r"c1/key holds no key in hexadecimal digits; .* so put a copy back; type: cp COPY .*c1/key"
        with pytest.raises(StoreError, match=said):
            key_of(tmp_path, "c1")
