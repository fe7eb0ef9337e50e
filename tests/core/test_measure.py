"""Scores, intervals, PGR and its guard, comparisons, anatomy and label-free predictors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import ttest_rel

from superalign.core import measure
from superalign.core.errors import SpecError
from superalign.core.spec import Number
from superalign.core.types import Verdict
from superalign.studies.w2s.anatomy import anatomy, misfit, neighbour_expansion


def scores(rng, seeds, items, *levels, noise=0.02):
    """Correctness matrices (seeds, items): models share the difficulty of items, a model's seeds share its
    own part too, and `noise` is the standard deviation of a seed's accuracy."""
    hard = math.sqrt(0.6) * rng.standard_normal((1, items))
    out = []
    for level in levels:
        own = math.sqrt(0.2) * (rng.standard_normal((1, items)) + rng.standard_normal((seeds, items)))
        shift = noise / 0.38 * rng.standard_normal((seeds, 1))  # .38 is the normal density near these levels
        out.append((hard + own < ndtri(level) + shift).astype(float))
    return out


def exact(items, *shares):
    """One seed per share: the first share of the items is right."""
    return np.stack([(np.arange(items) < round(share * items)).astype(float) for share in shares])


class TestScore:
    verdicts = (
        Verdict(1, (0.2, 0.8)),
        Verdict(0, (0.9, 0.1)),
        Verdict(None, abstained="no majority"),
        Verdict(None),
    )

    def test_accuracy_counts_an_abstention_as_a_guess(self):
        got = measure.score(self.verdicts, [1, 1, 1, 0], [2, 2, 2, 4], "accuracy")
        assert got.tolist() == [1.0, 0.0, 0.5, 0.25]

    def test_an_answer_in_text_never_matches(self):
        assert measure.score([Verdict("1")], [1], [2], "accuracy").tolist() == [0.0]

    def test_log_is_in_nats_with_a_floor(self):
        sure = Verdict(0, (1.0, 0.0))
        got = measure.score([*self.verdicts, sure], [1, 1, 1, 0, 1], [2, 2, 2, 4, 2], "log")
        assert np.allclose(got, [math.log(0.8), math.log(0.1), math.log(0.5), math.log(0.25), math.log(1e-12)])

    def test_brier_sums_over_the_choices(self):
        got = measure.score(self.verdicts, [1, 1, 1, 0], [2, 2, 2, 4], "brier")
        assert np.allclose(got, [0.08, 1.62, 0.5, 0.75])

    def test_answers_without_probabilities_name_the_metric(self):
        with pytest.raises(SpecError, match=r"the metric 'log' needs a probability for each of the 2 choices.*has 0"):
            measure.score([Verdict(1)], [1], [2], "log")

    def test_unknown_metric_and_unequal_lengths(self):
        with pytest.raises(SpecError, match="no metric is named 'accurancy'; did you mean 'accuracy'"):
            measure.score([], [], [], "accurancy")
        with pytest.raises(SpecError, match="1 verdicts, 0 answers, 1 counts of choices"):
            measure.score([Verdict(1)], [], [2], "accuracy")

    def test_no_verdicts_give_no_scores(self):
        assert measure.score([], [], [], "brier").shape == (0,)


class TestCalibration:
    def test_calibrated_probabilities_have_small_ece_and_overconfident_ones_do_not(self):
        rng = np.random.default_rng(0)
        p = rng.uniform(0.02, 0.98, 20_000)
        key = (rng.random(20_000) < p).astype(int)
        probs = np.stack([1 - p, p], 1)
        sharp = probs**4 / (probs**4).sum(1, keepdims=True)
        assert measure.ece(probs, key) < 0.015
        assert measure.ece(sharp, key) > 0.1

    def test_equal_confidences_share_a_bin(self):
        key = np.array([0] * 7 + [1] * 3)  # sorted, so cutting the tie would give bins of all right and all wrong
        assert measure.ece(np.tile([0.7, 0.3], (10, 1)), key) == pytest.approx(0.0, abs=1e-12)

    def test_auroc_by_counting_pairs(self):
        rng = np.random.default_rng(1)
        s, y = rng.integers(0, 6, 60), rng.integers(0, 2, 60)
        pairs = [(a > b) + 0.5 * (a == b) for a in s[y == 1] for b in s[y == 0]]
        assert measure.auroc(s, y) == pytest.approx(np.mean(pairs))
        assert measure.auroc([1, 2, 3, 4], [0, 0, 1, 1]) == 1.0

    def test_what_does_not_fit_is_named(self):
        with pytest.raises(SpecError, match=r"AUROC needs .* items of both classes, got \(2,\) with 0 of class 1"):
            measure.auroc([0.1, 0.2], [0, 0])
        with pytest.raises(SpecError, match=r"ece takes probabilities \(n, K\)"):
            measure.ece([0.1, 0.2], [0, 1])


