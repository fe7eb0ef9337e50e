"""Proposals and their fate, the order of methods, and the simplest among equals."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import Degenerate, SpecError
from superalign.research.proposers.history import History, draws, simplest, worse
from superalign.research.proposers.propose import Code, Proposal, Told
from tests.research.proposers.toy import SPACE

BASE = np.array([0.1, 0.5, -0.3, 0.8])


def test_a_proposal_is_known_by_who_what_and_how_many():
    one = Proposal("random", SPACE.method(a=1), 3, "because", "parent")
    assert one.id == Proposal("random", dict(reversed(SPACE.method(a=1).items())), 3).id
    assert one.id == Proposal("random", json.loads(json.dumps(one.method)), 3).id
    others = [
        Proposal("evolve", one.method, 3),
        Proposal("random", SPACE.method(a=2), 3),
        Proposal("random", one.method, 6),
        Proposal("random", Code("def method(public, seed): return 0"), 3),
        Proposal("random", Code("def method(public, seed): return 0", "other"), 3),
    ]
    assert len({one.id, *(o.id for o in others)}) == 6


def test_what_is_told_must_fit_what_was_asked():
    proposal = Proposal("random", SPACE.method(a=1), 3)
    with pytest.raises(SpecError, match=r"asked for 3 problems and was told 2 scores; tell all of them, or why it"):
        Told(proposal, (0.1, 0.2))
    with pytest.raises(SpecError, match="not finite; tell it as a failure"):
        Told(proposal, (0.1, float("nan"), 0.3))
    assert Told(proposal, failure="killed").scores == ()


def test_a_method_is_known_at_its_largest_fidelity():
    history = History(SPACE)
    method = SPACE.method(a=1)
    history.add(Told(Proposal("halving", method, 3), (1.0, 2.0, 3.0)))
    assert history.find(method, 4) is None
    history.add(Told(Proposal("halving", method, 4), (1.0, 2.0, 3.0, 4.0)))
    history.add(Told(Proposal("other", method, 2), failure="killed"))
    np.testing.assert_array_equal(history.find(method, 2).scores, [1.0, 2.0])
    np.testing.assert_array_equal(history.find(method, 4).scores, [1.0, 2.0, 3.0, 4.0])
    assert history.find(SPACE.method(a=2), 1) is None
    assert history.count("halving") == 2
    assert [r.method for r in history.scored(4)] == [method]
    assert history.scored(4, without="halving") == []


def test_equal_means_go_by_complexity():
    history = History(SPACE)
    for method in (SPACE.method(a=1, b=1), SPACE.method(c=1), SPACE.method(d=2, a=1)):
        history.add(Told(Proposal("random", method, 2), (0.25, 0.25)))
    assert history.scored(2)[0].method == SPACE.method(c=1)


def test_draws_are_distinct_and_exhaust_the_space():
    drawn = [tuple(m.values()) for m in draws(SPACE, 0, "tests")]
    assert len(drawn) == len(set(drawn)) == 256
    assert [tuple(m.values()) for m in islice(draws(SPACE, 0, "tests"), 9)] == drawn[:9]
    assert [tuple(m.values()) for m in islice(draws(SPACE, 1, "tests"), 9)] != drawn[:9]


def test_worse_is_a_matter_of_paired_differences():
    assert worse(BASE - 0.01, BASE)  # far less than the problems differ, but on every one of them
    assert not worse(BASE, BASE)
    assert not worse(BASE + 0.01, BASE)
    assert not worse(BASE + np.array([0.2, -0.2, 0.1, -0.15]), BASE)
    assert worse(np.full(4, -np.inf), BASE)
    assert worse(BASE[:1] - 0.01, BASE[:1])  # one problem has no error to hide behind


def test_the_simplest_within_one_standard_error_is_chosen():
    methods = [SPACE.method(a=1, b=1, c=1), SPACE.method(a=1), SPACE.neutral]
    noise = np.array([0.05, -0.06, 0.04, -0.04])
    assert simplest(SPACE, methods, np.array([BASE, BASE + noise, BASE - 0.2])) == 1
    assert simplest(SPACE, methods, np.array([BASE, BASE - 0.1, BASE - 0.2])) == 0
    assert simplest(SPACE, methods, np.array([BASE, np.full(4, np.nan), BASE - 0.2])) == 0


def test_of_failures_none_is_chosen():
    with pytest.raises(Degenerate, match="none of 2 methods has a score on every problem"):
        simplest(SPACE, [SPACE.method(a=1), SPACE.neutral], np.full((2, 3), np.nan))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=1, max_size=8), st.integers(0, 99))
def test_the_choice_is_never_worse_than_the_best_nor_more_complex(rows, seed):
    methods = list(islice(draws(SPACE, seed, "tests"), len(rows)))
    scores = np.array(rows)
    chosen, best = simplest(SPACE, methods, scores), int(scores.mean(1).argmax())
    assert not worse(scores[chosen], scores[best])
    assert SPACE.complexity(methods[chosen]) <= SPACE.complexity(methods[best])
