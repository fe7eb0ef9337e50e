"""Equal care: what is spent on a baseline, what comes of it, and what it does not hide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import Degenerate, SpecError
from superalign.research.care import schedule, tune
from superalign.research.testbed import Baseline
from superalign.research.testbeds.w2s_micro import w2s_micro
from tests.research.proposers.toy import PLANTED, SPACE, score

PROBLEMS = range(12)
KNOWN = Baseline("known", {"a": 2, "b": 1}, ("b", "c", "d"))


class Lab:
    """Evaluates the toy, and notes each pair of a method and a problem."""

    def __init__(self, by=score):
        self.by, self.seen = by, []

    def __call__(self, methods, problems):
        self.seen += [(tuple(m.values()), p) for m in methods for p in problems]
        return np.array([[self.by(m, p) for p in problems] for m in methods])


def test_a_baseline_is_tuned_on_its_axes_alone():
    lab = Lab()
    care = tune(SPACE, KNOWN, lab, PROBLEMS, 400, seed=0)
    assert care.default == SPACE.method(a=2, b=1)
    assert care.tuned == PLANTED
    assert all(m[0] == 2 for m, _ in lab.seen)
    assert care.gap == pytest.approx(0.3, abs=0.05)  # three steps of .1
    assert care.default_scores == tuple(score(care.default, p) for p in PROBLEMS)
    assert care.tuned_scores == tuple(score(care.tuned, p) for p in PROBLEMS)


@pytest.mark.parametrize("budget", [1, 100, 312, 500, 700])
def test_at_least_the_evaluations_of_the_search_are_spent_and_none_twice(budget):
    lab = Lab()
    care = tune(SPACE, KNOWN, lab, PROBLEMS, budget, seed=1)
    assert care.spent == len(lab.seen) == len(set(lab.seen))
    assert budget <= care.spent < budget + 40
    assert care.grid == 64
    assert care.equals(budget)
    assert not care.equals(care.spent + 1)
    assert not care.exhausted
    assert care.tried == len({m for m, _ in lab.seen})


@pytest.mark.parametrize("budget", [768, 5000])
def test_a_smaller_grid_is_exhausted(budget):
    lab = Lab()
    care = tune(SPACE, KNOWN, lab, PROBLEMS, budget, seed=1)
    assert care.spent == 64 * 12 == len(set(lab.seen))
    assert care.exhausted
    assert care.equals(10**9)


def test_the_schedule_is_that_of_the_search():
    lab = Lab()
    tune(SPACE, KNOWN, lab, PROBLEMS, 228, seed=1)
    problems_of = {m: max(p for n, p in lab.seen if n == m) + 1 for m, _ in lab.seen}
    counts = np.bincount(list(problems_of.values()), minlength=13)
    assert set(np.flatnonzero(counts)) == {3, 6, 12}
    assert counts[3] > counts[6] > 0


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300), st.integers(1, 24), st.integers(1, 3000))
def test_a_schedule_spends_the_budget_or_all_there_is(grid, problems, budget):
    steps = schedule(grid, problems, budget)
    before = [0, *(f for _, f in steps)]
    cost = sum(kept * (f - b) for (kept, f), b in zip(steps, before, strict=False))
    assert cost >= min(budget, grid * problems)
    assert cost <= grid * problems
    kept = [k for k, _ in steps]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] <= grid
    assert steps[-1][1] == problems


def test_published_settings_may_win():
    """Everything but the default is bad: tuning leaves it as it is, and the care gap is 0."""
    best = Baseline("best", {"a": 2, "b": 3, "c": 1}, ("b", "d"))
    care = tune(SPACE, best, Lab(), PROBLEMS, 30, seed=0)
    assert care.tuned == care.default == PLANTED
    assert care.gap == 0


def test_settings_that_fail_are_passed_over():
    def by(method, problem):
        return float("nan") if method["b"] == 3 else score(method, problem)

    for budget in (200, 5000):
        care = tune(SPACE, KNOWN, Lab(by), PROBLEMS, budget, seed=0)
        assert care.tuned["b"] == 2
        assert np.isfinite(care.tuned_scores).all()


def test_a_baseline_that_cannot_run_is_no_baseline():
    with pytest.raises(Degenerate, match=r"'known' failed with its published settings \{'a': 2, 'b': 1\}"):
        tune(SPACE, KNOWN, Lab(lambda m, p: float("nan") if m["b"] == 1 else 0.5), PROBLEMS, 200, seed=0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(SpecError, match=r"scores of shape \(1,\) for 1 methods on 12 problems"):
        tune(SPACE, KNOWN, lambda methods, problems: np.zeros(len(methods)), PROBLEMS, 100, seed=0)
    with pytest.raises(SpecError, match="a=7 is not in the space"):
        tune(SPACE, Baseline("odd", {"a": 7}, ("b",)), Lab(), PROBLEMS, 100, seed=0)
    with pytest.raises(SpecError, match="budget=0 is not a whole number"):
        tune(SPACE, KNOWN, Lab(), PROBLEMS, 0, seed=0)
    with pytest.raises(SpecError, match="problems=0"):
        tune(SPACE, KNOWN, Lab(), [], 10, seed=0)


def test_same_seed_same_care():
    first, again, other = (tune(SPACE, KNOWN, Lab(), PROBLEMS, 150, seed=s) for s in (0, 0, 1))
    assert first == again
    assert other.spent == pytest.approx(first.spent, abs=12)


def test_care_multiplies_what_a_published_default_recovers():
    """On two problems of the real testbed vanilla goes from about .07 to about .2."""
    from superalign.research.testbed import recovered

    bed = w2s_micro()
    problems = [bed.problem(family, 3, "dev") for family in ("0", "1")]

    def evaluate(methods, some):
        return np.array([[recovered(p, bed.solve(m, p.public, 0)) for p in some] for m in methods])

    care = tune(bed.space, bed.baselines[0], evaluate, problems, 1000, seed=0)
    assert care.exhausted
    assert care.tuned["l2"] in (300.0, 1000.0)
    assert care.gap > 0.04
