"""The contract of a task plug-in, as a class for pytest.

    from superalign.testing.task import TaskContract

    class TestMyWorld(TaskContract):
        def pool(self):
            return my_world(n=600)

Every test builds the pool afresh, so a plug-in that is not deterministic fails.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest

from superalign.core.errors import TaskError
from superalign.core.task import Read, Task
from superalign.core.types import Judgment, Seat, Verdict
from superalign.tasks.divide import SPLITS, Sizes
from superalign.tasks.pool import Pool

_SECRET = {
    "answer",
    "answers",
    "key",
    "label",
    "labels",
    "target",
    "gold",
    "truth",
    "correct",
    "correct_answer",
    "solution",
}


class TaskContract:
    """Override `pool`; also `sizes` where the defaults do not fit."""

    def pool(self) -> Pool:
        """The pool under test, built afresh."""
        raise NotImplementedError("a TaskContract needs a pool method that returns a Pool")

    def sizes(self) -> Sizes:
        """The sizes of the parts."""
        return Sizes()

    def task(self, seed: int = 0) -> Task:
        """The pool divided."""
        return self.pool().task(seed, self.sizes())

    def test_items_are_questions(self) -> None:
        pool = self.pool()
        assert len({item.id for item in pool.items}) == len(pool.items)
        for item in pool.items:
            assert item.prompt.strip(), f"item {item.id} has an empty prompt"
            assert len(item.choices) >= 2, f"item {item.id} has fewer than two choices"
            assert len(set(item.choices)) == len(item.choices), f"item {item.id} has choices that repeat"
            json.dumps(dict(item.info))  # what cannot be written as JSON has no identity
        if pool.choices:
            assert set(pool.key.values()) == set(range(len(pool.choices))), "a class has no item"

    def test_key_is_sealed(self) -> None:
        pool = self.pool()
        assert repr(dict(pool.key)) not in repr(pool)
        task = self.task()
        for item in pool.items:
            leaking = _SECRET & {name.lower() for name in item.info}
            assert not leaking, f"item {item.id} shows {sorted(leaking)} to whoever answers it"
        public = {name: value for name, value in vars(task).items() if not name.startswith("_")}
        assert not any(value == pool.key for value in public.values())
        assert not task.reads

    def test_info_does_not_give_the_answer_away(self) -> None:
        pool = self.pool()
        tables: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
        for item in pool.items:
            for name, value in item.info.items():
                if name != "group":  # questions of one group may well share their answer
                    tables[name][json.dumps(value, sort_keys=True)][pool.key[item.id]] += 1
        for name, table in tables.items():
            total = sum(sum(counts.values()) for counts in table.values())
            right = sum(max(counts.values()) for counts in table.values())
            chance = max(sum((c for c in table.values()), Counter[int]()).values())
            repeats = len(table) <= total / 4
            assert not (repeats and right > 0.99 * total and right > chance), f"info[{name!r}] tells the answer"

    def test_position_gives_nothing_away(self) -> None:
        pool = self.pool()
        if pool.choices:
            pytest.skip("a class task: its choices have a fixed order")
        for many in {len(item.choices) for item in pool.items}:
            asked = [item for item in pool.items if len(item.choices) == many]
            counts = Counter(pool.key[item.id] for item in asked)
            expected = len(asked) / many
            spread = (expected * (1 - 1 / many)) ** 0.5
            for place in range(many):
                assert abs(counts[place] - expected) <= 4 * spread + 1, (
                    f"choice {place + 1} of {many} is right too often or too rarely"
                )

    def test_same_pool_each_time(self) -> None:
        first, second = self.pool(), self.pool()
        assert first.digest == second.digest
        one, other = first.task(3, self.sizes()), second.task(3, self.sizes())
        assert one.digest == other.digest
        assert [one.items(s) for s in SPLITS] == [other.items(s) for s in SPLITS]

    def test_splits_are_disjoint_and_keep_groups(self) -> None:
        task = self.task()
        assert task.splits == SPLITS
        ids = [item.id for split in SPLITS for item in task.items(split)]
        assert len(set(ids)) == len(ids)
        where: dict[str, str] = {}
        for split in SPLITS:
            for item in task.items(split):
                group = item.info.get("group")
                if group is not None:
                    assert where.setdefault(str(group), split) == split, f"group {group!r} is in two splits"

    def test_test_split_is_the_same_for_all_seeds(self) -> None:
        first, second = self.task(0), self.task(1)
        assert first.items("test") == second.items("test")
        assert first.items("weak-train") != second.items("weak-train")

    def test_truth_is_right_logged_and_for_its_split_alone(self) -> None:
        pool, task = self.pool(), self.task()
        transfer = task.items("transfer")
        judgments = task.truth("transfer", "ceiling")(transfer)
        assert [j.verdict.answer for j in judgments] == [pool.key[item.id] for item in transfer]
        assert task.reads == [Read("truth", "transfer", "ceiling", len(transfer))]
        with pytest.raises(TaskError, match="truth of 'transfer' was asked for"):
            task.truth("transfer", "ceiling")(task.items("test")[:1])

    def test_scores_are_right_and_logged(self) -> None:
        pool, task = self.pool(), self.task()
        items = task.items("test")
        right = [Judgment(i.id, Seat(), Verdict(pool.key[i.id])) for i in items]
        wrong = [Judgment(i.id, Seat(), Verdict((pool.key[i.id] + 1) % len(i.choices))) for i in items]
        assert task.score(right).tolist() == [1.0] * len(items)
        assert task.score(wrong).tolist() == [0.0] * len(items)
        assert [(r.door, r.split, r.n) for r in task.reads] == [("score", "test", len(items))] * 2

    def test_inputs_are_finite_vectors_in_the_order_asked(self) -> None:
        task = self.task()
        if not task.has_vectors:
            pytest.skip("a task of texts")
        import numpy as np

        ids = [item.id for item in task.items("test")]
        vectors = task.inputs(ids)
        assert vectors.ndim == 2
        assert len(vectors) == len(ids)
        assert np.isfinite(vectors).all()
        assert np.array_equal(task.inputs(ids[::-1]), vectors[::-1])
