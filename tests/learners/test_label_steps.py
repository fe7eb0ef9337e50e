"""Steps that need nothing but the labels, and how labels are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.core.errors import Degenerate, ModelError, SpecError
from superalign.core.types import Item, Judgment, Seat, Verdict
from superalign.learners.labels import (
    Confident,
    Hard,
    Labels,
    Sharpen,
    Shuffle,
    Subset,
    Weighted,
    folds,
    gather,
    overseer_of,
    remembered,
)


def kept(world, step, seed=5):
    labels = step(world.labels, world.view(world.labels, seed=seed))
    return set(world.positions(labels)), labels


def test_hard_is_one_hot_and_keeps_order(worlds):
    world = worlds(classes=3)
    _, labels = kept(world, Hard())
    np.testing.assert_array_equal(labels.soft, np.eye(3)[world.soft.argmax(axis=1)])
    assert labels.items == world.items


def test_confident_keeps_what_it_documents(world):
    """Largest probability tau or more, nothing else: no hidden lower bound."""
    chosen, labels = kept(world, Confident(tau=0.8))
    assert chosen == set(np.flatnonzero(world.soft.max(axis=1) >= 0.8))
    assert labels.notes[-1].startswith("confident tau=0.8 (the surest label has 0.9")
    assert f"kept {len(chosen)} of 240, classes 0." in labels.notes[-1]
    assert kept(world, Confident())[0] == set(np.flatnonzero(world.soft.max(axis=1) >= 0.75))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_loosest_confidence_keeps_all(worlds, classes):
    world = worlds(classes=classes)
    world.soft[5] = 1 / classes
    assert len(kept(world, Confident(tau=1 / classes))[0]) == world.n
    assert len(kept(world, Confident(fraction=1.0))[0]) == world.n


def test_stricter_filters_lie_in_looser_ones(world):
    for steps in (
        [Confident(tau=t) for t in (0.6, 0.75, 0.9)],
        [Confident(fraction=f) for f in (0.9, 0.5, 0.1)],
        [Confident(fraction=f, per_class=True) for f in (0.9, 0.5, 0.1)],
        [Subset(fraction=f) for f in (0.9, 0.5, 0.1)],
    ):
        sets = [kept(world, step)[0] for step in steps]
        assert sets[0] > sets[1] > sets[2]


def test_a_fraction_per_class_keeps_the_class_balance(worlds):
    world = worlds(classes=3)
    world.soft[world.truth == 0] = [0.98, 0.01, 0.01]  # one class is much surer than the others
    _, plain = kept(world, Confident(fraction=0.3))
    _, balanced = kept(world, Confident(fraction=0.3, per_class=True))
    assert plain.balance[0] > 0.9
    np.testing.assert_allclose(balanced.balance, world.labels.balance, atol=0.03)


def test_confident_that_keeps_nothing_says_how_sure_labels_are(world):
    with pytest.raises(
        Degenerate, match=r"tau=0.99 \(the surest label has 0.9\d\d\) keeps none of 240 labels; loosen it"
    ):
        kept(world, Confident(tau=0.99))


def test_subset_has_the_size_and_the_seed(world):
    assert len(kept(world, Subset(n=17))[0]) == 17
    assert len(kept(world, Subset(fraction=0.25))[0]) == 60
    assert kept(world, Subset(n=50), seed=1)[0] == kept(world, Subset(n=50), seed=1)[0]
    assert kept(world, Subset(n=50), seed=1)[0] != kept(world, Subset(n=50), seed=2)[0]
    with pytest.raises(SpecError, match="subset n=241 is more than the 240 labels there are"):
        kept(world, Subset(n=241))


def test_sharpen_one_is_identity_and_less_is_surer(world):
    view = world.view(world.labels)
    np.testing.assert_allclose(Sharpen(1.0)(world.labels, view).soft, world.soft, atol=1e-12)
    sharp = Sharpen(0.5)(world.labels, view).soft
    assert (sharp.max(axis=1) > world.soft.max(axis=1)).all()
    np.testing.assert_array_equal(sharp.argmax(axis=1), world.soft.argmax(axis=1))
    hard = Hard()(world.labels, view)
    np.testing.assert_array_equal(Sharpen(0.5)(hard, view).soft, hard.soft)


def test_weights_follow_confidence(worlds):
    world = worlds(classes=3)
    _, labels = kept(world, Weighted())
    top = np.sort(world.soft, axis=1)
    np.testing.assert_allclose(labels.weight, (top[:, -1] - top[:, -2]) / (top[:, -1] - top[:, -2]).mean())
    np.testing.assert_allclose(kept(world, Weighted(power=0))[1].weight, 1)
    world.soft[:] = 1 / 3
    with pytest.raises(Degenerate, match="every label is undecided"):
        kept(world, Weighted())


def test_shuffle_permutes_and_nothing_else(world):
    _, labels = kept(world, Shuffle())
    order = np.lexsort(world.soft.T)
    np.testing.assert_array_equal(labels.soft[np.lexsort(labels.soft.T)], world.soft[order])
    assert 0.3 < (labels.hard == world.labels.hard).mean() < 0.7


WRONG = [
    (lambda: Confident(tau=0.8, fraction=0.5), "give tau or fraction, not both"),
    (lambda: Confident(per_class=True), "per_class goes with fraction"),
    (lambda: Confident(tau=1.2), "tau must be between 0 and 1, got 1.2"),
    (lambda: Subset(), "give fraction or n, for example subset:fraction=.5"),
    (lambda: Sharpen(0), "t must be 0.001 or more"),
]


@pytest.mark.parametrize("make, message", WRONG)
def test_options_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_steps_leave_their_input_alone(world):
    labels = world.labels
    before = labels.soft.copy()
    for step in (Hard(), Sharpen(), Confident(), Subset(n=10), Weighted(), Shuffle()):
        step(labels, world.view(labels))
    np.testing.assert_array_equal(labels.soft, before)
    np.testing.assert_array_equal(labels.weight, 1)
    assert labels.notes == ()


# Asking.

ITEMS = tuple(Item(f"i{k}", "", ("a", "b", "c")) for k in range(4))


def say(*verdicts):
    return lambda items: [Judgment(i.id, Seat(), v) for i, v in zip(items, verdicts, strict=True)]


def test_gather_takes_probabilities_answers_and_abstentions():
    labels = gather(
        say(Verdict(0, (2, 1, 1)), Verdict(2), Verdict(None, abstained="no idea"), Verdict(1, (0, 1, 0))), ITEMS
    )
    assert [item.id for item in labels.items] == ["i0", "i1", "i3"]
    np.testing.assert_allclose(labels.soft, [[0.5, 0.25, 0.25], [0, 0, 1], [0, 1, 0]])
    assert labels.notes == ("abstained: 1 of 4 left out",)


@pytest.mark.parametrize(
    "verdicts, message",
    [
        ([Verdict(None, abstained="no")] * 4, "abstained from all of 4 items"),
        ([Verdict("blue")] * 4, "the label of 'i0' is 'blue', not one of its 3 choices"),
        ([Verdict(0, (0.5, 0.5))] * 4, "item 'i0' has 3 choices and its label 2 probabilities"),
        ([Verdict(0, (0.0, 0.0, 0.0))] * 4, "probabilities that are negative, missing or all zero"),
        ([Verdict(0, (float("nan"), 0.0, 1.0))] * 4, "probabilities that are negative, missing or all zero"),
    ],
)
def test_gather_refuses_what_is_no_label(verdicts, message):
    with pytest.raises((Degenerate, ModelError), match=message):
        gather(say(*verdicts), ITEMS)


def test_gather_refuses_mixed_numbers_of_choices_and_lost_judgments():
    mixed = (Item("x", "", ("a", "b")), *ITEMS[:1])
    with pytest.raises(ModelError, match="items have 2 to 3 choices"):
        gather(lambda items: [Judgment(i.id, Seat(), Verdict(0)) for i in items], mixed)
    with pytest.raises(ModelError, match="returned 0 judgments that do not match the 4 items"):
        gather(lambda items: [], ITEMS)


def test_an_overseer_is_asked_once_per_item(world):
    asked = []

    def overseer(items):
        asked.extend(item.id for item in items)
        return world.overseer(items)

    once = remembered(overseer, world.overseer(world.items[:3]))
    twice = (*world.items[:6], *world.items[2:5])
    assert [j.item for j in once(twice)] == [item.id for item in twice]
    once(world.items[:6])
    assert asked == [item.id for item in world.items[3:6]]


def test_a_model_oversees_with_its_own_predictions(world):
    trained = world.model.load({"weights": np.ones((5, 2)) * [0.0, 0.1]})
    labels = gather(overseer_of(trained), world.items)
    logits = trained.logits(world.items)
    np.testing.assert_allclose(np.log(labels.soft[:, 1] / labels.soft[:, 0]), logits[:, 1] - logits[:, 0], atol=1e-9)


def test_folds_cover_all_and_keep_groups_together():
    items = [Item(f"i{k}", "", ("a", "b"), {"group": f"g{k // 3}"}) for k in range(30)]
    parts = folds(items, 4, seed=0)
    assert sorted(np.concatenate(parts)) == list(range(30))
    assert max(map(len, parts)) - min(map(len, parts)) <= 3
    for part in parts:
        assert {k // 3 for k in part}.isdisjoint({k // 3 for k in range(30) if k not in part})
    with pytest.raises(Degenerate, match="11 folds need 11 items or groups, there are 10"):
        folds(items, 11, seed=0)


def test_labels_know_their_balance():
    labels = Labels(ITEMS, np.eye(3)[[0, 0, 2, 0]], np.ones(4))
    np.testing.assert_allclose(labels.balance, [0.75, 0, 0.25])
