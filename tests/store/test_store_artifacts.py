"""Artifacts on both engines: nothing damaged or half-written is ever given out, equal bytes are kept once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from superalign.core.errors import StoreError
from superalign.store import open_store
from superalign.store.place import locate
from superalign.store.sql import CHUNK, SqlStore

LARGE = hashlib.shake_256(b"large").digest(64) * (CHUNK // 64) + b"and 19 bytes behind"


def rows(store: SqlStore, table: str) -> int:
    return int(store._database.read(lambda c: c.scalar(text(f"SELECT count(*) FROM superalign_{table}"))))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_sizes_about_a_chunk(tmp_path: Path, size: int) -> None:
    data = (2 * LARGE)[:size]
    with open_store(tmp_path / "x.sqlite") as store:
        assert store.put("k", data) == hashlib.sha256(data).hexdigest()
        artifact = store.get("k")
        assert artifact is not None
        assert artifact.data == data
        assert rows(store, "chunks") == -(-size // CHUNK)


def test_equal_bytes_are_kept_once(url: str) -> None:
    with open_store(url) as store:
        assert store.put("a", LARGE, {"n": 1}) == store.put("b", LARGE, {"n": 2})
        assert rows(store, "chunks") == 2
        assert rows(store, "artifacts") == 2
        found = store.get("b")
        assert found is not None
        assert (found.data, found.meta) == (LARGE, {"n": 2})


DAMAGE = {
    "the last chunk is gone": "DELETE FROM superalign_chunks WHERE number = 1",
    "all chunks are gone": "DELETE FROM superalign_chunks",
    "the first chunk is gone": "DELETE FROM superalign_chunks WHERE number = 0",
    "a chunk is cut": "UPDATE superalign_chunks SET data = substr(data, 1, 18) WHERE number = 1",
    "a chunk is another": "UPDATE superalign_chunks SET data = (SELECT o.data FROM superalign_chunks o "
    "WHERE o.number = 0 AND o.sha256 = superalign_chunks.sha256) WHERE number = 1",
    "the meta is changed": "UPDATE superalign_artifacts SET meta = '{\"n\":2}'",
    "the meta is not JSON": "UPDATE superalign_artifacts SET meta = '{'",
    "the size is changed": "UPDATE superalign_artifacts SET size = size - 1",
    "the hash is changed": f"UPDATE superalign_artifacts SET sha256 = '{'0' * 64}'",
    "the key is changed": "UPDATE superalign_artifacts SET key = 'moved'",
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_seen_and_repaired(url: str, behind: Callable[[str, str], None], change: str) -> None:
    with open_store(url) as store:
        sha256 = store.put("k", LARGE, {"n": 1})
        behind(url, change)
        assert store.get("k") is None
        assert store.get("moved") is None
        assert store.put("k", LARGE, {"n": 1}) == sha256
        artifact = store.get("k")
        assert artifact is not None
        assert (artifact.data, artifact.meta) == (LARGE, {"n": 1})
        assert store.put("k", b"other") == sha256


def test_damage_can_be_replaced_by_other_bytes(url: str, behind: Callable[[str, str], None]) -> None:
    with open_store(url) as store:
        store.put("k", b"first", {"n": 1})
        behind(url, "DELETE FROM superalign_chunks")
        assert store.put("k", b"second", {"n": 2}) == hashlib.sha256(b"second").hexdigest()
        artifact = store.get("k")
        assert artifact is not None
        assert (artifact.data, artifact.meta) == (b"second", {"n": 2})


def test_a_repair_mends_every_key_with_the_same_bytes(url: str, behind: Callable[[str, str], None]) -> None:
    with open_store(url) as store:
        store.put("a", b"same")
        store.put("b", b"same")
        behind(url, "DELETE FROM superalign_chunks")
        assert (store.get("a"), store.get("b")) == (None, None)
        store.put("c", b"same")
        assert all(store.get(key) is not None for key in "abc")


def test_chunks_without_a_manifest_are_invisible_and_used_again(url: str, behind: Callable[[str, str], None]) -> None:
    """What a process killed in the middle of a put leaves behind."""
    with open_store(url) as store:
        store.put("k", LARGE)
        behind(url, "DELETE FROM superalign_artifacts")
        behind(url, "DELETE FROM superalign_chunks WHERE number = 1")
        assert store.get("k") is None
        store.put("k", LARGE)
        artifact = store.get("k")
        assert artifact is not None
        assert artifact.data == LARGE
        assert rows(store, "chunks") == 2


def test_of_writers_at_the_same_time_one_wins_and_all_are_told_which(url: str) -> None:
    data = [bytes([n]) * (CHUNK + n) for n in range(4)]
    told: list[str] = []
    with open_store(url) as store:
        threads = [threading.Thread(target=lambda d=d: told.append(store.put("k", d))) for d in data for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        artifact = store.get("k")
    assert artifact is not None
    assert artifact.data in data
    assert told == [artifact.sha256] * 8


def test_put_takes_what_behaves_like_bytes(tmp_path: Path) -> None:
    with open_store(tmp_path / "x.sqlite") as store:
        assert store.put("a", memoryview(b"bytes")) == store.put("b", bytearray(b"bytes"))
        artifact = store.get("a")
        assert artifact is not None
        assert (artifact.data, type(artifact.data)) == (b"bytes", bytes)


def test_meta_that_is_not_json_is_refused(tmp_path: Path) -> None:
    with open_store(tmp_path / "x.sqlite") as store:
        with pytest.raises(StoreError, match=r"the meta of 'k' cannot be kept: \['loss'\] is nan"):
            store.put("k", b"x", {"loss": float("nan")})
        assert store.get("k") is None
        assert rows(store, "chunks") == 0


def test_a_closed_store_leaves_no_connection(url: str) -> None:
    store = SqlStore(locate(url))
    store.put("k", b"x")
    store.close()
    assert store._database.engine.pool.checkedin() == 0  # type: ignore[attr-defined]
