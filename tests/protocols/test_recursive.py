from __future__ import annotations

from pathlib import Path

import pytest

from superalign.core.driver import play
from superalign.core.errors import SpecError
from superalign.core.types import Ask, Item, Judgment, Protocol, Reply, Seat
from superalign.models.scripted import Scripted
from superalign.protocols.critique import critique
from superalign.protocols.recursive import Question, levelled, questions_in, recursive
from superalign.protocols.template import FOLDER
from superalign.testing.protocol import ProtocolContract

ITEM = Item("q", "Did the ship sink?", ("no", "yes"), {"source": "the ship went under at dawn"})


class TestRecursive(ProtocolContract):
    roles = ("assistant", "judge")

    def protocol(self) -> Protocol:
        return recursive()


class TestRecursiveWithCritique(ProtocolContract):
    roles = ("assistant", "judge", "critic")

    def protocol(self) -> Protocol:
        return recursive(assist="critique")


def judge(ask: Ask) -> Reply:
    """Holds answers that quote to be right with .9, others with .2."""
    if set(ask.choices) == {"wrong", "right"}:
        answer = ask.messages[0].content.partition("It answered:")[2]
        p = 0.9 if "<verified>" in answer else 0.2
        return Reply(probs=tuple(p if c == "right" else 1 - p for c in ask.choices))
    return Reply(probs=tuple(0.8 if c == "yes" else 0.2 for c in ask.choices))


def assistant(ask: Ask) -> Reply:
    return Reply("<quote>the ship went under</quote>" if "Which facts" in ask.messages[0].content else "(B), I think")


CAST = {
    "judge": Scripted("judge", judge),
    "assistant": Scripted("assistant", assistant),
    "critic": Scripted("critic", lambda ask: "a critique"),
}


def game(
    order: tuple[int, ...] = (), judging: object = judge, helping: object = assistant, **options: object
) -> Judgment:
    cast = {**CAST, "judge": Scripted("judge", judging), "assistant": Scripted("assistant", helping)}
    return play(recursive(**options), cast, [(ITEM, Seat(2, order))])[0]


def written(tmp_path: Path, questions: str) -> str:
    built_in = (FOLDER / "recursive.txt").read_text(encoding="utf-8")
    path = tmp_path / "recursive.txt"
    path.write_text(
        f"== questions ==\n{questions}\n\n" + built_in[built_in.index("== assistant ==") :], encoding="utf-8"
    )
    return str(path)


def test_the_judge_reads_answers_with_the_probability_that_they_are_right() -> None:
    judgment = game()
    last = judgment.calls[-1][0].messages[0].content
    assert "An assistant (judged right with 90%): <verified>the ship went under</verified>" in last
    assert "An assistant (judged right with 20%): (B), I think" in last
    assert "at dawn" not in last
    assert judgment.verdict.probs == pytest.approx((0.2, 0.8))


def test_judges_see_no_source_and_assistants_do() -> None:
    for ask, _ in game().calls:
        assert ask.item is not None
        assert ("source" in ask.item.info) == (ask.role == "assistant")
        assert ("at dawn" in ask.messages[0].content) == (ask.role == "assistant")


def test_questions_wait_for_those_that_help_with_them() -> None:
    """Two questions side by side, then the one that is given their findings; each is judged in a game of its own."""
    judgment = game()
    assert [a.role for a, _ in judgment.calls] == ["assistant"] * 2 + ["judge"] * 2 + ["assistant", "judge", "judge"]
    third = judgment.calls[4][0].messages[0].content
    assert third.count("An assistant (judged right with") == 2
    assert "judged right" not in judgment.calls[0][0].messages[0].content
    assert len({a.item.id for a, _ in judgment.calls if a.item and a.role == "judge"}) == 4


def test_a_question_is_given_the_findings_it_waits_for_and_no_others(tmp_path: Path) -> None:
    judgment = game(template=written(tmp_path, "a: one?\nb: two?\nc <- b: three?"))
    asked = [a.messages[0].content for a, _ in judgment.calls if a.role == "assistant"]
    assert [text.count("An assistant (judged right with") for text in asked] == [0, 0, 1]
    assert "Asked: two?" in asked[2]


def test_evaluations_are_shown_in_an_order_of_the_seat() -> None:
    games = [play(recursive(), CAST, [(ITEM, Seat(seed))])[0] for seed in range(20)]
    orders = [a.choices for j in games for a, _ in j.calls if a.item and a.item.id == "q/facts" and a.choices]
    assert 4 <= orders.count(("right", "wrong")) <= 16


def test_both_orders_share_the_evaluations_and_findings_are_relabelled() -> None:
    first, second = game((0, 1)), game((1, 0))
    assert first.calls[:-1] == second.calls[:-1]
    assert "20%): (A), I think" in second.calls[-1][0].messages[0].content
    assert first.verdict.probs == pytest.approx(second.verdict.probs)


@pytest.mark.parametrize("assist", ["critique", critique()])
def test_another_protocol_may_judge_the_answers(assist: object) -> None:
    judgment = game(assist=assist)
    assert sum(a.role == "critic" for a, _ in judgment.calls) == 3


def test_it_nests_in_itself() -> None:
    judgment = game(assist=recursive(assist="critique"))
    assert sum(a.role == "critic" for a, _ in judgment.calls) == 9
    assert sum(a.role == "assistant" for a, _ in judgment.calls) == 3 + 9
    assert judgment.verdict.answer == 1


def test_an_evaluation_that_abstains_leaves_its_finding_unjudged() -> None:
    def mumbles(ask: Ask) -> Reply:
        return judge(ask) if set(ask.choices) == {"no", "yes"} else Reply("who knows")

    judgment = game(judging=mumbles)
    assert judgment.calls[-1][0].messages[0].content.count("its answer could not be judged") == 3
    assert judgment.verdict.answer == 1


def test_a_failed_assistant_ends_the_game() -> None:
    assert game(helping=lambda ask: Reply(failure="gone")).verdict.abstained == "failed: assistant: gone"


@pytest.mark.parametrize(
    "questions, message",
    [
        ("a <- b: one?\nb <- a: two?", "questions go round: .* -> .*; no evaluation may wait for itself"),
        ("a <- a: one?", "questions go round"),
        ("a <- c: one?\nb: two?", "the question 'a' waits for 'c'; there is: a, b"),
        (
            "a: one?\nb <- a: two?\nc <- b: three?\nd <- c: four?",
            "the questions are 4 deep; depth=3 allows no more than 3",
        ),
        ("a: one?\na: two?", "two questions are named 'a'"),
        ("what about this", "'what about this' is no question; write `name: question`"),
        ("", "holds no question"),
    ],
)
def test_questions_that_do_not_make_a_graph_are_refused(tmp_path: Path, questions: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        recursive(template=written(tmp_path, questions))


def test_an_unknown_assist_is_refused() -> None:
    with pytest.raises(SpecError, match="recursive is assisted by no protocol 'direkt'; did you mean 'direct'"):
        recursive(assist="direkt")


def test_questions_are_sorted_into_levels() -> None:
    found = questions_in("late <- early, other: three?\nearly: one?\n\nother: two: really?")
    assert found[0] == Question("late", "three?", ("early", "other"))
    assert found[2].text == "two: really?"
    assert [[q.name for q in level] for level in levelled(found, 2)] == [["early", "other"], ["late"]]
