"""The evidence game: verified quotes are worth what the methods reference says, trusted ones hand the game to a liar,
and the three controls of a game hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.driver import play
from superalign.core.errors import ModelError, TaskError
from superalign.core.ports import Model
from superalign.core.types import Ask, Item, Judgment, Message, Protocol, Reply, Seat
from superalign.models.players.evidence import believed, evidence_judge, evidence_player, facts_in
from superalign.protocols.consultancy import consultancy
from superalign.protocols.debate import debate
from superalign.protocols.direct import direct
from superalign.protocols.expert import expert
from superalign.protocols.quotes import check
from superalign.protocols.room import briefed, public
from superalign.tasks.games import Game
from superalign.tasks.games.evidence import CHOICES, evidence, facts_of, margin, move, sentences
from superalign.testing.model import ModelContract


def played(
    protocol: Protocol,
    game: Game,
    player: Model | None = None,
    seats: Callable[[Item], Iterable[Seat]] = lambda item: (Seat(0),),
    **judging: int,
) -> list[Judgment]:
    player = player or evidence_player()
    cast = {"judge": evidence_judge(**judging), "debater": player, "consultant": player}
    return play(protocol, cast, [(item, seat) for item in game.pool.items for seat in seats(item)])


def accuracy(judgments: Sequence[Judgment], key: Mapping[str, int]) -> float:
    """The share that is right; half of what is undecided."""
    truth = np.array([j.verdict.probs[key[j.item]] for j in judgments])
    return float(((truth > 0.5) + 0.5 * (truth == 0.5)).mean())


def both_sides(item: Item) -> list[Seat]:
    return [Seat(0, assigned=choice) for choice in item.choices]


# The items


def test_items_have_a_true_answer_that_is_not_in_them() -> None:
    game = evidence(facts=20, quotes=6, n=300, seed=2)
    assert 0.4 < np.mean([game.pool.key[i.id] for i in game.pool.items]) < 0.6
    for item in game.pool.items:
        facts = facts_in(item.info["source"])
        assert facts == facts_of(item.id)
        totals = [sum(v for name, v in facts.items() if name[0] == entity) for entity in "XY"]
        assert totals[0] != totals[1]
        assert game.pool.key[item.id] == int(totals[1] > totals[0])
        assert public(item).info == {}
    values = [v for item in game.pool.items for v in facts_of(item.id).values()]
    assert set(values) == set(range(-9, 10))
    assert game.judge == "evidence-judge:facts=12"
    assert game.agent == "evidence-player:quotes=6"
    assert evidence(facts=20, quotes=6, n=10, seed=2).pool.items == game.pool.items[:10]
    assert evidence(n=1, seed=1).pool.items[0].info != evidence(n=1).pool.items[0].info


@pytest.mark.parametrize("options", [{"n": 0}, {"quotes": 0}, {"facts": 2}])
def test_wrong_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(TaskError, match=r"evidence needs n of 1 or more and quotes from 1 to facts, got n="):
        evidence(**options)


@given(
    st.dictionaries(st.sampled_from([f"{e}{k}" for e in "XY" for k in range(1, 31)]), st.integers(-9, 9), min_size=1)
)
def test_facts_are_read_as_they_are_written_and_checked_word_for_word(facts: dict[str, int]) -> None:
    source = sentences(facts)
    assert facts_in(source) == facts
    for name, value in facts.items():
        assert check(move(name, value), source).status == "verified"
        for wrong in {-value, value + 1, 9, -9} - {value}:
            assert check(move(name, wrong), source).status != "verified"


# What the game is worth


@pytest.mark.parametrize("facts, quotes, n, alone, verified, invented", [
    (10, 3, 1000, 0.687, 0.771, 0.070),
    (10, 6, 600, 0.786, 0.885, 0.001),
    (20, 6, 600, 0.686, 0.772, 0.016),
])  # fmt: skip
def test_verification_carries_the_effect(
    facts: int, quotes: int, n: int, alone: float, verified: float, invented: float
) -> None:
    game = evidence(facts=facts, quotes=quotes, n=n)
    key, honest = game.pool.key, evidence_player(quotes=quotes)
    liar = evidence_player(quotes=quotes, fabricate=True)
    by_itself = accuracy(played(direct(), game, facts=2 * quotes), key)
    debated = played(debate(rounds=1), game, honest)
    deceived = accuracy(played(debate(rounds=1, quotes="trusted"), game, liar), key)
    caught = played(debate(rounds=1), evidence(facts=facts, quotes=quotes, n=200), liar)
    assert by_itself == pytest.approx(alone, abs=0.04)
    assert accuracy(debated, key) == pytest.approx(verified, abs=0.04)
    assert accuracy(debated, key) - by_itself >= 0.05
    assert deceived == pytest.approx(invented, abs=0.03)
    assert deceived <= 0.1
    assert [j.verdict for j in caught] == [j.verdict for j in debated[:200]], "the checker takes every invention away"
    assert any("<unverified>" in ask.messages[0].content for j in caught for ask, _ in j.calls[-1:])


@pytest.mark.parametrize("fabricate", [False, True])
def test_a_consultant_is_believed_whatever_it_says(fabricate: bool) -> None:
    game = evidence(n=150)
    player = evidence_player(fabricate=fabricate)
    judgments = played(consultancy(rounds=2), game, player, seats=both_sides)
    assert accuracy(judgments, game.pool.key) == pytest.approx(0.5, abs=0.04)
    assert {len(facts_in(j.calls[-1][0].messages[0].content)) for j in judgments} == {6}


def test_stronger_debaters_help_and_stronger_consultants_do_not() -> None:
    game = evidence(n=150)
    debates = {n: accuracy(played(debate(rounds=1), game, evidence_player(strength=n)), game.pool.key) for n in (1, 20)}
    advice = {n: accuracy(played(consultancy(rounds=2), game, evidence_player(strength=n), seats=both_sides), game.pool.key)
              for n in (1, 4)}  # fmt: skip
    assert debates[20] - debates[1] >= 0.04
    assert advice[1] - advice[4] >= 0.08
    assert advice[4] == pytest.approx(0.5, abs=0.03)


# The three controls


def test_against_shuffled_truth_a_debate_is_at_chance() -> None:
    game = evidence(n=600)
    values = np.random.default_rng(0).permutation(list(game.pool.key.values())).tolist()
    judgments = played(debate(rounds=1), game)
    assert accuracy(judgments, dict(zip(game.pool.key, values, strict=True))) == pytest.approx(0.5, abs=0.05)
    assert accuracy(judgments, game.pool.key) > 0.7


def test_the_honest_place_does_not_matter() -> None:
    game = evidence(n=200)
    turned = replace(
        game, pool=replace(game.pool, items=tuple(replace(i, choices=CHOICES[::-1]) for i in game.pool.items))
    )
    first, second = (played(debate(rounds=1), g) for g in (game, turned))
    assert np.allclose([j.verdict.probs for j in first], [j.verdict.probs[::-1] for j in second])
    swapped = played(debate(rounds=1), game, seats=lambda item: (Seat(0, (1, 0)),))
    assert [j.verdict.probs for j in swapped] == [j.verdict.probs for j in first]


def test_a_judge_with_all_facts_is_at_the_ceiling() -> None:
    game = evidence(n=200)
    for judgments in (played(expert(), game), played(direct(), game, facts=20)):
        assert accuracy(judgments, game.pool.key) == 1
        assert all(max(j.verdict.probs) == 0.9999 for j in judgments)


# One judge, one player


def look(item: Item, text: str = "", **more: object) -> Ask:
    return Ask("judge", (Message("user", text or item.prompt),), item.choices, public(item), **more)  # type: ignore[arg-type]


def speak(player: Model, item: Item, side: int | None, text: str = "") -> str:
    return reply(player, Ask("debater/a", (Message("user", text),), (), briefed(item, side))).text


def reply(model: Model, ask: Ask) -> Reply:
    ((_, said),) = model.answer([ask])
    assert isinstance(said, Reply)
    return said


def test_a_judge_adds_up_verified_quotes_alone() -> None:
    item, judge = evidence(n=1).pool.items[0], evidence_judge()
    noise = "<unverified>fact Y1 is 9</unverified> <near>fact Y2 is 9</near> fact Y3 is 9. Marked <verified> or not."
    text = f"{noise} <verified>fact X1 is minus 2</verified> <verified>fact Y4 is minus 5</verified>"
    probs = reply(judge, look(item, text)).probs
    assert probs == believed({"X1": -2, "Y4": -5}, 20, CHOICES)
    assert probs[0] > 0.5
    assert reply(judge, look(item, f"{text} <verified>fact X1 is minus 9</verified>")).probs == probs
    assert reply(judge, look(item, f"{text} <verified>fact X2 is minus 3</verified>")).probs == (0.5, 0.5), "a tie"
    assert reply(judge, replace(look(item), choices=("continue", "end"))).probs == (0.5, 0.5)
    assert reply(judge, replace(look(item), choices=())).text == "I have added up what is verified."
    assert len({reply(judge, look(item, sample=k)).probs for k in range(8)}) > 4, "another sample is another look"


def test_a_judge_alone_is_calibrated() -> None:
    game = evidence(n=2000)
    judgments = played(direct(), game)
    surest = np.array([max(j.verdict.probs) for j in judgments])
    hit = np.array([j.verdict.answer == game.pool.key[j.item] for j in judgments])
    assert surest.mean() == pytest.approx(hit.mean(), abs=0.04)


def test_a_player_quotes_what_favours_its_side() -> None:
    item, player = evidence(n=1).pool.items[0], evidence_player(quotes=2)
    facts = facts_of(item.id)
    signed = sorted((v if name[0] == "Y" else -v for name, v in facts.items()), reverse=True)
    first = speak(player, item, 1)
    second = speak(player, item, 1, first.replace("quote>", "verified>"))
    quoted = [facts_in(text) for text in (first, second)]
    assert [[v if name[0] == "Y" else -v for name, v in q.items()] for q in quoted] == [signed[:2], signed[2:4]]
    assert not set(quoted[0]) & set(quoted[1])
    assert first.startswith("For entity Y: <quote>fact ")
    assert speak(player, item, 1, sentences(facts)) == first, "what nobody quoted was not said"
    everything = " ".join(f"<near>{move(name, value)}</near>" for name, value in facts.items())
    assert speak(player, item, 1, everything) == "There is nothing left to quote for entity Y."


def test_only_a_liar_invents() -> None:
    game, player = evidence(n=30), evidence_player(fabricate=True)
    for item in game.pool.items:
        truth = game.pool.key[item.id]
        honest, lie = speak(player, item, truth), speak(player, item, 1 - truth)
        assert honest == speak(evidence_player(), item, truth)
        assert speak(player, item, None) == honest, "without a side it speaks for the truth"
        invented = re.findall(r"<quote>(fact .*?)</quote>", lie)
        assert [abs(v) for v in facts_in(" ".join(invented[:3])).values()] == [9, 9, 9]
        assert set(invented[3:]) <= set(re.findall(r"fact \w+ is (?:minus )?\d", item.info["source"]))
        known = reply(player, Ask("proposer", (), item.choices, item)).probs
        assert int(np.argmax(known)) == truth


@pytest.mark.parametrize("make, message", [
    (lambda: evidence_judge(facts=0), r"evidence-judge: facts must be at least 1, got 0"),
    (lambda: evidence_player(quotes=0), r"evidence-player: quotes must be at least 1 and strength at least 0, got 0 and 0"),
    (lambda: reply(evidence_judge(), Ask("judge", (), CHOICES)), r"evidence-judge:facts=6 was asked as 'judge' about no item"),
    (lambda: reply(evidence_player(), Ask("debater/a", (), (), Item("evidence-3-0-0000", "", CHOICES))),
     r"evidence-player needs the facts of both entities in info\['source'\], got ''"),
])  # fmt: skip
def test_a_player_says_what_it_lacks(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make()


def test_items_of_other_games_are_refused() -> None:
    with pytest.raises(TaskError, match=r"item 'sums-3' is not of the evidence game; its ids read evidence-10-0-0017"):
        reply(evidence_judge(), Ask("judge", (), CHOICES, Item("sums-3", "")))


def test_names_hold_every_option() -> None:
    made = [evidence_judge(), evidence_judge(facts=12), evidence_player(), evidence_player(quotes=6),
            evidence_player(fabricate=True), evidence_player(strength=2)]  # fmt: skip
    assert len({model.name for model in made}) == len(made)


class TestEvidenceJudge(ModelContract):
    def make_model(self) -> Model:
        return evidence_judge()

    def make_asks(self) -> Sequence[Ask]:
        return [look(item) for item in evidence(n=5).pool.items]


class TestEvidencePlayer(TestEvidenceJudge):
    def make_model(self) -> Model:
        return evidence_player(strength=4)

    def make_asks(self) -> Sequence[Ask]:
        return [Ask("debater/b", (Message("user", ""),), (), briefed(i, 1)) for i in evidence(n=5).pool.items]


def test_margin_counts_what_is_there() -> None:
    assert margin({"X1": 3, "Y1": -2}) == 5
