"""Agreement of simulation and activation: values against their definitions, intervals, what is undefined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from superalign.core.errors import SpecError
from superalign.interp import metrics
from superalign.interp.metrics import clusters
from superalign.interp.sensitivity import BLIND, SOUND, sensitivity

Values = np.ndarray[Any, Any]


def sample(seed: int = 0, documents: int = 40, length: int = 50) -> tuple[Values, Values, Values]:
    """A unit that fires at a tenth, a noisy simulation of it, and documents."""
    rng = np.random.default_rng(seed)
    size = documents * length
    a = np.maximum(rng.normal(size=size) - 1.3, 0)
    s = a + 0.3 * rng.normal(size=size)
    return a, s, np.repeat(np.arange(documents), length)


def test_each_value_is_that_of_its_definition() -> None:
    a, s, documents = sample()
    weights = np.random.default_rng(1).uniform(0.5, 2, len(a))
    fires, said = a > 0, s > 0.4
    value = {
        name: metric(a, s if name in ("correlation", "cosine") else said, documents).value
        for name, metric in {**SOUND, **BLIND}.items()
        if name not in ("auprc", "auc")
    }
    assert value["correlation"] == pytest.approx(np.corrcoef(a, s)[0, 1])
    assert value["cosine"] == pytest.approx(a @ s / np.sqrt(a @ a * (s @ s)))
    assert value["f1"] == pytest.approx(reference.f1_score(fires, said))
    assert value["iou"] == pytest.approx(reference.jaccard_score(fires, said))
    assert value["accuracy"] == pytest.approx(reference.accuracy_score(fires, said))
    assert value["balanced accuracy"] == pytest.approx(reference.balanced_accuracy_score(fires, said))
    assert value["precision"] == pytest.approx(reference.precision_score(fires, said))
    assert value["recall"] == pytest.approx(reference.recall_score(fires, said))
    for weighed in (None, weights):
        for own, theirs in ((metrics.auprc, reference.average_precision_score), (metrics.auc, reference.roc_auc_score)):
            for predicted in (s, said.astype(float)):
                expected = theirs(fires, predicted, sample_weight=weighed)
                assert own(fires, predicted, documents, weights=weighed).value == pytest.approx(expected)
    assert metrics.f1(a, said, documents, weights=weights).value == pytest.approx(
        reference.f1_score(fires, said, sample_weight=weights)
    )
    assert metrics.explained_variance(a, s, documents).value == pytest.approx(1 - ((a - s) ** 2).mean() / a.var())
    assert metrics.explained_variance(a, s, documents, uncentred=True).value == pytest.approx(
        1 - ((a - s) ** 2).sum() / (a**2).sum()
    )


def test_the_mean_explains_nothing_unless_the_variance_is_not_centred() -> None:
    """Defect 19: divided by E(a^2), a simulation that always says the mean looks as if it explained something."""
    a, _, documents = sample()
    a = a + 3
    mean = np.full(len(a), a.mean())
    assert metrics.explained_variance(a, mean, documents).value == pytest.approx(0, abs=1e-12)
    assert (metrics.explained_variance(a, mean, documents, uncentred=True).value or 0) > 0.9


def test_intervals_are_those_of_a_bootstrap_over_documents() -> None:
    """From per-document sums, and the same by drawing the positions themselves."""
    a, s, documents = sample()
    member = clusters(documents, seed=3)
    found = metrics.correlation(a, s, member)
    rows = [np.flatnonzero(documents == d) for d in range(40)]
    by_hand = []
    for draw in member.draws[:200].astype(int):
        drawn = np.concatenate([np.tile(rows[d], k) for d, k in enumerate(draw)])
        by_hand.append(np.corrcoef(a[drawn], s[drawn])[0, 1])
    low, high = np.quantile(by_hand, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)
    assert found.n == 2000


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Documents differ in how well they are predicted: an interval over positions would be far too narrow."""
    inside = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        documents = np.repeat(np.arange(40), 25)
        a = rng.normal(size=1000)
        s = np.repeat(rng.choice([0.2, 1.8], 40), 25) * a + 0.5 * rng.normal(size=1000)
        found = metrics.correlation(a, s, documents, seed=seed)
        assert found.low is not None
        assert found.high is not None
        truth = 1 / np.sqrt((0.04 + 3.24) / 2 + 0.25)
        inside += found.low <= truth <= found.high
    assert 0.85 <= inside / 120 <= 1


