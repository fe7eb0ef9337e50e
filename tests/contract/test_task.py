"""The task contract holds for every built-in world and for a loaded file, and it catches what it is for."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path

import pytest

from superalign.core.types import Item
from superalign.tasks.divide import Sizes
from superalign.tasks.load import load
from superalign.tasks.pool import Pool
from superalign.tasks.source import Source
from superalign.tasks.worlds.digits import digits
from superalign.tasks.worlds.hidden_manifold import hidden_manifold
from superalign.tasks.worlds.random_features import random_features
from superalign.tasks.worlds.reviews import reviews
from superalign.testing.task import TaskContract


class TestDigits(TaskContract):
    def pool(self) -> Pool:
        return digits()


class TestTenDigits(TaskContract):
    def pool(self) -> Pool:
        return digits(target="digit")


class TestRandomFeatures(TaskContract):
    def pool(self) -> Pool:
        return random_features(n=900)


class TestHiddenManifold(TaskContract):
    def pool(self) -> Pool:
        return hidden_manifold(n=900)


class TestReviews(TaskContract):
    def pool(self) -> Pool:
        return reviews(n=900)


class TestFileOfChoices(TaskContract):
    @pytest.fixture(autouse=True)
    def _write(self, tmp_path: Path) -> None:
        self.path = tmp_path / "capitals.csv"
        rows = [f"Question {k}?,right {k},wrong {k},false {k},topic {k // 3}" for k in range(300)]
        self.path.write_text("question,correct_answer,distractor1,distractor2,topic\n" + "\n".join(rows))

    def pool(self) -> Pool:
        return load(Source(task=str(self.path), group="topic"))


def _texts(n: int = 200) -> list[Item]:
    return [Item(f"i{k}", f"text {k}", ("no", "yes")) for k in range(n)]


def _contract(pool: Pool) -> TaskContract:
    class Given(TaskContract):
        def pool(self) -> Pool:
            return pool

        def sizes(self) -> Sizes:
            return Sizes()

    return Given()


def test_the_contract_needs_a_pool() -> None:
    with pytest.raises(NotImplementedError, match=r"needs a pool method"):
        TaskContract().test_items_are_questions()


def test_a_label_in_info_is_caught() -> None:
    items = _texts()
    good = Pool("t", tuple(items), {i.id: k % 2 for k, i in enumerate(items)}, ("no", "yes"))
    _contract(good).test_key_is_sealed()
    shown = tuple(replace(i, info={"label": "yes"}) for i in items)
    with pytest.raises(AssertionError, match=r"shows \['label'\] to whoever answers it"):
        _contract(replace(good, items=shown)).test_key_is_sealed()


def test_info_that_tells_the_answer_is_caught() -> None:
    items = _texts()
    key = {i.id: k % 2 for k, i in enumerate(items)}
    told = tuple(replace(i, info={"source": f"file {key[i.id]}"}) for i in items)
    with pytest.raises(AssertionError, match=r"tells the answer"):
        _contract(Pool("t", told, key, ("no", "yes"))).test_info_does_not_give_the_answer_away()
    harmless = tuple(replace(i, info={"source": f"file {k // 50}"}) for k, i in enumerate(items))
    _contract(Pool("t", harmless, key, ("no", "yes"))).test_info_does_not_give_the_answer_away()


def test_a_right_answer_in_first_place_is_caught() -> None:
    items = tuple(Item(f"i{k}", f"q {k}", (f"right {k}", f"wrong {k}")) for k in range(200))
    with pytest.raises(AssertionError, match=r"right too often or too rarely"):
        _contract(Pool("t", items, dict.fromkeys([i.id for i in items], 0))).test_position_gives_nothing_away()


def test_a_pool_that_changes_is_caught() -> None:
    draws = itertools.count()

    class Restless(TaskContract):
        def pool(self) -> Pool:
            labels = random.Random(next(draws)).choices((0, 1), k=200)
            return Pool("t", tuple(_texts()), {f"i{k}": label for k, label in enumerate(labels)}, ("no", "yes"))

    with pytest.raises(AssertionError):
        Restless().test_same_pool_each_time()
