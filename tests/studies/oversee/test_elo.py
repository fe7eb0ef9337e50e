"""Ratings: the published fixtures, and what shuffled updates and least squares get wrong."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.core.errors import Degenerate, SpecError
from superalign.studies.oversee.elo import ANCHOR, Match, advantage, fit


def value(found: float | None) -> float:
    assert found is not None
    return found


@pytest.mark.parametrize(("rate", "gap"), [(0.5, 0.0), (0.76, 200.24), (0.88, 346.12)])
def test_a_win_rate_is_a_gap_of_ratings(rate: float, gap: float) -> None:
    found = fit([Match("a", "b", rate, 100)], prior=None)
    assert value(found.of("a").value) - value(found.of("b").value) == pytest.approx(gap, abs=0.01)
    assert value(found.of("a").value) + value(found.of("b").value) == pytest.approx(2 * ANCHOR)
    assert found.expected("a", "b") == pytest.approx(rate)


def season() -> list[Match]:
    rng = np.random.default_rng(0)
    skills = dict(zip("abcde", (300, 150, 0, -150, -300), strict=True))
    names = list(skills)
    return [
        Match(x, y, float(rng.binomial(60, 1 / (1 + 10 ** ((skills[y] - skills[x]) / 400))) / 60), 60)
        for i, x in enumerate(names)
        for y in names[i + 1 :]
    ]


def test_the_order_of_matches_changes_nothing() -> None:
    matches = season()
    first = fit(matches).ratings
    assert fit(matches[::-1]).ratings == first
    turned = fit([Match(m.second, m.first, 1 - m.outcome, m.games) for m in matches]).ratings
    for name, rating in first.items():
        assert value(turned[name].value) == pytest.approx(value(rating.value), abs=1e-6)


def test_skills_are_found_again_within_their_intervals() -> None:
    found = fit(season())
    for name, skill in zip("abcde", (300, 150, 0, -150, -300), strict=True):
        rating = found.of(name)
        assert rating.n == 240
        assert abs(value(rating.value) - ANCHOR - skill) < 90
        assert value(rating.low) < value(rating.value) < value(rating.high)


def test_a_prior_keeps_the_unbeaten_finite_and_without_one_they_are_refused() -> None:
    unbeaten = [Match("a", "b", 1.0, 100)]
    assert 300 < value(fit(unbeaten).of("a").value) - ANCHOR < 1500
    with pytest.raises(Degenerate, match="never lost or never won"):
        fit(unbeaten, prior=None)


def test_players_whom_no_match_links_are_rated_apart() -> None:
    found = fit([Match("a", "b", 0.7, 10), Match("c", "d", 0.6, 10)])
    assert found.components == (("a", "b"), ("c", "d"))
    for pair in found.components:
        assert sum(value(found.of(n).value) for n in pair) == pytest.approx(2 * ANCHOR)
    with pytest.raises(SpecError, match="no chain of matches links 'a' and 'c'"):
        found.expected("a", "c")


def test_unknown_names_and_impossible_outcomes_are_refused() -> None:
    found = fit([Match("honest@4", "dishonest@4", 0.7)])
    with pytest.raises(SpecError, match="did you mean 'honest@4'"):
        found.of("honest@5")
    with pytest.raises(SpecError, match=r"share in \[0, 1\]"):
        fit([Match("a", "b", 1.2)])
    with pytest.raises(SpecError, match="no matches"):
        fit([])


def test_bootstrap_intervals_come_from_the_replicates() -> None:
    matches = [Match("a", "b", 0.6, 50), Match("b", "c", 0.6, 50)]
    rng = np.random.default_rng(1)
    won = rng.binomial(50, 0.6, (400, 2)) / 50
    found = fit(matches, resampled=(won, np.full((400, 2), 50.0)))
    normal = fit(matches)
    for name in "abc":
        boot, fisher = found.of(name), normal.of(name)
        assert boot.value == fisher.value
        width = [value(r.high) - value(r.low) for r in (boot, fisher)]
        assert 0.7 < width[0] / width[1] < 1.4


def test_the_truths_advantage_is_the_mean_of_paired_gaps() -> None:
    found = fit([Match("h1", "d1", 0.76, 40), Match("h1", "d2", 0.64, 40), Match("h2", "d1", 0.88, 40)])
    gaps = [value(found.of(h).value) - value(found.of(d).value) for h, d in (("h1", "d1"), ("h2", "d2"))]
    assert advantage(found, [("h1", "d1"), ("h2", "d2")]) == pytest.approx(np.mean(gaps))
