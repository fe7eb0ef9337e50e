"""Equal care: baselines that were not tuned as the ledger says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from superalign.research.audits.equal_care import equal_care
from superalign.research.ledger import Entry
from superalign.research.values import PreRegistration, typed
from tests.research.audits.conftest import entry
from tests.research.toy import Toy

SPACE = Toy.space
TUNED = {"plain": SPACE.method(skill=3), "stuck": SPACE.method(skill=1)}


def claim(**baselines: Any) -> PreRegistration:
    return PreRegistration(
        claim="c", method=typed(SPACE.method(skill=3)), baselines={n: typed(b) for n, b in baselines.items()},
        families=("a",), tasks=2, sesoi=0.02, power=0.9,
    )  # fmt: skip


def ledger(
    tuned: dict[str, Any], of: PreRegistration, evaluations: int = 40, before: Sequence[str] = ("plain", "stuck")
) -> list[Entry]:
    runs = [entry(k, "run_end", {"proposal": 1, "problems": [["a", n] for n in range(8)]}) for k in range(2, 7)]
    care = [
        entry(7 + k, "care", {"baseline": n, "tuned": tuned[n], "evaluations": evaluations})
        for k, n in enumerate(before)
    ]
    return [*runs, *care, entry(20, "prereg", {"registration": of.id})]


def evaluate(methods: Sequence[Any], part: slice) -> Any:
    """A skill is worth .2 of PGR; problems differ by some .1."""
    level = np.random.default_rng(0).normal(0, 0.1, 14)[part]
    return np.array([0.2 * float(m["skill"]) + level + 0.001 * k for k, m in enumerate(methods)])


def test_baselines_that_were_tuned_as_told_pass() -> None:
    mine = claim(**TUNED)
    found = equal_care(mine, ledger(TUNED, mine), Toy(), evaluate)
    assert found.status == "pass"
    assert found.evidence == ("e7", "e8")
    assert (found.high or 0) < 0.02


def test_a_small_grid_that_is_exhausted_is_all_there_is() -> None:
    """The four settings of `plain` on 8 problems are 32 evaluations, the three of `stuck` 24; the search used 40."""
    mine = claim(**TUNED)
    assert equal_care(mine, ledger(TUNED, mine, evaluations=32), Toy(), evaluate).status == "pass"
    found = equal_care(mine, ledger(TUNED, mine, evaluations=31), Toy(), evaluate)
    assert found.status == "fail"
    assert found.says == "plain was tuned with 31 evaluations, the search used 40"


def test_settings_that_were_left_as_they_were_are_found_although_the_ledger_says_otherwise() -> None:
    lazy = {**TUNED, "plain": SPACE.method(skill=1)}
    mine = claim(**lazy)
    found = equal_care(mine, ledger(lazy, mine), Toy(), evaluate)
    assert found.status == "fail"
    assert "plain: settings drawn at random beat the tuned ones by 0.399" in found.says


@pytest.mark.parametrize(
    ("registered", "told", "before", "said"),
    [
        ({"plain": TUNED["plain"]}, TUNED, ("plain", "stuck"), "the claim leaves out the baseline stuck"),
        (TUNED, TUNED, ("plain",), "stuck was not tuned before the claim was registered"),
        (
            TUNED,
            {**TUNED, "plain": SPACE.method(skill=2)},
            ("plain", "stuck"),
            "plain was registered with other settings",
        ),
    ],
)
def test_what_the_ledger_gives_away(registered: Any, told: Any, before: Any, said: str) -> None:
    mine = claim(**registered)
    found = equal_care(mine, ledger(told, mine, before=before), Toy(), evaluate)
    assert found.status == "fail"
    assert said in found.says


def test_care_after_the_registration_does_not_count() -> None:
    mine = claim(**TUNED)
    entries = ledger(TUNED, mine)
    late = [*(e for e in entries if e.type != "care"), *(e for e in entries if e.type == "care")]
    assert "was not tuned before" in equal_care(mine, late, Toy(), evaluate).says
