"""The game of programs: its arithmetic, and what spot checks and bisection are worth to a judge of single steps."""

from __future__ import annotations

from math import ceil, comb, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.driver import play
from superalign.core.errors import ModelError, TaskError
from superalign.core.ports import Model
from superalign.core.registry import parse
from superalign.core.types import Ask, Item, Judgment, Message, Protocol, Reply, Seat
from superalign.models.players.programs import programs_judge, programs_player
from superalign.protocols.bisection import bisection
from superalign.protocols.consultancy import consultancy
from superalign.protocols.debate import debate
from superalign.protocols.direct import direct
from superalign.protocols.expert import expert
from superalign.tasks.games import Game
from superalign.tasks.games.programs import MODULUS, after, false_trace, programs, trace
from superalign.testing.model import ModelContract


def checked(steps: int, error: float, checks: int = 6) -> float:
    """Consultancy: the mean over a consultant who is right and one who is not of a judge with spot checks."""
    m = min(checks, steps)
    r, hit = m / steps, error / (MODULUS - 1)
    caught = 1 - (1 - error) ** (m - 1) * ((1 - r) * (1 - error) + r * hit)
    return ((1 - error) ** m + caught) / 2


def disputed(error: float, checks: int = 3) -> float:
    """Bisection: more of the judge's results agree with the truth than with the liar, a coin on ties."""

    def share(p: float) -> list[float]:
        return [comb(checks, k) * p**k * (1 - p) ** (checks - k) for k in range(checks + 1)]

    votes = np.outer(share(1 - error), share(error / (MODULUS - 1)))
    return float(np.tril(votes, -1).sum() + np.trace(votes) / 2)


def games(game: Game, assigned: bool) -> list[tuple[Item, Seat]]:
    sides = [(i, side) for i in game.pool.items for side in (i.choices if assigned else (None,))]
    return [(item, Seat(0, (0, 1), side)) for item, side in sides]


def played(game: Game, protocol: Protocol, judge: Model, assigned: bool = False) -> list[Judgment]:
    player = programs_player()
    return play(
        protocol, dict.fromkeys(("prover", "consultant", "debater"), player) | {"judge": judge}, games(game, assigned)
    )


def accuracy(game: Game, judgments: list[Judgment]) -> float:
    """The share of right verdicts; a verdict torn between the two choices is half right."""
    torn = [j.verdict.probs == (0.5, 0.5) for j in judgments]
    right = [j.verdict.answer == game.pool.key[j.item] for j in judgments]
    return float(np.where(torn, 0.5, right).mean())


def within(measured: float, expected: float, n: int) -> bool:
    """Within four standard errors."""
    return abs(measured - expected) <= 4 * np.sqrt(expected * (1 - expected) / n) + 1e-12


@pytest.mark.parametrize(
    "steps, known",
    [
        (4, (1.0, 0.828, 0.620)),
        (16, (0.688, 0.600, 0.522)),
        (64, (0.547, 0.525, 0.506)),
        (256, (0.512, 0.506, 0.501)),
        (1024, (0.503, 0.502, 0.500)),
    ],
)
def test_the_closed_forms_are_the_known_ones(steps: int, known: tuple[float, ...]) -> None:
    assert [checked(steps, e) for e in (0, 0.1, 0.3)] == pytest.approx(known, abs=6e-4)
    assert [disputed(e) for e in (0, 0.1, 0.3)] == pytest.approx((1.0, 0.9995, 0.9855), abs=6e-5)


@pytest.mark.parametrize("steps, n", [(4, 120), (16, 120), (64, 80), (256, 20), (1024, 6)])
def test_bisection_finds_what_spot_checks_miss(steps: int, n: int) -> None:
    game = programs(steps=steps, n=n)
    hearing = parse(game.protocols[1]).options
    for error in (0.0, 0.1, 0.3) if steps < 1024 else (0.3,):
        judge = programs_judge(error=error)
        consulted = accuracy(game, played(game, consultancy(**hearing), judge, assigned=True))
        judgments = played(game, bisection(), judge)
        debated = accuracy(game, judgments)
        assert within(consulted, checked(steps, error), 2 * n)
        assert within(debated, disputed(error), n)
        assert debated >= 0.95
        assert debated - consulted >= 0.3 or steps < 64
    asked = [sum(a.role == "prover/a" for a, _ in j.calls) for j in judgments]
    assert set(asked) == {ceil(log2(steps))}, "the provers are asked once per halving"
    assert all(sum(a.role == "judge" for a, _ in j.calls) == 6 for j in judgments)


def test_a_judge_alone_guesses() -> None:
    game = programs(steps=16, n=40)
    assert accuracy(game, played(game, direct(), programs_judge())) == 0.5


def test_two_complete_traces_are_held_against_each_other() -> None:
    """In debate the judge sees where they part, and needs no provers to find it."""
    game = programs(steps=16, n=100)
    judgments = played(game, debate(rounds=1), programs_judge(error=0.3))
    assert within(accuracy(game, judgments), disputed(0.3), 100)