class TestMean:
    def test_interval_of_independent_items_is_the_binomial_one(self):
        got = measure.mean(exact(400, 0.7))
        half = 1.96 * math.sqrt(0.7 * 0.3 / 400)
        assert (got.value, got.n, got.seeds, got.reason) == (pytest.approx(0.7), 400, 1, None)
        assert got.low == pytest.approx(0.7 - half, abs=0.01)
        assert got.high == pytest.approx(0.7 + half, abs=0.01)

    def test_clusters_widen_the_interval(self):
        rng = np.random.default_rng(2)
        m = np.repeat((rng.random((1, 50)) < 0.6).astype(float), 8, axis=1)
        alone, together = measure.mean(m), measure.mean(m, [f"source {i // 8}" for i in range(400)])
        assert alone.value == together.value
        assert together.high - together.low > 2 * (alone.high - alone.low)

    def test_clusters_of_unequal_size_and_any_order(self):
        rng = np.random.default_rng(3)
        groups = rng.integers(0, 30, 500)
        m = (rng.random((3, 500)) < 0.3 + 0.4 * (groups % 2)).astype(float)
        turned = rng.permutation(500)
        a, b = measure.mean(m, groups), measure.mean(m[:, turned], groups[turned])
        assert a.low < m.mean() < a.high
        assert (a.low, a.high) == (pytest.approx(b.low), pytest.approx(b.high))

    def test_seeds_that_differ_widen_the_interval(self):
        same = np.repeat(exact(500, 0.7), 4, axis=0)
        apart = exact(500, 0.5, 0.6, 0.8, 0.9)
        assert measure.mean(apart).high - measure.mean(apart).low > 3 * (
            measure.mean(same).high - measure.mean(same).low
        )

    def test_one_column_resamples_seeds_alone_and_claims_no_items(self):
        got = measure.mean([[0.5], [0.6], [0.7]])
        assert (got.n, got.seeds) == (None, 3)
        assert 0.5 <= got.low < 0.6 < got.high <= 0.7

    def test_one_number_has_no_interval(self):
        assert measure.mean([[0.5]]) == Number(value=0.5, seeds=1)

    def test_all_right_is_not_certain(self):
        right, wrong = measure.mean(np.ones((2, 20))), measure.mean(np.zeros((2, 20)))
        assert (right.low, right.high) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
        assert (wrong.low, wrong.high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))

    def test_the_same_call_gives_the_same_bits(self):
        m = np.random.default_rng(4).random((5, 200))
        assert measure.mean(m) == measure.mean(m.copy())

    def test_nothing_to_average_is_said(self):
        got = measure.mean(np.zeros((2, 0)))
        assert (got.value, got.reason) == (None, "undefined: there are no items to average")

    def test_wrong_shapes_are_named(self):
        with pytest.raises(
            SpecError, match=r"score matrix has shape \(3,\), not \(seeds, items\); one run .* scores\[None, :\]"
        ):
            measure.mean([0.1, 0.2, 0.3])
        with pytest.raises(SpecError, match="1 scores that are not finite"):
            measure.mean([[0.1, math.nan]])
        with pytest.raises(SpecError, match="2 clusters for 3 items"):
            measure.mean([[0.1, 0.2, 0.3]], [0, 1])


