"""The language: its chains, its entropy, its gold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import TaskError
from superalign.tasks.worlds.sentiment_markov import BAD, GOOD, WORDS, sentiment_markov


def test_the_language_is_as_described() -> None:
    world = sentiment_markov(seed=4)
    table = world.transitions[2:, 2:]
    np.testing.assert_allclose(table.sum(1), 1)
    assert (world.transitions[:2] == 0).all()
    assert (world.transitions[:, :2] == 0).all()
    floor = 0.03 / 32
    assert ((table > floor + 1e-9).sum(1) == 8).all()
    np.testing.assert_allclose(np.where(table > floor + 1e-9, 0, table).sum(1), 24 * floor)
    assert len(WORDS) == len(set(WORDS)) == 34
    assert [int((world.signs == s).sum()) for s in (1, -1, 0)] == [8, 8, 18]
    assert {WORDS[k] for k in np.flatnonzero(world.signs == 1)} == set(GOOD)
    assert {WORDS[k] for k in np.flatnonzero(world.signs == -1)} == set(BAD)


def test_chains_follow_the_transitions() -> None:
    world = sentiment_markov(seed=1)
    tokens = world.corpus(8000)
    assert tokens.shape == (8000, 20)
    assert tokens.min() >= 2
    seen = np.zeros((34, 34))
    np.add.at(seen, (tokens[:, :-1].ravel(), tokens[:, 1:].ravel()), 1)
    count = seen.sum(1, keepdims=True)
    expected = world.transitions * count
    surprise = ((seen - expected) ** 2)[2:, 2:] / expected[2:, 2:]
    assert surprise.sum() == pytest.approx(32 * 31, rel=0.25)  # chi-squared
    first = np.bincount(tokens[:, 0], minlength=34)[2:]
    assert abs(first - 250).max() < 6 * 250**0.5


def test_entropy_is_the_loss_of_a_perfect_model() -> None:
    world = sentiment_markov(seed=2)
    tokens = world.corpus(8000, "test")
    loss = -np.log(world.transitions[tokens[:, :-1], tokens[:, 1:]]).mean()
    assert world.entropy() == pytest.approx(loss, abs=0.01)
    assert 1.7 < world.entropy() < 2.0


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("", 0.0),
        ("table river", 0.0),
        ("good kind table bad", 1.0),
        ("good good", 2.0),
        ("good good good", 3 - 0.35),
        ("bad bad bad bad", -4 - 0.35 * 4),
        ("table " * 5 + "river " * 3, -0.35 * (9 + 1)),
        ("lovely " * 16, 16 - 0.35 * 14**2),
    ],
)
def test_gold(text: str, worth: float) -> None:
    others = ("warm", text, "", "cold cold")  # rows do not mix
    np.testing.assert_allclose(sentiment_markov().gold(others), [1, worth, 0, -2])


@given(st.lists(st.sampled_from(WORDS[2:]), max_size=20), st.randoms(use_true_random=False))
def test_gold_does_not_depend_on_order(words: list[str], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = random.sample(words, len(words))
    a, b = sentiment_markov().gold([" ".join(words), " ".join(shuffled)])
    assert a == pytest.approx(b)


def test_gold_refuses_unknown_words() -> None:
    with pytest.raises(TaskError, match="'lovly' is no word of sentiment-markov; did you mean 'lovely'"):
        sentiment_markov().gold(["good lovly"])


@pytest.mark.parametrize(
    "made",
    [
        lambda seed, part: sentiment_markov(seed=seed).corpus(30, part).tolist(),
        lambda seed, part: sentiment_markov(seed=seed).prompts(30, part),
    ],
)
def test_seeds_and_parts_are_streams_of_their_own(made: Callable[[int, str], object]) -> None:
    assert made(0, "train") == made(0, "train")
    assert made(0, "train") != made(0, "test")
    assert made(0, "train") != made(1, "train")


def test_seeds_are_worlds_of_their_own() -> None:
    one, other = sentiment_markov(seed=0), sentiment_markov(seed=1)
    assert not np.allclose(one.transitions, other.transitions)
    assert all(len(prompt.split()) == 4 for prompt in one.prompts(50))
    assert one.texts(np.array([[2, 10, 0, 1]])) == ("good bad",)
