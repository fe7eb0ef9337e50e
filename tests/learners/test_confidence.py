"""Hardening, schedules and the running buffer of logconf."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from superalign.core.errors import SpecError
from superalign.learners.confidence import AugConf, Buffered, LogConf
from superalign.learners.hardening import class_counts, harden

RULES = settings(deadline=None, derandomize=True, max_examples=60)
seeds = st.integers(0, 10_000)


def case(seed, classes=None):
    rng = np.random.default_rng(seed)
    rows, k = int(rng.integers(1, 30)), classes or int(rng.integers(2, 6))
    return rng, rng.normal(size=(rows, k)), rng.dirichlet(np.ones(k))


@RULES
@given(seed=seeds)
def test_counts_are_the_rounded_prior(seed):
    _, z, prior = case(seed)
    counts = class_counts(prior, len(z))
    assert counts.sum() == len(z)
    assert (np.abs(counts - prior * len(z)) < 1).all()
    np.testing.assert_array_equal(harden(z, prior).sum(axis=0), counts)


@pytest.mark.parametrize(
    "pi, n, m", [(0.55, 4, 2), (0.5, 31, 16), (0.8, 31, 25), (0.9, 31, 28), (0.7, 5, 4), (0.3, 5, 2)]
)
def test_two_classes_round_half_up(pi, n, m):
    """At n=31 a quantile of the probabilities flips a row by rounding; the rank rule does not."""
    np.testing.assert_array_equal(class_counts(np.array([1 - pi, pi]), n), [n - m, m])


@RULES
@given(seed=seeds, tied=st.booleans())
def test_hardening_has_the_largest_sum_of_logits(seed, tied):
    _, z, prior = case(seed)
    z = np.round(z) if tied else z
    places = np.repeat(np.arange(z.shape[1]), class_counts(prior, len(z)))
    row, place = linear_sum_assignment(z[:, places], maximize=True)
    assert (harden(z, prior) * z).sum() == pytest.approx(z[row, places[place]].sum(), abs=1e-9)


@RULES
@given(seed=seeds)
def test_two_classes_as_an_assignment_are_the_rank_rule(seed):
    from superalign.learners.hardening import assign

    _, z, prior = case(seed, classes=2)
    np.testing.assert_array_equal(np.eye(2)[assign(z, class_counts(prior, len(z)))], harden(z, prior))


@RULES
@given(seed=seeds, shift=st.floats(-50, 50))
def test_hardening_ignores_shifts_and_follows_permutations(seed, shift):
    rng, z, prior = case(seed)
    hard = harden(z, prior)
    np.testing.assert_array_equal(harden(z + shift, prior), hard)
    np.testing.assert_array_equal(harden(z + rng.normal(size=(len(z), 1)), prior), hard)
    order = rng.permutation(len(z))
    np.testing.assert_array_equal(harden(z[order], prior), hard[order])


@RULES
@given(seed=seeds)
def test_binary_hardening_ignores_increasing_maps_and_swaps_with_the_classes(seed):
    rng, _, _ = case(seed)
    n = int(rng.integers(1, 30))
    d, pi = rng.normal(size=n), float(rng.integers(0, n + 1)) / n
    prior = np.array([1 - pi, pi])
    hard = harden(np.column_stack([0 * d, d]), prior)
    np.testing.assert_array_equal(harden(np.column_stack([0 * d, d**3 + 40 * d]), prior), hard)
    np.testing.assert_array_equal(harden(np.column_stack([0 * d, -d]), prior[::-1])[:, ::-1], hard)


@pytest.mark.parametrize("classes", [2, 3])
def test_ties_go_by_id_in_any_order(classes):
    z, ids = np.zeros((9, classes)), np.arange(9)
    prior = np.full(classes, 1 / classes)
    hard = harden(z, prior, ids)
    order = np.random.default_rng(0).permutation(9)
    np.testing.assert_array_equal(harden(z[order], prior, ids[order]), hard[order])


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="logits that are not finite cannot be ranked"):
        harden(np.array([[0.0, np.nan]]), np.array([0.5, 0.5]))


@pytest.mark.parametrize("warmup", [0.2, 0.5, 1.0])
def test_the_schedule_has_no_jump(warmup):
    loss, total = LogConf(alpha=0.6, warmup=warmup), 200
    weights = np.array([loss.weight(step, total) for step in range(total + 1)])
    assert weights[0] == 0
    assert np.diff(weights).max() <= 0.6 / (warmup * total) + 1e-12
    assert np.diff(weights).min() >= -1e-12
    assert weights[round(warmup * total)] == pytest.approx(0.6)
    assert weights[-1] == 0.6


def test_no_warmup_is_constant_and_the_default_is_a_fifth():
    assert [LogConf(alpha=0.6, warmup=0).weight(step, 10) for step in (0, 5, 10)] == [0.6] * 3
    assert LogConf().warmup == 0.2


def test_the_jump_of_the_published_schedule_is_there_only_on_request():
    loss = LogConf(alpha=0.5, schedule="openai_ref")
    assert loss.weight(100, 1000) == pytest.approx(0.05)
    assert loss.weight(101, 1000) == 0.5


def test_three_classes_and_a_vector_prior():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(20, 3)), rng.dirichlet(np.ones(3), size=20)
    _, gradients = LogConf(alpha=1, warmup=0, prior=".2/.3/.5")(z, y, 0, 1)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose((p - gradients).sum(axis=0), [4, 6, 10], atol=1e-9)


def test_a_prior_for_other_classes_is_refused():
    z = np.zeros((4, 3))
    with pytest.raises(SpecError, match="the prior names 2 classes and the labels have 3; type prior=batch"):
        LogConf(prior=0.5)(z, np.full((4, 3), 1 / 3), 0, 1)
    with pytest.raises(SpecError, match=r"prior=dataset needs all transfer labels; call prepared\(labels\)"):
        LogConf(prior="dataset")(z, np.full((4, 3), 1 / 3), 0, 1)


def stream_of(n, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.uniform(0.05, 0.95, n)
    return np.column_stack([np.zeros(n), rng.normal(size=n)]), np.column_stack([1 - y, y])


def test_the_buffer_is_bounded_and_new_for_each_fit():
    z, y = stream_of(1000)
    loss = LogConf(buffer=32)
    fit = loss.prepared(y)
    assert isinstance(fit, Buffered)
    for i in range(1000):
        fit(z[i : i + 1], y[i : i + 1], i, 1000)
        assert len(fit.seen) <= 32
    assert len(fit.seen) == 32
    fresh = loss.prepared(y)
    assert isinstance(fresh, Buffered)
    assert len(fresh.seen) == 0


def test_a_buffer_gives_single_rows_the_prior_of_many():
    """Alone, a row is hardened to its own label's side; with a buffer it is ranked among the last ones."""
    z, y = stream_of(400)
    y = np.tile([0.3, 0.7], (400, 1))
    one = LogConf(alpha=1, warmup=0)
    many = LogConf(alpha=1, warmup=0, buffer=100).prepared(y)

    def positives(loss):
        gradients = np.concatenate([loss(z[i : i + 1], y[i : i + 1], i, 400)[1] for i in range(400)])
        return float((gradients[200:, 1] < 0).mean())  # p - 1 where hardened to class 1

    assert positives(one) == 1.0
    assert positives(many) == pytest.approx(0.7, abs=0.06)


def test_a_batch_as_large_as_the_buffer_is_plain_logconf():
    z, y = stream_of(16)
    plain, buffered = LogConf(warmup=0)(z, y, 0, 1), LogConf(warmup=0, buffer=16).prepared(y)(z, y, 0, 1)
    np.testing.assert_array_equal(plain[1], buffered[1])


def test_a_buffer_must_be_prepared():
    z, y = stream_of(2)
    with pytest.raises(SpecError, match="buffer keeps state for one fit; call prepared"):
        LogConf(buffer=8)(z, y, 0, 1)


def test_augconf_warns_when_it_collapses(caplog):
    y = np.column_stack([np.linspace(0.1, 0.9, 20), np.linspace(0.9, 0.1, 20)])
    with caplog.at_level(logging.WARNING, "superalign"):
        AugConf()(np.column_stack([np.ones(20), np.zeros(20)]), y, 8, 10)
        assert not caplog.records
        AugConf()(np.column_stack([np.ones(20), np.zeros(20)]), y, 9, 10)
    assert "after 10 steps the student predicts one class" in caplog.text