class TestElicited:
    w, s, c = scores(np.random.default_rng(5), 8, 600, 0.6, 0.7, 0.8)

    def test_student_that_is_the_weak_model_or_the_ceiling(self):
        low = measure.elicited(self.w, self.w, self.c, chance=0.5)
        high = measure.elicited(self.w, self.c, self.c, chance=0.5)
        assert [low.pgr.value, low.pgr.low, low.pgr.high, low.effect.value] == pytest.approx([0, 0, 0, 0], abs=1e-9)
        assert [high.pgr.value, high.pgr.low, high.pgr.high] == pytest.approx([1, 1, 1])
        assert high.effect == high.gap

    @settings(deadline=None, derandomize=True, max_examples=25)
    @given(st.floats(0.1, 50), st.floats(-20, 20), st.integers(0, 2**32 - 1))
    def test_pgr_does_not_depend_on_the_units(self, scale, shift, seed):
        w, s, c = scores(np.random.default_rng(seed), 3, 120, 0.45, 0.6, 0.8)
        a = measure.elicited(w, s, c, chance=0.5)
        moved = [scale * m + shift for m in (w, s, c)]
        b = measure.elicited(*moved, chance=scale * 0.5 + shift, minimum_gap=scale * 0.01)
        assert (a.pgr.value is None) == (b.pgr.value is None)
        if a.pgr.value is not None:
            assert [b.pgr.value, b.pgr.low, b.pgr.high] == pytest.approx([a.pgr.value, a.pgr.low, a.pgr.high], abs=1e-6)
        assert b.effect.value == pytest.approx(scale * a.effect.value, abs=1e-6)

    def test_accuracy_and_error_agree(self):
        a = measure.elicited(self.w, self.s, self.c, chance=0.5)
        b = measure.elicited(self.w - 1, self.s - 1, self.c - 1, chance=-0.5)  # minus the error
        assert [b.pgr.value, b.pgr.low, b.pgr.high] == pytest.approx([a.pgr.value, a.pgr.low, a.pgr.high])

    def test_numbers_of_a_sound_study(self):
        got = measure.elicited(self.w, self.s, self.c, chance=0.5)
        assert got.pgr.value == pytest.approx(got.effect.value / got.gap.value)
        assert got.pgr.low < got.pgr.value < got.pgr.high
        assert 0.2 < got.pgr.low < 0.5 < got.pgr.high < 0.8
        assert (got.pgr.n, got.pgr.seeds, got.share_nonpositive_gap, got.notes) == (600, 8, 0.0, ())
        each = (self.s.mean(1) - self.w.mean(1)) / (self.c.mean(1) - self.w.mean(1))
        assert got.per_seed == pytest.approx(tuple(each))
        assert got.weak == measure.elicited(self.w, self.c, self.c, chance=0.5).weak

    def test_items_are_drawn_once_for_all_models(self):
        got = measure.elicited(self.w, self.s, self.c, chance=0.5)
        apart = (got.student.high - got.student.low) ** 2 + (got.weak.high - got.weak.low) ** 2
        assert (got.effect.high - got.effect.low) ** 2 < 0.8 * apart

    def test_published_per_seed_results(self):
        """safety-research/automated-w2s-research, chat, plain: fixed baselines, one accuracy per seed."""
        student = np.array([[0.604117], [0.570071], [0.551861], [0.567696], [0.554236]])
        weak, ceiling = np.full((5, 1), 0.5279592240696753), np.full((5, 1), 0.7325316706254948)
        got = measure.elicited(weak, student, ceiling, chance=0.5)
        assert got.per_seed == pytest.approx((0.372279, 0.205854, 0.116836, 0.194243, 0.128447), abs=1e-5)
        assert got.pgr.value == pytest.approx(0.203532, abs=1e-5)
        assert np.std(got.per_seed, ddof=1) == pytest.approx(0.102129, abs=1e-5)
        assert 0.1 < got.pgr.low < got.pgr.value < got.pgr.high < 0.32
        assert "not the sampling of items" in got.notes[0]

    def test_coverage_of_gap_and_pgr(self):
        rng = np.random.default_rng(6)
        gaps = pgrs = 0
        for _ in range(200):
            got = measure.elicited(*scores(rng, 8, 300, 0.5, 0.6, 0.7), chance=0.3)
            gaps += got.gap.low <= 0.2 <= got.gap.high
            pgrs += got.pgr.low <= 0.5 <= got.pgr.high
        assert 0.86 <= gaps / 200 <= 0.99
        assert 0.86 <= pgrs / 200 <= 0.99

    def test_baselines_with_seeds_of_their_own(self):
        rng = np.random.default_rng(7)
        w, c = scores(rng, 16, 600, 0.6, 0.8)
        got = measure.elicited(w, self.s, c, chance=0.5, independent=True)
        assert (got.weak.seeds, got.student.seeds) == (16, 8)
        assert len(got.per_seed) == 8
        assert np.mean(got.per_seed) == pytest.approx(got.pgr.value)
        with pytest.raises(SpecError, match=r"weak 16 x 600, student 8 x 600, ceiling 16 x 600;.*independent=True"):
            measure.elicited(w, self.s, c, chance=0.5)

    def test_resampling_the_baselines_shows_their_error(self):
        rng = np.random.default_rng(8)
        w, s, c = (a + 0.03 * rng.standard_normal((6, 1)) for a in (0.6, 0.7, 0.8))
        fixed = [np.full((6, 1), m.mean()) for m in (w, c)]
        free = measure.elicited(w, s, c, chance=0.5, independent=True)
        hidden = measure.elicited(fixed[0], s, fixed[1], chance=0.5)
        assert free.pgr.high - free.pgr.low > 1.2 * (hidden.pgr.high - hidden.pgr.low)

    def test_models_on_other_items_are_refused(self):
        with pytest.raises(SpecError, match=r"seeds x items do not fit: weak 8 x 600, student 8 x 599"):
            measure.elicited(self.w, self.s[:, 1:], self.c, chance=0.5)