def test_a_trace_that_is_cut_convinces_nobody() -> None:
    game = programs(steps=64, n=20)
    judgments = played(game, consultancy(rounds=1, words=50), programs_judge(), assigned=True)
    assert accuracy(game, judgments) == 0.5
    assert all(j.verdict.probs == (0.5, 0.5) for j in judgments)


def test_controls() -> None:
    game = programs(steps=32, n=100)
    judgments = played(game, bisection(), programs_judge())
    shuffled = np.random.default_rng(0).permutation([game.pool.key[j.item] for j in judgments])
    matched = float(np.mean([j.verdict.answer == k for j, k in zip(judgments, shuffled, strict=True)]))
    assert within(matched, 0.5, 100), "a shuffled key is matched by chance"

    turned = [Item(i.id, i.prompt, i.choices[::-1], i.info) for i in game.pool.items]
    cast = {"prover": programs_player(), "judge": programs_judge()}
    swapped = play(bisection(), cast, [(item, Seat()) for item in turned])
    right = np.mean([1 - game.pool.key[j.item] == j.verdict.answer for j in swapped])
    assert abs(right - accuracy(game, judgments)) <= 0.03, "either prover may be the honest one"

    full = programs_judge(error=0, checks=32)
    assert accuracy(game, played(game, consultancy(rounds=1), full, assigned=True)) == 1.0
    assert accuracy(game, played(game, expert(), programs_judge(error=0.3))) == 1.0


@given(st.integers(0, 96), st.integers(1, 60), st.integers(0, 200))
def test_a_liar_departs_once_and_is_then_consistent(start: int, steps: int, k: int) -> None:
    program = list(programs(steps=steps, n=1, seed=k).pool.items[0].info["program"])
    true, false = trace(start, program), false_trace(f"any {k}", start, program)
    agree = [a == b for a, b in zip(true, false, strict=True)]
    slip = agree.index(False)
    assert all(agree[:slip])
    assert not any(agree[slip:])
    assert slip > 0
    assert [after(step, x) for step, x in zip(program[slip:], false[slip:], strict=False)] == false[slip + 1 :]
    assert false == false_trace(f"any {k}", start, program)


@pytest.mark.parametrize(
    "step, x, y",
    [
        ("x -> x + 90 mod 97", 10, 3),
        ("x -> 5x mod 97", 20, 3),
        ("x -> x^2 + 7 mod 97", 10, 10),
        ("x -> 3x + 7 mod 97", 90, 83),
    ],
)
def test_steps_are_read_as_written(step: str, x: int, y: int) -> None:
    assert after(step, x) == y


def test_an_item_tells_speakers_the_trace_and_nobody_the_answer() -> None:
    game = programs(steps=8, n=100)
    for item in game.pool.items:
        values = trace(int(item.info["start"]), item.info["program"])
        assert item.choices[game.pool.key[item.id]] == str(values[-1])
        assert item.choices[0] != item.choices[1]
        assert str(item.info["source"]).endswith(f"after step 8: {values[-1]}")
    assert 0.3 < np.mean(list(game.pool.key.values())) < 0.7


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TaskError, match=r"'print\(1\)' is no step of a program; write one like 'x -> 3x \+ 7 mod 97'"):
        after("print(1)", 3)
    with pytest.raises(TaskError, match="at least one step and one program, got steps=0, n=300"):
        programs(steps=0)
    with pytest.raises(ModelError, match=r"takes error=0\.\.1 and checks=1 or more, got error=1\.5, checks=6"):
        programs_judge(error=1.5)
    with pytest.raises(ModelError, match="plays items of the game programs; the ask for 'prover/a' has none"):
        list(programs_player().answer([Ask("prover/a", ())]))
    item = programs(steps=4, n=1).pool.items[0]
    other = Item(item.id, item.prompt, item.choices, {**item.info, "assigned": "100"})
    with pytest.raises(ModelError, match=f"knows computations of '{item.id}' that end in .*, not 100"):
        list(programs_player().answer([Ask("prover/a", (), item=other)]))


def test_a_step_that_is_none_gets_no_value() -> None:
    ask = Ask("judge", (Message("user", "From state nowhere apply step 3: dance. What is the state after it?"),))
    assert list(programs_judge().answer([ask])) == [(0, Reply("no step to evaluate"))]


class TestJudge(ModelContract):
    def make_model(self) -> Model:
        return programs_judge(error=0.5)

    def make_asks(self) -> list[Ask]:
        steps = [f"From state {k} apply step 3: x -> 3x + 7 mod 97. What is the state after it?" for k in range(5)]
        return [Ask("judge", (Message("user", step),)) for step in steps]


class TestPlayer(ModelContract):
    def make_model(self) -> Model:
        return programs_player()

    def make_asks(self) -> list[Ask]:
        return [Ask("prover/a", (Message("user", "speak"),), item=item) for item in programs(steps=5, n=5).pool.items]
