"""Paired tests, ratios and power: against hand values, published tables and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import multivariate_normal, ttest_1samp

from superalign.core import measure, power
from superalign.core.errors import SpecError
from superalign.core.resample import resample


def test_holm_by_hand():
    assert power.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert power.holm([0.5, 0.001, 0.9, 0.02]) == pytest.approx([1.0, 0.004, 1.0, 0.06])
    assert power.holm([0.01], tried=5) == pytest.approx([0.05])
    assert power.holm([0.01, 0.04, 0.03], tried=2) == power.holm([0.01, 0.04, 0.03])
    assert power.holm([]) == []


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_p_and_bonferroni_and_keeps_the_order(p):
    adjusted = power.holm(p)
    assert all(a <= q <= min(1, len(p) * a) for a, q in zip(p, adjusted, strict=True))
    ordered = [adjusted[i] for i in np.argsort(p, kind="stable")]
    assert ordered == sorted(ordered)


def test_paired_test_reduces_to_t_tests_over_items_and_over_seeds():
    rng = np.random.default_rng(0)
    d = rng.standard_normal(40) + 0.3
    assert power.paired_test(d[None], np.arange(40)) == pytest.approx(ttest_1samp(d, 0).pvalue)
    assert power.paired_test(d[:6, None], np.zeros(1, int)) == pytest.approx(ttest_1samp(d[:6], 0).pvalue)
    copies, sources = np.repeat(d[None], 3, 1), np.repeat(np.arange(40), 3)
    assert power.paired_test(copies, sources) == pytest.approx(ttest_1samp(d, 0).pvalue)  # copies are no evidence
    assert power.paired_test(np.array([[0.3]]), np.zeros(1, int)) is None
    assert power.paired_test(np.full((3, 4), 0.2), np.arange(4)) == 0.0


@pytest.mark.parametrize("seeds, items", [(3, 200), (8, 100), (1, 150)])
def test_paired_test_rejects_a_true_null_about_once_in_twenty(seeds, items):
    rng = np.random.default_rng(seeds)
    rejected = 0
    for _ in range(600):
        by_item = rng.standard_normal((1, items))
        by_seed = 0.07 * rng.standard_normal((seeds, 1)) if seeds > 1 else 0
        d = by_seed + by_item + rng.standard_normal((seeds, items))
        rejected += power.paired_test(d, np.arange(items)) < 0.05
    assert 0.02 <= rejected / 600 <= 0.09


def test_fieller_agrees_with_the_bootstrap():
    rng = np.random.default_rng(1)
    common = rng.standard_normal((1, 2000))
    top = 0.2 + common + rng.standard_normal((1, 2000))
    bottom = 0.5 + common + rng.standard_normal((1, 2000))
    low, high = power.fieller(top.mean(), bottom.mean(), np.cov(top[0], bottom[0]) / 2000)
    stars = resample([top, bottom], np.arange(2000))
    assert (low, high) == pytest.approx(np.quantile(stars[:, 0] / stars[:, 1], [0.025, 0.975]), abs=0.02)
    assert low < top.mean() / bottom.mean() < high


def test_fieller_is_unbounded_where_the_denominator_is_within_noise():
    assert power.fieller(0.1, 0.2, [[0.01, 0], [0, 0.011]]) is None
    assert power.fieller(0.1, 0.2, [[0.01, 0], [0, 0.010]]) is not None
    assert power.fieller(0.1, 0.2, [[0, 0], [0, 0]]) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    "weak, ceiling, published", [(0.60, 0.70, (0.15, 0.045)), (0.80, 0.95, (0.07, 0.021)), (0.90, 0.94, (0.24, 0.07))]
)
def test_item_sampling_noise_of_pgr(weak, ceiling, published):
    """Error correlation .6, student half-way: tabulated values, and a simulation of our own."""
    levels = [weak, (weak + ceiling) / 2, ceiling]
    for items, expected in zip((1000, 10_000), published, strict=True):
        got = power.delta_sd(*levels, power.item_covariance(levels, items))
        assert got == pytest.approx(expected, rel=0.12)
    rng = np.random.default_rng(2)
    common, own = rng.standard_normal((300, 10_000, 1)), rng.standard_normal((300, 10_000, 3))
    accuracy = (math.sqrt(0.6) * common + math.sqrt(0.4) * own < ndtri(levels)).mean(1)
    simulated = (accuracy[:, 1] - accuracy[:, 0]) / (accuracy[:, 2] - accuracy[:, 0])
    assert got == pytest.approx(simulated.std(), rel=0.15)


def test_item_covariance_is_that_of_thresholded_normals():
    a, b, r = 0.7, 0.9, 0.6
    both = multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf([ndtri(a), ndtri(b)])
    got = power.item_covariance([a, b], 50, r)
    assert got[0, 1] * 50 == pytest.approx(both - a * b, abs=1e-5)
    assert got[1, 1] * 50 == pytest.approx(0.09)
    assert power.item_covariance([a, b], 50, 0.0)[0, 1] == 0.0


@pytest.mark.parametrize("sd, tenth, twentieth", [(0.06, 6, 14), (0.10, 10, 34), (0.14, 18, 64)])
def test_seeds_needed(sd, tenth, twentieth):
    assert power.seeds_needed(0.10, sd) == tenth
    assert power.seeds_needed(0.05, sd) == twentieth


def test_with_endless_items_the_two_plans_agree():
    for seeds in (6, 10, 34):
        smallest = power.smallest_difference(seeds, 10**12, sd_seed=0.1)
        assert power.seeds_needed(smallest * 1.001, 0.1) == seeds
        assert power.seeds_needed(smallest * 0.98, 0.1) >= seeds


def test_more_of_anything_sees_less():
    at = power.smallest_difference
    assert at(5, 1000) > at(8, 1000) > at(20, 1000)
    assert at(2, 1000) >= at(2, 10_000) >= at(2, 10**9)
    assert at(8, 1000, gap=0.1) > at(8, 1000, gap=0.3)
    assert at(8, 1000, correlation=0.2) > at(8, 1000, correlation=0.9)
    assert at(10**6, 1000) == pytest.approx(at(10**5, 1000), rel=0.01)  # seeds do not buy items


def test_a_planned_difference_is_seen_four_times_in_five():
    seeds, items, gap = 6, 1500, 0.2
    difference = power.smallest_difference(seeds, items, weak=0.6, gap=gap, sd_seed=0.1)
    rng = np.random.default_rng(3)
    by_item = math.sqrt(items * 2 * (np.subtract(*power.item_covariance([0.7, 0.7], items)[0])))
    seen = 0
    for _ in range(400):
        d = gap * (difference + 0.1 * rng.standard_normal((seeds, 1))) + by_item * rng.standard_normal((1, items))
        seen += power.paired_test(np.broadcast_to(d, (seeds, items)), np.arange(items)) < 0.05
    assert 0.7 <= seen / 400 <= 0.9


def test_impossible_plans_say_why():
    with pytest.raises(SpecError, match="the difference is 0; it must be above 0"):
        power.seeds_needed(0.0, 0.1)
    with pytest.raises(SpecError, match=r"the gap is -0\.1; it must be above 0"):
        power.smallest_difference(8, 1000, gap=-0.1)
    with pytest.raises(SpecError, match="1 seeds and 1000 items show no noise"):
        power.smallest_difference(1, 1000)
    with pytest.raises(SpecError, match="the gap between weak and ceiling is 0"):
        power.delta_sd(0.6, 0.6, 0.6, np.eye(3))
    with pytest.raises(SpecError, match=r"accuracies 0.5, 1 and correlation 0.6: give accuracies in \(0, 1\)"):
        power.item_covariance([0.5, 1.0], 100)


def test_resampling_is_paired_and_exact_where_there_is_nothing_to_draw():
    rng = np.random.default_rng(4)
    m = rng.random((3, 50))
    one, two = resample([m, m + 0.25], np.arange(50)).T
    assert np.allclose(two - one, 0.25)
    apart = resample([m, m + 0.25], np.arange(50), groups=[0, 1])
    assert np.std(apart[:, 1] - apart[:, 0]) > 0.001
    assert np.allclose(resample([m[:1]], np.zeros(50, int)), m[0].mean())


def test_replicates_have_the_variance_of_the_design():
    rng = np.random.default_rng(5)
    by_item = rng.standard_normal((1, 400))
    assert resample([by_item], np.arange(400)).std() == pytest.approx(by_item.std() / 20, rel=0.06)
    by_seed = np.repeat(rng.standard_normal((6, 1)), 10, axis=1)
    assert resample([by_seed], np.arange(10)).std() == pytest.approx(by_seed[:, 0].std() / math.sqrt(6), rel=0.06)


def test_noise_of_single_cells_is_counted_three_times():
    """A known price of resampling seeds and items apart: the intervals are wide, never narrow."""
    cells = np.random.default_rng(7).standard_normal((20, 400))
    assert resample([cells], np.arange(400)).var() == pytest.approx(3 * cells.var() / cells.size, rel=0.15)


def test_large_matrices_are_drawn_in_pieces_with_the_same_law():
    rng = np.random.default_rng(6)
    m = (rng.random((2, 10_000)) < 0.3).astype(float)
    number = measure.mean(m)
    assert number.high - number.low == pytest.approx(2 * 1.96 * m.mean(0).std() / 100, rel=0.25)
