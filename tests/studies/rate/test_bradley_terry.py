"""Ratings: published goldens, recovery, coverage, invariance, and what cannot be rated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import Degenerate, SpecError
from superalign.studies.rate.bradley_terry import (
    SCALE,
    Rows,
    aggregate,
    bootstrap,
    check,
    components,
    fit,
    reweighted,
    rows,
)
from superalign.studies.rate.ranks import better, board, interval_ranks, online_elo, ranks_by_tests, win_rate

GOLDEN = [
    "01t",
    "02r",
    "02t",
    "04t",
    "10l",
    "12t",
    "12t",
    "13t",
    "24t",
    "30l",
    "31l",
    "32l",
    "34t",
    "34t",
    "40l",
    "43l",
]
"""The five-item set of evalica's tests (dustalov/evalica): left, right, outcome."""


def golden() -> Rows:
    won = {"l": 1.0, "r": 0.0, "t": 0.5}
    return rows(
        np.asarray([int(v[0]) for v in GOLDEN]), np.asarray([int(v[1]) for v in GOLDEN]),
        np.asarray([won[v[2]] for v in GOLDEN]), 5,
    )  # fmt: skip


def world(n: int, votes: int, seed: int, ties: float = 0.0, spread: float = 0.6) -> tuple[np.ndarray, Rows]:
    """True strengths (n,) and votes between random pairs."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0, spread, n)
    theta -= theta.mean()
    left = rng.integers(0, n, votes)
    right = (left + rng.integers(1, n, votes)) % n
    won = (rng.random(votes) < 1 / (1 + np.exp(theta[right] - theta[left]))).astype(float)
    won[rng.random(votes) < ties] = 0.5
    return theta, rows(left, right, won, n)


class TestGolden:
    def test_strengths_and_errors(self):
        got = fit(aggregate(golden()))
        np.testing.assert_allclose(got.theta, [-1.144278, -0.195821, -0.191750, 0.747585, 0.784265], atol=1e-6)
        np.testing.assert_allclose(got.se(), [0.4779, 0.3465, 0.3432, 0.4016, 0.5115], atol=1e-4)
        assert got.steps <= 8

    def test_online_elo_in_the_order_of_the_votes(self):
        votes = golden()
        got = online_elo(votes.left, votes.right, votes.won, 5)
        np.testing.assert_allclose(got, [992.103081, 999.977171, 999.977307, 1003.886197, 1004.056242], atol=1e-6)
        with pytest.raises(SpecError, match="the step of online Elo must be positive, got 0"):
            online_elo(votes.left, votes.right, votes.won, 5, k=0)

    def test_two_competitors_have_the_logit_of_the_share(self):
        votes = rows(np.zeros(100, int), np.ones(100, int), (np.arange(100) < 76).astype(float), 2)
        got = fit(aggregate(votes))
        assert got.difference(0, 1)[0] * SCALE == pytest.approx(200.24, abs=0.01)
        assert got.difference(0, 1)[1] == pytest.approx(1 / np.sqrt(100 * 0.76 * 0.24), rel=1e-6)


class TestRecovery:
    def test_intervals_cover_the_truth(self):
        covered, se = [], []
        for seed in range(8):
            theta, votes = world(60, 20_000, seed)
            got = fit(aggregate(votes))
            covered.append(np.abs(got.theta - theta) < 1.96 * got.se())
            se.append(got.se())
        assert 0.92 <= np.mean(covered) <= 0.98
        assert 0.02 < np.mean(se) < 0.2

    def test_ties_make_plain_inverse_hessian_errors_too_wide(self):
        from superalign.studies.rate.bradley_terry import newton

        _, votes = world(30, 8000, 0, ties=0.4)
        flat = aggregate(votes)
        sandwich = fit(flat).se()
        _, hessian, _ = newton(flat, 0.0, 0.0, None)
        naive = np.sqrt(np.diag(np.linalg.inv(hessian) - 1 / (30 * np.trace(hessian)))[:30])
        assert np.median(naive / sandwich) > 1.2

    def test_sandwich_and_bootstrap_agree(self):
        _, votes = world(20, 4000, 1, ties=0.2)
        flat = aggregate(votes)
        point = fit(flat)
        drawn = bootstrap(flat, point, 200, np.random.default_rng(0))
        assert 0.85 < np.median(drawn.std(0) / point.se()) < 1.15

    def test_clusters_of_raters_with_tastes(self):
        """Raters share a taste for a hidden trait: errors by vote are too small, by rater they hold."""
        covered: dict[bool, list[float]] = {False: [], True: []}
        for seed in range(12):
            rng = np.random.default_rng(seed)
            n, raters, each = 30, 100, 200
            theta, trait = rng.normal(0, 0.6, n), rng.normal(0, 1, n)
            theta -= theta.mean()
            rater = np.repeat(np.arange(raters), each)
            taste = rng.normal(0, 0.5, raters)[rater]
            left = rng.integers(0, n, len(rater))
            right = (left + rng.integers(1, n, len(rater))) % n
            logit = theta[left] - theta[right] + taste * (trait[left] - trait[right])
            won = (rng.random(len(rater)) < 1 / (1 + np.exp(-logit))).astype(float)
            # mixing over tastes shrinks every logit a little; the target is what unlimited such votes would give
            shrunk = np.polyfit(theta, fit(rows(left, right, won, n)).theta, 1)[0] * theta
            for clustered in covered:
                got = fit(rows(left, right, won, n, rater=rater if clustered else None))
                covered[clustered].append(float((np.abs(got.theta - shrunk) < 1.96 * got.se()).mean()))
        assert np.mean(covered[True]) > np.mean(covered[False]) + 0.02
        assert 0.91 <= np.mean(covered[True]) <= 0.99

    def test_position_and_style_are_recovered_and_taken_out(self):
        rng = np.random.default_rng(3)
        n, votes = 12, 30_000
        theta = np.linspace(-0.5, 0.5, n)
        length = rng.permutation(n) / n
        length[0] = 2.0  # the weakest is the most verbose
        left = rng.integers(0, n, votes)
        right = (left + rng.integers(1, n, votes)) % n
        z = np.stack([np.ones(votes), (length[left] - length[right]) / (length[left] + length[right] + 1)], 1)
        z[:, 1] /= np.sqrt((z[:, 1] ** 2).mean())
        z[:, 1] += rng.normal(0, 0.5, votes)  # style varies within a competitor
        logit = theta[left] - theta[right] + z @ [0.2, 0.5]
        won = (rng.random(votes) < 1 / (1 + np.exp(-logit))).astype(float)
        with_style = fit(rows(left, right, won, n, z=z))
        np.testing.assert_allclose(with_style.gamma, [0.2, 0.5], atol=0.06)
        np.testing.assert_allclose(with_style.theta, theta, atol=0.15)
        without = fit(aggregate(rows(left, right, won, n)))
        assert without.theta[0] > with_style.theta[0] + 0.3


class TestInvariance:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10_000))
    def test_sides_order_and_aggregation_change_nothing(self, seed):
        _, votes = world(6, 400, seed, ties=0.2)
        rng = np.random.default_rng(seed)
        swap, order = rng.random(400) < 0.5, rng.permutation(400)
        mixed = rows(
            np.where(swap, votes.right, votes.left)[order], np.where(swap, votes.left, votes.right)[order],
            np.where(swap, 1 - votes.won, votes.won)[order], 6,
        )  # fmt: skip
        results = [fit(v) for v in (votes, mixed, aggregate(votes), aggregate(mixed))]
        for other in results[1:]:
            np.testing.assert_allclose(other.theta, results[0].theta, atol=1e-9)
            np.testing.assert_allclose(other.se(), results[0].se(), atol=1e-9)

    def test_doubling_votes_at_half_weight_changes_no_clustered_result(self):
        _, votes = world(8, 600, 0)
        rater = np.arange(600) % 30
        once = fit(rows(votes.left, votes.right, votes.won, 8, rater=rater))
        twice = fit(
            rows(
                np.tile(votes.left, 2), np.tile(votes.right, 2), np.tile(votes.won, 2), 8,
                weight=np.full(1200, 0.5), rater=np.tile(rater, 2),
            )
        )  # fmt: skip
        np.testing.assert_allclose(twice.theta, once.theta, atol=1e-9)
        np.testing.assert_allclose(twice.se(), once.se(), atol=1e-9)

    def test_soft_outcomes_and_weights_aggregate(self):
        rng = np.random.default_rng(0)
        left = rng.integers(0, 4, 300)
        right = (left + rng.integers(1, 4, 300)) % 4
        votes = rows(left, right, rng.choice([0.1, 0.5, 0.8], 300), 4, weight=rng.choice([0.5, 2.0], 300))
        whole, parts = fit(votes), fit(aggregate(votes))
        assert len(aggregate(votes).left) < 100
        np.testing.assert_allclose(whole.theta, parts.theta, atol=1e-9)
        np.testing.assert_allclose(whole.se(), parts.se(), atol=1e-9)

    def test_reweighting_gives_frequent_pairs_no_more_say(self):
        votes = rows(
            np.r_[np.zeros(900, int), [0] * 60],
            np.r_[np.ones(900, int), [2] * 60],
            np.r_[np.arange(900) % 3 > 0, np.arange(60) % 2].astype(float),
            3,
        )
        weighed = reweighted(aggregate(votes))
        amount = weighed.count * weighed.weight
        first = amount[weighed.right == 1].sum()
        assert first == pytest.approx(amount[weighed.right == 2].sum())
        assert amount.sum() == pytest.approx(960)


class TestBoards:
    def test_rank_rule_and_the_worst_rank(self):
        best, worst = interval_ranks([90, 80, 40], [110, 100, 60])
        assert best.tolist() == [1, 1, 3]
        assert worst.tolist() == [2, 2, 3]

    def test_an_anchor_has_no_interval_and_widens_the_others(self):
        _, votes = world(10, 2000, 5)
        got = fit(aggregate(votes))
        free, fixed = board(got), board(got, anchor=3, at=1114)
        assert (fixed.rating[3], fixed.low[3], fixed.high[3]) == (1114, 1114, 1114)
        others = np.arange(10) != 3
        assert np.median((fixed.high - fixed.low)[others] / (free.high - free.low)[others]) > 1.1

    def test_differences_are_tested_together(self):
        theta, votes = world(8, 40_000, 2)
        got = fit(aggregate(votes))
        beats = better(got)
        assert not (beats & beats.T).any()
        assert beats[theta.argmax(), theta.argmin()]
        assert ranks_by_tests(got)[theta.argmax()] == 1

    def test_win_rates_hold_in_the_unit_interval(self):
        got = fit(aggregate(golden()))
        rate, low, high = win_rate(got)
        assert ((low > 0) & (low < rate) & (rate < high) & (high < 1)).all()
        assert rate.mean() == pytest.approx(0.5)


class TestDegenerate:
    @pytest.mark.parametrize(
        "left, right, won, n, match",
        [
            ([0, 0, 1], [1, 2, 2], [1, 1, 0.5], 3, "undefeated: c0"),
            ([0, 1, 0], [1, 0, 2], [1, 1, 1], 3, "winless: c2"),
            ([0, 1], [1, 0], [1, 1], 3, "never met anyone: c2"),
            ([0, 1, 2, 3], [1, 0, 3, 2], [1, 1, 1, 1], 4, r"groups: c0, c1 \| c2, c3"),
        ],
    )
    def test_votes_that_do_not_connect_are_named(self, left, right, won, n, match):
        votes = rows(np.asarray(left), np.asarray(right), np.asarray(won), n)
        with pytest.raises(Degenerate, match=match):
            check(votes, tuple(f"c{k}" for k in range(n)))
        held = fit(votes, ridge=0.05)
        assert np.isfinite(held.theta).all()
        assert np.abs(held.theta).max() < 20

    def test_a_style_that_only_repeats_who_competes_is_refused(self):
        _, votes = world(4, 500, 0)
        length = np.asarray([1.0, 2.0, 3.0, 5.0])
        z = (length[votes.left] - length[votes.right])[:, None]
        with pytest.raises(Degenerate, match="a style or the side only repeats who competes"):
            fit(rows(votes.left, votes.right, votes.won, 4, z=z))

    def test_all_ties_are_equal_strengths(self):
        votes = rows(np.asarray([0, 1, 2]), np.asarray([1, 2, 0]), np.full(3, 0.5), 3)
        assert components(votes).max() == 0
        np.testing.assert_allclose(fit(votes).theta, 0, atol=1e-12)

    def test_one_vote_is_undefined(self):
        with pytest.raises(Degenerate, match=r"ratings are undefined.*ridge"):
            check(rows(np.asarray([0]), np.asarray([1]), np.asarray([1.0]), 2), ("a", "b"))

    def test_broken_votes_are_refused(self):
        with pytest.raises(SpecError, match="vote 1 has the same competitor on both sides"):
            rows(np.asarray([0, 1]), np.asarray([1, 1]), np.asarray([1.0, 0.0]), 2)
        with pytest.raises(SpecError, match="an outcome is the left side's share"):
            rows(np.asarray([0]), np.asarray([1]), np.asarray([2.0]), 2)
        with pytest.raises(SpecError, match="a side is not one of the 2 competitors"):
            rows(np.asarray([0]), np.asarray([2]), np.asarray([1.0]), 2)
        with pytest.raises(SpecError, match="2 left sides, 1 right sides, 1 outcomes"):
            rows(np.asarray([0, 0]), np.asarray([1]), np.asarray([1.0]), 2)
        votes = golden()
        with pytest.raises(SpecError, match="cannot be aggregated"):
            aggregate(replace(votes, rater=np.zeros(16, int)))
