"""Overseers as rewards and judges: order, both seats, abstentions, adapters, mixtures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from superalign.core.driver import oversee
from superalign.core.errors import ProtocolError
from superalign.core.types import Item, Judgment, Overseer, Reply, Seat, Verdict
from superalign.learners.rl import overseers
from superalign.models.scripted import Scripted
from superalign.protocols.direct import direct


def lengths(prompts: Sequence[str], completions: Sequence[str]) -> list[float | None]:
    """The number of words; no opinion about an empty response."""
    return [float(len(c.split())) if c else None for c in completions]


LENGTH = overseers.program(lengths, "length")


def leaning(lean: float, seen: list[Item] | None = None) -> Overseer:
    """Prefers the longer choice with 0.8, and the first one shown by `lean` more."""

    def overseer(items: Sequence[Item]) -> list[Judgment]:
        if seen is not None:
            seen.extend(items)
        found = []
        for item in items:
            first = (0.8 if len(item.choices[0]) > len(item.choices[1]) else 0.2) + lean
            verdict = Verdict(None, abstained="too short") if "" in item.choices else Verdict(0, (first, 1 - first))
            found.append(Judgment(item.id, Seat(), verdict))
        return found

    return overseer


def test_scores_keep_their_order_and_abstentions_are_not_zero() -> None:
    found = overseers.score(LENGTH, ["p", "q", "r"], ["a b c", "", "a"])
    np.testing.assert_array_equal(found, [3, np.nan, 1])
    assert overseers.score(LENGTH, [], []).shape == (0,)


def test_pairs_are_asked_in_both_orders_and_the_position_gap_is_told() -> None:
    seen: list[Item] = []
    found = overseers.compare(leaning(0.1, seen), ["p", "q", "r"], ["aa", "a", "a"], ["a", "aa", ""])
    np.testing.assert_allclose(found.p, [0.8, 0.2, np.nan])
    np.testing.assert_allclose(found.forward[:2], [0.9, 0.3])
    np.testing.assert_allclose(found.backward[:2], [0.3, 0.9])
    assert found.gap == pytest.approx(0.2)
    assert found.dropped == 1
    assert [i.choices for i in seen[::3]] == [("aa", "a"), ("a", "aa")]
    assert np.isnan(overseers.compare(leaning(0), ["p"], [""], ["a"]).gap)


@pytest.mark.parametrize(
    "verdict, p", [(Verdict(1), 0.0), (Verdict(None, ranking=(0, 1)), 1.0), (Verdict(0, (0.7, 0.3)), 0.7)]
)
def test_a_preference_is_read_from_probabilities_ranking_or_answer(verdict: Verdict, p: float) -> None:
    def constant(items: Sequence[Item]) -> list[Judgment]:
        return [Judgment(i.id, Seat(), verdict) for i in items]

    assert overseers.compare(constant, ["p"], ["a"], ["b"]).forward[0] == p


def test_models_in_a_protocol_judge_pairs() -> None:
    """The overseer of the driver, as any protocol makes it: here one judge who likes the choice that mentions bees."""
    judge = Scripted("bees", lambda ask: Reply(probs=(0.9, 0.1) if "bees" in ask.choices[0] else (0.2, 0.8)))
    found = overseers.compare(oversee(direct(), {"judge": judge}), ["animals?"], ["bees"], ["ants"])
    assert found.p[0] == pytest.approx((0.9 + 0.8) / 2)


@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_scores_become_comparisons(tau: float) -> None:
    found = overseers.compare(overseers.by_score(LENGTH, tau), ["p"] * 2, ["a b c", "a"], ["a", ""])
    assert found.p[0] == pytest.approx(1 / (1 + np.exp(-2 / tau)))
    assert np.isnan(found.p[1])
    assert found.gap == pytest.approx(0)
    assert overseers.score(overseers.by_score(LENGTH), ["p"], ["a b"])[0] == 2


def test_comparisons_become_scores_against_a_reference() -> None:
    judge = overseers.against(leaning(0.1), lambda prompts: [f"{p}." for p in prompts])
    np.testing.assert_allclose(overseers.score(judge, ["p", "q"], ["long", "?"]), [0.8, 0.2])
    assert np.isnan(overseers.score(judge, ["p"], [""])[0])


def test_cached_asks_once_for_each_content() -> None:
    asked: list[str] = []

    def counting(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        asked.extend(completions)
        return [float(len(c)) for c in completions]

    overseer = overseers.cached(overseers.program(counting))
    assert overseers.score(overseer, ["p"] * 3, ["bb", "a", "bb"]).tolist() == [2, 1, 2]
    assert overseers.score(overseer, ["p", "q"], ["a", "a"]).tolist() == [1, 1]
    assert asked == ["bb", "a", "a"]  # another prompt is another content


def test_weighted_overseers_average_scores_and_probabilities() -> None:
    letters = overseers.program(lambda p, c: [float(len(x)) for x in c])
    mixed = overseers.weighted([(LENGTH, 1), (letters, 3)])
    np.testing.assert_allclose(overseers.score(mixed, ["p", "p"], ["a b", ""]), [(2 + 9) / 4, np.nan])
    judges = overseers.weighted([(leaning(0.1), 1), (leaning(-0.1), 1)])
    assert overseers.compare(judges, ["p"], ["aa"], ["a"]).forward[0] == pytest.approx(0.8)


def test_shared_overseers_own_their_prompts() -> None:
    parts = [(overseers.program(lambda p, c, k=k: [float(k)] * len(c)), share) for k, share in enumerate((1, 3))]
    prompts = [f"prompt {k}" for k in range(400)]
    found = overseers.score(overseers.shared(parts, seed=1), prompts, ["x"] * 400)
    assert 0.65 < found.mean() < 0.85
    again = overseers.score(overseers.shared(parts, seed=1), prompts[::-1], ["other"] * 400)
    np.testing.assert_array_equal(again[::-1], found)  # by the prompt alone
    assert (overseers.score(overseers.shared(parts, seed=2), prompts, ["x"] * 400) != found).any()


def test_as_reward_takes_texts_and_conversations() -> None:
    reward = overseers.as_reward(LENGTH)
    chats = [[{"role": "assistant", "content": "a b"}], [{"role": "assistant", "content": ""}]]
    assert reward(prompts=["p", "q"], completions=["a", "a b c"], answers=[1, 2]) == [1.0, 3.0]
    assert reward(prompts=[[{"role": "user", "content": "p"}]] * 2, completions=chats) == [2.0, None]


def test_a_reward_is_any_callable_of_tensors_too() -> None:
    torches = overseers.program(lambda p, c: torch.arange(len(c)).tolist())
    assert overseers.score(torches, ["p"] * 3, ["x"] * 3).tolist() == [0, 1, 2]


def rubbish(items: Sequence[Item]) -> list[Judgment]:
    return [Judgment(i.id, Seat(), Verdict("well")) for i in items]


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ProtocolError, match=r"no score.*against\(overseer, reference\)"):
        overseers.score(rubbish, ["p"], ["a"])
    with pytest.raises(ProtocolError, match=r"did not choose.*by_score\(overseer\)"):
        overseers.compare(rubbish, ["p"], ["a"], ["b"])
    with pytest.raises(ProtocolError, match=r"2 choices and no completion.*by_score"):
        overseers.compare(LENGTH, ["p"], ["a"], ["b"])
    with pytest.raises(ProtocolError, match="1 judgments for 2 items"):
        overseers.score(lambda items: rubbish(items)[:1], ["p", "q"], ["a", "b"])
    with pytest.raises(ProtocolError, match="short returned 1 scores for 2 completions"):
        overseers.score(overseers.program(lambda p, c: [1.0], "short"), ["p", "q"], ["a", "b"])
    with pytest.raises(ValueError, match="tau is 0"):
        overseers.by_score(LENGTH, 0)
    for parts in ([], [(LENGTH, 0.0)]):
        with pytest.raises(ValueError, match="must be positive"):
            overseers.weighted(parts)
