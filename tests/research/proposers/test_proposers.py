"""What holds for every proposer: resumption, the planted optimum, failures, options."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import SpecError
from superalign.research.proposers.ablation import Ablation
from superalign.research.proposers.evolve import Evolve
from superalign.research.proposers.halving import Halving
from superalign.research.proposers.propose import Code, Proposal, Told
from superalign.research.proposers.random import Random
from superalign.research.proposers.search import Search
from tests.research.proposers.toy import PLANTED, SMALL, SPACE, run, tell, told

KINDS = [Random, Halving, Evolve, Ablation, Search]
FIND = {  # options, and proposals within which the planted method of 256 is met
    Random: ({"fidelity": 2}, 256),
    Halving: ({"width": 256, "fidelity": 4}, 400),
    Evolve: ({"fidelity": 4}, 130),
    Search: ({"fidelity": 8, "width": 24, "children": 90}, 200),
}


def typed(history):
    return [tuple(t.proposal.method.values()) for t in history]


@pytest.mark.parametrize("kind", FIND, ids=lambda k: k.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_planted_optimum_is_found(kind, seed):
    options, limit = FIND[kind]
    history = run(kind(space=SPACE, seed=seed, **options), limit=limit)
    full = [t for t in history if len(t.scores) == options["fidelity"]]
    best = max(full, key=lambda t: sum(t.scores))
    assert best.proposal.method == PLANTED


@pytest.mark.parametrize("seed", [0, 1])
def test_evolution_needs_fewer_proposals_than_chance(seed):
    """Of 256 methods a random order meets the planted one after 128 on average."""
    history = run(Evolve(space=SPACE, seed=seed, fidelity=4), batch=1, limit=110)
    assert typed(history).index(tuple(PLANTED.values())) < 100


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), cut=st.floats(0, 1), order=st.randoms(use_true_random=False))
def test_told_the_history_again_in_any_order_it_goes_on_where_it_was(kind, seed, cut, order):
    whole = run(kind(space=SPACE, seed=seed, fidelity=4), batch=3, limit=24)
    at = int(cut * len(whole))
    going, fresh = (kind(space=SPACE, seed=seed, fidelity=4) for _ in range(2))
    tell(going, whole[:at])
    shuffled = whole[:at]
    order.shuffle(shuffled)
    tell(fresh, shuffled)
    assert fresh.propose(3) == going.propose(3) == fresh.propose(3)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
@pytest.mark.parametrize("at", [0, 1, 7, 20, 55])
def test_a_resumed_campaign_is_the_campaign(kind, at):
    options = {"space": SPACE, "seed": 4, "fidelity": 4} | ({"width": 24} if kind is Search else {})
    whole = run(kind(**options), batch=1, limit=60)
    fresh = kind(**options)
    tell(fresh, whole[:at])
    assert run(fresh, batch=1, limit=max(60 - at, 0)) == whole[at:]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_nothing_is_proposed_twice_and_all_is_in_the_space(kind):
    history = run(kind(space=SPACE, seed=5, fidelity=4), limit=120)
    assert max(Counter(t.proposal.id for t in history).values()) == 1
    assert max(Counter((p, t.proposal.fidelity) for p, t in zip(typed(history), history, strict=True)).values()) == 1
    known = {t.proposal.id for t in history}
    for t in history:
        assert SPACE.check(t.proposal.method) == t.proposal.method
        assert t.proposal.rationale
        assert t.proposal.parent is None or t.proposal.parent in known


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_other_seeds_propose_other_methods(kind):
    one, other = (kind(space=SPACE, seed=seed).propose(6) for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_failures_are_no_parents_and_are_not_tried_again(kind):
    def fate(proposal):
        fails = proposal.method["a"] in (2, 3)
        return Told(proposal, failure="MemoryError: too large") if fails else told(proposal)

    history = run(kind(space=SPACE, seed=1, fidelity=4), limit=300, fate=fate)
    failed = {t.proposal.id for t in history if t.failure}
    points = [tuple(t.proposal.method.values()) for t in history if t.failure]
    assert len(points) == len(set(points))
    assert not failed & {t.proposal.parent for t in history}


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_where_everything_fails_it_ends(kind):
    history = run(kind(space=SMALL, seed=1), limit=1000, fate=lambda p: Told(p, failure="no"))
    assert 0 < len(history) <= SMALL.size


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_the_ideas_of_others_are_taken_note_of(kind):
    proposer = kind(space=SPACE, seed=0, fidelity=4)
    proposer.tell(Told(Proposal("llm", Code("def method(public, seed): ..."), 4), (0.1,) * 4))
    proposer.tell(told(Proposal("person", SPACE.method(d=3), 4)))
    assert proposer.propose(3)
    with pytest.raises(SpecError, match="a=9 is not in the space"):
        proposer.tell(Told(Proposal("person", {**SPACE.neutral, "a": 9}, 4), (0.1,) * 4))


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_a_fidelity_is_a_number_of_problems(kind, value):
    with pytest.raises(SpecError, match=r"fidelity=.* is not a whole number of 1 or more; write fidelity=6"):
        kind(space=SPACE, seed=0, fidelity=value)


def test_other_options_are_checked_too():
    with pytest.raises(SpecError, match="width=0"):
        Halving(space=SPACE, seed=0, width=0)
    with pytest.raises(SpecError, match="mu=0"):
        Evolve(space=SPACE, seed=0, mu=0)
    with pytest.raises(SpecError, match="children=-1 is not a whole number of 0 or more"):
        Evolve(space=SPACE, seed=0, children=-1)
    with pytest.raises(SpecError, match="children=0"):
        Search(space=SPACE, seed=0, children=0)
