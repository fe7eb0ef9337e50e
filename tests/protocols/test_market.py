from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.driver import play
from superalign.core.errors import SpecError
from superalign.core.types import Item, Judgment, Protocol, Reply, Seat
from superalign.models.players.sums import sums_adversary, sums_market, sums_overseer
from superalign.models.scripted import Scripted
from superalign.protocols.market import Losses, beliefs, losses, market, moved
from superalign.tasks.games.sums import sums
from superalign.testing.protocol import ProtocolContract

ITEM = Item("q", "Is the sky green?", ("no", "yes"), {"source": "the sky was green that day"})


class TestMarket(ProtocolContract):
    roles = ("market", "adversary", "judge")

    def protocol(self) -> Protocol:
        return market()


def game(
    prices: list[Reply],
    order: tuple[int, ...] = (),
    said: Reply | str = "<quote>the sky was green</quote>",
    **options: float,
) -> Judgment:
    left = iter(prices)
    cast = {
        "market": Scripted("market", lambda ask: next(left)),
        "adversary": Scripted("adversary", lambda ask: said),
        "judge": Scripted("judge", lambda ask: Reply(probs=(0.2, 0.8))),
    }
    return play(market(**options), cast, [(ITEM, Seat(order=order))])[0]


def priced(*yes: float) -> list[Reply]:
    return [Reply(probs=(1 - p, p)) for p in yes]


def arguments(judgment: Judgment) -> int:
    return sum(a.role == "adversary" for a, _ in judgment.calls)


@pytest.mark.parametrize(
    "prices, options, expected",
    [
        ((0.5, 0.9, 0.91, 0.92), {"settle": 2}, 3),
        ((0.5, 0.51), {"settle": 1}, 1),
        ((0.5, 0.9, 0.91, 0.2, 0.21, 0.22), {"settle": 2}, 5),
        ((0.1, 0.9, 0.1, 0.9), {"max_turns": 3}, 3),
        ((0.5, 0.55), {"settle": 1, "epsilon": 0.0500001}, 1),
        ((0.5, 0.75, 0.75), {"settle": 1, "epsilon": 0.25}, 2),
        ((0.5, 0.55, 0.6), {"settle": 1, "epsilon": 0.04, "max_turns": 2}, 2),
    ],
)
def test_it_stops_when_the_prediction_has_settled_or_at_the_last_turn(
    prices: tuple[float, ...], options: dict[str, float], expected: int
) -> None:
    judgment = game(priced(*prices), **options)
    assert arguments(judgment) == expected
    assert [b[1] for b in beliefs(judgment)] == pytest.approx(prices)
    assert judgment.verdict.probs == (0.2, 0.8)


def test_market_and_adversary_see_the_source_and_the_judge_the_checked_arguments() -> None:
    judgment = game(priced(0.5, 0.51), settle=1)
    seen = {a.role: a.messages[0].content for a, _ in judgment.calls}
    assert "that day" in seen["market"]
    assert "(A) 50%, (B) 50%" in seen["adversary"]
    assert "1. <verified>the sky was green</verified>" in seen["judge"]
    assert "that day" not in seen["judge"]
    assert all("source" not in a.item.info for a, _ in judgment.calls if a.item and a.role == "judge")


def test_beliefs_are_in_the_items_own_order() -> None:
    assert beliefs(game(priced(0.7, 0.71), order=(1, 0), settle=1))[0] == pytest.approx((0.7, 0.3))


def test_a_prediction_that_cannot_be_read_counts_as_a_move() -> None:
    bad = Reply("who knows")
    judgment = game([*priced(0.5), bad, bad, *priced(0.5, 0.5)], settle=1)
    assert arguments(judgment) == 3
    assert len(beliefs(judgment)) == 3
    assert "nothing readable" in [a for a, _ in judgment.calls if a.role == "adversary"][1].messages[0].content


def test_a_bare_choice_is_certainty() -> None:
    assert beliefs(game([Reply("yes"), Reply("B")], settle=1)) == ((0.0, 1.0), (0.0, 1.0))


def test_a_failed_call_ends_the_game() -> None:
    assert game([Reply(failure="gone")]).verdict.abstained == "failed: market: gone"
    assert game(priced(0.5), said=Reply(failure="gone")).verdict.abstained == "failed: adversary: gone"


@pytest.mark.parametrize("options", [{"epsilon": 1.5}, {"settle": 0}, {"max_turns": 0}, {"epsilon": math.nan}])
def test_options_that_make_no_market_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=r"market takes epsilon=0\.\.1, settle=1 or more, max_turns=1 or more"):
        market(**options)


def test_losses_are_hubingers_for_two_choices() -> None:
    found = losses([(0.5, 0.5), (0.2, 0.8)], (0.25, 0.75))
    p, q = 0.75, 0.8
    assert found.market[0] == pytest.approx(math.log(2))
    assert found.market[1] == pytest.approx(-p * math.log(q) - (1 - p) * math.log(1 - q))
    assert found.adversary == pytest.approx((-0.3,))
    assert losses([], (0.5, 0.5)) == Losses((), ())
    assert losses([(1.0, 0.0)], (0.0, 1.0)).market == pytest.approx((-math.log(1e-4),))


simplex = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda w: tuple(x / sum(w) for x in w))


@given(simplex, simplex, simplex)
def test_the_markets_loss_is_least_at_the_judges_belief_and_moves_are_a_metric(
    a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]
) -> None:
    assert losses([b], b).market[0] <= losses([a], b).market[0] + 1e-9
    assert 0 <= moved(a, b) <= 1
    assert moved(a, b) == pytest.approx(moved(b, a))
    assert moved(a, c) <= moved(a, b) + moved(b, c) + 1e-9


def test_a_market_knows_sums_that_the_judge_cannot_add() -> None:
    world = sums(terms=16, n=30)
    cast = {"market": sums_market(), "adversary": sums_adversary(), "judge": sums_overseer()}
    judgments = play(market(), cast, [(item, Seat()) for item in world.pool.items])
    assert [j.verdict.answer for j in judgments] == [world.pool.key[j.item] for j in judgments]
    assert all(beliefs(j)[-1][world.pool.key[j.item]] == 1 for j in judgments)
    assert all(losses(beliefs(j), j.verdict.probs).market[-1] == 0 for j in judgments)
