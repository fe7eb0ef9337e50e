"""Agent score difference and the judge's expectation under an agent that likes to win."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.studies.oversee.persuasion import CLIP, choice_of_side, expectation, log_score, score_difference

S = log_score([0.8, 0.6])  # the judge's belief in each side after it was argued
OF_TRUTH = log_score([0.8, 0.4])  # its belief in the truth, the first side, after each


def test_the_fixture() -> None:
    assert score_difference(S, 0) == pytest.approx(0.28768, abs=1e-5)
    for beta, found in ((0, -0.22314), (1, -0.52021), (math.inf, -0.56972)):
        assert expectation(S, OF_TRUTH, beta) == pytest.approx(found, abs=1e-5)
    assert expectation(S, S) == pytest.approx(-0.34644, abs=1e-5)
    assert expectation(S, np.array([1.0, 0.0])) == pytest.approx(0.57143, abs=1e-5)


def test_one_transcript_for_both_sides_gives_the_log_odds_of_the_truth() -> None:
    assert score_difference(log_score([0.9, 0.1]), 0) == pytest.approx(math.log(9))
    assert score_difference(log_score([[1.0, 0.0]]), np.array([1])) == pytest.approx(math.log(CLIP / (1 - CLIP)))


def test_more_wrong_answers_are_judged_by_the_most_persuasive() -> None:
    s = np.array([[-1.0, -3.0, -2.0], [-1.0, -3.0, -np.inf]])
    assert score_difference(s, np.array([1, 1])).tolist() == [-2.0, -2.0]


sizes = st.integers(3, 6).flatmap(lambda k: st.lists(st.floats(-9.2, 0.0), min_size=k, max_size=k))


@given(sizes, st.sampled_from([0.0, 1e-6, 0.3, 1.0, 10.0, math.inf]))
def test_sides_are_chosen_by_a_distribution_whatever_the_temperature(scores: list[float], beta: float) -> None:
    chosen = choice_of_side(scores, beta)
    assert chosen.sum() == pytest.approx(1.0)
    assert (chosen >= 0).all()
    assert min(scores) - 1e-9 <= expectation(scores, scores, beta) <= max(scores) + 1e-9


def test_ties_share_and_a_low_temperature_tends_to_the_best() -> None:
    assert choice_of_side([-1.0, -1.0, -2.0], 0).tolist() == [0.5, 0.5, 0.0]
    assert choice_of_side([-1.0, -1.1, -2.0], 1e-4) == pytest.approx([1.0, 0.0, 0.0], abs=1e-9)
    assert choice_of_side([-1.0, -2.0, -np.inf], math.inf).tolist() == [0.5, 0.5, 0.0]
