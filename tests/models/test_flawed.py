"""Judges with a flaw: it moves beliefs as it says, and nothing else."""

from __future__ import annotations

import math

import pytest

from superalign.core.errors import SpecError
from superalign.core.types import Ask, Item, Message, Pending, Reply
from superalign.models.flawed import Flawed, flaw, skimmed
from superalign.models.scripted import Said, Scripted


def asked(text: str = "Which?", choices: tuple[str, ...] = ("yes", "no"), sample: int = 0) -> Ask:
    return Ask("judge", (Message("user", text),), choices, Item("i", text, choices), sample)


def reply(said: Said, flaws: str, ask: Ask) -> Reply:
    ((_, found),) = Flawed(Scripted("judge", lambda _: said), flaw(flaws)).answer([ask])
    assert isinstance(found, Reply)
    return found


def test_a_bias_adds_to_the_log_odds_of_what_is_shown_first() -> None:
    moved = reply(Reply(probs=(0.5, 0.5)), "bias=2", asked())
    assert math.log(moved.probs[0] / moved.probs[1]) == pytest.approx(2)
    assert moved.text == "yes"
    bare = reply("B", "bias=20", asked())
    assert bare.probs[0] > 0.99  # certainty is odds of 9,999


def test_noise_is_the_same_for_the_same_ask_and_as_large_as_it_says() -> None:
    odds = []
    for sample in range(400):
        moved = reply(Reply(probs=(0.5, 0.5)), "noise=1", asked(sample=sample))
        assert moved == reply(Reply(probs=(0.5, 0.5)), "noise=1", asked(sample=sample))
        odds.append(math.log(moved.probs[0] / moved.probs[1]))
    mean = sum(odds) / len(odds)
    spread = math.sqrt(sum((x - mean) ** 2 for x in odds) / len(odds))
    assert abs(mean) < 0.25
    assert spread == pytest.approx(math.sqrt(2), rel=0.12)  # of two choices, each with noise 1


def test_a_budget_cuts_what_is_read_and_leaves_free_text_alone() -> None:
    seen: list[str] = []

    def say(ask: Ask) -> Reply:
        seen.append(ask.messages[-1].content)
        return Reply(probs=(0.6, 0.4)) if ask.choices else Reply("fine")

    long = " ".join(str(k) for k in range(100))
    judge = Flawed(Scripted("judge", say), flaw("budget=10"))
    list(judge.answer([asked(long), asked(long, choices=())]))
    assert seen == ["0 1 2 3 4 [...] 95 96 97 98 99", long]
    assert skimmed("a b c", 3) == "a b c"
    assert skimmed("a b c", 1) == "a [...]"


@pytest.mark.parametrize("said", [Reply(failure="no"), Reply("hard to say"), Reply(probs=(0.2, 0.3, 0.5))])
def test_what_cannot_be_read_as_a_belief_stays_as_it_is(said: Reply) -> None:
    assert reply(said, "noise=1:bias=1", asked()) == said


def test_pending_replies_stay_pending_and_names_tell_flaws_apart() -> None:
    waiting = Flawed(Scripted("judge", lambda _: Pending("a person")), flaw("noise=1"))
    assert list(waiting.answer([asked()])) == [(0, Pending("a person"))]
    names = {Flawed(Scripted("judge", {}), flaw(f)).name for f in ("noise=1", "noise=2", "bias=1", "noise=1:bias=1")}
    assert names == {"judge/noise=1", "judge/noise=2", "judge/bias=1", "judge/noise=1:bias=1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a flaw is noise=1"),
        ("noise", "a flaw is noise=1"),
        ("nois=1", "did you mean 'noise'"),
        ("noise=much", "needs a number; write noise=1"),
        ("budget=.5", "budget=200"),
        ("noise=-1", "a flaw is noise=1"),
    ],
)
def test_flaws_that_are_none(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        flaw(text)
