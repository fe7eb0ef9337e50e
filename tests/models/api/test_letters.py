"""Letters for choices: strict reading, spellings in log-probabilities, Laplace's rule for draws."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.models.api.letters import from_draws, from_tops, place_of


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("A", 0), (" b.", 1), ("(B)", 1), ("**B**", 1), ("(A) Paris", 0), ("B) Rome", 1), ("B. Rome", 1),
        ("Answer: B", 1), ("The answer is (B).", 1), ("I weighed both.\nAnswer: B", 1), ("Both fit; (A), I think: (A)", 0),
        ("", None), ("A good question", None), ("I", None), ("C", None), ("(A) or (B)", None), ("Paris", None),
        ("The answer is A good one", None), ("verdict: A\nverdict: B", None), ("Answer: E", None),
    ],
)  # fmt: skip
def test_a_letter_is_read_where_it_is_clear(text: str, place: int | None) -> None:
    assert place_of(text, 2) == place


@given(st.text(max_size=60), st.integers(1, 26))
def test_any_text_is_read_without_error(text: str, count: int) -> None:
    place = place_of(text, count)
    assert place is None or 0 <= place < count


def logs(**mass: float) -> tuple[tuple[str, float], ...]:
    return tuple((token.replace("_", " "), math.log(p)) for token, p in mass.items())


def test_the_spellings_of_a_letter_are_summed_and_the_rest_left_out() -> None:
    alternatives = (*logs(A=0.3, _A=0.1, a=0.05, B=0.1, The=0.4), ("(A", math.log(0.05)), ("C", -1.0), ("AB", -1.0))
    assert from_tops((alternatives,), 2) == pytest.approx((0.5 / 0.6, 0.1 / 0.6))


def test_a_bracket_before_the_letter_is_stepped_over() -> None:
    assert from_tops((logs(I=0.1), logs(A=1.0)), 2) == (), "a word is not a bracket"
    first = (("(", math.log(0.999)),)
    assert from_tops((first, logs(B=0.8, A=0.2)), 2) == pytest.approx((0.2, 0.8))
    assert from_tops((first,), 2) == ()


@pytest.mark.parametrize(("mass", "there"), [(0.0009, False), (0.0011, True)])
def test_below_a_thousandth_there_are_no_probabilities(mass: float, there: bool) -> None:
    assert bool(from_tops((logs(Well=0.9, A=mass),), 2)) is there


def test_no_log_probabilities_are_no_probabilities() -> None:
    assert from_tops((), 2) == () == from_tops(((),), 2) == from_tops(((("A", -math.inf),),), 2)


def test_draws_are_counted_with_one_more_for_each_choice() -> None:
    text, probs = from_draws(["hm", "(B)", "A", "B", "Answer: B"], 3)
    assert (text, probs) == ("(B)", pytest.approx((2 / 7, 4 / 7, 1 / 7)))
    assert from_draws(["hm", "well"], 2) == ("hm", ())


@given(st.lists(st.sampled_from(["A", "B", "C", "no idea"]), min_size=1, max_size=30))
def test_estimates_are_probabilities(texts: list[str]) -> None:
    _, probs = from_draws(texts, 3)
    assert bool(probs) == any(text != "no idea" for text in texts)
    assert not probs or (sum(probs) == pytest.approx(1) and min(probs) > 0)
