"""The sealed key: two doors, both logged."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.core.errors import TaskError
from superalign.core.task import Task
from superalign.core.types import Item, Judgment, Seat, Verdict


def items(prefix: str, n: int, group: int = 1) -> list[Item]:
    return [Item(f"{prefix}{k}", f"text {k}", ("no", "yes"), {"group": k // group}) for k in range(n)]


def task() -> Task:
    splits = {"weak-train": items("w", 4), "test": items("t", 6, group=2)}
    key = {i.id: k % 2 for rows in splits.values() for k, i in enumerate(rows)}
    return Task("demo", splits, key, choices=("no", "yes"))


def test_truth_answers_for_its_split_alone_and_is_logged() -> None:
    t = task()
    truth = t.truth("weak-train", "weak floor")
    assert t.reads == []
    judgments = truth(t.items("weak-train"))
    assert [j.verdict.answer for j in judgments] == [0, 1, 0, 1]
    assert judgments[1].verdict.probs == (0.0, 1.0)
    assert [(r.door, r.split, r.purpose, r.n) for r in t.reads] == [("truth", "weak-train", "weak floor", 4)]
    with pytest.raises(TaskError, match="truth of 'weak-train' was asked for 't0', which is in test"):
        truth(t.items("test"))


def test_scores_are_one_number_per_judgment_and_logged() -> None:
    t = task()
    judgments = [Judgment(i.id, Seat(), Verdict(1, (0.25, 0.75))) for i in t.items("test")]
    assert np.array_equal(t.score(judgments), [0, 1, 0, 1, 0, 1])
    assert t.score(judgments, "log") == pytest.approx(np.log([0.25, 0.75] * 3))
    assert t.score(judgments, "brier") == pytest.approx([1.125, 0.125] * 3)
    assert {r.door for r in t.reads} == {"score"}
    assert t.score([Judgment("t0", Seat(), Verdict(None, abstained="no label"))]) == pytest.approx([0.5])


def test_items_do_not_carry_the_answer() -> None:
    t = task()
    assert not any(hasattr(i, "answer") or "answer" in i.info for s in t.splits for i in t.items(s))


def test_clusters_are_groups() -> None:
    assert task().clusters("test").tolist() == [0, 0, 1, 1, 2, 2]


def test_digests_see_answers() -> None:
    one = Task("a", {"test": items("t", 2)}, {"t0": 0, "t1": 1})
    other = Task("a", {"test": items("t", 2)}, {"t0": 1, "t1": 1})
    assert one.digests["test"] != other.digests["test"]


@pytest.mark.parametrize(
    ("splits", "key", "message"),
    [
        ({"a": items("x", 1), "b": items("x", 1)}, {"x0": 0}, "'x0' is in a and again in b"),
        ({"a": items("x", 1)}, {}, "'x0' has no answer among its 2 choices"),
        ({"a": items("x", 1)}, {"x0": 2}, "'x0' has no answer among its 2 choices"),
    ],
)
def test_what_a_task_refuses(splits: dict[str, list[Item]], key: dict[str, int], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Task("bad", splits, key)


def test_wrong_splits_ids_and_inputs() -> None:
    t = task()
    with pytest.raises(TaskError, match="no split 'tset'; did you mean 'test'"):
        t.items("tset")
    with pytest.raises(TaskError, match="no item 'zz'"):
        t.score([Judgment("zz", Seat(), Verdict(0))])
    with pytest.raises(TaskError, match="holds texts, not vectors"):
        t.inputs(["t0"])
