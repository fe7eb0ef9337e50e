"""Pools: what they refuse, what their digest tells apart, and that they do not show the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from superalign.core.errors import TaskError
from superalign.core.types import Item
from superalign.tasks.pool import Pool, content_id

ITEMS = tuple(Item(f"i{k}", f"text {k}", ("no", "yes")) for k in range(200))
KEY = {item.id: k % 2 for k, item in enumerate(ITEMS)}
POOL = Pool("t", ITEMS, KEY, ("no", "yes"))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"items": (*ITEMS, ITEMS[3])}, "t: the id 'i3' is there twice; ids must differ"),
        ({"key": {k: v for k, v in KEY.items() if k != "i7"}}, "t: item 'i7' has no answer among its 2 choices"),
        ({"key": {**KEY, "i7": 2}}, "t: item 'i7' has no answer among its 2 choices"),
        ({"choices": ("yes", "no")}, r"t: item 'i0' has choices \('no', 'yes'\), the task has \('yes', 'no'\)"),
        ({"fixed": {"transfer": ["i0"]}}, "t: rows can be given for validation and test only, not for 'transfer'"),
        ({"fixed": {"test": ["i999"]}}, "t: the given test row 'i999' is not an item"),
        ({"fixed": {"test": ["i1"], "validation": ["i1"]}}, "t: the given validation row 'i1' is named twice"),
    ],
)
def test_faulty_pools_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        replace(POOL, **change)  # type: ignore[arg-type]


def test_digest_tells_contents_apart() -> None:
    changed = [
        replace(POOL, name="u"),
        replace(POOL, key={**KEY, "i0": 1}),
        replace(POOL, items=(replace(ITEMS[0], prompt="other"), *ITEMS[1:])),
        replace(POOL, items=(replace(ITEMS[0], info={"group": "g"}), *ITEMS[1:])),
        replace(POOL, fixed={"test": ["i0"]}),
        replace(POOL, inputs=lambda ids: np.ones((len(ids), 2))),
        replace(POOL, inputs=lambda ids: np.zeros((len(ids), 2))),
    ]
    assert len({p.digest for p in (POOL, *changed)}) == 1 + len(changed)
    assert replace(POOL, items=ITEMS[::-1], notes=("other",)).digest == POOL.digest


def test_digest_bears_rounding_of_vectors() -> None:
    vectors = np.random.default_rng(0).standard_normal((200, 3))

    def inputs(ids: Sequence[str]) -> np.ndarray:
        return vectors[[int(i[1:]) for i in ids]]

    assert replace(POOL, inputs=inputs).digest == replace(POOL, inputs=lambda ids: inputs(ids) * (1 + 1e-15)).digest


def test_repr_does_not_show_the_key() -> None:
    assert "key" not in repr(POOL)


def test_content_ids() -> None:
    assert content_id("a", ("x", "y")) == content_id("a", ["x", "y"])
    assert len({content_id("a", ("x", "y")), content_id("a", ("y", "x")), content_id("b", ("x", "y"))}) == 3
    assert len(content_id("a", ())) == 16
    int(content_id("a", ()), 16)
