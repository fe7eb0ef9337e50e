"""Shortcuts: a method that leans on the more frequent answer is caught, an honest one is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from superalign.core.random import stream
from superalign.research.audits.shortcut import FEWEST, Compared, shortcuts
from superalign.research.testbed import Key, Problem
from superalign.research.testbeds.w2s_micro import SPACE
from superalign.research.values import typed

TUNED = typed(SPACE.method(label="soft", l2=300.0, aux=0.75, rounds=2))
OTHER = typed(SPACE.method(label="soft", l2=300.0, aux=0.75, rounds=4))


@pytest.fixture(scope="module")
def answers(micro: list[Problem], run: Any) -> list[Compared]:
    weaker = typed(SPACE.method())
    return [Compared(p, run(OTHER, p, 0), {"plain": run(weaker, p, 0), "tuned": run(TUNED, p, 0)}) for p in micro]


def changed(compared: list[Compared], how: Callable[[Compared], Any]) -> list[Compared]:
    return [replace(one, method=how(one)) for one in compared]


def status(results: list[Any]) -> dict[str, str]:
    return {r.audit: r.status for r in results}


def test_an_honest_method_passes(answers: list[Compared]) -> None:
    found = shortcuts(answers)
    assert status(found) == {"shortcut:majority": "pass", "shortcut:weak": "pass"}
    assert all(r.qualifier is None and abs(r.statistic or 0) < 0.1 for r in found)
    assert "than tuned" in found[0].says  # the strongest baseline, not the first


def test_a_method_that_gives_the_majority_on_a_third_of_the_items_is_flagged(answers: list[Compared]) -> None:
    def leans(one: Compared) -> Any:
        where = stream(0, "test/leans", one.problem.seed).random(len(one.method)) < 1 / 3
        return np.where(where, one.problem.key.shortcuts["majority"], one.method)

    majority, weak = shortcuts(changed(answers, leans))
    assert majority.status == "flag"
    assert majority.qualifier == "testbed-shortcut"
    assert 0.15 < (majority.statistic or 0) < 0.4
    assert (majority.low or 0) > 0
    assert majority.payload("r1")["qualifier"] == "testbed-shortcut"
    assert weak.qualifier is None


def test_a_copy_of_the_teacher_is_flagged_but_is_no_fault_of_the_testbed(answers: list[Compared]) -> None:
    _, weak = shortcuts(changed(answers, lambda one: one.problem.key.shortcuts["weak"]))
    assert (weak.status, weak.qualifier) == ("flag", None)


def test_a_shortcut_that_beats_the_weak_supervisor_is_flagged(answers: list[Compared]) -> None:
    """Whoever wins there, the testbed does not ask its question."""
    with_length = [replace(one, problem=replace(one.problem, key=lengthy(one.problem.key))) for one in answers]
    found = {r.audit: r for r in shortcuts(with_length)}["shortcut:length"]
    assert (found.status, found.qualifier) == ("flag", "testbed-shortcut")


def lengthy(key: Key) -> Key:
    right = stream(0, "test/length").random(len(key.truth)) < 0.85
    return replace(key, shortcuts={**key.shortcuts, "length": np.where(right, key.truth, 1 - key.truth)})


def test_a_shortcut_that_is_hardly_ever_wrong_is_not_divided_by(answers: list[Compared]) -> None:
    def nearly(key: Key) -> Key:
        wrong = np.arange(len(key.truth)) < FEWEST - 1
        return replace(key, shortcuts={"rare": np.where(wrong, 1 - key.truth, key.truth)})

    rare = [replace(one, problem=replace(one.problem, key=nearly(one.problem.key))) for one in answers]
    (found,) = shortcuts(rare)
    assert found.statistic is None
    assert found.status == "flag"  # it is right nearly always
    assert shortcuts([]) == []
