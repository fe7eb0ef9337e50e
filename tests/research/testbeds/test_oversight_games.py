"""Recorded games as a testbed: what is recorded, how beliefs are read, and which settings help which judge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from superalign.core.random import stream
from superalign.research.testbed import recovered
from superalign.research.testbeds.oversight_games import (
    BASELINES,
    CARD,
    FAMILIES,
    QUOTES,
    ROUNDS,
    SPACE,
    TEST,
    TRAIN,
    UNSEEN,
    oversight_games,
)

BED = oversight_games()


PLAYED = ("facts", "facts-liar", "facts-biased", "digits")


@pytest.fixture(scope="module")
def problems():
    return {family: [BED.problem(family, 0, "dev")] for family in PLAYED}


def mean(problems, family, **values):
    method = SPACE.method(**values)
    return np.mean([recovered(p, BED.solve(method, p.public, 0)) for p in problems[family]])


DEBATE = {"protocol": "debate", "rounds": 3, "quotes": "checked"}


def test_families_and_what_is_recorded(problems):
    assert set(BED.families) | set(BED.unseen) == set(FAMILIES)
    assert BED.unseen == UNSEEN
    shapes = {"alone": (ROUNDS,), "consultancy": (2, ROUNDS), "debate": (2, ROUNDS), "first": (), "side": ()}
    for both in problems.values():
        for problem in both:
            assert {n: v.shape for n, v in problem.public.items()} == {
                f"{part}_{name}": (n, *shape)
                for part, n in (("train", TRAIN), ("test", TEST))
                for name, shape in shapes.items()
            }
            for name in ("alone", "consultancy", "debate"):
                assert f"_{name}" in CARD
                assert problem.public[f"test_{name}"].min() > 0
                assert problem.public[f"test_{name}"].max() < 1


def test_no_method_is_the_judge_alone(problems):
    for family in PLAYED:
        assert mean(problems, family) == pytest.approx(0)  # the first look is the floor
        assert problems[family][0].key.ceiling > 0.9


def test_debate_helps_a_noisy_judge_and_a_consultant_does_not(problems):
    assert mean(problems, "facts", **DEBATE) > 0.25
    assert mean(problems, "digits", **DEBATE) > 0.6
    consulted = {**DEBATE, "protocol": "consultancy"}
    for family in ("facts", "digits"):
        assert mean(problems, family, **consulted) < mean(problems, family, **DEBATE) - 0.2


def test_checked_quotes_matter_where_facts_are_invented_and_only_there(problems):
    trusted = {**DEBATE, "quotes": "trusted"}
    assert mean(problems, "facts-liar", **trusted) < mean(problems, "facts-liar", **DEBATE) - 0.7
    for problem in problems["facts"]:
        assert QUOTES == ("trusted", "checked")
        odds = logit(problem.public["test_debate"])
        assert np.abs(odds[:, 0] - odds[:, 1]).mean() < 1  # the same speeches; the judge's noise is drawn again
    assert mean(problems, "facts", **trusted) > 0.25


def test_centring_takes_off_a_bias_of_place(problems):
    plain, centred = (mean(problems, "facts-biased", **DEBATE, centre=c) for c in ("no", "place"))
    assert centred > plain + 0.2
    toward = [2.0 * p.public["test_first"] - 1 for p in problems["facts-biased"]]
    pull = [
        np.mean(t * logit(p.public["test_alone"][:, 0])) for t, p in zip(toward, problems["facts-biased"], strict=True)
    ]
    assert 1.0 < np.mean(pull) < 2.0  # nats; the flaw is 1.5


def test_centring_by_side_discounts_a_consultant(problems):
    consulted = {**DEBATE, "protocol": "consultancy"}
    assert mean(problems, "digits", **consulted, centre="side") > mean(problems, "digits", **consulted) + 0.5


def test_how_beliefs_are_read():
    rng = stream(0, "tests/oversight")
    public = {f"{part}_{n}": rng.uniform(0.1, 0.9, s) for part in ("train", "test") for n, s in (
        ("alone", (9, 3)), ("consultancy", (9, 2, 3)), ("debate", (9, 2, 3)))}  # fmt: skip
    public |= {f"{part}_{n}": rng.integers(0, 2, 9) for part in ("train", "test") for n in ("first", "side")}
    odds = logit(public["test_debate"])
    cases = [
        ({"rounds": 2}, odds[:, 0, 1]),
        ({"rounds": 2, "quotes": "checked"}, odds[:, 1, 1]),
        ({"rounds": 3, "read": "mean"}, odds[:, 0].mean(1)),
        ({"rounds": 3, "read": "surest"}, np.array([row[np.abs(row).argmax()] for row in odds[:, 0]])),
        ({"rounds": 1, "own": 0.5}, odds[:, 0, 0] + 0.5 * logit(public["test_alone"][:, 0])),
    ]
    for values, expected in cases:
        found = BED.solve(SPACE.method(protocol="debate", **values), public, 0)
        np.testing.assert_allclose(found, expit(expected), atol=1e-9)
    alone = logit(public["test_alone"])
    np.testing.assert_allclose(
        BED.solve(SPACE.method(rounds=3, read="mean", own=1.0), public, 0), expit(alone.mean(1)), atol=1e-9
    )


def test_shortcuts_are_no_way_round(problems):
    for both in problems.values():
        for problem in both:
            assert set(problem.key.shortcuts) == {"weak", "majority", "first shown", "consultant's side"}
            for name in ("majority", "first shown", "consultant's side"):
                assert (problem.key.shortcuts[name] == problem.key.truth).mean() < 0.72


def test_the_public_sides_of_digits_are_of_images_of_the_tier_alone():
    from superalign.research.testbeds.oversight_games import _images
    from superalign.tasks.games.digits import pictured

    tiers = _images()[1]
    places = {tier: {pictured(image[0])[1] for image in images} for tier, images in tiers.items()}
    assert sum(map(len, places.values())) == len(set().union(*places.values())) == 899
    assert min(map(len, places.values())) > 240
    assert all(len(image) == 9 for images in tiers.values() for image in images)


def test_baselines():
    assert [b.name for b in BASELINES] == ["majority", "consultancy", "debate"]
    assert SPACE.size == 3 * 3 * 2 * 3 * 3 * 3
