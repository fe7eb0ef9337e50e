"""Steps that ask a second opinion: out-of-fold probe, agreement, selective, noisy channel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import Degenerate
from superalign.learners.labels import folds
from superalign.learners.losses import log_softmax
from superalign.learners.probe import Agree, Channel, Probe, Selective, conditioned, logistic, out_of_fold, posterior


def test_logistic_is_at_its_minimum():
    rng = np.random.default_rng(0)
    x, soft = rng.normal(size=(80, 3)), rng.dirichlet(np.ones(3), size=80)
    w = logistic(x, soft, 1e-2)
    design = np.column_stack([x, np.ones(80)])
    residual = design.T @ (np.exp(log_softmax(design @ w)) - soft) / 80
    residual[:-1] += 1e-2 * w[:-1]
    assert np.abs(residual).max() < 1e-4


@pytest.mark.parametrize("n, d", [(80, 5), (40, 60)])
def test_conditioning_changes_the_path_and_not_the_solution(n, d):
    rng = np.random.default_rng(0)
    x, soft = rng.normal(size=(n, d)) * np.logspace(0, -2, d), rng.dirichlet(np.ones(3), size=n)
    plain = logistic(x, soft, 1e-2)
    turned, penalty = conditioned(x, 1e-2)
    w = logistic(turned, soft, penalty)
    np.testing.assert_allclose(turned @ w[:-1] + w[-1], x @ plain[:-1] + plain[-1], atol=2e-3)


def test_no_label_reaches_its_own_prediction(world):
    parts = folds(world.items, 5, 0)
    before = out_of_fold(world.x, world.soft, 1e-3, parts)
    changed = world.soft.copy()
    changed[parts[2]] = changed[parts[2]][:, ::-1]
    after = out_of_fold(world.x, changed, 1e-3, parts)
    np.testing.assert_array_equal(before[parts[2]], after[parts[2]])
    assert np.abs(before[parts[0]] - after[parts[0]]).max() > 0.01


@pytest.mark.parametrize("classes", [2, 3])
def test_the_probe_removes_planted_flips(worlds, classes):
    world = worlds(classes=classes, flips=24)
    labels = Probe(drop=0.1)(world.labels, world.view(world.labels))
    removed = set(range(world.n)) - set(world.positions(labels))
    assert len(removed & set(world.flipped)) >= 22
    relabelled = Probe(do="relabel")(world.labels, world.view(world.labels))
    assert (relabelled.hard != world.truth).sum() <= 2
    assert Probe(drop=0)(world.labels, world.view(world.labels)).items == world.items


def test_agree_keeps_the_common_answers(world):
    own = np.eye(2)[world.truth]
    labels = Agree()(world.labels, world.view(world.labels, lambda rows: own[rows]))
    assert set(world.positions(labels)) == set(range(world.n)) - set(world.flipped)


@pytest.mark.parametrize("step, name", [(Agree(), "agree"), (Selective(), "selective")])
def test_a_model_without_answers_of_its_own_is_refused(world, step, name):
    with pytest.raises(
        Degenerate, match=f"{name} compares with the strong model's own labels, and this model has none"
    ):
        step(world.labels, world.view(world.labels))


def test_selective_takes_own_labels_where_the_model_knows(worlds):
    """The strong model is right where the first feature is high and guesses elsewhere."""
    world = worlds(n=600, flips=60)
    knows = world.x[:, 0] > 3
    rng = np.random.default_rng(0)
    named = np.where(knows, world.truth, rng.integers(0, 2, world.n))
    own = np.full((world.n, 2), 0.25)
    own[np.arange(world.n), named] = 0.75
    labels = Selective(tau=0.8)(world.labels, world.view(world.labels, lambda rows: own[rows]))
    taken = (labels.soft == own).all(axis=1)
    assert taken[knows].mean() > 0.9
    assert taken[~knows].mean() < 0.1
    assert (labels.hard != world.truth).mean() < 0.06 < (world.labels.hard != world.truth).mean()


@settings(deadline=None, derandomize=True, max_examples=40)
@given(seed=st.integers(0, 1000), classes=st.integers(2, 4))
def test_posterior_limits(seed, classes):
    rng = np.random.default_rng(seed)
    prior = rng.dirichlet(np.ones(classes), size=6)
    weak = np.eye(classes)[rng.integers(0, classes, 6)]
    np.testing.assert_allclose(posterior(prior, np.eye(classes), weak), weak)  # plain weak-to-strong
    same = np.tile(rng.dirichlet(np.ones(classes)), (classes, 1))
    np.testing.assert_allclose(posterior(prior, same, weak), prior)
    channel = rng.dirichlet(np.ones(classes), size=classes)
    by_hand = prior[0] * channel[:, weak[0].argmax()]
    np.testing.assert_allclose(posterior(prior, channel, weak)[0], by_hand / by_hand.sum())


def test_an_impossible_label_leaves_the_prior():
    np.testing.assert_allclose(posterior(np.array([[1.0, 0.0]]), np.eye(2), np.array([[0.0, 1.0]])), [[1.0, 0.0]])


@pytest.mark.parametrize("slices, unsure", [(1, 0.1), (2, 0.1), (1, 0.0)])
def test_the_channel_finds_a_one_sided_error(worlds, slices, unsure):
    """The weak labeller calls a third of class 1 class 0 and never errs on class 0."""
    world = worlds(n=600, flips=0)
    rng = np.random.default_rng(0)
    missed = (world.truth == 1) & (rng.random(world.n) < 1 / 3)
    weak = np.where(missed, 0, world.truth)
    world.soft = np.full((world.n, 2), unsure) + (1 - 2 * unsure) * np.eye(2)[weak]
    labels = Channel(slices=slices)(world.labels, world.view(world.labels))
    assert (labels.hard != world.truth).mean() < 0.05 < 0.15 < (weak != world.truth).mean()
    right = [float(part) for part in labels.notes[-1].split("right ")[1].split(":")[0].split("/")]
    assert len(right) == slices


def test_steps_repeat_for_a_seed(world):
    view = world.view(world.labels)
    for step in (Probe(do="relabel"), Channel(rounds=2)):
        np.testing.assert_array_equal(step(world.labels, view).soft, step(world.labels, view).soft)


def test_options_are_checked():
    with pytest.raises(ValueError, match="folds must be 2 or more"):
        Probe(folds=1)
    with pytest.raises(ValueError, match="start must be between 0 and 1"):
        Channel(start=2)
