"""What each proposer does: the rungs of halving, the children of evolution, what ablation leaves."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.research.proposers.ablation import Ablation
from superalign.research.proposers.evolve import Evolve
from superalign.research.proposers.halving import Halving, rungs
from superalign.research.proposers.history import simplest
from superalign.research.proposers.propose import Proposal
from superalign.research.proposers.search import Search
from superalign.research.space import Axis, Space
from tests.research.proposers.toy import PLANTED, SPACE, run, score, tell, told


def test_halving_keeps_the_best_third_and_the_best_eighth():
    assert rungs(48, 12) == [(48, 3), (16, 6), (6, 12)]
    history = run(Halving(space=SPACE, seed=0), batch=5)
    assert [(len(t.scores)) for t in history] == [3] * 48 + [6] * 16 + [12] * 6
    assert sum(len(t.scores) for t in history) == 312
    first = {tuple(t.proposal.method.values()): np.mean(t.scores) for t in history[:48]}
    promoted = {tuple(t.proposal.method.values()) for t in history[48:64]}
    assert promoted <= set(first)
    assert min(first[m] for m in promoted) >= max(first[m] for m in set(first) - promoted)
    ids = {t.proposal.id: t.proposal for t in history}
    assert all(ids[t.proposal.parent].method == t.proposal.method for t in history[48:])


def test_halving_does_not_promote_before_the_rung_is_full():
    proposer = Halving(space=SPACE, seed=0, width=6)
    batch = proposer.propose(99)
    assert len(batch) == 6
    tell(proposer, [told(p) for p in batch[:-1]])
    assert proposer.propose(99) == batch[-1:]
    tell(proposer, [told(batch[-1])])
    assert [p.fidelity for p in proposer.propose(99)] == [6, 6]


def test_a_space_smaller_than_the_first_rung_is_covered():
    history = run(Halving(space=SPACE, seed=0, width=1000, fidelity=4), limit=2000)
    assert [t.proposal.fidelity for t in history].count(1) == 256


def test_children_mix_two_of_the_best_and_change_one_or_two_axes():
    proposer = Evolve(space=SPACE, seed=3, fidelity=4)
    known = [SPACE.method(a=a, b=b, c=1, d=d) for a, b, d in [(2, 3, 1), (2, 2, 1), (1, 3, 1), (3, 3, 1), (2, 3, 2)]]
    known.append(SPACE.method(a=0, b=0, c=0, d=3))
    history = [told(Proposal("person", m, 4)) for m in known]
    tell(proposer, history)
    ids = {t.proposal.id: t.proposal.method for t in history}
    best = sorted(history, key=lambda t: -np.mean(t.scores))[:3]
    children = proposer.propose(40)
    assert len(children) == 40
    assert {c.parent for c in children} == {t.proposal.id for t in best}
    for child in children:
        foreign = [sum(child.method[a] not in (ids[child.parent][a], mate[a]) for a in mate) for mate in known]
        assert min(foreign) <= 2  # axes that neither parent has
        assert child.method not in known


def test_seven_axes_in_ten_come_from_the_parent():
    """Of two parents without a value in common, the mate is the parent itself half of the time: .85, less mutations."""
    wide = Space(tuple(Axis(f"x{k}", (0, 1), 0) for k in range(40)))
    proposer = Evolve(space=wide, seed=0, fidelity=1, mu=2)
    pair = [told(Proposal("person", dict.fromkeys(wide.neutral, v), 1), lambda *_: 0.0) for v in (0, 1)]
    tell(proposer, pair)
    ids = {t.proposal.id: t.proposal.method for t in pair}
    shares = [np.mean([c.method[a] == ids[c.parent][a] for a in c.method]) for c in proposer.propose(60)]
    assert 0.77 < np.mean(shares) < 0.88


def test_evolution_stops_after_its_children():
    assert len(run(Evolve(space=SPACE, seed=0, fidelity=2, children=17))) == 17


def test_evolution_ends_where_the_space_does():
    points = {tuple(t.proposal.method.values()) for t in run(Evolve(space=SPACE, seed=0, fidelity=1), limit=400)}
    assert 100 < len(points) <= 256  # it stops where the neighbourhood of the best is known


def test_ablation_leaves_what_is_needed():
    """Only axis a matters; b and c were picked up on the way."""

    def by(method, problem):
        return score({**SPACE.neutral, "a": method["a"]}, problem)

    proposer = Ablation(space=SPACE, seed=0, fidelity=6)
    tell(proposer, [told(Proposal("evolve", SPACE.method(a=2, b=3, c=1, d=2), 6), by)])
    history = run(proposer, fate=lambda p: told(p, by))
    methods = [t.proposal.method for t in history]
    assert methods[simplest(SPACE, methods, np.array([t.scores for t in history]))] == SPACE.method(a=2)
    assert methods[-1] == SPACE.neutral  # the last thing tried: that a itself is needed
    assert "without" in history[0].proposal.rationale


def test_ablation_finds_the_planted_method_under_what_hides_it():
    proposer = Ablation(space=SPACE, seed=0, fidelity=12)

    def by(method, problem):
        return score({**method, "d": 0}, problem)  # d does nothing

    tell(proposer, [told(Proposal("evolve", {**PLANTED, "d": 3}, 12), by)])
    history = run(proposer, fate=lambda p: told(p, by))
    assert [t.proposal.method for t in history if t.proposal.method == PLANTED]
    assert len(history) <= 8


@pytest.mark.parametrize("seed", [0, 1])
def test_of_two_operators_that_do_the_same_work_one_stays(seed):
    def by(method, problem):
        return score({**PLANTED, "a": 2 if method["a"] or method["b"] else 0, "b": 3}, problem)

    proposer = Ablation(space=SPACE, seed=seed, fidelity=12)
    tell(proposer, [told(Proposal("evolve", SPACE.method(a=1, b=1, c=1), 12), by)])
    history = run(proposer, fate=lambda p: told(p, by))
    methods = [t.proposal.method for t in history]
    assert SPACE.method(a=1, c=1) in methods or SPACE.method(b=1, c=1) in methods
    assert SPACE.method(c=1) in methods  # both off was tried, and hurt


def test_ablation_starts_from_the_simplest_of_equals():
    proposer = Ablation(space=SPACE, seed=0, fidelity=2)
    tell(proposer, [told(Proposal("x", m, 2), lambda *_: 0.5) for m in (SPACE.method(a=1, b=1), SPACE.method(c=1))])
    assert [p.method for p in proposer.propose(9)] == [SPACE.neutral]


def test_the_search_halves_then_evolves_then_ablates():
    history = run(Search(space=SPACE, seed=0, width=24, children=20))
    stages = [t.proposal.proposer for t in history]
    assert stages[: 24 + 8 + 3] == ["halving"] * 35
    assert stages[35:55] == ["evolve"] * 20
    assert set(stages[55:]) == {"ablation"}
    halved = {t.proposal.id for t in history[:35] if len(t.scores) == 12}
    assert {t.proposal.parent for t in history[35:55]} & halved
