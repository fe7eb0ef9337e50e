"""Memoised steps: nothing is computed twice, nothing damaged is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from superalign.core.ports import Artifact, Event
from superalign.core.steps import Steps, decode, encode
from superalign.store import open_store


@given(
    arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8]),
        array_shapes(max_dims=3, max_side=4),
        elements=st.integers(0, 9),
    ),
    st.dictionaries(
        st.text(min_size=1).filter(lambda k: k != "a" and "__" not in k),
        st.integers() | st.text() | st.none(),
        max_size=3,
    ),
)
def test_values_round_trip_and_equal_values_give_equal_bytes(array: np.ndarray, plain: dict[str, Any]) -> None:
    value = {"a": array, **plain}
    data = encode(value)
    assert data == encode(dict(reversed(value.items())))
    back = decode(data)
    assert np.array_equal(back.pop("a"), array)
    assert back == plain


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, Any]:
        self.calls += 1
        return {"x": np.arange(3.0), "note": "été", "calls": self.calls}


def test_a_step_runs_once_and_its_key_depends_on_everything(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "s.sqlite")) as store:
        compute = Counter()
        first = Steps(store).run("train", 1, {"lr": 0.1}, compute)
        again = Steps(store).run("train", 1, {"lr": 0.1}, compute)
        assert compute.calls == 1
        assert np.array_equal(first["x"], again["x"])
        assert again["note"] == "été"
        for name, version, inputs in (("test", 1, {"lr": 0.1}), ("train", 2, {"lr": 0.1}), ("train", 1, {"lr": 0.2})):
            assert not Steps(store).known(name, version, inputs)
            Steps(store).run(name, version, inputs, compute)
        assert compute.calls == 4


def test_without_a_store_steps_live_in_memory() -> None:
    steps, compute = Steps(), Counter()
    steps.run("train", 1, {}, compute)
    steps.run("train", 1, {}, compute)
    assert compute.calls == 1
    assert [d.cached for d in steps.done] == [False, True]


class Damaged:
    """A store in memory whose artifacts can be lost."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.streams: dict[str, list[dict[str, Any]]] = {}

    def append(self, stream: str, events: Sequence[Any], expect: str | None = None) -> str:
        self.streams.setdefault(stream, []).extend(events)
        return ""

    def read(self, stream: str, after: int = 0) -> Iterator[Event]:
        for k, body in enumerate(self.streams.get(stream, [])[after:]):
            yield Event(k + 1, body, "")

    def put(self, key: str, data: bytes, meta: Any = None) -> str:
        self.kept[key] = data
        return ""

    def get(self, key: str) -> Artifact | None:
        return Artifact(self.kept[key], "") if key in self.kept else None


def rows_of(asked: list[list[int]]) -> Any:
    def compute(positions: Sequence[int]) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        asked.append(list(positions))
        for start in range(0, len(positions), 2):
            piece = positions[start : start + 2]
            yield piece, np.asarray([[p, p * p] for p in piece], np.float32)

    return compute


def test_rows_are_computed_once_each_and_survive_a_kill_piece_by_piece() -> None:
    store, asked = Damaged(), list[list[int]]()
    ids = [f"r{k}" for k in range(7)]

    def dies(positions: Sequence[int]) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        pieces = rows_of(asked)(positions)
        yield next(pieces)
        yield next(pieces)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Steps(store).rows("features", 1, "model", ids, dies)
    got = Steps(store).rows("features", 1, "model", ids, rows_of(asked))
    assert asked[-1] == [4, 5, 6]
    assert np.array_equal(got, [[k, k * k] for k in range(7)])
    more = Steps(store).rows("features", 1, "model", ["r3", "r1", "r1"], rows_of(asked))
    assert len(asked) == 2
    assert np.array_equal(more, [[3, 9], [1, 1], [1, 1]])
    Steps(store).rows("features", 1, "another model", ids[:1], rows_of(asked))
    assert asked[-1] == [0]


def test_a_damaged_piece_is_computed_again() -> None:
    store, asked = Damaged(), list[list[int]]()
    ids = [f"r{k}" for k in range(4)]
    Steps(store).rows("features", 1, "model", ids, rows_of(asked))
    block = store.streams[next(iter(store.streams))][0]["block"]
    del store.kept[block]
    got = Steps(store).rows("features", 1, "model", ids, rows_of(asked))
    assert asked[-1] == [0, 1]
    assert np.array_equal(got[:, 0], [0, 1, 2, 3])
