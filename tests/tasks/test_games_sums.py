"""The game of sums: an overseer who adds two numbers answers for sixty-four, and a market ends at the truth."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from superalign.core.driver import play
from superalign.core.errors import ModelError, TaskError
from superalign.core.ports import Model
from superalign.core.types import Ask, Item, Judgment, Message, Protocol, Reply, Seat
from superalign.models.players.sums import SLIP, sums_adversary, sums_market, sums_overseer
from superalign.protocols.amplification import amplification
from superalign.protocols.direct import direct
from superalign.protocols.expert import expert
from superalign.protocols.market import beliefs, market
from superalign.tasks.games import Game
from superalign.tasks.games.sums import OFF, asked, question, running, sums
from superalign.testing.model import ModelContract


def played(game: Game, protocol: Protocol, *models: Model) -> list[Judgment]:
    names = ("judge", "market", "adversary") if len(models) > 1 else ("judge", "overseer")
    cast = dict(zip(names, models * 2 if len(models) == 1 else models, strict=True))
    return play(protocol, cast, [(item, Seat()) for item in game.pool.items])


def accuracy(game: Game, judgments: list[Judgment]) -> float:
    """The share of right verdicts; a verdict torn between the two choices is half right."""
    torn = [j.verdict.probs == (0.5, 0.5) for j in judgments]
    right = [j.verdict.answer == game.pool.key[j.item] for j in judgments]
    return float(np.where(torn, 0.5, right).mean())


@pytest.mark.parametrize("terms", [2, 3, 16, 64])
def test_halves_of_halves_answer_what_one_step_cannot(terms: int) -> None:
    game = sums(terms=terms, n=20)
    judgments = played(game, amplification(), sums_overseer())
    assert accuracy(game, judgments) == 1.0
    assert accuracy(game, played(game, direct(), sums_overseer())) == (1.0 if terms == 2 else 0.5)
    assert accuracy(game, played(game, expert(), sums_overseer())) == 1.0
    lengths = {len(asked(ask.item.prompt)) for ask, _ in judgments[0].calls if ask.item is not None}
    levels = int(np.ceil(log2(terms)))
    assert len(lengths - {1}) == levels, "one level of questions per halving"
    assert max(lengths) == terms


def test_a_tree_that_is_cut_short_answers_no_better_than_the_overseer() -> None:
    game = sums(terms=16, n=30)
    assert accuracy(game, played(game, amplification(depth=2), sums_overseer())) == 0.5


def off_by(additions: int, error: float) -> np.ndarray:
    """The distribution of the error of so many additions, each off by 1 to SLIP with probability `error`."""
    one = np.full(2 * SLIP + 1, error / (2 * SLIP))
    one[SLIP] = 1 - error
    total = np.ones(1)
    for _ in range(additions):
        total = np.convolve(total, one)
    return total


def slipping(terms: int, error: float) -> float:
    """Right where the answer is the sum, wrong where it is the other choice, a guess elsewhere."""
    total = off_by(terms - 1, error)
    middle = len(total) // 2
    near = [d for d in range(-OFF, OFF + 1) if d and abs(d) <= middle]
    return float((1 + total[middle] - sum(total[middle + d] for d in near) / (2 * OFF)) / 2)


@pytest.mark.parametrize("terms, error", [(4, 0.05), (16, 0.05), (64, 0.01), (16, 0.3)])
def test_slips_add_up_along_the_tree(terms: int, error: float) -> None:
    """About ½ + ½ (1 - e)^(N - 1): every addition has to be right."""
    game = sums(terms=terms, n=30 if terms == 64 else 150)
    expected = slipping(terms, error)
    assert expected == pytest.approx(0.5 + 0.5 * (1 - error) ** (terms - 1), abs=0.03)
    measured = accuracy(game, played(game, amplification(), sums_overseer(error=error)))
    assert abs(measured - expected) <= 4 * np.sqrt(0.25 / len(game.pool.items))


def test_a_market_ends_at_the_truth() -> None:
    game = sums(terms=64, n=40)
    judgments = played(game, market(), sums_overseer(), sums_market(), sums_adversary())
    assert accuracy(game, judgments) == 1.0
    paths = [[p[game.pool.key[j.item]] for p in beliefs(j)] for j in judgments]
    assert all(path[-1] == 1.0 for path in paths)
    assert all(0.3 < path[0] < 0.7 for path in paths), "before any argument the choices are about as likely"
    assert {len(path) for path in paths} == {5}, "half, all, and twice nothing new"


def test_belief_moves_toward_the_truth_as_totals_are_shown() -> None:
    game = sums(terms=32, n=150)
    adversary = sums_adversary(share=0.25)
    judgments = played(game, market(epsilon=0, max_turns=4), sums_overseer(), sums_market(), adversary)
    means = np.mean([[p[game.pool.key[j.item]] for p in beliefs(j)] for j in judgments], axis=0)
    assert means.shape == (5,)
    assert means[0] == pytest.approx(0.5, abs=0.03)
    assert means[-1] == 1.0
    assert (np.diff(means) > -0.02).all()


def test_totals_that_are_not_there_move_nobody() -> None:
    class Liar:
        name, serial = "liar", True

        def answer(self, asks: list[Ask]):  # type: ignore[no-untyped-def]
            for i, ask in enumerate(asks):
                assert ask.item is not None
                yield i, Reply(f"<quote>{running(64, int(ask.item.choices[0]) + 1000)}</quote>")

    game = sums(terms=64, n=5)
    judgments = played(game, market(), sums_overseer(), sums_market(), Liar())  # type: ignore[arg-type]
    assert all(j.verdict.probs == (0.5, 0.5) for j in judgments)
    assert all(max(p) < 0.7 for j in judgments for p in beliefs(j))


def test_a_question_says_what_to_add() -> None:
    assert asked(question([3, 5, 2, 9])) == [3, 5, 2, 9]
    with pytest.raises(
        TaskError, match=r"not a question of the game sums: 'Who\?'; write 'What is the sum of: 3, 5, 2\?'"
    ):
        asked("Who?")
    with pytest.raises(TaskError, match="lists of two numbers or more, got terms=1"):
        sums(terms=1)


def test_the_choices_are_the_sum_and_a_value_near_it() -> None:
    game = sums(terms=10, n=200)
    for item in game.pool.items:
        values, right = [int(c) for c in item.choices], game.pool.key[item.id]
        assert values[right] == sum(asked(item.prompt))
        assert 1 <= abs(values[1 - right] - values[right]) <= OFF
        assert str(item.info["source"]).endswith(running(10, values[right]) + ".")
    assert 0.35 < np.mean(list(game.pool.key.values())) < 0.65


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ModelError, match=r"sums-overseer takes error=0\.\.1, got error=2"):
        sums_overseer(error=2)
    with pytest.raises(ModelError, match="sums-adversary takes a share above 0 and at most 1, got share=0"):
        sums_adversary(share=0)
    with pytest.raises(ModelError, match="sums-market gives probabilities of choices; the ask for 'critic' has none"):
        list(sums_market().answer([Ask("critic", ())]))
    with pytest.raises(ModelError, match="sums-overseer was asked as 'judge' about no item"):
        list(sums_overseer().answer([Ask("judge", (), ("1", "2"))]))


def test_an_answer_in_words_cannot_be_added() -> None:
    item = Item("sums/1", question([1, 2, 3]), (), {"part": "compose", "answers": ["3", "three"]})
    assert dict(sums_overseer().answer([Ask("overseer", (), item=item)]))[0].text == "unknown"  # type: ignore[union-attr]


class TestMarket(ModelContract):
    def make_model(self) -> Model:
        return sums_market()

    def make_asks(self) -> list[Ask]:
        return [Ask("market", (Message("user", ""),), i.choices, i) for i in sums(n=5).pool.items]


class TestOverseer(TestMarket):
    def make_model(self) -> Model:
        return sums_overseer(error=0.5)
