"""What every Store must do. Run it on your own:

    class TestMyStore(StoreContract):
        @pytest.fixture(autouse=True)
        def place(self, tmp_path):
            self.folder = tmp_path

        def open(self):
            return MyStore(self.folder)

`open` is called several times in one test and must open the same place each time; every test gets a
place of its own. With `damage` and `tamper` the tests of damaged bytes and changed events run too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from superalign.core.errors import Conflict, StoreError
from superalign.core.ports import Store

BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"": ""},
    {"text": 'Zürich, 東京, 🦉, \x00, \ud800, \u2028, quote " and \\'},
    {"numbers": [0, -1, 2**53 + 1, 10**30, 0.1, -0.0, 1e-300, 1e300]},
    {"nested": {"list": [[], {}, None, True, False, [1, [2, [3]]]]}},
    {"b": 1, "a": 2},
)
"""Bodies that a Store must give back as they were."""


class StoreContract:
    """The contract of `superalign.core.ports.Store` as tests."""

    def open(self) -> Store:
        """Open the place of this test; called more than once."""
        raise NotImplementedError("write open(self), which opens your store at the place of the test")

    def damage(self, key: str) -> None:
        """Change one stored byte of the artifact `key`, behind the store's back."""
        pytest.skip("write damage(self, key) to test that damaged bytes are seen")

    def tamper(self, stream: str, position: int) -> None:
        """Change the stored body of an event to other valid JSON, behind the store's back."""
        pytest.skip("write tamper(self, stream, position) to test that a changed event is seen")

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = self.open()
        yield store
        _close(store)

    def test_it_is_a_store(self, store: Store) -> None:
        assert isinstance(store, Store)

    def test_events_come_back_in_order_with_positions_from_one(self, store: Store) -> None:
        store.append("s", [{"i": 0}, {"i": 1}])
        store.append("s", [{"i": 2}])
        events = list(store.read("s"))
        assert [(e.position, e.body["i"]) for e in events] == [(1, 0), (2, 1), (3, 2)]

    def test_reading_after_a_position_gives_the_rest(self, store: Store) -> None:
        store.append("s", [{"i": i} for i in range(5)])
        assert list(store.read("s", after=3)) == list(store.read("s"))[3:]
        assert list(store.read("s", after=5)) == []
        assert list(store.read("s", after=50)) == []

    def test_a_stream_that_nobody_wrote_is_empty(self, store: Store) -> None:
        assert list(store.read("nothing")) == []
        assert list(store.read("nothing", after=3)) == []

    def test_bodies_come_back_as_they_were(self, store: Store) -> None:
        store.append("s", BODIES)
        found = [dict(e.body) for e in store.read("s")]
        assert found == list(BODIES)
        assert [type(x) for x in found[3]["numbers"]] == [type(x) for x in BODIES[3]["numbers"]]

    def test_tuples_come_back_as_lists(self, store: Store) -> None:
        store.append("s", [{"t": (1, (2,))}])
        assert next(iter(store.read("s"))).body == {"t": [1, [2]]}

    def test_the_new_head_is_the_hash_of_the_last_event(self, store: Store) -> None:
        first = store.append("s", [{"i": 0}])
        second = store.append("s", [{"i": 1}, {"i": 2}])
        hashes = [e.hash for e in store.read("s")]
        assert [hashes[0], hashes[2]] == [first, second]
        assert len(set(hashes)) == 3

    def test_a_head_chains_everything_before(self, store: Store) -> None:
        """Equal last events after different first ones have different hashes."""
        heads = [store.append(name, [{"i": i}, {"same": 1}]) for name, i in (("a", 0), ("b", 1))]
        assert heads[0] != heads[1]

    def test_one_append_or_two_make_the_same_chain(self, store: Store) -> None:
        once = store.append("s", [{"i": 0}, {"i": 1}])
        positions = [e.position for e in store.read("s")]
        store.append("t", [{"i": 0}])
        store.append("t", [{"i": 1}])
        assert positions == [e.position for e in store.read("t")]
        assert once == list(store.read("s"))[-1].hash

    def test_an_append_of_nothing_returns_the_head(self, store: Store) -> None:
        assert store.append("s", []) == ""
        head = store.append("s", [{"i": 0}])
        assert store.append("s", []) == head
        assert len(list(store.read("s"))) == 1

    def test_the_expected_head_is_accepted(self, store: Store) -> None:
        head = store.append("s", [{"i": 0}], expect="")
        store.append("s", [{"i": 1}], expect=head)
        assert len(list(store.read("s"))) == 2

    def test_another_head_is_a_conflict_and_nothing_is_appended(self, store: Store) -> None:
        old = store.append("s", [{"i": 0}])
        store.append("s", [{"i": 1}])
        for stream, expect in (("s", old), ("s", ""), ("empty", old)):
            with pytest.raises(Conflict, match=stream):
                store.append(stream, [{"i": 2}], expect=expect)
        with pytest.raises(Conflict):
            store.append("s", [], expect=old)
        assert [e.body["i"] for e in store.read("s")] == [0, 1]
        assert list(store.read("empty")) == []

    def test_streams_are_apart(self, store: Store) -> None:
        names = ("a", "A", "a/b", "ä", "a%", "a_", " a", "a ")
        for name in names:
            store.append(name, [{"name": name}])
        assert [[e.body["name"] for e in store.read(name)] for name in names] == [[n] for n in names]

    def test_what_is_not_json_is_refused_and_nothing_is_appended(self, store: Store) -> None:
        holds_itself: dict[str, Any] = {}
        holds_itself["me"] = holds_itself
        for body in ({"x": float("nan")}, {"x": [float("inf")]}, {"x": {1}}, {"x": b"b"}, {1: "x"}, holds_itself):
            with pytest.raises(StoreError):
                store.append("s", [{"fine": 1}, body])  # type: ignore[list-item]
            with pytest.raises(StoreError):
                store.put("k", b"x", body)  # type: ignore[arg-type]
        assert list(store.read("s")) == []
        assert store.get("k") is None

    def test_a_changed_event_is_seen(self, store: Store) -> None:
        store.append("s", [{"i": i} for i in range(4)])
        self.tamper("s", 2)
        with pytest.raises(StoreError, match=r"'s'.*position 2"):
            list(store.read("s"))

    def test_an_artifact_comes_back_with_its_hash_and_meta(self, store: Store) -> None:
        meta = {"step": "wéak", "version": 2, "list": [1, None]}
        sha256 = store.put("k", b"bytes", meta)
        artifact = store.get("k")
        assert artifact is not None
        assert (artifact.data, artifact.sha256, dict(artifact.meta)) == (b"bytes", sha256, meta)
        assert sha256 == hashlib.sha256(b"bytes").hexdigest()

    def test_a_key_that_nobody_wrote_is_none(self, store: Store) -> None:
        assert store.get("nothing") is None

    def test_empty_bytes_are_kept(self, store: Store) -> None:
        store.put("k", b"")
        artifact = store.get("k")
        assert artifact is not None
        assert artifact.data == b""

    def test_the_first_writer_of_a_key_wins(self, store: Store) -> None:
        first = store.put("k", b"first", {"n": 1})
        assert store.put("k", b"first", {"n": 2}) == first
        assert store.put("k", b"second", {"n": 3}) == first
        artifact = store.get("k")
        assert artifact is not None
        assert (artifact.data, dict(artifact.meta)) == (b"first", {"n": 1})

    def test_keys_are_apart_even_with_equal_bytes(self, store: Store) -> None:
        for key in ("k", "K", "k/é", "k%"):
            store.put(key, b"same", {"key": key})
        found = [store.get(key) for key in ("k", "K", "k/é", "k%")]
        assert [a.meta["key"] for a in found if a is not None] == ["k", "K", "k/é", "k%"]

    def test_nine_mebibytes_come_back(self, store: Store) -> None:
        data = hashlib.shake_256(b"large").digest(9 * 1024 * 1024 + 1)
        store.put("large", data)
        artifact = store.get("large")
        assert artifact is not None
        assert artifact.data == data

    def test_damaged_bytes_are_as_good_as_absent_and_are_replaced(self, store: Store) -> None:
        data = hashlib.shake_256(b"damaged").digest(5 * 1024 * 1024)
        sha256 = store.put("k", data)
        store.put("other", b"sound")
        self.damage("k")
        assert store.get("k") is None
        assert store.get("other") is not None
        assert store.put("k", data) == sha256
        artifact = store.get("k")
        assert artifact is not None
        assert artifact.data == data

    def test_two_openings_of_a_place_see_each_other(self, store: Store) -> None:
        other = self.open()
        head = store.append("s", [{"from": "one"}])
        assert other.append("s", [{"from": "two"}], expect=head) == list(store.read("s"))[1].hash
        with pytest.raises(Conflict):
            store.append("s", [{"from": "one"}], expect=head)
        other.put("k", b"bytes")
        artifact = store.get("k")
        assert artifact is not None
        assert artifact.data == b"bytes"
        _close(other)
        third = self.open()
        assert [e.body["from"] for e in third.read("s")] == ["one", "two"]
        _close(third)


def _close(store: Store) -> None:
    close = getattr(store, "close", None)
    if close is not None:
        close()
