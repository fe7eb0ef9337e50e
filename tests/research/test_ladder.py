"""What attackers gain from the Ladder and from exact counts, and the rules of the board."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import SpecError
from superalign.research.inference import best_of
from superalign.research.ladder import Answer, Correct, Ladder, standard_error

N = 500
Told = Callable[[Correct], bool]
"""Whether the board says that these answers improved on the best."""


def laddered(step: float | None, start: float, budget: int, holder: Correct | None = None) -> Told:
    state = [Ladder(start, step, budget, holder=holder)]

    def submit(correct: Correct) -> bool:
        state[0], answer = state[0].submit(correct)
        return answer.improved

    return submit


def exact(start: float) -> Told:
    """A board that tells counts: the attacker compares each with the best."""
    best = [start]

    def submit(correct: Correct) -> bool:
        improved = bool(correct.mean() > best[0])
        best[0] = max(best[0], float(correct.mean()))
        return improved

    return submit


def climb(rng: np.random.Generator, told: Callable[[Correct], Told], k: int, block: int) -> float:
    """Keep random flips of a model that is right in 75 % where the board says so; the accuracy gained."""
    correct = rng.random(N) < 0.75
    begun, board = correct.mean(), told(correct)
    for _ in range(k):
        flipped = correct.copy()
        flipped[rng.choice(N, block, replace=False)] ^= True
        if board(flipped):
            correct = flipped
    return float(correct.mean() - begun)


def vote(rng: np.random.Generator, board: Told, k: int, signed: bool) -> float:
    """The majority of random submissions that improved, and with `signed` of the opposite of the others; over .5."""
    key, guesses = rng.integers(0, 2, N), rng.integers(0, 2, (k, N))
    said = np.array([board(g == key) for g in guesses])
    votes = (2 * guesses - 1)[said].sum(0) - ((2 * guesses - 1)[~said].sum(0) if signed else 0)
    final = np.where(votes == 0, rng.integers(0, 2, N), votes > 0)
    return float((final == key).mean() - 0.5)


def streams(count: int = 6) -> list[np.random.Generator]:
    return [np.random.default_rng([11, s]) for s in range(count)]


@pytest.mark.parametrize("k, block, exactly", [(200, 1, 0.083), (1000, 1, 0.22), (1000, 8, 0.058)])
def test_climbing_by_flips_gains_from_counts_and_not_from_steps(k: int, block: int, exactly: float) -> None:
    leaked = [climb(r, lambda c: exact(float(c.mean())), k, block) for r in streams()]
    assert np.mean(leaked) == pytest.approx(exactly, rel=0.35)
    for step in (0.01, 0.02):
        gained = [climb(r, lambda c, s=step: laddered(s, float(c.mean()), k), k, block) for r in streams()]
        assert np.mean(gained) <= (0.005 if block == 8 and step == 0.01 else 0.0)
        assert max(gained) <= step + 4 / N


@pytest.mark.parametrize("step, recovered", [(0.0, 1.0), (0.01, 0.0), (0.02, 0.0), (None, 0.0)])
def test_flipping_every_answer_once_recovers_a_key_from_counts_alone(step: float | None, recovered: float) -> None:
    """A step of 0 stands for counts: 500 wrong or right answers in 500 submissions."""
    correct = np.random.default_rng(5).random(N) < 0.75
    board = laddered(step, float(correct.mean()), N, correct) if step != 0 else None
    found = np.zeros(N, np.bool_)
    for k in range(N):
        flipped = correct.copy()
        flipped[k] ^= True
        found[k] = board(flipped) if board else flipped.mean() > correct.mean()
    assert found[~correct].mean() == recovered
    assert not found[correct].any()


@pytest.mark.parametrize("k", [50, 200, 1000])
def test_random_votes_gain_from_counts_and_from_steps_no_more_than_luck(k: int) -> None:
    over_half = [vote(r, lambda c: bool(c.mean() > 0.5), k, signed=False) for r in streams()]
    assert np.mean(over_half) == pytest.approx({50: 0.070, 200: 0.135, 1000: 0.293}[k], abs=0.03)
    luck = best_of(k) * 0.5 / math.sqrt(N)  # of the best of k random submissions
    for step in (0.01, 0.02):
        signed = [vote(r, laddered(step, 0.5, k), k, signed=True) for r in streams(8)]
        assert np.mean(signed) <= 0.015 + 0.021  # at most what was measured, and two standard errors of 8 repeats
        chosen = [vote(r, laddered(step, 0.5, k), k, signed=False) for r in streams(8)]
        assert np.mean(chosen) <= luck
        if k > 50:
            assert np.mean(chosen) < np.mean(over_half) / 2


@pytest.mark.parametrize("n", [10, 40, 41, 500, 1000, 2999])
def test_without_a_step_a_single_flip_tells_nothing(n: int) -> None:
    """It lies exactly on the border of one standard error, where floats once decided: on n = 10, 40 and 41 wrongly."""
    holder = np.zeros(n, np.bool_)
    holder[: n // 2] = True
    board = Ladder(0.5, None, 2 * n, holder=holder)
    for k in range(n):
        flipped = holder.copy()
        flipped[k] ^= True
        _, answer = board.submit(flipped)
        assert not answer.improved


def test_without_a_step_longer_flips_leak() -> None:
    """So it is not the default: flips of two are told as exactly as by counts."""
    twos = [climb(r, lambda c: laddered(None, float(c.mean()), 1000, c), 1000, 2) for r in streams(4)]
    assert 0.08 < np.mean(twos) < 0.16
    eights = [climb(r, lambda c: laddered(None, float(c.mean()), 1000, c), 1000, 8) for r in streams()]
    assert 0.005 < np.mean(eights) < 0.045


def rows(right: int, of: int = 100) -> Correct:
    return np.arange(of) < right


@settings(max_examples=60)
@given(st.integers(0, 100), st.integers(0, 2**100 - 1))
def test_without_a_step_the_rule_is_one_standard_error(held: int, changed: int) -> None:
    holder = rows(held)
    new = holder ^ np.array([changed >> k & 1 for k in range(100)], np.bool_)
    _, answer = Ladder(held / 100, None, 1, holder=holder).submit(new)
    gain = new.astype(float) - holder.astype(float)
    slack = gain.mean() - gain.std(ddof=1) / 10
    if abs(slack) > 1e-9:  # on the border whole numbers decide
        assert answer.improved == (slack > 0)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=30), st.sampled_from([0.01, 0.02, 0.043]))
def test_every_release_is_a_step_and_no_count_is_told(counts: list[int], step: float) -> None:
    board, best = Ladder(0.5, step, len(counts)), 0.5
    for right in counts:
        board, answer = board.submit(rows(right))
        assert answer.improved == (right / 100 > best + step)
        if answer.improved:
            assert answer.best > best + step / 2 - 1e-9
            assert answer.best == pytest.approx(right / 100, abs=step / 2 + 1e-9)
            assert answer.best / step == pytest.approx(round(answer.best / step), abs=1e-6)
        else:
            assert answer.best == best
        best = answer.best
    assert board.left == 0


@pytest.mark.parametrize("step", [0.02, None])
def test_a_copy_tells_nothing_and_costs_a_submission(step: float | None) -> None:
    board, first = Ladder(0.5, step, 3).submit(rows(80))
    assert first == Answer(True, 0.8, 2)
    board, second = board.submit(rows(80))
    assert second == Answer(False, 0.8, 1)
    board, _ = board.submit(rows(99))
    with pytest.raises(SpecError, match="all 3 submissions of this campaign are used; pre-register what you have"):
        board.submit(rows(100))


def test_without_a_step_the_score_itself_is_told_and_held() -> None:
    board = Ladder(0.5, None, 9)
    board, answer = board.submit(rows(54))
    assert not answer.improved  # less than a standard error over where it began
    board, answer = board.submit(rows(61))
    assert (answer.improved, answer.best) == (True, 0.61)
    board, answer = board.submit(rows(64))
    assert (answer.improved, answer.best) == (True, 0.64)  # three won, none lost
    _, answer = board.submit(np.roll(rows(66), 30))
    assert not answer.improved  # two more, but 30 won and 28 lost


def test_bad_input_is_told() -> None:
    with pytest.raises(SpecError, match="answers are one row of right or wrong, got bool of shape"):
        Ladder(0.5, 0.02, 3).submit(np.zeros(0, np.bool_))
    with pytest.raises(SpecError, match="got int64 of shape"):
        Ladder(0.5, 0.02, 3).submit(np.zeros(4, np.int64))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="a step of 0 is no step between two accuracies"):
        Ladder(0.5, 0.0, 3)
    with pytest.raises(SpecError, match="3 answers, but the best so far has 4; one board, one dataset"):
        Ladder(0.5, None, 3, holder=np.ones(4, np.bool_)).submit(np.ones(3, np.bool_))
    with pytest.raises(SpecError, match="1 items show no standard error; give at least 2"):
        standard_error(0.5, 1)


def test_the_usual_step() -> None:
    assert standard_error(0.75, 500) == pytest.approx(math.sqrt(0.75 * 0.25 / 500))
    assert standard_error(1.0, 100) == pytest.approx(math.sqrt(0.01 * 0.99 / 100))  # never 0
