"""Predictions from outside as answers, and the gap that they recover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import Degenerate, SpecError
from superalign.research.testbed import Key, Problem, answers, recovered

TRUTH = np.array([0, 1, 1, 0, 1, 0, 1, 1, 0, 0])


def problem(weak: float = 0.6, ceiling: float = 0.9) -> Problem:
    return Problem("f", 0, "dev", {}, Key(TRUTH, weak, ceiling))


def wrong(count: int) -> np.ndarray:
    return np.where(np.arange(10) < count, 1 - TRUTH, TRUTH)


def test_probabilities_and_classes_are_answers():
    np.testing.assert_array_equal(answers([0.2, 0.5, 0.51], 3), [0, 0, 1])
    np.testing.assert_array_equal(answers([2, 0, 1], 3), [2, 0, 1])
    np.testing.assert_array_equal(answers([True, False], 2), [1, 0])
    np.testing.assert_array_equal(answers(np.array([1.0, 0.0], np.float32), 2), [1, 0])


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (np.zeros(3), r"shape \(3,\); the problem has 10 test items"),
        (np.zeros((10, 1)), r"shape \(10, 1\)"),
        (["yes"] * 10, "not numbers"),
        ([np.nan, np.inf, *[0.5] * 8], "2 predictions are not finite"),
        ([-0.5, *[0.5] * 9], r"run from -0.5 to 0.5; P\(y = 1\) lies between 0 and 1"),
        ([1.2, *[0.5] * 9], "run from 0.5 to 1.2"),
    ],
)
def test_what_is_no_answer_is_refused(given_, said):
    with pytest.raises(SpecError, match=said):
        answers(given_, 10)


def test_the_weak_supervisor_recovers_nothing_and_the_ceiling_everything():
    assert recovered(problem(), wrong(4)) == pytest.approx(0)
    assert recovered(problem(), wrong(1)) == pytest.approx(1)
    assert recovered(problem(), TRUTH) > 1
    assert recovered(problem(), wrong(10)) == pytest.approx(-2)


@pytest.mark.parametrize("ceiling", [0.6, 0.5])
def test_no_gap_no_ratio(ceiling):
    with pytest.raises(Degenerate, match=r"f/0: the ceiling 0\.[56]00 is not above weak 0\.600"):
        recovered(problem(ceiling=ceiling), TRUTH)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9), st.floats(0.05, 0.6), st.floats(0.65, 1))
def test_one_more_right_answer_recovers_more(count, weak, ceiling):
    made = problem(weak, ceiling)
    step = recovered(made, wrong(count)) - recovered(made, wrong(count + 1))
    assert step == pytest.approx(0.1 / (ceiling - weak))