class TestGuard:
    def test_a_ceiling_at_chance_is_no_ceiling(self):
        """A published median PGR of .81 came from this case: a ceiling of .494 on a balanced binary task."""
        rng = np.random.default_rng(9)
        w, s, c = ((rng.permutation(10_000) < round(a * 10_000)).astype(float)[None] for a in (0.490, 0.4925, 0.494))
        got = measure.elicited(w, s, c, chance=0.5)
        assert got.pgr.value is None
        assert got.pgr.reason.startswith("undefined: the gap 0.004 [-0.0")
        assert "is within noise (its lower bound is not above 0), and the ceiling 0.494 [0.48" in got.pgr.reason
        assert got.pgr.reason.endswith("is not above chance, 0.500")
        assert (got.effect.value, got.gap.value) == (pytest.approx(0.0025), pytest.approx(0.004))
        assert got.effect.low < 0 < got.effect.high
        assert 0.025 < got.share_nonpositive_gap < 0.6

    def test_the_same_levels_with_nested_errors_are_too_close(self):
        got = measure.elicited(*(exact(10_000, a) for a in (0.490, 0.4925, 0.494)), chance=0.4)
        assert got.gap.low > 0
        assert got.pgr.reason.startswith("undefined: the gap 0.004 [0.00")
        assert got.pgr.reason.endswith("is below 0.01, the smallest that is divided by")

    def test_a_gap_of_the_wrong_sign(self):
        got = measure.elicited(exact(500, 0.7), exact(500, 0.6), exact(500, 0.65), chance=0.5)
        assert got.pgr.reason == "undefined: the gap -0.050 is not above 0 (weak 0.700, ceiling 0.650)"
        assert (got.per_seed, got.share_nonpositive_gap) == ((None,), 1.0)
        assert got.effect.high < 0

    def test_a_clear_gap_below_chance(self):
        got = measure.elicited(exact(900, 0.3), exact(900, 0.35), exact(900, 0.45), chance=0.5)
        assert got.pgr.reason.startswith("undefined: the ceiling 0.450 [0.4")

    def test_one_seed_without_items(self):
        got = measure.elicited([[0.6]], [[0.7]], [[0.8]], chance=0.5)
        assert got.pgr.reason.startswith("undefined: one seed without scores of single items")
        assert got.effect.value == pytest.approx(0.1)
        assert got.effect.low is None
        assert [note[:27] for note in got.notes] == ["No scores of single items: "]

    def test_bounds_stay_finite_where_some_replicates_have_no_gap(self):
        rng = np.random.default_rng(18)
        close = [measure.elicited(*scores(rng, 4, 60, 0.55, 0.6, 0.7), chance=0.3) for _ in range(100)]
        close = [e for e in close if e.pgr.value is not None and e.share_nonpositive_gap > 0]
        assert len(close) > 5
        assert np.isfinite([(e.pgr.low, e.pgr.high) for e in close]).all()

    def test_one_seed_with_items_is_enough(self):
        got = measure.elicited(exact(900, 0.6), exact(900, 0.7), exact(900, 0.8), chance=0.5)
        assert got.pgr.value == pytest.approx(0.5)
        assert got.pgr.seeds == 1
        assert got.notes == ("One seed: the intervals hold the sampling of test items and no training noise.",)

    def test_few_seeds_are_called_descriptive_with_a_t_interval(self):
        w, s, c = exact(600, 0.6, 0.6, 0.6), exact(600, 0.68, 0.70, 0.72), exact(600, 0.8, 0.8, 0.8)
        note = measure.elicited(w, s, c, chance=0.5).notes[0]
        assert note.startswith("3 seeds: the intervals are descriptive")
        assert note.endswith("on these items, the effect is 0.100 ± 0.050.")  # 4.303 * .02 / sqrt(3)

    def test_a_teacher_that_is_counted_twice_is_noted(self):
        w, s, c = scores(np.random.default_rng(10), 6, 200, 0.5, 0.6, 0.8)
        w[[2, 5]], w[4] = w[0], w[1]
        assert measure.repeated_runs(w) == ((0, 2, 5), (1, 4))
        note = measure.elicited(w, s, c, chance=0.4).notes[0]
        assert note.startswith("Seeds (from 0) with identical weak scores: 0, 2, 5; 1, 4.")
        assert measure.repeated_runs(s) == ()


