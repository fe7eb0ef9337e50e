"""The placebo: shuffled labels leave nothing to learn; who still knows the answers has them from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import Degenerate, SpecError
from superalign.research.audits.placebo import placebo
from superalign.research.testbed import Problem, recovered
from superalign.research.testbeds.w2s_micro import SPACE
from superalign.research.values import typed

METHOD = typed(SPACE.method(l2=100.0))


def test_an_honest_method_falls_to_chance_and_far_below_its_teacher(micro: list[Problem], run: Any) -> None:
    found = placebo(METHOD, micro, run)
    assert (found.status, found.qualifier) == ("pass", None)
    assert -2.0 < (found.statistic or 0) < -0.7  # chance lies a whole gap and more below the weak supervisor
    assert (found.high or 0) < -0.3


def test_answers_that_come_from_elsewhere_are_found(micro: list[Problem], run: Any) -> None:
    def knows(method: Any, problem: Problem, seed: int) -> Any:
        wrong = np.arange(len(problem.key.truth)) % 10 == 0
        return np.where(wrong, 1 - problem.key.truth, problem.key.truth)

    found = placebo(METHOD, micro, knows)
    assert (found.status, found.qualifier) == ("flag", "teacher-independent")
    assert (found.low or 0) > 0


def test_a_method_that_knows_something_without_its_teacher_is_flagged_without_the_qualifier(
    micro: list[Problem], run: Any
) -> None:
    """Right in 65 %: worse than the teacher, but not by its labels."""

    def partly(method: Any, problem: Problem, seed: int) -> Any:
        wrong = np.arange(len(problem.key.truth)) % 20 < 7
        return np.where(wrong, 1 - problem.key.truth, problem.key.truth)

    found = placebo(METHOD, micro, partly)
    assert (found.status, found.qualifier) == ("flag", None)
    assert "alone" in found.says


def test_only_the_labels_are_shuffled_and_all_of_them_alike(micro: list[Problem]) -> None:
    both = [replace(p, public={**p.public, "train_q": 2 * p.public["train_p"]}) for p in micro]

    def look(method: Any, problem: Problem, seed: int) -> Any:
        before = next(p for p in both if p.seed == problem.seed)
        assert not np.array_equal(problem.public["train_p"], before.public["train_p"])
        np.testing.assert_array_equal(np.sort(problem.public["train_p"]), np.sort(before.public["train_p"]))
        np.testing.assert_array_equal(problem.public["train_q"], 2 * problem.public["train_p"])
        assert problem.public["train_x"] is before.public["train_x"]
        return 1 - problem.key.truth

    placebo(METHOD, both, look, labels=("train_p", "train_q"))


def test_a_method_that_does_not_run_and_labels_that_are_not_there(micro: list[Problem], run: Any) -> None:
    found = placebo(METHOD, micro, lambda method, problem, seed: None)
    assert (found.status, found.statistic) == ("flag", None)
    with pytest.raises(SpecError, match="has no array called train_y; say which of train_x, train_p, test_x holds"):
        placebo(METHOD, micro, run, labels=("train_y",))


def test_a_student_that_is_its_teacher_recovers_nothing_and_equal_ends_have_no_gap(micro: list[Problem]) -> None:
    for problem in micro:
        assert recovered(problem, problem.key.shortcuts["weak"]) == pytest.approx(0, abs=1e-9)
        with pytest.raises(Degenerate, match="is not above weak"):
            recovered(replace(problem, key=replace(problem.key, ceiling=problem.key.weak)), problem.key.truth)
