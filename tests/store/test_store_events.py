"""Streams on both engines: every kind of tampering is seen, whatever is JSON comes back, threads lose nothing."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import Conflict, StoreError
from superalign.store import open_store
from superalign.store.chain import canonical, link

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
bodies = st.dictionaries(st.text(), json_values, max_size=5)

EVENT = "stream = (SELECT id FROM superalign_streams WHERE name = 's') AND position"


@pytest.mark.parametrize(
    ("change", "position", "reason"),
    [
        (f"UPDATE superalign_events SET body = '{{\"i\":7}}' WHERE {EVENT} = 3", 3, "does not match its hash"),
        (f"UPDATE superalign_events SET hash = '{'0' * 64}' WHERE {EVENT} = 2", 2, "does not match its hash"),
        (f"DELETE FROM superalign_events WHERE {EVENT} = 1", 1, "is missing .the next one there is 2"),
        (f"DELETE FROM superalign_events WHERE {EVENT} = 4", 4, "is missing .the next one there is 5"),
        (f"DELETE FROM superalign_events WHERE {EVENT} = 5", 5, "is missing, though 5 were appended"),
        (f"DELETE FROM superalign_events WHERE {EVENT} > 0", 1, "is missing, though 5 were appended"),
        ("UPDATE superalign_streams SET length = 4 WHERE name = 's'", 4, "not the one that was appended last"),
        ("UPDATE superalign_streams SET name = 'renamed' WHERE name = 's'", 1, "does not match its hash"),
        (
            "UPDATE superalign_events SET body = (SELECT o.body FROM superalign_events o "
            f"WHERE o.stream = superalign_events.stream AND o.position = 3) WHERE {EVENT} = 2",
            2,
            "does not match its hash",
        ),
    ],
)
def test_tampering_is_seen(
    url: str, behind: Callable[[str, str], None], change: str, position: int, reason: str
) -> None:
    with open_store(url) as store:
        store.append("s", [{"i": i} for i in range(5)])
        store.append("other", [{"i": 0}])
        behind(url, change)
        name = "renamed" if "renamed" in change else "s"
        sound: list[int] = []
        with pytest.raises(StoreError, match=rf"'{name}' is broken at position {position}: .*{reason}.*--store"):
            sound.extend(event.position for event in store.read(name))
        assert sound == list(range(1, position))
        assert len(list(store.read("other"))) == 1


def test_a_long_stream_is_read_in_pages_while_it_grows(url: str) -> None:
    with open_store(url) as store:
        store.append("s", [{"i": i} for i in range(1201)])
        reading = store.read("s", after=100)
        first = next(reading)
        store.append("s", [{"i": "later"}])
        assert [first.position, *(e.position for e in reading)] == list(range(101, 1202))
        assert [e.body["i"] for e in store.read("s", after=1200)] == [1200, "later"]


def test_streams_by_prefix(url: str) -> None:
    with open_store(url) as store:
        for name in ("run/b", "run/a", "Run/c", "r_n/d", "other"):
            store.append(name, [{}])
        assert store.streams("run/") == ["run/a", "run/b"]
        assert store.streams("r_") == ["r_n/d"]
        assert len(store.streams()) == 5
        assert store.streams("none") == []


def test_threads_append_and_count_without_loss(url: str) -> None:
    """Half the threads append freely; the others count up by `expect`, trying again after a Conflict."""
    conflicts = []

    def free(writer: int) -> None:
        for i in range(25):
            store.append("free", [{"writer": writer, "i": i}])

    def count(_writer: int) -> None:
        for _ in range(15):
            while True:
                events = list(store.read("count"))
                head, last = (events[-1].hash, events[-1].body["n"]) if events else ("", 0)
                try:
                    store.append("count", [{"n": last + 1}], expect=head)
                    break
                except Conflict:
                    conflicts.append(1)

    with open_store(url) as store:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(3) for work in (free, count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [e.body["n"] for e in store.read("count")] == list(range(1, 46))
        written = [(e.body["writer"], e.body["i"]) for e in store.read("free")]
    assert sorted(written) == [(w, i) for w in range(3) for i in range(25)]


def test_a_conflict_says_where_the_stream_is(url: str) -> None:
    with open_store(url) as store:
        head = store.append("s", [{"i": 0}, {"i": 1}])
        message = rf"'s' is at position 2 with the head {head[:12]}\.\.\., not an empty stream as expected"
        with pytest.raises(Conflict, match=message + ".*read what is new and append again"):
            store.append("s", [{"i": 2}], expect="")
        with pytest.raises(Conflict, match=r"'t' is empty, not the head 0123456789ab\.\.\. as expected"):
            store.append("t", [{"i": 2}], expect="0123456789abcdef")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(body=bodies)
def test_json_comes_back_from_its_canonical_text(body: dict[str, Any]) -> None:
    text = canonical(body, "it")
    back = json.loads(text)
    assert back == body
    assert text.isascii()
    assert canonical(back, "it") == text
    assert canonical(dict(reversed(body.items())), "it") == text


@settings(max_examples=25, deadline=None, derandomize=True)
@given(written=st.lists(bodies, max_size=4))
def test_json_comes_back_from_the_store(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]]
) -> None:
    with open_store(tmp_path_factory.mktemp("bodies") / "x.sqlite") as store:
        store.append("s", written)
        found = [e.body for e in store.read("s")]
    assert found == written
    assert [canonical(f, "it") for f in found] == [canonical(w, "it") for w in written]


linked = st.tuples(st.text(max_size=5), st.integers(1, 3), bodies)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(parts=linked, other=linked)
def test_links_are_apart_unless_everything_is_equal(
    parts: tuple[str, int, dict[str, Any]], other: tuple[str, int, dict[str, Any]]
) -> None:
    """-0.0 and 0, 1 and 1.0 are equal to Python but not to a reader of the text."""
    texts = [(name, position, canonical(body, "it")) for name, position, body in (parts, other)]
    hashes = [link("", *t) for t in texts]
    assert (hashes[0] == hashes[1]) == (texts[0] == texts[1])


def test_mappings_and_numbers_that_behave_like_json_are_taken() -> None:
    value = {"m": MappingProxyType({"t": (1, 2)}), "f": np.float64(0.5), "b": True}
    assert canonical(value, "it") == '{"b":true,"f":0.5,"m":{"t":[1,2]}}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"a": [1, {"b": math.nan}]}, r"\['a'\]\[1\]\['b'\] is nan; events and meta hold JSON values"),
        ({"a": -math.inf}, r"\['a'\] is -inf"),
        ({"a": np.float32(1)}, r"\['a'\] is a float32"),
        ({"a": np.zeros(2)}, r"\['a'\] is a ndarray"),
        ({"a": b"x"}, r"\['a'\] is a bytes"),
        ({"a": {2: "x"}}, r"\['a'\] has the key 2, a int"),
        ({None: 1}, r"it has the key None, a NoneType"),
        ({"a": 10**5000}, "4300"),
        ([1], "event 1 for the stream 's' must be a dict, got list"),
    ],
)
def test_what_is_not_json_is_named(tmp_path: Path, body: Any, message: str) -> None:
    with open_store(tmp_path / "x.sqlite") as store:
        with pytest.raises(StoreError, match=message):
            store.append("s", [{"fine": 1}, body])
        assert list(store.read("s")) == []


def test_nesting_has_a_limit_that_reading_never_meets(tmp_path: Path) -> None:
    body: dict[str, Any] = {}
    for _ in range(99):
        body = {"a": body}
    with open_store(tmp_path / "x.sqlite") as store:
        store.append("s", [body])
        assert next(store.read("s")).body == body
        with pytest.raises(StoreError, match="nested more than 100 deep"):
            store.append("s", [{"a": {"a": body}}])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "needs a name, got ''"),
        (None, "needs a name, got None"),
        ("a\0b", "holds a NUL character"),
        ("\ud800", "is not valid Unicode: surrogates not allowed"),
        ("é" * 501, "has 1002 bytes, at most 1000 are possible"),
    ],
)
def test_names_that_no_database_takes(url: str, name: Any, message: str) -> None:
    with open_store(url) as store:
        for use in (
            lambda: store.append(name, [{}]),
            lambda: list(store.read(name)),
            lambda: store.put(name, b""),
            lambda: store.get(name),
        ):
            with pytest.raises(StoreError, match=message):
                use()
        longest = "é" * 500
        store.append(longest, [{}])
        store.put(longest, b"x")
        assert store.get(longest) is not None
