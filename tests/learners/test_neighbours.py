"""Steps that look at neighbours: leave-one-out, planted flips, identities."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.core.errors import Degenerate
from superalign.learners.labels import Labels
from superalign.learners.neighbours import Knn, Smooth, Topological, nearest_rows, neighbour_mean, standardised


@pytest.mark.parametrize("n, k", [(30, 1), (700, 5), (30, 29)])
def test_neighbours_are_the_nearest_others(n, k):
    x = np.random.default_rng(n).normal(size=(n, 3))
    distance = np.linalg.norm(x[:, None] - x, axis=2)
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_array_equal(nearest_rows(x, k), np.argsort(distance, axis=1, kind="stable")[:, :k])


def test_too_many_neighbours_are_refused():
    with pytest.raises(Degenerate, match="50 neighbours need at least 51 items, there are 50; type a smaller k"):
        nearest_rows(np.zeros((50, 2)), 50)


def test_the_unit_of_a_feature_does_not_matter():
    x = np.random.default_rng(0).normal(size=(60, 3))
    scaled = x * [1000, 1, 1e-3] + 5
    np.testing.assert_array_equal(nearest_rows(standardised(x), 5), nearest_rows(standardised(scaled), 5))
    np.testing.assert_array_equal(standardised(np.ones((4, 2))), 0)


def test_own_choice_features_are_compared_by_their_differences():
    x = np.random.default_rng(0).normal(size=(20, 2, 3))
    moved = x + np.random.default_rng(1).normal(size=(20, 1, 3))  # what both choices share tells nothing
    np.testing.assert_allclose(standardised(x), standardised(moved), atol=1e-9)


def test_all_neighbours_give_a_constant_up_to_the_item_itself(world):
    mean = neighbour_mean(world.soft, world.x, world.n - 1)
    np.testing.assert_allclose(mean * (world.n - 1) + world.soft, np.tile(world.soft.sum(axis=0), (world.n, 1)))


def test_a_lone_flipped_point_gets_its_neighbours_label(worlds):
    """A probe that counts an item among its own neighbours would keep half of the flip at k=1."""
    world = worlds(flips=0)
    world.soft = np.eye(2)[world.truth]
    world.soft[10] = 1 - world.soft[10]
    labels = Knn(do="relabel", k=5)(world.labels, world.view(world.labels))
    np.testing.assert_array_equal(labels.soft[10], np.eye(2)[world.truth[10]])
    np.testing.assert_array_equal(labels.hard, world.truth)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("make", [lambda c: Knn(k=15, drop=c), lambda c: Topological(kcc=10, kzeta=10, drop=c)])
def test_planted_flips_are_the_ones_removed(worlds, classes, make):
    world = worlds(classes=classes, flips=24)
    labels = make(24 / 240)(world.labels, world.view(world.labels))
    removed = set(range(world.n)) - set(world.positions(labels))
    assert 24 <= len(removed) <= 30  # points on the rim are in no component
    assert len(removed & set(world.flipped)) >= 23


def test_dropping_nothing_is_identity(world):
    view = world.view(world.labels)
    labels = Knn(drop=0)(world.labels, view)
    np.testing.assert_array_equal(labels.soft, world.soft)
    assert labels.items == world.items


def test_larger_drops_contain_smaller_ones(world):
    view = world.view(world.labels)
    small, large = (set(world.positions(Knn(drop=c)(world.labels, view))) for c in (0.05, 0.2))
    assert large < small


def test_smoothing_by_zero_is_identity_and_by_one_is_knn(world):
    view = world.view(world.labels)
    np.testing.assert_array_equal(Smooth(mix=0)(world.labels, view).soft, world.soft)
    relabelled = Knn(do="relabel", k=20)(world.labels, view).soft
    np.testing.assert_allclose(Smooth(mix=1, k=20)(world.labels, view).soft, relabelled)


def test_relabelling_repairs_flips(world):
    wrong = (world.labels.hard != world.truth).mean()
    for step in (Knn(do="relabel", k=15), Smooth(mix=0.8, k=15), Topological(do="relabel", kcc=10, kzeta=10)):
        labels = step(world.labels, world.view(world.labels))
        assert (labels.hard != world.truth).mean() < wrong / 4
        assert "changed class" in labels.notes[-1]


def test_the_topological_components_by_hand():
    """Class 0 on a line in two pieces of 6 and 3 (far apart), class 1 elsewhere: the piece of 3 goes."""
    x = np.array([[float(i), 0] for i in range(6)] + [[100.0 + i, 0] for i in range(3)] + [[i, 50.0] for i in range(6)])
    soft = np.eye(2)[[0] * 9 + [1] * 6]
    labels = Labels(tuple(range(15)), soft, np.ones(15))
    kept = Topological(kcc=2, kzeta=2).components(labels, x)
    np.testing.assert_array_equal(kept, [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14])


def test_topological_drops_no_more_when_components_dropped_enough(world):
    view = world.view(world.labels)
    few = Topological(kcc=10, kzeta=10, drop=0.0)(world.labels, view)
    components = Topological(kcc=10).components(world.labels, standardised(world.x))
    np.testing.assert_array_equal(world.positions(few), components)
    assert len(components) < world.n


def test_topological_with_too_few_kept_says_so(world):
    with pytest.raises(Degenerate, match="too few for kzeta=239; type a larger kcc"):
        Topological(kcc=3, kzeta=239)(world.labels, world.view(world.labels))


def test_options_are_checked():
    with pytest.raises(ValueError, match="do is relabel or filter, got 'drop'"):
        Knn(do="drop")
    with pytest.raises(ValueError, match=r"drop must be between 0 and 1 \(1 excluded\), got 1"):
        Knn(drop=1)
