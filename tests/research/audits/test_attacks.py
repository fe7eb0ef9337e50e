"""Attacks: a scorer that tells counts is read out; the board is not, and its alarm is due."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.core.random import stream
from superalign.research.alarms import Submission, watch
from superalign.research.audits.attacks import flip_attack, query_attack
from superalign.research.ladder import Ladder, standard_error

ITEMS = 600
TRUTH = stream(0, "test/attacks").integers(0, 2, ITEMS)
HIDDEN = np.arange(ITEMS // 2, ITEMS)


class Board:
    """The board in use, or one that tells counts; it scores the items `on`."""

    def __init__(self, budget: int, *, exact: bool = False, on: Any = slice(None)) -> None:
        self.ladder = Ladder(0.5, standard_error(0.75, len(TRUTH[on])), budget)
        self.exact, self.on, self.rows, self.alarms = exact, on, [], 0

    def __call__(self, answers: Any) -> dict[str, Any]:
        right = (answers == TRUTH)[self.on]
        self.ladder, told = self.ladder.submit(right)
        new = Submission("a/0", np.asarray(answers, np.int8))
        if not self.exact and len(self.rows) < 50:
            self.alarms += bool(self.rows and watch(self.rows, new))
            self.rows.append(new)
        reply = {"improved": told.improved, "best": told.best, "left": told.left}
        return {**reply, "score": float(right.mean())} if self.exact else reply


def test_flips_read_every_label_off_a_scorer_that_tells_counts() -> None:
    found = flip_attack(Board(10_000, exact=True), TRUTH)
    assert (found.status, found.statistic) == ("fail", 1.0)
    assert (found.low or 0) > 0.99
    few = flip_attack(Board(50, exact=True), TRUTH)  # a small budget alone is not enough: each query is a label
    assert few.status == "fail"
    assert "of 49 probed labels 1.00 are known" in few.says


@pytest.mark.parametrize("block", [1, 6])
def test_flips_recover_chance_from_the_board_and_raise_the_alarm(block: int) -> None:
    board = Board(50)
    found = flip_attack(board, TRUTH, block=block, alarmed=lambda: board.alarms > 0)
    assert found.status == "pass"
    known, before = re.findall(r"(0\.\d\d) (?:are|were)", found.says)
    assert known == before
    assert "an alarm was raised" in found.says
    assert board.alarms > 30  # from the ninth submission on


def test_flips_from_a_good_model_gain_nothing_from_the_board() -> None:
    start = np.where(np.arange(ITEMS) % 4 == 0, 1 - TRUTH, TRUTH)
    found = flip_attack(Board(700), TRUTH, start=start, block=8)
    assert found.status == "pass"
    assert found.statistic == pytest.approx(0.75, abs=0.03)


def test_a_silent_alarm_fails_although_nothing_leaked() -> None:
    found = flip_attack(Board(50), TRUTH, alarmed=lambda: False)
    assert found.status == "fail"
    assert "no alarm was raised" in found.says
    assert flip_attack(Board(9), TRUTH, alarmed=lambda: False).status == "pass"  # not due yet


def test_500_adaptive_queries_gain_from_counts_and_nothing_from_the_board() -> None:
    naive = query_attack(Board(1000, exact=True), TRUTH)
    assert naive.status == "fail"
    assert (naive.statistic or 0) > 0.1
    honest = query_attack(Board(1000), TRUTH)
    assert honest.status == "pass"
    assert abs(honest.statistic or 0) < 0.06
    assert honest.says.startswith("500 adaptive submissions")


def test_a_hidden_split_gives_nothing_away_unless_the_scorer_scores_it() -> None:
    visible = slice(0, ITEMS // 2)
    kept = query_attack(Board(1000, on=visible), TRUTH, hidden=HIDDEN)
    assert kept.status == "pass"
    assert "on 300 hidden items" in kept.says
    told = query_attack(Board(1000, exact=True, on=visible), TRUTH, hidden=HIDDEN)
    assert told.status == "fail"  # on what is scored; the hidden half stays at chance
    crossed = query_attack(Board(1000, exact=True), TRUTH, hidden=HIDDEN)
    assert crossed.status == "fail"
    assert (crossed.low or 0) > 0.05


def test_a_scorer_that_answers_nothing_is_told_apart_from_a_safe_one() -> None:
    def closed(answers: Any) -> dict[str, Any]:
        raise SpecError("no")

    assert [flip_attack(closed, TRUTH).status, query_attack(closed, TRUTH).status] == ["flag", "flag"]