class TestCompare:
    def world(self):
        w, a, b, c, top = scores(np.random.default_rng(11), 6, 500, 0.5, 0.60, 0.60, 0.70, 0.8, noise=0.01)
        return w, {"plain": a, "twin": b, "better": c}, top

    def test_only_clear_pairs_are_ranked(self):
        w, students, top = self.world()
        got = {(c.a, c.b): c for c in measure.compare(w, students, top, chance=0.4)}
        assert list(got) == [("plain", "twin"), ("plain", "better"), ("twin", "better")]
        assert [c.ranked for c in got.values()] == [False, True, True]
        clear = got["plain", "better"]
        assert clear.difference.value == pytest.approx(-1 / 3, abs=0.1)
        assert clear.difference.high < 0
        assert clear.p_adjusted < 0.01
        assert got["plain", "twin"].difference.low < 0 < got["plain", "twin"].difference.high
        assert measure.ranks(list(got.values())) == {"plain": (2, 3), "twin": (2, 3), "better": (1, 1)}

    def test_the_difference_is_that_of_two_pgrs(self):
        w, students, top = self.world()
        (one,) = measure.compare(w, {k: students[k] for k in ("plain", "better")}, top)
        pgr = [measure.elicited(w, students[k], top, chance=0.4).pgr.value for k in ("plain", "better")]
        assert one.difference.value == pytest.approx(pgr[0] - pgr[1])
        assert one.effect.value == pytest.approx(students["plain"].mean() - students["better"].mean())

    def test_against_a_reference(self):
        w, students, top = self.world()
        got = measure.compare(w, students, top, reference="plain")
        assert [(c.a, c.b) for c in got] == [("twin", "plain"), ("better", "plain")]
        with pytest.raises(SpecError, match="no student is named 'plian'; did you mean 'plain'"):
            measure.compare(w, students, top, reference="plian")

    def test_trying_more_raises_the_bar(self):
        w, students, top = self.world()
        few, many = (measure.compare(w, students, top, tried=t) for t in (None, 10**12))
        assert any(c.ranked for c in few)
        assert not any(c.ranked for c in many)

    def test_without_a_gap_the_scores_are_still_compared(self):
        w, students, _ = self.world()
        got = measure.compare(w, students, w, reference="plain")[1]
        assert got.difference.value is None
        assert got.difference.reason.startswith("undefined: the gap 0.000 is not above 0")
        assert got.effect.value == pytest.approx(0.1, abs=0.03)
        assert got.ranked

    def test_totals_of_seeds_give_the_paired_t_test(self):
        a, b = np.array([[0.61], [0.57], [0.58], [0.60]]), np.array([[0.60], [0.55], [0.57], [0.57]])
        (one,) = measure.compare(np.full((4, 1), 0.5), {"a": a, "b": b}, np.full((4, 1), 0.7))
        assert one.p == pytest.approx(ttest_rel(a[:, 0], b[:, 0]).pvalue)

    def test_identical_methods_are_never_ranked(self):
        w, students, top = self.world()
        (one,) = measure.compare(w, {"a": students["plain"], "b": students["plain"]}, top)
        assert (one.p, one.ranked, one.effect.value) == (1.0, False, 0.0)

    def test_baselines_may_have_their_own_seeds(self):
        w, students, top = self.world()
        got = measure.compare(w[:4], students, top[:5], independent=True)
        assert len(got) == 3
        with pytest.raises(SpecError, match="weak 4 x 500, student 6 x 500"):
            measure.compare(w[:4], students, top)


