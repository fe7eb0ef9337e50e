"""A constitution as the labeller: one principle a pair, both orders, agreement with people, revisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from superalign.core.driver import oversee
from superalign.core.errors import Degenerate, SpecError
from superalign.core.types import Ask, Item, Reply, Seat
from superalign.learners.rl.comparisons import from_scores
from superalign.learners.rl.constitution import agreement, constitutional, principles, revised, revision, rlaif
from superalign.learners.rl.overseers import pair
from superalign.models.scripted import Scripted

PRINCIPLES = ("Prefer the longer response.", "Prefer the response with more e in it.")
PROMPTS = tuple(f"request {k}" for k in range(24))
RESPONSES = tuple((f"tree {k}", "a much much longer thing", "eee") for k in range(24))


def opinion(ask: Ask) -> Reply:
    """Follows the principle it is given; a little bias towards what is shown first."""
    assert ask.item is not None
    worth: Callable[[str], int] = len if ask.item.info["principle"] == PRINCIPLES[0] else lambda text: text.count("e")
    a, b = (worth(choice) for choice in ask.choices)
    p = 1 / (1 + np.exp(-(a - b) - 0.2))
    return Reply(probs=(p, 1 - p))


judge = oversee(constitutional(PRINCIPLES), {"judge": Scripted("judge", opinion)})


def test_the_built_in_constitution_and_ones_own(tmp_path: Path) -> None:
    held = principles()
    assert len(held) >= 4
    assert all(text.endswith(".") and "#" not in text for text in held)
    own = tmp_path / "own.txt"
    own.write_text("# title\n\nBe\n  kind.\n\n\n# note\nBe brief.\n", encoding="utf-8")
    assert principles(str(own)) == ("Be kind.", "Be brief.")
    own.write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(SpecError, match="has no principle; write one per paragraph"):
        principles(str(own))
    with pytest.raises(SpecError, match="no constitution can be read at"):
        principles(str(tmp_path / "none.txt"))
    with pytest.raises(SpecError, match="a constitution needs a principle"):
        constitutional(())


def test_one_principle_per_pair_whatever_the_order() -> None:
    seen: dict[frozenset[str], set[str]] = {}

    def note(ask: Ask) -> Reply:
        assert ask.item is not None
        assert ask.item.info["principle"] in ask.messages[0].content
        seen.setdefault(frozenset((ask.item.prompt, *ask.choices)), set()).add(ask.item.info["principle"])
        return Reply(probs=(0.6, 0.4))

    rlaif(oversee(constitutional(PRINCIPLES), {"judge": Scripted("judge", note)}), PROMPTS, RESPONSES)
    assert len(seen) == 24 * 3
    assert all(len(used) == 1 for used in seen.values())
    assert set.union(*seen.values()) == set(PRINCIPLES)


def test_labels_are_soft_unbiased_and_compared_with_peoples() -> None:
    lengths = [len(text) for group in RESPONSES for text in group]
    people = from_scores(lengths, PROMPTS, RESPONSES)
    made = rlaif(judge, PROMPTS, RESPONSES, people)
    assert made.comparisons.gap > 0.005
    assert ((made.comparisons.p > 0) & (made.comparisons.p < 1)).all()
    assert made.agreement is not None
    assert made.agreement.value is not None
    assert 0.25 < made.agreement.value < 0.75  # the second principle, drawn half the time, disagrees with length here
    assert made.agreement.n == len(people.p)
    first = oversee(constitutional(PRINCIPLES[:1]), {"judge": Scripted("judge", opinion)})
    alone = rlaif(first, PROMPTS, RESPONSES, people).agreement
    assert alone is not None
    assert alone.value == 1
    assert rlaif(judge, PROMPTS, RESPONSES).agreement is None


def test_a_judge_who_fails_abstains() -> None:
    down = oversee(constitutional(PRINCIPLES), {"judge": Scripted("judge", lambda ask: Reply(failure="down"))})
    made = rlaif(down, PROMPTS[:2], RESPONSES[:2])
    assert made.comparisons.dropped == 6
    with pytest.raises(Degenerate, match="no pair was decided by both labellers"):
        agreement(made.comparisons, made.comparisons)
    with pytest.raises(SpecError, match="agreement is over the same prompts and responses"):
        agreement(made.comparisons, rlaif(judge, PROMPTS, RESPONSES).comparisons)


def test_the_order_of_a_seat_is_undone() -> None:
    item = pair("request", "a", "bbbb")
    for order in ((0, 1), (1, 0)):
        moves = constitutional(PRINCIPLES[:1])(item, Seat(order=order))
        asked = next(moves)[0]
        assert asked.choices == tuple(item.choices[k] for k in order)
        with pytest.raises(StopIteration) as end:
            moves.send([Reply(probs=(0.9, 0.1))])
        assert end.value.value.answer == order[0]


def test_critique_and_revision() -> None:
    asked: list[Ask] = []

    def critic(ask: Ask) -> str:
        asked.append(ask)
        return "too short" if "down" not in ask.messages[0].content else ""

    def author(ask: Ask) -> str:
        assert "too short" in ask.messages[0].content
        assert ask.item is not None
        return f"better {ask.item.info['completion']}" if "better" not in ask.messages[0].content else "best"

    cast = {"critic": Scripted("critic", critic), "author": Scripted("author", author)}
    once, twice = (oversee(revision(PRINCIPLES, rounds=n), cast) for n in (1, 2))
    assert revised(once, ["x", "down"], ["old", "old"]) == ["better old", None]
    assert revised(twice, ["x"], ["old"]) == ["best"]
    assert any(p in asked[0].messages[0].content for p in PRINCIPLES)
    assert "better old" in asked[-1].messages[0].content


def test_a_failed_author_says_who_failed() -> None:
    cast = {"critic": Scripted("c", ["fine"]), "author": Scripted("a", [Reply(failure="quota")])}
    (judgment,) = oversee(revision(PRINCIPLES), cast)([Item("1", "x", info={"completion": "old"})])
    assert judgment.verdict.abstained == "failed: author: quota"
