"""Re-runs: scores that do not come out again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from superalign.research.audits.reruns import Rerun, reruns
from superalign.research.running import Bench, scored
from superalign.research.testbeds.w2s_micro import SPACE
from superalign.research.values import typed

SCORES = (0.1, 0.25, 0.3)


def test_what_comes_out_again_passes() -> None:
    found = reruns([Rerun(3, SCORES, SCORES), Rerun(4, (), ()), Rerun(5, SCORES, (0.1, 0.252, 0.3))])
    assert found.status == "pass"
    assert 0 < (found.statistic or 0) < 0.001
    assert reruns([]).status == "pass"


@pytest.mark.parametrize(
    "row",
    [
        Rerun(3, (0.2, 0.35, 0.4), SCORES),  # made up
        Rerun(3, SCORES, (0.2, 0.35, 0.4)),  # told worse than it is
        Rerun(3, (), SCORES),  # a failure that was none
        Rerun(3, SCORES, ()),
        Rerun(3, (0.2, 0.35, 0.4), SCORES, determined=False),
        Rerun(3, SCORES, (), determined=False),
    ],
)
def test_what_does_not_fails(row: Rerun) -> None:
    found = reruns([Rerun(2, SCORES, SCORES), row])
    assert found.status == "fail"
    assert found.evidence == ("e3",)
    assert found.says.startswith("1 of 2 runs do not come out again: e3 says")
    assert found.payload()["statistic"] is None or found.payload()["statistic"] > 0.005


def test_code_that_draws_its_own_numbers_is_flagged_alone() -> None:
    found = reruns([Rerun(3, SCORES, (0.13, 0.2, 0.31), determined=False)])
    assert found.status == "flag"
    assert reruns([Rerun(3, (0.1,), (0.2,), determined=False)]).status == "flag"


def test_a_fiftieth_of_the_weak_labels_turned_round_is_seen_on_w2s_micro(bench: Bench) -> None:
    """Three problems, as the suite runs them again."""
    method = typed(SPACE.method(l2=100.0))
    problems = [("0", 0), ("1", 0), ("2", 0)]
    told: list[float] = []
    for family, number in problems:
        problem = bench.problem(family, number, "dev")
        weak = np.array(problem.public["train_p"])
        weak[::50] = 1 - weak[::50]
        right = bench.testbed.solve(method.values, {**problem.public, "train_p": weak}, 0)
        gap = problem.key.ceiling - problem.key.weak
        told.append(float((((right > 0.5) == problem.key.truth).mean() - problem.key.weak) / gap))
    again: dict[str, Any] = scored(bench, method, problems, "dev")
    assert reruns([Rerun(3, tuple(told), tuple(again["scores"]))]).status == "fail"
    assert reruns([Rerun(3, tuple(again["scores"]), tuple(again["scores"]))]).status == "pass"
