from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.driver import play
from superalign.core.errors import SpecError
from superalign.core.types import Ask, Item, Judgment, Moves, Protocol, Reply, Seat, Verdict
from superalign.models.players.sums import sums_overseer
from superalign.models.scripted import Scripted
from superalign.protocols.amplification import amplification, sub_questions
from superalign.tasks.games.sums import asked, question, sums
from superalign.testing.protocol import ProtocolContract

FOUR = Item("four", question([1, 2, 3, 4]), ("9", "10"), {"source": "secret totals"})


class TestAmplification(ProtocolContract):
    roles = ("overseer",)
    blind = ("overseer",)

    def protocol(self) -> Protocol:
        return amplification()


def game(overseer: object, item: Item = FOUR, order: tuple[int, ...] = (), **options: int) -> Judgment:
    model = overseer if hasattr(overseer, "answer") else Scripted("overseer", overseer)
    return play(amplification(**options), {"overseer": model}, [(item, Seat(order=order))])[0]


def parts(judgment: Judgment) -> list[tuple[str, str]]:
    return [(str(a.item.info["part"]), a.item.prompt) for a, _ in judgment.calls if a.item]


@pytest.mark.parametrize("terms", [2, 3, 7, 32])
def test_an_overseer_who_adds_two_numbers_adds_many(terms: int) -> None:
    world = sums(terms=terms, n=10)
    games = [(item, Seat(order=order)) for item in world.pool.items for order in ((0, 1), (1, 0))]
    judgments = play(amplification(), {"overseer": sums_overseer()}, games)
    assert [j.verdict.answer for j in judgments] == [world.pool.key[j.item] for j in judgments]


def test_each_part_is_seen_alone_and_composed_from_answers_only() -> None:
    judgment = game(sums_overseer())
    seen = [(a.item.info["part"], a.messages[-1].content) for a, _ in judgment.calls if a.item]
    halves = [text for part, text in seen if part == "answer"]
    assert len(halves) == 2
    assert all(question([1, 2, 3, 4]) not in text for text in halves)
    (composed,) = [text for part, text in seen if part == "compose"]
    assert f"sub: {question([1, 2])}\nanswer: 3\nsub: {question([3, 4])}\nanswer: 7" in composed
    assert all("secret" not in text for _, text in seen)
    assert judgment.verdict == Verdict(1, (0.0, 1.0))


def test_siblings_are_asked_in_one_turn() -> None:
    """Three levels of splits for 16 numbers: turns are counted by level, not by node."""
    model, item = sums_overseer(), sums(terms=16, n=1).pool.items[0]
    turns = 0

    def counted(item: Item, seat: Seat) -> Moves:
        nonlocal turns
        moves, replies = amplification()(item, seat), None
        with contextlib.closing(moves):
            while True:
                try:
                    asks = moves.send(replies)
                except StopIteration as end:
                    return end.value
                turns += 1
                replies = yield asks

    assert play(counted, {"overseer": model}, [(item, Seat())])[0].verdict.answer is not None
    assert turns == 3 * 2 + 2 + 3


def test_a_repeated_question_is_composed_twice_and_answered_once() -> None:
    item = Item("twins", question([5, 6, 5, 6]), ("11", "22"))
    judgment = game(sums_overseer(), item)
    assert judgment.verdict.answer == 1
    later = Item("later", question([1, 2, 3]), ("6", "7"))

    def says(ask: Ask) -> Reply:
        """Splits off the same question on two levels."""
        assert ask.item is not None
        if ask.choices:
            return Reply("split" if len(asked(ask.item.prompt)) > 1 else "answer")
        if ask.item.info["part"] == "split":
            rest = asked(ask.item.prompt)[1:]
            return Reply("\n".join(f"sub: {question(x)}" for x in ([9], rest)))
        return Reply("0")

    texts = [prompt for part, prompt in parts(game(says, later)) if part == "answer"]
    assert texts.count(question([9])) == 1


@pytest.mark.parametrize("options", [{"depth": 0}, {"nodes": 1}, {"nodes": 2}])
def test_limits_are_hard(options: dict[str, int]) -> None:
    """An overseer that would always split answers by itself at the limit."""
    judgment = game(sums_overseer(), **options)
    assert ("compose", FOUR.prompt) not in parts(judgment)
    assert ("answer", FOUR.prompt) in parts(judgment)
    assert parts(judgment)[-1][0] == "conclude"


@given(st.integers(0, 4), st.integers(1, 12))
def test_no_tree_is_larger_than_its_limits(depth: int, nodes: int) -> None:
    def greedy(ask: Ask) -> Reply:
        assert ask.item is not None
        if ask.choices:
            return Reply("split" if "split" in ask.choices else "9")
        part, asking = ask.item.info["part"], ask.item.prompt
        return Reply("\n".join(f"sub: {asking} {k}" for k in range(3)) if part == "split" else "maybe")

    found = parts(game(greedy, depth=depth, nodes=nodes))
    answered = [prompt for part, prompt in found if part in ("answer", "compose")]
    assert len(answered) == len(set(answered)) <= nodes
    assert max(len(prompt) - len(FOUR.prompt) for prompt in answered) <= 2 * depth


@pytest.mark.parametrize(
    "decision, split",
    [("hm", "sub: a\nsub: b"), ("split", "no idea"), ("split", ""), ("split", f"sub: {FOUR.prompt.upper()}\nsub: b")],
)
def test_what_cannot_be_read_or_goes_round_is_answered_alone(decision: str, split: str) -> None:
    replies = {"decide": decision, "split": split, "answer": "10"}
    judgment = game(lambda ask: replies[ask.item.info["part"]])
    assert judgment.verdict.answer == 1
    assert parts(judgment)[-1] == ("answer", FOUR.prompt)


def test_an_answer_in_other_words_is_put_to_the_overseer() -> None:
    replies = {"decide": "answer", "answer": "ten", "conclude": "(A)"}
    judgment = game(lambda ask: replies[ask.item.info["part"]], order=(1, 0))
    last = judgment.calls[-1][0]
    assert "worked out: ten" in last.messages[0].content
    assert (last.choices, judgment.verdict.answer) == (("10", "9"), 1)
    assert "source" not in last.item.info


def test_an_item_without_choices_is_answered_by_the_text() -> None:
    assert game(sums_overseer(), Item("free", question([1, 2, 3]))).verdict == Verdict("6")


@pytest.mark.parametrize("part", ["decide", "split", "answer", "compose", "conclude"])
def test_a_failed_call_ends_the_game(part: str) -> None:
    def fails(ask: Ask) -> Reply:
        assert ask.item is not None
        here = ask.item.info["part"]
        if here == part:
            return Reply(failure="offline")
        long = len(ask.item.prompt) > 1
        said = {"decide": "split" if long else "answer", "split": "sub: a\nsub: b"}
        return Reply(said.get(here, "something"))

    assert "offline" in (game(fails).verdict.abstained or "")


def test_sub_questions_are_lines() -> None:
    assert sub_questions("first:\n sub:  one? \nSUB: two\nsub:\nsub: one?") == ("one?", "two", "one?")
    assert sub_questions("sub: one\nsub: Two.", above=("two",)) == ()


def test_limits_are_checked() -> None:
    with pytest.raises(SpecError, match="depth=0 or more and nodes=1 or more, got depth=-1, nodes=128"):
        amplification(depth=-1)