class TestAnatomy:
    def test_hand_count_of_two_classes(self):
        weak_right = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
        weak = [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]
        student = [1, 0, 1, 1, 1, 0, 0, 0, 0, 1]  # departs at 3 (right before) and at 6, 8, 9 (wrong before)
        got = anatomy(student, weak, weak_right)
        values = {
            "agreement": (0.6, 10),
            "agreement_right": (0.75, 4),
            "imitation": (0.5, 6),
            "corrections": (0.5, 6),
            "damage": (0.25, 4),
            "weak_accuracy": (0.4, 10),
        }
        for name, (value, n) in values.items():
            assert (getattr(got, name).value, getattr(got, name).n) == (pytest.approx(value), n), name
        assert got.imitation.low < 0.5 < got.imitation.high
        assert got.deciles == ()

    def test_accuracy_is_rebuilt_from_the_parts(self):
        rng = np.random.default_rng(12)
        key = rng.integers(0, 3, 400)
        weak = np.where(rng.random((4, 400)) < 0.7, key, rng.integers(0, 3, (4, 400)))
        student = np.where(rng.random((4, 400)) < 0.6, weak, key)
        got = anatomy(student, weak, weak == key, student == key)
        right = got.weak_accuracy.value
        rebuilt = right * (1 - got.damage.value) + (1 - right) * got.corrections.value
        assert rebuilt == pytest.approx((student == key).mean())
        assert got.imitation.value + got.corrections.value <= 1
        assert (got.agreement.n, got.agreement.seeds) == (1600, 4)

    def test_more_classes_need_the_students_correctness(self):
        with pytest.raises(SpecError, match=r"more than two classes.*pass student_right"):
            anatomy([0, 1, 2], [0, 1, 1], [1, 1, 0])

    def test_a_condition_that_never_holds_is_undefined(self):
        got = anatomy([0, 1], [0, 1], [1, 1])
        assert (got.imitation.value, got.imitation.n) == (None, 0)
        assert got.corrections.reason == "undefined: no weak label is wrong here"
        assert (got.damage.value, got.damage.low) == (0.0, 0.0)
        assert got.damage.high > 0.5  # two items prove little

    def test_deciles_of_weak_confidence(self):
        rng = np.random.default_rng(13)
        confidence = rng.uniform(0.5, 1.0, (3, 1000))
        key = rng.integers(0, 2, 1000)
        weak = np.where(rng.random((3, 1000)) < confidence, key, 1 - key)
        student = np.where(confidence > 0.7, weak, key)  # copies where the teacher is sure
        got = anatomy(student, weak, weak == key, weak_confidence=confidence)
        accuracy = [d.weak_accuracy.value for d in got.deciles]
        assert len(got.deciles) == 10
        assert [d.agreement.n for d in got.deciles] == [300] * 10
        assert accuracy[0] < 0.62 < 0.88 < accuracy[-1]
        assert got.deciles[0].imitation.value == 0.0
        assert got.deciles[8].imitation.value == 1.0
        assert got.deciles[0].confidence[0] == pytest.approx(0.5, abs=0.01)
        assert sum(d.imitation.n for d in got.deciles) == got.imitation.n

    def test_equal_confidences_stay_together(self):
        got = anatomy([0, 1] * 20, [0, 1] * 20, [1, 0] * 20, weak_confidence=[0.9] * 40)
        assert [d.agreement.n for d in got.deciles] == [0] * 9 + [40]
        assert got.deciles[0].agreement.reason == "undefined: there are no judgments here"

    def test_shapes_that_do_not_fit(self):
        with pytest.raises(SpecError, match=r"the arrays \(3,\), \(2,\), \(2,\) do not fit"):
            anatomy([0, 1, 1], [0, 1], [1, 1])


