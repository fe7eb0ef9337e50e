"""Near-duplicates: planted copies are found, independent draws are none."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.research.audits.duplicates import near_rows, near_texts, straddling
from superalign.research.testbed import Problem

RNG = np.random.default_rng(3)
WORDS = np.array([f"w{k}" for k in range(400)])
TEXTS = [" ".join(RNG.choice(WORDS, 60)) for _ in range(40)]


def test_texts_of_their_own_pass_and_near_copies_fail() -> None:
    train, test = TEXTS[:20], TEXTS[20:]
    assert near_texts({"train": train, "test": test}).status == "pass"
    copy = train[3].replace(train[3].split()[0], "other", 1)
    found = near_texts({"train": train, "test": [*test, copy.upper()]})
    assert (found.status, found.statistic) == ("fail", 1.0)
    assert found.evidence == ("train/3 = test/20",)
    half = " ".join(train[3].split()[:30] + test[0].split()[:30])
    assert near_texts({"train": train, "test": [*test[1:], half]}).status == "pass"


def test_rows_of_their_own_pass_and_copies_fail(micro: list[Problem]) -> None:
    problem, other = micro[0].public, micro[1].public
    splits = {"train": problem["train_x"], "test": problem["test_x"], "other": other["test_x"]}
    assert near_rows(splits).status == "pass"
    copied = np.array(problem["test_x"])
    copied[7] = problem["train_x"][11]
    copied[9] = problem["train_x"][12] * 1.0005
    found = near_rows({**splits, "test": copied})
    assert (found.status, found.statistic) == ("fail", 2.0)
    assert found.evidence == ("train/11 = test/7", "train/12 = test/9")


@pytest.mark.parametrize("distance", [0.005, 0.02])
def test_near_is_a_hundredth_of_a_row(distance: float) -> None:
    a = RNG.normal(size=(50, 30))
    b = RNG.normal(size=(50, 30))
    step = RNG.normal(size=30)
    b[4] = a[8] + distance * np.median(np.linalg.norm(np.vstack([a, b]), axis=1)) * step / np.linalg.norm(step)
    assert near_rows({"a": a, "b": b}).statistic == float(distance < 0.01)


def test_rows_of_other_widths_and_of_nothing_have_none() -> None:
    assert near_rows({"a": np.zeros((0, 4)), "b": np.ones((3, 4)), "c": np.ones((2, 5))}).status == "pass"


def test_groups_must_not_straddle() -> None:
    assert straddling({"train": ["q1", "q1", "q2"], "test": ["q3"]}).status == "pass"
    found = straddling({"train": ["q1", "q2"], "test": ["q3", "q2"], "confirm": [7]})
    assert (found.status, found.statistic, found.evidence) == ("fail", 1.0, ("q2 in test, train",))
