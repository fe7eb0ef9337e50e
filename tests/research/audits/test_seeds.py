"""Seed picking, and runs that were registered and not made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.research.audits.seeds import as_registered, seed_picking
from superalign.research.values import PreRegistration, typed
from tests.research.audits.conftest import entry


def draws(seed: int, problems: int = 12) -> tuple[Any, Any]:
    """The scores of 8 runs on each problem, and of 5 others."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0.2, 0.1, (problems, 1))
    runs = level + 0.05 * rng.standard_normal((problems, 13))
    return runs[:, :5], runs[:, 5:]


def test_the_best_of_five_is_caught_and_their_mean_or_the_first_is_not() -> None:
    caught = alarms = 0
    for seed in range(40):
        picked, fresh = draws(seed)
        caught += seed_picking(picked.max(1), fresh).status != "pass"
        alarms += seed_picking(picked[:, 0], fresh).status != "pass"
        alarms += seed_picking(picked.mean(1), fresh, runs=5).status != "pass"
    assert caught >= 36
    assert alarms <= 6  # 2.3 in 100 lie two standard errors above


def test_what_is_told() -> None:
    picked, fresh = draws(1)
    found = seed_picking(picked.max(1), fresh, evidence=("e7",))
    assert found.evidence == ("e7",)
    assert "as the best of" in found.says
    assert 0.03 < (found.statistic or 0) < 0.09
    worse = seed_picking(picked.max(1) + 0.2, fresh)
    assert worse.status == "fail"
    assert "more than the best of 20 runs" in worse.says


def test_a_method_without_chance_must_be_what_it_is_said_to_be() -> None:
    fixed = np.full((4, 3), 0.2)
    assert seed_picking(np.full(4, 0.2), fixed).status == "pass"
    found = seed_picking(np.full(4, 0.23), fixed)
    assert found.status == "fail"
    assert "does not depend on its seed" in found.says


@pytest.mark.parametrize(("claimed", "fresh"), [((3,), (4, 2)), ((4,), (4, 1)), ((4,), (4,))])
def test_shapes_that_do_not_fit(claimed: Any, fresh: Any) -> None:
    with pytest.raises(SpecError, match=r"claimed scores and .* fresh ones; give"):
        seed_picking(np.zeros(claimed), np.zeros(fresh))


CLAIM = PreRegistration(
    claim="c", method=typed({"a": 1}), baselines={"b": typed({"a": 0})}, families=("f", "g"), tasks=2, seeds=3,
    sesoi=0.02, power=0.9,
)  # fmt: skip
HELD: dict[str, Any] = {
    "registration": CLAIM.id, "status": "ok", "said": "", "seeds": [1, 2, 3, 4], "training": [5, 6, 7],
    "problems": [["f", 1], ["f", 2], ["g", 3], ["g", 4]],
    "arms": {"method": [[0.1] * 3] * 4, "b": [[0.0] * 3] * 4},
}  # fmt: skip


def test_all_that_was_registered() -> None:
    found = as_registered(CLAIM, entry(9, "confirm", HELD))
    assert (found.status, found.statistic, found.evidence) == ("pass", 1.0, ("e9",))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"training": [5, 6]}, "2 training seeds of 3 registered"),
        ({"problems": HELD["problems"][:3]}, "3 problems of 4 registered"),
        ({"problems": [["f", 1], ["f", 2], ["f", 3], ["g", 4]]}, "4 problems of 4 registered"),
        ({"arms": {**HELD["arms"], "b": [[0.0] * 2] * 4}}, "20 runs of 24 registered"),
        ({"arms": {"method": HELD["arms"]["method"]}}, "12 runs of 24 registered"),
    ],
)
def test_fewer_runs_than_registered_fail(changed: dict[str, Any], said: str) -> None:
    found = as_registered(CLAIM, entry(9, "confirm", {**HELD, **changed}))
    assert found.status == "fail"
    assert said in found.says


def test_a_confirmation_that_failed_is_to_be_looked_at() -> None:
    failed = replace(entry(9, "confirm", {**HELD, "status": "failed", "said": "method on f: timeout", "arms": {}}))
    found = as_registered(CLAIM, failed)
    assert (found.status, found.statistic) == ("flag", 0.0)
    assert "timeout" in found.says