class TestPredictors:
    def test_misfit_of_two_classes_is_the_squared_distance_of_class_one(self):
        rng = np.random.default_rng(14)
        a, b = rng.random((2, 5, 80))
        both = [np.stack([1 - p, p], -1) for p in (a, b)]
        got = misfit(*both)
        assert got.value == pytest.approx(((a - b) ** 2).mean())
        assert (got.n, got.seeds) == (80, 5)
        assert misfit(both[0][0], both[0][0]).value == 0.0
        with pytest.raises(SpecError, match="misfit takes two equal shapes"):
            misfit(a, b[:2])

    def test_misfit_is_the_gain_for_least_squares_on_the_same_points(self):
        rng = np.random.default_rng(15)
        x = rng.standard_normal((200, 6))
        truth = x @ rng.standard_normal(6)
        weak = truth + rng.standard_normal(200)
        student = x @ np.linalg.lstsq(x, weak, rcond=None)[0]
        gain = ((weak - truth) ** 2).mean() - ((student - truth) ** 2).mean()
        as_classes = [np.stack([1 - f, f], 1) for f in (student, weak)]
        assert misfit(*as_classes).value == pytest.approx(gain, rel=1e-9)

    def test_a_lone_flipped_label_has_other_neighbours(self):
        rng = np.random.default_rng(16)
        features = np.concatenate(
            [[1.0, 0.0] + 0.05 * rng.standard_normal((30, 2)), [0.0, 1.0] + 0.05 * rng.standard_normal((30, 2))]
        )
        clean = np.repeat([0, 1], 30)
        flipped = clean.copy()
        flipped[3] = 1
        before, after = (neighbour_expansion(features, y, k=5) for y in (clean, flipped))
        assert (before.other.value, before.coefficient.value) == (0.0, 0.0)
        assert after.other.value >= 5 / 5 / 60  # all five neighbours of the flipped item disagree with it
        assert after.classes[0].value >= 5 / 29  # and are reached by it
        assert after.classes[1].value in (0.0, pytest.approx(1 / 31))

    def test_matches_a_direct_count_and_random_labels_expand(self):
        rng = np.random.default_rng(17)
        x, y = rng.standard_normal((90, 5)), rng.integers(0, 3, 90)
        cosine = x @ x.T / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(x, axis=1)) - 3 * np.eye(90)
        near = np.argsort(-cosine, axis=1)[:, :4]
        got = neighbour_expansion(x, y, k=4)
        assert got.other.value == pytest.approx((y[near] != y[:, None]).mean())
        for c in range(3):
            reached = [i for i in np.flatnonzero(y == c) if any(i in near[j] for j in np.flatnonzero(y != c))]
            assert got.classes[c].value == pytest.approx(len(reached) / (y == c).sum())
        assert got.coefficient.value == min(n.value for n in got.classes.values())

    def test_one_label_and_impossible_k(self):
        got = neighbour_expansion(np.eye(4), [1, 1, 1, 1], k=2)
        assert (got.other.value, got.coefficient.reason) == (0.0, "undefined: all items carry one weak label")
        with pytest.raises(SpecError, match="k = 4 neighbours among 4 items; give 1 to 3"):
            neighbour_expansion(np.eye(4), [0, 1, 0, 1], k=4)
        with pytest.raises(SpecError, match=r"features are \(n, d\) with one label each"):
            neighbour_expansion(np.eye(4), [0, 1])
