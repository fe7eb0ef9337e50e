"""Finetune: labels, variants, early stopping, weights, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from superalign.core.errors import Degenerate, SpecError
from superalign.core.types import Data
from superalign.learners.confidence import LogConf
from superalign.learners.finetune import agreement, finetune, objective, within
from superalign.learners.labels import Confident, Hard, Weighted, gather
from superalign.learners.losses import MidWeak, Squared, Xent
from superalign.testing.learner import LinearModel


def accuracy(model, world):
    return float((model.logits(world.items).argmax(axis=1) == world.truth).mean())


@pytest.mark.parametrize("classes", [2, 3])
def test_a_student_is_better_than_its_labels(worlds, run, classes):
    world = worlds(classes=classes, flips=40)
    student = finetune(Xent())(world.model, world.data, world.overseer, run)
    labels = (world.labels.hard == world.truth).mean()
    assert labels < 0.85
    assert accuracy(student, world) > labels + 0.1


def test_every_loss_trains_through_the_same_door(world, run):
    for loss in (LogConf(), MidWeak(), Squared(), LogConf(buffer=200), LogConf(prior="dataset")):
        student = finetune(loss)(world.model, world.data, world.overseer, run)
        assert np.isfinite(student.logits(world.items)).all()


def test_the_objective_scales_weights_to_mean_one(world):
    labels = replace(world.labels, weight=np.linspace(1, 9, world.n))
    rows = np.array([3, 200, 10])
    z = np.random.default_rng(0).normal(size=(3, 2))
    values, gradients = objective(Xent(), labels)(z, rows, 0, 1)
    plain, plain_gradients = Xent()(z, world.soft[rows], 0, 1)
    np.testing.assert_allclose(values, plain * labels.weight[rows] / 5)
    np.testing.assert_allclose(gradients, plain_gradients * labels.weight[rows, None] / 5)


def test_ties_in_a_loss_go_by_item_id_and_not_by_place(world):
    """All logits equal: which rows logconf hardens to class 1 must not depend on the order of the data."""
    loss = LogConf(alpha=1, warmup=0, prior=0.5)
    order = np.random.default_rng(0).permutation(world.n)
    shuffled = replace(world.labels, items=tuple(world.items[i] for i in order), soft=world.soft[order])
    z = np.zeros((world.n, 2))
    one = objective(loss, world.labels)(z, np.arange(world.n), 0, 1)[1]
    other = objective(loss, shuffled)(z, np.arange(world.n), 0, 1)[1]
    np.testing.assert_array_equal(one[order], other)


def test_micro_batches_in_two_passes_equal_one_batch(world):
    """The objective sees all logits of a step, so how the forward pass was cut does not matter."""
    x = np.column_stack([world.x, np.ones(world.n)])
    w = np.random.default_rng(1).normal(size=(5, 2))
    goal = objective(LogConf(warmup=0), world.labels)
    rows = np.arange(world.n)
    gradients = []
    for size in (1, 4, world.n):
        parts = [rows[i : i + size] for i in range(0, world.n, size)]
        z = np.concatenate([x[part] @ w for part in parts])
        _, dz = goal(z, rows, 0, 1)
        gradients.append(sum(x[part].T @ dz[part] for part in parts))
    np.testing.assert_allclose(gradients[0], gradients[2], atol=1e-9)
    np.testing.assert_allclose(gradients[1], gradients[2], atol=1e-9)


def test_each_fit_has_a_fresh_loss(world):
    loss = LogConf(alpha=1, warmup=0, buffer=50)
    z, row = np.zeros((1, 2)), np.array([0])
    first = objective(loss, world.labels)
    for i in range(60):
        first(np.array([[0.0, i]]), row, 0, 1)
    again = objective(loss, world.labels)(z, row, 0, 1)[1]
    np.testing.assert_array_equal(objective(loss, world.labels)(z, row, 0, 1)[1], again)


def grid(world, decays):
    model = world.model
    return LinearModel(model.vectors, model.classes, decays=decays)


def test_variants_are_chosen_by_agreement_and_ties_go_to_the_stronger_penalty(world, run):
    valid = gather(world.overseer, world.data.valid)
    decays = (100.0, 0.1, 1e-2)
    learner = finetune(Xent())
    students = [learner(grid(world, (d,)), world.data, world.overseer, run) for d in decays]
    scores = [agreement(student, valid) for student in students]
    best = scores.index(max(scores))
    chosen = learner(grid(world, decays), world.data, world.overseer, run)
    np.testing.assert_array_equal(chosen.state()["weights"], students[best].state()["weights"])
    twins = learner(grid(world, (1e-2, 1e-5)), world.data, world.overseer, run)
    assert agreement(twins, valid) == agreement(learner(grid(world, (1e-5,)), world.data, world.overseer, run), valid)
    assert twins.decays == (1e-2,)


def test_choosing_needs_validation_items(world, run):
    data = replace(world.data, valid=())
    with pytest.raises(SpecError, match="choosing among 2 variants of linear-model needs validation items"):
        finetune(Xent())(grid(world, (1.0, 0.1)), data, world.overseer, run)
    with pytest.raises(SpecError, match="early stopping needs validation items"):
        finetune(Xent(), early="ce")(world.model, data, world.overseer, run)


def test_validation_labels_are_asked_for_only_where_they_are_used(world, run):
    asked = set()

    def overseer(items):
        asked.update(item.id for item in items)
        return world.overseer(items)

    finetune(Xent())(world.model, world.data, overseer, run)
    assert asked == {item.id for item in world.data.train}


class Path(LinearModel):
    """A fit that passes through given states, the best of them not the last."""

    def fit(self, items, objective, seed, watch=None):
        states = [np.eye(5, 2) * scale for scale in (-1.0, 1.0, -0.5)]
        for i, state in enumerate(states):
            if watch is not None:
                watch(i + 1, 3, self.load({"weights": state}))
        return self.load({"weights": states[-1]})


@pytest.mark.parametrize("rule", ["accuracy", "ce"])
def test_early_stopping_keeps_the_best_state_by_validation_labels(world, run, rule):
    path = Path({item.id: row for item, row in zip(world.items, world.x, strict=True)})
    seen = []
    watched = replace(run, watch=lambda step, total, model: seen.append((step, total)))
    last = finetune(Xent())(path, world.data, world.overseer, run)
    best = finetune(Xent(), early=rule)(path, world.data, world.overseer, watched)
    np.testing.assert_array_equal(last.state()["weights"], np.eye(5, 2) * -0.5)
    np.testing.assert_array_equal(best.state()["weights"], np.eye(5, 2))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_early_stopping_never_agrees_less_with_validation_labels(world, run):
    valid = gather(world.overseer, world.data.valid)
    world.x[:] += np.random.default_rng(0).normal(scale=3, size=world.x.shape)
    plain, early = (finetune(Xent(), early=e)(world.model, world.data, world.overseer, run) for e in (None, "accuracy"))
    assert agreement(early, valid) >= agreement(plain, valid)


def test_an_unknown_rule_is_refused():
    with pytest.raises(SpecError, match="early stopping goes by accuracy or ce, got 'auroc'"):
        finetune(Xent(), early="auroc")


def test_the_watch_sees_the_chosen_fit_alone(world, run):
    seen = []
    watched = replace(run, watch=lambda step, total, model: seen.append(model.decays))
    chosen = finetune(Xent())(grid(world, (100.0, 1e-2)), world.data, world.overseer, watched)
    assert set(seen) == {chosen.decays}


def test_steps_apply_in_order_and_leave_notes(world, run):
    learner = finetune(Xent(), [Confident(tau=0.8), Weighted(), Hard()])
    labels = learner.labels(world.model, world.data, world.overseer, run)
    assert [note.split()[0] for note in labels.notes] == ["confident", "weighted", "hard:"]
    assert set(np.unique(labels.soft)) == {0.0, 1.0}
    assert labels.weight.std() > 0


def test_a_model_with_answers_of_its_own_shows_them(world, run):
    class Speaking(LinearModel):
        def zero_shot(self, items):
            return np.eye(2)[[world.truth[world.rows[item.id]] for item in items]]

    from superalign.learners.probe import Agree

    model = Speaking(world.model.vectors)
    labels = finetune(Xent(), [Agree()]).labels(model, world.data, world.overseer, run)
    assert (labels.hard == world.truth[world.positions(labels)]).all()
    with pytest.raises(Degenerate, match="this model has none before it is trained"):
        finetune(Xent(), [Agree()]).labels(world.model, world.data, world.overseer, run)


@pytest.mark.parametrize(
    "row, message",
    [
        ([0.5, 0.5], r"all 120 labels are the same \(0.500/0.500\)"),
        ([0.7, 0.3], r"all 120 labels are the same \(0.700"),
    ],
)
def test_constant_labels_are_refused(world, run, row, message):
    """A cached but untrained teacher once labelled everything .5/.5, and its students learned from that."""
    world.soft[:] = row
    with pytest.raises(Degenerate, match=message):
        finetune(Xent())(world.model, world.data, world.overseer, run)


def test_labels_of_one_class_are_refused_also_after_a_filter(world, run):
    world.soft[world.truth == 0] = [0.99, 0.01]
    with pytest.raises(Degenerate, match=r"all 60 labels are the same \(0.990/0.010\), so there is nothing"):
        finetune(Xent(), [Confident(tau=0.98)])(world.model, world.data, world.overseer, run)
    world.soft[:] = np.sort(world.soft, axis=1)
    with pytest.raises(
        Degenerate, match="all 120 labels name class 1, so there is nothing to learn; look at the overseer"
    ):
        finetune(Xent())(world.model, world.data, world.overseer, run)


def test_a_fit_that_diverges_says_so(world):
    with pytest.raises(
        Degenerate, match="the fit diverged: logits are not finite at step 3 of 9; lower the learning rate"
    ):
        objective(Xent(), world.labels)(np.array([[np.inf, 0.0]]), np.array([0]), 3, 9)


def test_seeds_make_pairs(world, run):
    """Students of one seed differ by their labels only: same labels, same student, whatever the method's name."""
    one = finetune(Xent())(world.model, world.data, world.overseer, run)
    other = finetune(LogConf(alpha=0))(world.model, world.data, world.overseer, run)
    np.testing.assert_allclose(one.state()["weights"], other.state()["weights"], atol=1e-12)
    third = finetune(Xent())(world.model, world.data, world.overseer, replace(run, seed=8))
    assert (third.state()["weights"] != one.state()["weights"]).any()


def test_a_student_is_trained_on_what_was_not_abstained(world, run):
    from superalign.core.types import Judgment, Seat, Verdict

    def shy(items):
        return [Judgment(j.item, Seat(), Verdict(None, abstained="unsure")) if i % 2 else j
                for i, j in enumerate(world.overseer(items))]  # fmt: skip

    half = Data(world.data.train[::2])
    one = finetune(Xent())(world.model, world.data, shy, run)
    other = finetune(Xent())(world.model, half, world.overseer, run)
    np.testing.assert_array_equal(one.state()["weights"], other.state()["weights"])


def test_the_more_regularised_variant_wins_within_a_standard_error() -> None:
    """Breiman et al. (1984): of settings that noise cannot tell apart, the simplest."""
    shares = [0.70, 0.795, 0.80, 0.81, 0.60]
    assert within(shares, 400, 0.0) == 3
    assert within(shares, 400, 1.0) == 1  # a standard error is .0196
    assert within(shares, 10_000, 1.0) == 3
    assert within([1.0, 1.0], 50, 1.0) == 0
