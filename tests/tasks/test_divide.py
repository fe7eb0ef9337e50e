"""Dividing rows: disjoint, stratified, grouped, the same test part for all seeds, and clear refusals."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import TaskError
from superalign.core.task import Task
from superalign.core.types import Item
from superalign.tasks.divide import SPLITS, Sizes
from superalign.tasks.pool import Pool

CHOICES = ("a", "b", "c")


def make(n: int = 900, groups: int | None = None, shares: tuple[int, ...] = (6, 3, 1), **rest: object) -> Pool:
    """Rows sorted by class, as files often are."""
    wheel = [k for k, share in enumerate(shares) for _ in range(share)]
    labels = sorted(wheel[k % len(wheel)] for k in range(n))
    infos: list[dict[str, str]] = [{} if groups is None else {"group": f"g{k % groups}"} for k in range(n)]
    choices = CHOICES[: len(shares)]
    items = tuple(Item(f"i{k:05d}", f"text {k}", choices, infos[k]) for k in range(n))
    return Pool("made", items, {i.id: label for i, label in zip(items, labels, strict=True)}, choices, **rest)  # type: ignore[arg-type]


def ids(task: Task, split: str) -> list[str]:
    return [item.id for item in task.items(split)]


def counts(task: Task) -> list[int]:
    return [len(task.items(split)) for split in SPLITS]


def test_default_sizes() -> None:
    assert counts(make(9000).task()) == [1000, 1500, 500, 1500]


def test_parts_shrink_in_proportion_and_a_note_says_so() -> None:
    task = make(900).task()
    assert counts(task) == [200, 300, 100, 300]
    assert task.splits == SPLITS
    assert any("the parts are smaller: weak-train 200 of 1000" in note for note in task.notes)


def test_exact_sizes_are_met_and_the_others_share_the_rest() -> None:
    assert counts(make(900).task(sizes=Sizes(weak_train=100, test=100))) == [100, 525, 175, 100]
    assert counts(make(900).task(sizes=Sizes(weak_train=7, transfer=9, validation=0, test=5))) == [7, 9, 0, 5]


def test_test_part_is_the_same_for_all_seeds_and_moves_with_the_split_seed() -> None:
    pool = make()
    tasks = [pool.task(seed) for seed in range(4)]
    assert len({tuple(ids(t, "test")) for t in tasks}) == 1
    for split in SPLITS[:3]:
        assert len({tuple(sorted(ids(t, split))) for t in tasks}) == 4
    assert ids(pool.task(0, split_seed=1), "test") != ids(tasks[0], "test")


def test_a_seed_is_the_same_whichever_others_ran() -> None:
    pool = make()
    alone = pool.task(2)
    for seed in (0, 1):
        pool.task(seed)
    assert pool.task(2).digest == alone.digest


def test_order_of_rows_does_not_matter() -> None:
    pool = make(groups=300)
    turned = Pool("made", pool.items[::-1], pool.key, pool.choices)
    assert turned.digest == pool.digest
    one, other = pool.task(1), turned.task(1)
    assert [ids(one, s) for s in SPLITS] == [ids(other, s) for s in SPLITS]


def test_rows_sorted_by_class_give_every_part_all_classes_in_proportion() -> None:
    """Defect 12 of the methods page: the first n rows of a sorted file hold one class."""
    pool = make(2000)
    task = pool.task(sizes=Sizes(weak_train=100, transfer=200, validation=50, test=150))
    for split, n in zip(SPLITS, (100, 200, 50, 150), strict=True):
        held = Counter(pool.key[i] for i in ids(task, split))
        assert [held[k] for k in range(3)] == [round(n * share) for share in (0.6, 0.3, 0.1)]
        first_half = Counter(pool.key[i] for i in ids(task, split)[: n // 2])
        assert len(first_half) > 1  # shuffled within the part too


def test_a_rare_class_is_in_weak_train() -> None:
    items = [Item(f"i{k}", f"t {k}", ("common", "rare")) for k in range(400)]
    pool = Pool("t", tuple(items), {i.id: int(k < 3) for k, i in enumerate(items)}, ("common", "rare"))
    task = pool.task(sizes=Sizes(weak_train=20, transfer=40, validation=10, test=40))
    assert 1 in {pool.key[i] for i in ids(task, "weak-train")}


def test_a_class_without_rows_for_weak_train_is_refused() -> None:
    items = [Item(f"i{k}", f"t {k}", ("a", "b")) for k in range(400)]
    pool = Pool("t", tuple(items), {i.id: 0 for i in items}, ("a", "b"))
    with pytest.raises(TaskError, match=r"weak-train has none of class 'b', of which there are 0 rows; give more"):
        pool.task()


def test_groups_stay_whole_and_sizes_fall_short_by_less_than_one() -> None:
    pool = make(900, groups=180)  # five items each
    task = pool.task(sizes=Sizes(weak_train=101, transfer=203, validation=52, test=104))
    where: dict[str, str] = {}
    for split in SPLITS:
        for item in task.items(split):
            assert where.setdefault(item.info["group"], split) == split
    assert all(0 <= wanted - n < 5 for wanted, n in zip((101, 203, 52, 104), counts(task), strict=True))


def test_groups_too_large_are_refused() -> None:
    with pytest.raises(TaskError, match=r"groups stay whole and the largest holds 450 items; choose a finer group"):
        make(900, groups=2).task()


def test_given_test_rows_are_used_and_no_others() -> None:
    given_ids = [f"i{k:05d}" for k in range(0, 900, 3)]
    pool = make(900, fixed={"test": given_ids})
    task = pool.task()
    assert sorted(ids(task, "test")) == given_ids
    assert not {i for s in SPLITS[:3] for i in ids(task, s)} & set(given_ids)
    assert counts(task)[:3] == [200, 300, 100]


def test_a_large_given_part_is_drawn_from_not_cut() -> None:
    given_ids = [f"i{k:05d}" for k in range(900)]
    pool = make(1800, fixed={"test": given_ids})
    task = pool.task(sizes=Sizes(test=90))
    assert len(ids(task, "test")) == 90
    assert set(ids(task, "test")) <= set(given_ids)
    assert set(ids(task, "test")) != set(given_ids[:90])


def test_rows_whose_group_is_in_a_given_part_are_left_out() -> None:
    given_ids = [f"i{k:05d}" for k in range(60)]
    pool = make(900, groups=300, fixed={"test": given_ids})
    task = pool.task()
    groups = {item.info["group"] for item in task.items("test")}
    assert not groups & {item.info["group"] for s in SPLITS[:3] for item in task.items(s)}
    assert "120 rows left out because their group is in a given test or validation part" in task.notes


@pytest.mark.parametrize(
    "pool, sizes, message",
    [
        (make(60), Sizes(), r"there are 60 rows; the splits would get weak-train 13, transfer 20, validation 6, test 20, "
         r"and each needs 20; give more rows, or type sizes such as weak_train=13, transfer=20, validation=6, test=13"),
        (make(300), Sizes(weak_train=200, test=200), "there are 300 rows; weak-train 200, test 200 were asked for; type "
         "sizes that add up to at most 300"),
        (make(300), Sizes(weak_train=270), "there are 300 rows; beside what was asked for, the splits would get weak-train 270, "
         "transfer 12, validation 4, test 12, and each needs 20; type smaller sizes"),
        (make(900, fixed={"test": [f"i{k:05d}" for k in range(0, 900, 30)]}), Sizes(test=100),
         "test 100 was asked for, and the rows given for it are 30; type test=30 or less, or give more rows"),
        (make(90, fixed={"test": [f"i{k:05d}" for k in range(0, 90, 3)]}), Sizes(),
         "there are 60 rows and 30 given for test; .* type sizes such as weak_train=13, .* test=30"),
    ],
)  # fmt: skip
def test_too_few_rows_are_refused(pool: Pool, sizes: Sizes, message: str) -> None:
    with pytest.raises(TaskError, match=r"made: fewer items than the splits need: " + f"(?:{message})"):
        pool.task(sizes=sizes)


def test_sizes_that_are_no_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"greater than or equal to 1"):
        Sizes(weak_train=0)
    assert Sizes.model_validate_json(Sizes(test=20).model_dump_json()) == Sizes(test=20)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    n=st.integers(90, 600), shares=st.lists(st.integers(1, 9), min_size=2, max_size=3), seed=st.integers(0, 99),
    groups=st.sampled_from([None, 2, 3]),
)  # fmt: skip
def test_any_division_is_disjoint_sized_and_repeatable(
    n: int, shares: list[int], seed: int, groups: int | None
) -> None:
    pool = make(n, groups and n // groups, tuple(shares))
    sizes = Sizes(weak_train=n // 5, transfer=n // 4, validation=n // 10, test=n // 5)
    task = pool.task(seed, sizes)
    every = [i for split in SPLITS for i in ids(task, split)]
    assert len(set(every)) == len(every)
    for split, got in zip(SPLITS, counts(task), strict=True):
        assert sizes.of(split) - ((groups or 1) + 1) < got <= sizes.of(split)
        if groups is None:
            assert got == sizes.of(split)
    assert pool.task(seed, sizes).digest == task.digest
