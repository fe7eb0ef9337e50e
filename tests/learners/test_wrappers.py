"""Wrappers: iterations, chains, ensembles, split-half choice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import ModelError, SpecError
from superalign.core.types import Ask
from superalign.learners.bootstrap import bootstrap
from superalign.learners.ensemble import Ensemble, bag, boost, drawn, restore, samme
from superalign.learners.finetune import finetune
from superalign.learners.iterate import iterate
from superalign.learners.labels import probabilities
from superalign.learners.losses import Xent
from superalign.learners.splithalf import split_half
from superalign.testing.learner import LinearModel

plain = finetune(Xent())


def weights(model):
    return model.state()["weights"]


class Spy:
    """A learner that notes each call and passes it on."""

    def __init__(self):
        self.calls = []

    def __call__(self, model, data, overseer, run):
        judgments = overseer(data.train)
        self.calls.append((model, data, np.array([j.verdict.probs for j in judgments]), run))
        return plain(model, data, overseer, run)


# Iterations.


def test_no_iteration_is_the_learner_itself(world, run):
    args = (world.model, world.data, world.overseer, run)
    np.testing.assert_array_equal(weights(iterate(plain, times=0)(*args)), weights(plain(*args)))


def test_each_iteration_learns_from_the_student_before(world, run):
    spy = Spy()
    iterate(spy, times=2)(world.model, world.data, world.overseer, run)
    assert len(spy.calls) == 3
    first = plain(world.model, world.data, world.overseer, run)
    np.testing.assert_allclose(spy.calls[1][2], probabilities(first, world.data.train))
    assert {call[3].seed for call in spy.calls} == {run.seed}
    assert all(call[0].weights is None for call in spy.calls)  # a fresh copy each time


def test_cross_fitted_labels_come_from_students_that_did_not_see_the_item(world, run):
    spy = Spy()
    iterate(spy, times=1, folds=4)(world.model, world.data, world.overseer, run)
    halves, last = spy.calls[1:-1], spy.calls[-1]
    assert len(halves) == 4
    for _, data, _, _ in halves:
        trained = {item.id for item in data.train}
        left = [i for i, item in enumerate(world.data.train) if item.id not in trained]
        student = plain(world.model, data, world.overseer, run)
        np.testing.assert_allclose(last[2][left], probabilities(student, [world.data.train[i] for i in left]))


def test_the_watch_sees_the_last_student_only(world, run):
    seen = []
    watched = replace(run, watch=lambda step, total, model: seen.append(step))
    iterate(plain, times=2)(world.model, world.data, world.overseer, watched)
    assert len(seen) == 5
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    "options, message", [({"times": -1}, "0 or more, got -1"), ({"folds": 1}, "2 and more, got 1")]
)
def test_iterate_checks_its_options(options, message):
    with pytest.raises(ValueError, match=message):
        iterate(plain, **options)


# Chains.


def test_a_chain_through_nothing_is_the_learner_itself(world, run):
    args = (world.model, world.data, world.overseer, run)
    np.testing.assert_array_equal(weights(bootstrap(plain, lambda ref: world.model)(*args)), weights(plain(*args)))


def test_each_model_of_a_chain_labels_for_the_next(world, run):
    spy, built = Spy(), []

    def build(ref):
        built.append(ref)
        return LinearModel(world.model.vectors, steps=int(ref.split(":")[1]))

    last = bootstrap(spy, build, through="linear@5 > linear@20")(world.model, world.data, world.overseer, run)
    assert built == ["linear:5", "linear:20"]
    assert [call[0].steps for call in spy.calls] == [5, 20, 100]
    first = plain(*spy.calls[0][:2], world.overseer, spy.calls[0][3])
    np.testing.assert_allclose(spy.calls[1][2], probabilities(first, world.data.train))
    seeds = [call[3].seed for call in spy.calls]
    assert seeds[2] == run.seed
    assert len(set(seeds)) == 3
    assert last.steps == 100


def test_fresh_parts_are_disjoint(world, run):
    spy = Spy()
    bootstrap(spy, lambda ref: world.model, through="a>b", fresh=True)(world.model, world.data, world.overseer, run)
    parts = [{item.id for item in call[1].train} for call in spy.calls]
    assert set.union(*parts) == {item.id for item in world.data.train}
    assert sum(map(len, parts)) == len(world.data.train)


def test_a_chain_with_an_empty_name_is_refused(world):
    with pytest.raises(ValueError, match="through names models as mlp@32>mlp@64, got 'a>'"):
        bootstrap(plain, lambda ref: world.model, through="a>")


# Ensembles.


def trained(world, run):
    return plain(world.model, world.data, world.overseer, run)


@pytest.mark.parametrize("wrapper", [bag, boost])
def test_an_ensemble_of_one_is_the_learner_itself(world, run, wrapper):
    args = (world.model, world.data, world.overseer, run)
    np.testing.assert_array_equal(weights(wrapper(plain, n=1)(*args)), weights(plain(*args)))


def test_identical_members_change_nothing(world, run):
    model = trained(world, run)
    p = probabilities(model, world.items)
    np.testing.assert_allclose(probabilities(Ensemble([model] * 3), world.items), p, atol=1e-9)
    np.testing.assert_allclose(probabilities(Ensemble([model] * 3, [1, 5, 2]), world.items), p, atol=1e-9)


def test_votes_are_weighted_and_majorities_are_shares_of_votes(world, run):
    yes = world.model.load({"weights": np.vstack([np.zeros((4, 2)), [[0, 1]]])})
    no = world.model.load({"weights": np.vstack([np.zeros((4, 2)), [[1, 0]]])})
    sure = 1 / (1 + np.exp(-1))
    mean = probabilities(Ensemble([yes, yes, no]), world.items)[0]
    np.testing.assert_allclose(mean[1], (2 * sure + 1 - sure) / 3)
    np.testing.assert_allclose(probabilities(Ensemble([yes, yes, no], vote="majority"), world.items)[0], [1 / 3, 2 / 3])
    np.testing.assert_allclose(probabilities(Ensemble([yes, no], [3, 1], "majority"), world.items)[0], [1 / 4, 3 / 4])


def test_bagging_resamples_and_asks_the_overseer_once(world, run):
    asked = []

    def overseer(items):
        asked.extend(item.id for item in items)
        return world.overseer(items)

    spy = Spy()
    ensemble = bag(spy, n=4)(world.model, world.data, overseer, run)
    assert len(asked) == len(set(asked))
    assert len(ensemble.members) == 4
    samples = [[item.id for item in call[1].train] for call in spy.calls]
    assert all(len(sample) == 120 and 60 < len(set(sample)) < 90 for sample in samples)  # 1 - 1/e = .63 of 120
    assert len({tuple(sample) for sample in samples}) == 4
    assert len({call[3].seed for call in spy.calls} | {run.seed}) == 5


def test_bagging_repeats_for_a_seed_and_reports_its_progress(world, run):
    seen = []
    watched = replace(run, watch=lambda step, total, model: seen.append((step, total, len(model.members))))
    one = bag(plain, n=3)(world.model, world.data, world.overseer, watched)
    other = bag(plain, n=3)(world.model, world.data, world.overseer, run)
    np.testing.assert_array_equal(one.logits(world.items), other.logits(world.items))
    assert seen == [(1, 3, 1), (2, 3, 2), (3, 3, 3)]


def test_an_ensemble_is_saved_and_restored(world, run):
    for ensemble in (
        bag(plain, n=3, vote="majority")(world.model, world.data, world.overseer, run),
        boost(plain, n=3)(world.model, world.data, world.overseer, run),
    ):
        state = ensemble.state()
        for again in (restore(world.model, state), ensemble.load(state)):
            np.testing.assert_array_equal(again.logits(world.items), ensemble.logits(world.items))
    single = trained(world, run)
    np.testing.assert_array_equal(restore(world.model, single.state()).logits(world.items), single.logits(world.items))
    with pytest.raises(ModelError, match="these weights are not an ensemble's; there is: weights"):
        ensemble.load(single.state())


def test_an_ensemble_is_finished(world, run):
    ensemble = Ensemble([trained(world, run)])
    with pytest.raises(ModelError, match=r"ensemble\(linear-model\) is finished and cannot be fitted"):
        ensemble.fit(world.items, lambda *_: None, 0)
    with pytest.raises(ModelError, match="an ensemble needs a member"):
        Ensemble([])
    assert ensemble.variants() == [ensemble]
    assert ensemble.features(world.items).shape == (240, 4)


def test_an_ensemble_answers(world, run):
    ensemble = Ensemble([trained(world, run)])
    item = world.items[0]
    [(index, reply)] = ensemble.answer([Ask("judge", (), item.choices, item)])
    assert index == 0
    np.testing.assert_allclose(reply.probs, probabilities(ensemble, [item])[0])


@settings(deadline=None, derandomize=True, max_examples=60)
@given(seed=st.integers(0, 1000), classes=st.integers(2, 5))
def test_a_round_of_samme_makes_the_same_member_chance(seed, classes):
    rng = np.random.default_rng(seed)
    w = rng.dirichlet(np.ones(30))
    wrong = rng.random(30) < 0.3
    error = float((w * wrong).sum())
    vote, moved, stop = samme(wrong, w, classes)
    if error >= 1 - 1 / classes or error == 0:
        assert stop
    else:
        assert vote == pytest.approx(np.log((1 - error) / error) + np.log(classes - 1))
        assert (moved * wrong).sum() == pytest.approx(1 - 1 / classes)
        assert not stop


def test_a_member_at_chance_has_no_vote():
    vote, w, stop = samme(np.array([True, True, False, False]), np.full(4, 0.25), 2)
    assert (vote, stop) == (0.0, True)
    np.testing.assert_array_equal(w, 0.25)


def test_drawing_follows_the_weights_closely():
    rng = np.random.default_rng(0)
    w = rng.dirichlet(np.ones(50))
    counts = np.bincount(drawn(w, rng), minlength=50)
    assert (np.abs(counts - 50 * w) < 1).all()


class Stump(LinearModel):
    """Looks at one feature only: the one that the loss falls with most steeply."""

    def fit(self, items, objective, seed, watch=None):
        x, rows = self._design(items), np.arange(len(items))
        x = x - np.append(x[:, :-1].mean(axis=0), 0)
        _, gradients = objective(np.zeros((len(items), 2)), rows, 0, 1)
        best = np.abs(x[:, :-1].T @ gradients[:, 1]).argmax()
        kept = {item.id: np.where(np.arange(x.shape[1] - 1) == best, self.vectors[item.id], 0) for item in items}
        fitted = LinearModel(kept, steps=300).fit(items, objective, seed)
        return self._copy(self.decays, fitted.weights)


def test_boosting_fits_what_one_member_cannot(worlds, run):
    """Class 1 lies on one side of a plane across four features; each member looks at one of them."""
    world = worlds(n=400, flips=0)
    world.x = np.random.default_rng(0).normal(size=(400, 4))
    world.truth = (world.x @ [1.0, 0.9, 0.8, 0.7] > 0).astype(int)
    world.soft = np.eye(2)[world.truth]
    data = replace(world.data, train=world.items)
    stump = Stump(world.model.vectors)
    single = plain(stump, data, world.overseer, run)
    ensemble = boost(plain, n=12)(stump, data, world.overseer, run)
    right = [(m.logits(world.items).argmax(axis=1) == world.truth).mean() for m in (single, ensemble)]
    assert len(ensemble.members) > 3
    assert right[0] < 0.75
    assert right[1] > right[0] + 0.1


def test_ensembles_check_their_options():
    with pytest.raises(ValueError, match="n counts the members, 1 or more, got 0"):
        bag(plain, n=0)
    with pytest.raises(ValueError, match="vote is mean or majority, got 'sum'"):
        boost(plain, vote="sum")


# Split-half choice.


class Constant(LinearModel):
    """Under a decay of 50 or more: a model that always says class 1; both halves agree on that."""

    def fit(self, items, objective, seed, watch=None):
        if self.decays[0] < 50:
            fitted = super().fit(items, objective, seed, watch)
            return self._copy(self.decays, fitted.weights)
        return self._copy(self.decays, np.vstack([np.zeros((4, 2)), [[0, 1]]]))

    def _copy(self, decays, weights):
        return Constant(self.vectors, self.classes, decays=decays, weights=weights)


def test_split_half_leaves_out_near_constant_predictions(worlds, run):
    world = worlds(flips=40)
    world.x += np.random.default_rng(0).normal(scale=2, size=world.x.shape)
    model = Constant(world.model.vectors, decays=(50.0, 0.1))
    assert split_half(plain, tolerance=0.2)(model, world.data, world.overseer, run).decays == (0.1,)
    assert split_half(plain, tolerance=1.0)(model, world.data, world.overseer, run).decays == (50.0,)


def test_split_half_asks_no_label_of_the_items_it_compares_on(world, run):
    asked = set()

    def overseer(items):
        asked.update(item.id for item in items)
        return world.overseer(items)

    model = LinearModel(world.model.vectors, decays=(1.0, 0.1))
    split_half(plain)(model, world.data, overseer, run)
    assert asked == {item.id for item in world.data.train}


def test_split_half_without_other_items_or_with_one_setting(world, run):
    model = LinearModel(world.model.vectors, decays=(1.0, 0.1))
    alone = replace(world.data, valid=(), unlabelled=())
    with pytest.raises(SpecError, match="split-half compares predictions on items outside the training set"):
        split_half(plain)(model, alone, world.overseer, run)
    one = split_half(plain)(world.model, alone, world.overseer, run)
    np.testing.assert_array_equal(weights(one), weights(trained(world, run)))
    with pytest.raises(ValueError, match="above 0 and at most 1, got 0"):
        split_half(plain, tolerance=0)
