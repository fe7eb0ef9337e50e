"""Labels without a teacher: contrast-consistent search and internal coherence."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.core.errors import Degenerate
from superalign.core.types import Item
from superalign.learners.ccs import Ccs, inconsistency
from superalign.learners.icm import UNLABELLED, Icm, Search, acceptance, temperature
from superalign.learners.labels import Labels, View


def test_inconsistency_values():
    pairs = np.array([[1, 0], [0, 1], [0.5, 0.5], [1, 1]])
    np.testing.assert_allclose(inconsistency(pairs[:, 0], pairs[:, 1]), [0, 0, 0.25, 2])


def pairs(n=200, seed=0, noise=0.4):
    """Features of two choices: one direction says which is right, a few others are noise."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, n)
    direction = np.array([2.0, -1, 0, 0, 1])
    x = rng.normal(scale=noise, size=(n, 2, 5)) + 0.5
    x[np.arange(n), right] += direction
    x[np.arange(n), 1 - right] -= direction
    weak = np.where(rng.random(n) < 0.35, 1 - right, right)
    items = tuple(Item(f"p{i}", "", ("a", "b")) for i in range(n))
    soft = np.eye(2)[weak] * 0.8 + 0.1
    return Labels(items, soft, np.ones(n)), View(lambda: x, lambda: None, 0), right


@pytest.mark.parametrize("do", ["search", "pca"])
def test_ccs_finds_the_truth_and_takes_its_sign_from_weak_labels(do):
    labels, view, right = pairs()
    found = Ccs(do=do)(labels, view)
    assert (labels.hard == right).mean() < 0.72
    assert (found.hard == right).mean() > 0.97
    flipped = Labels(labels.items, labels.soft[:, ::-1], labels.weight)
    np.testing.assert_allclose(Ccs(do=do)(flipped, view).soft, found.soft[:, ::-1])


def test_ccs_follows_a_descent_to_its_gradient():
    """The kept direction beats random ones: the mean inconsistency of its pairs is near zero."""
    labels, view, _ = pairs()
    second = Ccs(restarts=3)(labels, view).soft[:, 1]
    assert inconsistency(second, 1 - second).mean() < 0.02


def test_ccs_needs_both_choices():
    labels, _, _ = pairs()
    with pytest.raises(Degenerate, match=r"ccs needs features of both choices, \(n, 2, d\), and these are \(200, 3\)"):
        Ccs()(labels, View(lambda: np.zeros((200, 3)), lambda: None, 0))
    with pytest.raises(ValueError, match="do is search or pca, got 'svd'"):
        Ccs(do="svd")


def test_the_acceptance_rule_does_not_overflow():
    assert acceptance(1e6, 0.01) == 1.0
    assert acceptance(0.0, 0.01) == 1.0
    assert acceptance(-1e6, 0.01) < 1e-300
    assert acceptance(-1.0, 2.0) == pytest.approx(np.exp(-0.5))


def test_the_temperature_falls_to_its_floor():
    falls = [temperature(n) for n in (0, 1, 10, 1000)]
    assert falls[0] == 10
    assert falls == sorted(falls, reverse=True)
    assert temperature(10**300) == 0.01 or temperature(10**300) < 0.01 + 10 / (1 + 2 * 690)


@pytest.mark.parametrize("pool", [256, 100])
def test_icm_labels_two_clusters_consistently(worlds, pool):
    world = worlds(n=200, flips=60)
    found = Icm(pool=pool, steps=1500, restarts=3)(world.labels, world.view(world.labels))
    assert (world.labels.hard == world.truth).mean() < 0.72
    assert (found.hard == world.truth).mean() > 0.97


def test_a_cold_search_never_lowers_its_objective(worlds, monkeypatch):
    world = worlds(n=80)
    monkeypatch.setattr("superalign.learners.icm.temperature", lambda accepted: 1e-9)
    values = []
    inner = Search.objective

    search = Search(Icm(steps=400), world.x, np.arange(80), np.random.default_rng(0))
    before = search.accepted
    for _ in range(40):
        search.rule = Icm(steps=10)
        search.run()
        values.append(inner(search, search.labels))
    assert search.accepted > before
    assert (np.diff(values) >= -1e-9).all()
    assert values[-1] > values[0]


def test_exclusive_groups_end_up_with_one_right_claim(worlds):
    """Two claims per question, one in each cluster: a pair of rights in one group is repaired."""
    world = worlds(n=120)
    groups = np.arange(120) // 2
    search = Search(Icm(exclusive=True, steps=1500), world.x, groups, np.random.default_rng(1))
    assert search.pairs(np.ones(120, int)) == 60
    labels = np.full(120, UNLABELLED)
    labels[:4] = 1
    assert search.pairs(search.repaired(labels)) == 0
    assert search.pairs(search.run()) == 0


def test_icm_is_for_two_classes(worlds):
    world = worlds(classes=3)
    with pytest.raises(Degenerate, match="icm is for two classes, and the labels have 3"):
        Icm()(world.labels, world.view(world.labels))
