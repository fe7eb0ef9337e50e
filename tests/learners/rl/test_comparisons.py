"""Comparisons: labels from any overseer, pairs that stay with their prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import Degenerate, ProtocolError, SpecError
from superalign.core.types import Item, Judgment, Seat, Verdict
from superalign.learners.rl import overseers
from superalign.learners.rl.comparisons import Comparisons, accuracy, compared, from_scores, ranked

PROMPTS = ("x", "y", "z")
RESPONSES = (("aa", "a", "aaaa"), ("", "aaa"), ("a", "a"))
LENGTHS = [2, 1, 4, 0, 3, 1, 1]

by_length = overseers.program(lambda prompts, texts: [float(len(t)) for t in texts])


def first_wins(items: Sequence[Item]) -> list[Judgment]:
    """Prefers what it is shown first, and does not look at `y`."""
    silent = Verdict(None, abstained="no view")
    return [Judgment(i.id, Seat(), silent if i.prompt == "y" else Verdict(0, (0.8, 0.2))) for i in items]


def test_all_pairs_of_each_prompt() -> None:
    made = compared(overseers.by_score(by_length), PROMPTS, RESPONSES)
    assert list(zip(made.left, made.right, strict=True)) == [(0, 1), (0, 2), (1, 2), (3, 4), (5, 6)]
    apart = np.array([1, -2, -3, -3, 0])
    np.testing.assert_allclose(made.p, 1 / (1 + np.exp(-apart)))
    assert made.gap == pytest.approx(0)
    assert made.asked == ("x", "x", "x", "y", "y", "z", "z")
    assert made.answered == ("aa", "a", "aaaa", "", "aaa", "a", "a")
    assert made.pairs().prompt.tolist() == [0, 0, 0, 1, 2]
    assert made.hardened().p.tolist() == [1, 0, 0, 0, 0.5]


def test_position_bias_cancels_and_is_told_and_abstentions_are_dropped() -> None:
    made = compared(first_wins, PROMPTS, RESPONSES)
    np.testing.assert_allclose(made.p, 0.5)
    assert made.gap == pytest.approx(0.6)
    assert made.dropped == 1
    assert 3 not in made.left


@pytest.mark.parametrize("tau", [0.0, 2.0])
def test_from_scores(tau: float) -> None:
    made = from_scores(LENGTHS, PROMPTS, RESPONSES, tau)
    wanted = [1, 0, 0, 0, 0.5] if tau == 0 else 1 / (1 + np.exp(-np.array([1, -2, -3, -3, 0]) / tau))
    np.testing.assert_allclose(made.p, wanted)
    holed = from_scores([np.nan, *LENGTHS[1:]], PROMPTS, RESPONSES, tau)
    assert holed.dropped == 2


def test_rankings() -> None:
    def ranks(items: Sequence[Item]) -> list[Judgment]:
        found = []
        for item in items:
            order = tuple(sorted(range(len(item.choices)), key=lambda k: -len(item.choices[k])))
            silent = item.prompt == "z"
            found.append(
                Judgment(item.id, Seat(), Verdict(None, abstained="no") if silent else Verdict(None, ranking=order))
            )
        return found

    made = ranked(ranks, PROMPTS, RESPONSES)
    assert made.p.tolist() == [1, 0, 0, 0]
    assert made.dropped == 1


def test_sampled_labels_follow_their_probabilities_and_seed() -> None:
    many = from_scores([1.0, 0.0] * 2000, ["x"] * 2000, [("a", "b")] * 2000, tau=1.0)
    drawn = many.sampled(1)
    assert set(drawn.p.tolist()) == {0.0, 1.0}
    assert drawn.p.mean() == pytest.approx(1 / (1 + np.exp(-1)), abs=0.05)
    assert (drawn.p == many.sampled(1).p).all()
    assert (drawn.p != many.sampled(2).p).any()


def told(part: Comparisons) -> set[tuple[str, str, float]]:
    """The pairs by their texts."""
    return {(part.answered[a], part.answered[b], p) for a, b, p in zip(part.left, part.right, part.p, strict=True)}


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=30), st.floats(0.2, 0.8), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_prompt_never_straddles(prompts: list[str], share: float, seed: int) -> None:
    sizes = [2 + len(p) % 2 + k % 3 for k, p in enumerate(prompts)]
    responses = [tuple(f"{k}.{j}" for j in range(n)) for k, n in enumerate(sizes)]
    whole = from_scores(np.random.default_rng(seed).random(sum(sizes)), prompts, responses)
    try:
        sides = whole.divide(share, seed)
    except SpecError:
        assert len(set(prompts)) < 4
        return
    assert not set(sides[0].prompts) & set(sides[1].prompts)
    assert told(sides[0]) | told(sides[1]) == told(whole)
    assert sum(len(side.p) for side in sides) == len(whole.p)


def test_accuracy_by_kind() -> None:
    made = from_scores(LENGTHS, PROMPTS, RESPONSES)
    kinds = ["near", "far", "far", "far", "tie"]
    found = accuracy([2, 9, 4, 0, 3, 1, 1], made, kinds)
    assert {k: n.value for k, n in found.items()} == pytest.approx({"all": 0.5, "near": 0, "far": 2 / 3})
    assert found["all"].n == 4
    assert accuracy(np.zeros(7), made)["all"].value == 0.5
    with pytest.raises(Degenerate, match="no pair has a preferred response"):
        accuracy(np.zeros(7), from_scores(np.zeros(7), PROMPTS, RESPONSES))


def _wrong(items: Sequence[Item]) -> list[Judgment]:
    return [Judgment(i.id, Seat(), Verdict(None, ranking=(0, 0))) for i in items]


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: from_scores([1.0], PROMPTS, RESPONSES), SpecError, "1 scores for 7 responses; give one each"),
        (lambda: from_scores([1.0], ["x"], [("a",)]), SpecError, "1 groups of responses for 1 prompts; give each"),
        (lambda: ranked(_wrong, ["x"], [("a", "b")]), ProtocolError, r"as \(0, 0\); rank each of its 2 choices once"),
        (lambda: from_scores(LENGTHS, PROMPTS, RESPONSES).divide(1.5), SpecError, "share of 1.5 of 3 prompts"),
        (lambda: from_scores([1, 2], ["x"], [("a", "b")]).divide(0.5), SpecError, "leaves one side empty"),
    ],
)
def test_what_is_refused(act: Callable[[], Comparisons], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act()


def test_identity_is_that_of_the_content() -> None:
    made = from_scores(LENGTHS, PROMPTS, RESPONSES)
    assert made.identity == from_scores(LENGTHS, PROMPTS, RESPONSES).identity
    assert made.identity != from_scores(LENGTHS, PROMPTS, RESPONSES, 1.0).identity
