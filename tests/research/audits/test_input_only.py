"""Input-only: part of the input that gives the answers away is found, one that does not passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.research.audits.input_only import form, input_only
from superalign.research.testbed import Problem


def sorted_by_answer(problem: Problem) -> Problem:
    order = np.argsort(problem.key.truth, kind="stable")
    public = {**problem.public, "test_x": problem.public["test_x"][order]}
    return replace(problem, public=public, key=replace(problem.key, truth=problem.key.truth[order]))


def loud(problem: Problem) -> Problem:
    """The right items are a little larger than the others."""
    size = 1 + 0.3 * problem.key.truth[:, None]
    return replace(problem, public={**problem.public, "test_x": problem.public["test_x"] * size})


def test_the_form_of_an_honest_testbed_says_nothing(micro: list[Problem]) -> None:
    (found,) = input_only(micro)
    assert (found.status, found.qualifier) == ("pass", None)
    assert -0.35 < (found.statistic or 0) < -0.1  # chance, less a weak supervisor of .74
    assert len(found.evidence) == len(micro)


@pytest.mark.parametrize("leak", [sorted_by_answer, loud])
def test_a_testbed_whose_form_gives_the_answers_away_is_flagged(micro: list[Problem], leak: object) -> None:
    (found,) = input_only([leak(p) for p in micro])  # type: ignore[operator]
    assert (found.status, found.qualifier) == ("flag", "testbed-shortcut")
    assert (found.statistic or 0) > 0.05


def test_a_part_that_the_caller_names(micro: list[Problem]) -> None:
    """The cue alone is worse than the weak supervisor that uses it; all that the student sees is better."""
    cue, everything = input_only(
        micro[:3], {"cue": lambda p: p.public["test_x"][:, -1:], "everything": lambda p: p.public["test_x"][:, :64]}
    )
    assert (cue.audit, cue.status) == ("input-only:cue", "pass")
    assert everything.status == "flag"


def test_texts_are_measured_by_their_length(micro: list[Problem]) -> None:
    p = micro[0]
    text = np.array(["a" * (3 + int(t)) for t in p.key.truth])
    column = form(replace(p, public={"test_text": text}))[:, 2]
    assert set(column) == {3.0, 4.0}


def test_one_problem_is_not_enough(micro: list[Problem]) -> None:
    with pytest.raises(SpecError, match="a comparison needs at least 2 problems"):
        input_only(micro[:1])
