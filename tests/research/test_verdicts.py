"""Four words, exhaustive and exclusive; a claim takes its weakest; a campaign pays for every confirmation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.power import holm
from superalign.research.inference import Paired, paired
from superalign.research.verdicts import WORDS, Confirmed, verdicts, word_of


def seen(estimate: float, half: float, p: float) -> Paired:
    return Paired(estimate, estimate - half, estimate + half, p, p, 0.1, 0.05, 30, 1)


def test_the_words() -> None:
    assert word_of(seen(0.10, 0.05, 0.001), 0.001, 0.02, 0.05) == "improves"
    assert word_of(seen(-0.10, 0.05, 0.001), 0.001, 0.02, 0.05) == "worse"
    assert word_of(seen(0.00, 0.01, 0.9), 0.9, 0.02, 0.05) == "no evidence"
    assert word_of(seen(0.00, 0.05, 0.9), 0.9, 0.02, 0.05) == "underpowered"


@given(
    st.floats(-1, 1), st.floats(0, 1), st.floats(1e-6, 1), st.floats(0.001, 0.5), st.floats(0.001, 0.2)
)  # fmt: skip
def test_a_word_always_and_never_improves_with_an_interval_at_zero(
    estimate: float, half: float, p: float, sesoi: float, alpha: float
) -> None:
    found = word_of(seen(estimate, half, p), p, sesoi, alpha)
    assert found in WORDS
    if found == "improves":
        assert estimate - half > 0
        assert p < alpha
        assert word_of(seen(estimate + 0.1, half, p / 2), p / 2, sesoi, alpha) == "improves"
    assert word_of(seen(-estimate, half, p), p, sesoi, alpha) != "improves" or found != "improves"


def test_a_claim_takes_the_word_of_its_weakest_comparison() -> None:
    """The shape of an honest verdict: better than two baselines, not than the one that was tuned with the same care."""
    one = Confirmed(
        "r1",
        {"vanilla": seen(0.03, 0.01, 1e-5), "filter": seen(0.02, 0.01, 1e-3), "aux": seen(-0.001, 0.007, 0.8)},
        sesoi=0.02,
    )
    (found,) = verdicts([one])
    assert found.word == "no evidence"
    assert found.deciding == "aux"
    assert dict(found.words) == {"vanilla": "improves", "filter": "improves", "aux": "no evidence"}
    assert found.p_adjusted == 0.8


def test_every_confirmation_is_paid_for() -> None:
    good = Confirmed("r1", {"b": seen(0.1, 0.05, 0.03)}, sesoi=0.02)
    failed = Confirmed("r2", {}, sesoi=0.02)
    assert verdicts([good])[0].word == "improves"
    first, second = verdicts([good, failed])
    assert first.p_adjusted == 0.06
    assert first.word == "underpowered"
    assert second.word == "underpowered"
    assert second.p_adjusted == 1.0


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=8))
def test_the_correction_is_holms(p: list[float]) -> None:
    found = verdicts([Confirmed(str(k), {"b": seen(0.1, 0.05, v)}, 0.02) for k, v in enumerate(p)])
    assert [v.p_adjusted for v in found] == pytest.approx(holm(p))
    assert [v.adjusted["b"] for v in found] == pytest.approx(holm(p))


def test_a_small_effect_that_is_sure_says_so() -> None:
    (found,) = verdicts([Confirmed("r", {"b": seen(0.01, 0.005, 1e-4)}, sesoi=0.02, qualifiers=("exploratory",))])
    assert found.word == "improves"
    assert found.qualifiers == ("exploratory", "below-sesoi")


def test_two_equal_methods_are_rarely_told_apart() -> None:
    rng = np.random.default_rng(3)
    words = [
        verdicts([Confirmed("r", {"b": paired(rng.normal(0, 0.05, (20, 1)))}, sesoi=0.05)])[0].word for _ in range(60)
    ]
    assert sum(w in ("improves", "worse") for w in words) <= 8
    assert words.count("no evidence") >= 40


def test_numbers_are_those_of_the_deciding_comparison() -> None:
    best, worst = seen(0.05, 0.01, 1e-4), seen(0.03, 0.01, 1e-4)
    (found,) = verdicts([Confirmed("r", {"a": best, "b": worst}, 0.02)])
    assert found.comparison == worst
    (found,) = verdicts([Confirmed("r", {"a": best, "b": replace(worst, p=1.0)}, 0.02)])
    assert found.word == "underpowered"