def test_a_curve_s_interval_is_about_its_exact_value() -> None:
    a, s, documents = sample(documents=60)
    fine = metrics.auprc(a > 0, s, documents)
    again = metrics.auprc(a > 0, np.argsort(np.argsort(s)), documents)  # only the order counts
    assert fine == again
    assert fine.low is not None
    assert fine.high is not None
    assert fine.value is not None
    assert fine.low < fine.value < fine.high < fine.low + 0.2


def test_order_of_positions_and_thousands_of_documents_change_nothing() -> None:
    rng = np.random.default_rng(0)
    documents = np.repeat(np.arange(5000), 4)
    a, s = rng.normal(size=(2, len(documents)))
    s = s + a
    many = clusters(documents)
    assert many.draws.shape == (1000, 2000)  # neighbours are drawn together
    found = metrics.correlation(a, s, many)
    order = rng.permutation(len(documents))
    mixed = metrics.correlation(a[order], s[order], documents[order])
    assert mixed.model_dump() == pytest.approx(found.model_dump())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=40),
    st.floats(0.1, 50),
    st.floats(-5, 5),
)
def test_every_metric_stays_in_its_range_and_is_never_nan(
    cells: list[tuple[int, int]], scale: float, shift: float
) -> None:
    a, s = np.array(cells, float).T
    documents = np.arange(len(a)) // 2
    for name, metric in {**SOUND, **BLIND}.items():
        found = metric(a, s, clusters(documents, replicates=50))
        if found.value is None:
            assert (found.reason or "").startswith("undefined: ")
            continue
        assert -1 - 1e-9 <= found.value <= 1 + 1e-9, name
        if found.low is not None and found.high is not None:
            assert np.isfinite([found.low, found.high]).all()
    plain, moved = (metrics.correlation(a, p, documents).value for p in (s, scale * s + shift))
    assert plain is None or moved == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_sums_do_not_lose_a_small_spread_far_from_zero(offset: float) -> None:
    """And products of counts do not overflow, as int64 would at 200,000 positions."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=200_000)
    s = a + rng.normal(size=len(a))
    found = metrics.correlation(a + offset, s + offset, clusters(np.arange(len(a)) // 1000, replicates=100))
    assert found.value == pytest.approx(np.corrcoef(a, s)[0, 1], abs=1e-6)
    half = metrics.balanced_accuracy(a > 0, s > 0, np.arange(len(a)) // 1000)
    assert half.value == pytest.approx(0.75, abs=0.01)


def test_what_does_not_exist_has_a_reason_and_no_value() -> None:
    a, s, documents = sample()
    silent = np.zeros(len(a))
    assert metrics.correlation(silent, s, documents).reason == "undefined: it fires at none of 2,000 positions"
    assert metrics.correlation(silent + 1, s, documents).reason == (
        "undefined: the activation is the same at all 2,000 positions"
    )
    assert metrics.correlation(a, silent + 0.5, documents).reason == (
        "undefined: the simulation is the same at all 2,000 positions"
    )
    assert metrics.cosine(a, silent, documents).reason == "undefined: the simulation is 0 at all 2,000 positions"
    for metric in (metrics.f1, metrics.iou, metrics.auprc, metrics.auc, metrics.recall):
        assert metric(silent, s, documents).reason == "undefined: it fires at none of 2,000 positions"
    assert metrics.precision(a, silent, documents).value is None  # nothing was predicted
    assert metrics.balanced_accuracy(silent + 1, s, documents).value is None
    assert metrics.ratio(s, silent, documents).reason == "undefined: the denominator is 0"
    assert metrics.explained_variance(np.zeros(0), np.zeros(0), np.zeros(0, int)).value is None


def test_constant_answers_score_chance() -> None:
    """Defect 12: the answer "none" must not score .71."""
    a, _, documents = sample()
    rate = (a > 0).mean()
    for answer in (np.zeros(len(a)), np.ones(len(a))):
        assert metrics.balanced_accuracy(a, answer, documents).value == 0.5
        assert metrics.auc(a, answer, documents).value == 0.5
        assert metrics.auprc(a, answer, documents).value == pytest.approx(rate)
    assert metrics.f1(a, np.zeros(len(a)), documents).value == 0
    assert metrics.f1(a, np.ones(len(a)), documents).value == pytest.approx(2 * rate / (1 + rate))


def test_all_right_is_not_certain_and_one_document_has_no_interval() -> None:
    a, _, documents = sample()
    perfect = metrics.f1(a, a, documents)
    with_positives = len(np.unique(documents[a > 0]))
    assert (perfect.value, perfect.high) == (1, 1)
    assert perfect.low == pytest.approx(0.025 ** (1 / with_positives))
    nothing = metrics.iou(a, np.zeros(len(a)), documents)
    assert nothing.low == 0
    assert nothing.high == pytest.approx(1 - 0.025 ** (1 / with_positives))
    alone = metrics.correlation(a, a + 1, np.zeros(len(a), int))
    assert (alone.value, alone.low, alone.high) == (1, None, None)
    once = np.zeros(len(a))
    once[7] = 1  # in a third of the draws it never fires
    assert metrics.correlation(once, once + a, documents).low is None


def test_inverse_sampling_weights_give_the_score_at_the_prevalence_of_the_text() -> None:
    """A sample of half positives cannot see that a label is far too broad; with weights it can."""
    rng = np.random.default_rng(0)
    truth = rng.random(200_000) < 0.01
    label = truth | (rng.random(len(truth)) < 0.05)
    drawn = np.concatenate([rng.choice(np.flatnonzero(truth == kind), 1000) for kind in (True, False)])
    weights = np.where(truth[drawn], truth.sum(), (~truth).sum()) / 1000
    documents = np.arange(2000) // 10
    whole = metrics.f1(truth, label, clusters(np.zeros(len(truth), int), replicates=0)).value
    plain = metrics.f1(truth[drawn], label[drawn], documents).value
    weighed = metrics.f1(truth[drawn], label[drawn], documents, weights=weights)
    assert whole == pytest.approx(0.286, abs=0.01)
    assert (plain or 0) > 0.95
    assert weighed.value == pytest.approx(whole, abs=0.06)
    assert weighed.low is not None
    assert weighed.high is not None
    assert whole is not None
    assert weighed.low < whole < weighed.high


def test_what_does_not_fit_is_refused() -> None:
    a, s, documents = sample()
    with pytest.raises(SpecError, match=r"activations \(2000,\), simulation \(1999,\).*one of each per position"):
        metrics.correlation(a, s[1:], documents)
    s[3] = np.nan
    with pytest.raises(SpecError, match="1 of 2000 simulations are not finite; leave failed positions out"):
        metrics.f1(a, s, documents)


RATES = (0.499, 0.1, 0.01, 0.001)


@pytest.mark.parametrize("name", SOUND)
def test_sound_metrics_notice_missing_and_extra_labels(name: str) -> None:
    found = sensitivity(SOUND[name], rates=RATES, rows=20_000, draws=2)
    assert found.sound
    assert max(*found.missing, *found.extra) < -0.2


@pytest.mark.parametrize("name", BLIND)
def test_blind_metrics_do_not(name: str) -> None:
    found = sensitivity(BLIND[name], rates=RATES, rows=20_000, draws=2)
    assert not found.sound
    assert found.noticed == 0
    assert max(*found.missing, *found.extra) > -0.0011


def test_correlation_under_top_and_random_sampling_does_not_notice_extra_labels() -> None:
    """The strongest positions are all positives, and a wrong label is seldom among a few random ones."""
    found = sensitivity(metrics.correlation, top_and_random=25, rates=(0.1, 0.01, 0.001), rows=20_000, draws=40)
    assert not found.sound
    assert found.extra == pytest.approx((-0.095, -0.010, -0.001), abs=0.03)
    assert found.missing == pytest.approx((-0.446, -0.426, -0.428), abs=0.06)
    assert found.noticed < 0.2
