"""Overseers by reference: what gold, its flaws, a judge of debates and a program of one's own come to."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from superalign.core.errors import ModelError, PluginError, SpecError
from superalign.core.types import Ask, Item, Message
from superalign.learners.rl.overseers import compare, program, score
from superalign.models.players.sentiment import SentimentJudge, SentimentPlayer, facts_of, sources
from superalign.studies.rlhf import labellers
from superalign.studies.rlhf.ground import Ground, world
from superalign.tasks.worlds.sentiment_markov import sentiment_markov

GOOD, PLAIN = "good good table", "table table table"


@pytest.fixture(scope="module")
def ground() -> Ground:
    return world("sentiment-markov", 0)


def p(text: str, ground: Ground, a: str, b: str) -> float:
    """The probability that `a` is preferred, with a standard deviation of 1."""
    assert ground.gold is not None
    ref = labellers.checked(text, True)
    made = labellers.judge(ref, ground, {}, None) if ref.name == "judge" else labellers.gold(ref, ground.gold, 1.0, 3.0)
    return float(compare(made.compares, ["x"], [a], [b]).p[0])


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def test_gold_and_its_flaws_by_hand(ground: Ground) -> None:
    apart = 2 - (-0.35)  # "table" three times costs .35
    right = sigmoid(3 * apart)
    assert p("gold", ground, GOOD, PLAIN) == pytest.approx(right)
    assert p("gold:noise=.3", ground, GOOD, PLAIN) == pytest.approx(0.3 + 0.4 * right)
    assert p("gold:bias=table:strength=2", ground, GOOD, PLAIN) == pytest.approx(sigmoid(3 * apart - 2 * (3 - 1)))
    longer = p("gold:bias=length:strength=1", ground, GOOD, PLAIN + " river")
    assert longer == pytest.approx(sigmoid(3 * apart - 1))


def test_a_biased_overseer_is_biased_as_a_reward_too_and_a_noisy_one_compares(ground: Ground) -> None:
    assert ground.gold is not None
    biased = labellers.gold(labellers.checked("gold:bias=table:strength=3", True), ground.gold, 1.0, 3.0)
    assert score(biased.rewards(lambda prompts: ["x"] * len(prompts)), ["x"], [GOOD]) == pytest.approx([2 + 1])
    noisy = labellers.gold(labellers.checked("gold:noise=.1", True), ground.gold, 1.0, 3.0)
    against = score(noisy.rewards(lambda prompts: [PLAIN] * len(prompts)), ["x"], [GOOD])
    assert against == pytest.approx([0.1 + 0.8 * sigmoid(3 * 2.35)])


def test_a_debate_shows_its_judge_more_than_the_judge_finds_alone(ground: Ground) -> None:
    language = sentiment_markov(seed=1)
    texts = language.texts(language.corpus(240)[:, 4:])
    a, b, prompts = texts[:120], texts[120:], ["x"] * 120
    apart = language.gold(a) - language.gold(b)
    right = {}
    for name in ("direct", "debate:rounds=1", "debate:rounds=2"):
        made = labellers.judge(labellers.checked(f"judge:protocol={name}", True), ground, {}, None)
        found = compare(made.compares, prompts, a, b)
        assert abs(found.gap) < 1e-9  # the order in which texts are shown changes nothing
        right[name] = np.mean((found.p > 0.5)[apart != 0] == (apart > 0)[apart != 0])
    assert 0.5 < right["direct"] < right["debate:rounds=1"] - 0.05
    assert right["debate:rounds=1"] < right["debate:rounds=2"]


def test_a_judge_may_be_flawed(ground: Ground) -> None:
    assert p("judge:protocol=debate:rounds=2", ground, GOOD, PLAIN) > 0.9
    ref = labellers.checked("judge:protocol=debate:rounds=2:bias=6", True)
    found = compare(labellers.judge(ref, ground, {}, None).compares, ["x"], ["good table"], ["good river"])
    assert found.gap > 0.9  # what is shown first wins


def test_facts_sum_to_the_reward() -> None:
    language = sentiment_markov(seed=3)
    texts = [*language.texts(language.corpus(50)), "good good good good", ""]
    sums = [sum(facts_of(text).values()) / 100 for text in texts]
    assert sums == pytest.approx(list(language.gold(texts)), abs=1e-9)


def test_players_refuse_what_they_cannot_play() -> None:
    with pytest.raises(ModelError, match="facts must be at least 1, got 0"):
        SentimentJudge(0)
    with pytest.raises(ModelError, match="quotes must be at least 1, got 0"):
        SentimentPlayer(0)
    ask = Ask("debater", (Message("user", "speak"),), (), Item("i", "x", (GOOD, PLAIN)))
    with pytest.raises(ModelError, match=r"needs facts in info\['source'\] to quote; item 'i' has none"):
        list(SentimentPlayer(3).answer([ask]))
    known = Item("i", "x", (GOOD, PLAIN), {"source": sources(Item("i", "x", (GOOD, PLAIN)))})
    asked = Ask("expert", (Message("user", "which"),), (GOOD, PLAIN), known)
    assert next(iter(SentimentPlayer(3).answer([asked])))[1].probs == (1.0, 0.0)
    three = Ask("judge", (Message("user", "which"),), ("a", "b", "c"), known)
    assert next(iter(SentimentJudge(3).answer([three])))[1].probs == (1 / 3, 1 / 3, 1 / 3)


def test_a_program_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "def shout(prompts, completions, weight=1):\n    return [weight * c.count('!') for c in completions]\n"
    )
    made = labellers.own(labellers.checked(f"{path}:shout:weight=2", False))
    assert list(score(made, ["x", "x"], ["a!", "b!!"])) == [2, 4]
    with pytest.raises(SpecError, match="has no option 'wait'; did you mean 'weight'"):
        labellers.own(labellers.checked(f"{path}:shout:wait=2", False))
    with pytest.raises(PluginError, match="no file"):
        labellers.own(labellers.checked(f"{tmp_path}/none.py:shout", False))


def test_changed_scores_leave_abstentions_alone() -> None:
    half = program(lambda prompts, completions: [None if c == "b" else 1.0 for c in completions])
    found = score(labellers.rescored(half, lambda text, s: s + 1), ["x", "x"], ["a", "b"])
    assert found[0] == 2
    assert np.isnan(found[1])


@pytest.mark.parametrize(
    "text, words",
    [
        ("golden", "no overseer is written 'golden'; did you mean 'gold'"),
        ("rm", "rm is what the algorithms optimise, not who labels"),
        ("gold:nois=.1", "the overseer 'gold' has no option 'nois'; did you mean 'noise'"),
        ("gold:noise=.7", "probability of a flipped label, 0 to 0.5"),
        ("gold:bias=table", "a bias is written bias=WORD:strength=2"),
        ("weak", "weak:n=64"),
        ("weak:n=0", "weak:n=64"),
        ("judge", "a judge names its protocol"),
    ],
)
def test_references_that_do_not_fit(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        labellers.checked(text, True)


def test_gold_needs_a_truth_and_a_judge_needs_a_cast(ground: Ground) -> None:
    with pytest.raises(SpecError, match="'gold' needs a gold reward"):
        labellers.checked("gold", False)
    bare = Ground("x", {}, ground.start, ground.prompts, None, None, 8, 0)
    with pytest.raises(SpecError, match="nobody is cast to judge"):
        labellers.judge(labellers.checked("judge:protocol=direct", False), bare, {}, None)
