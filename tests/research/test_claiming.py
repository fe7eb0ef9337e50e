"""From a method to a claim: how many problems, what is counted, and what the entries hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.digest import digest
from superalign.core.errors import SpecError
from superalign.research.claiming import LEAST, committed, design, ended, proposed, published, spread, used
from superalign.research.ledger import Ledger
from superalign.research.proposers.propose import Code, Proposal
from superalign.research.running import development, source
from superalign.research.values import PreRegistration, registered, typed
from superalign.research.workers import Workers
from superalign.store import open_store
from tests.contract.test_store import InMemory
from tests.research.toy import Toy

BEST, TRICK = typed(Toy.space.method(skill=3)), typed(Toy.space.method(trick="on"))


@given(st.floats(0, 0.5), st.integers(2, 200))
def test_a_claim_has_as_many_problems_as_it_needs_within_bounds(sd: float, most: int) -> None:
    found = design(Toy(), sd, alpha=0.05, sesoi=0.05, most=most)
    count = found.tasks * 3
    assert found.families == ("a", "b", "c")
    assert LEAST <= count < max(most, LEAST) + 3
    if found.needed <= most:
        assert found.power >= 0.78  # the nominal 0.8, rounded up to whole problems of each family
    else:
        assert count >= most


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (2, "2 problems of 3 families are fewer than 8, on which hardly any claim can be significant; ask for 3 tasks"),
        (6, "6 problems of 3 families are more than 12; ask for fewer tasks"),
    ],
)
def test_too_few_and_too_many_problems_are_refused(tasks: int, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        design(Toy(), 0.1, alpha=0.05, sesoi=0.05, most=12, tasks=tasks)


def test_as_many_problems_as_were_asked_for() -> None:
    asked = [design(Toy(), 0.1, alpha=0.05, sesoi=0.05, most=12, tasks=tasks) for tasks in (3, 5)]
    assert [found.tasks for found in asked] == [3, 5]
    assert asked[0].power < asked[1].power
    assert asked[0].needed == asked[1].needed > 15


def test_what_was_run_is_counted_with_its_failures(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        ledger, workers, problems = Ledger(store, "c1"), Workers("toy", Toy(), store), development(Toy(), 4)
        workers.denials[digest(TRICK)] = ["open /etc/passwd"]
        ends = ended(workers, [BEST, TRICK], problems)
        for number, end in enumerate(ends, 1):
            ledger.write("run_end", "worker", {"proposal": number, **end})
        assert used(ledger) == 8
    good, bad = ends
    assert (good["status"], len(good["scores"]), good["problems"]) == ("ok", 4, [list(p) for p in problems])
    assert (bad["status"], bad["scores"]) == ("failed", [])
    assert "the trick does not work" in bad["said"]
    assert ("denials" in good, bad["denials"]) == (False, ["open /etc/passwd"])
    assert good["usage"] == bad["usage"], "what runs together shares what was used"
    assert good["usage"]["wall_s"] > 0


def test_the_spread_is_that_of_the_most_uneven_difference() -> None:
    workers, problems = Workers("toy", Toy(), InMemory({})), development(Toy(), 6)
    best, others = Toy.space.method(skill=3), {"same": Toy.space.method(skill=3), "plain": Toy.space.method(skill=1)}
    table = workers.evaluate([best, others["plain"]], problems)
    assert spread(workers, BEST, others, problems) == pytest.approx((table[0] - table[1]).std(ddof=1))
    assert spread(workers, BEST, {"same": others["same"]}, problems) == 0
    assert spread(workers, TRICK, others, problems) == 0, "a method that failed has no difference to anything"


def test_a_program_is_committed_to_by_its_hash() -> None:
    store, text = InMemory({}), "def method(public, seed): ..."
    code = committed(store, Code(text))
    assert source(store, code) == text  # type: ignore[arg-type]
    assert committed(store, Toy.space.method(skill=3)) == BEST
    proposal = Proposal("somebody", Code(text), 4, "why " * 1000, "parent")
    payload = proposed(proposal, code)
    assert payload["method"] == code.model_dump(mode="json")
    assert (payload["id"], payload["fidelity"], len(payload["rationale"])) == (proposal.id, 4, 2000)


def test_a_claim_is_what_its_id_says() -> None:
    ledger = Ledger(InMemory({}), "c1")
    ledger.write("care", "campaign", {"baseline": "plain", "evaluations": 12})
    found = design(Toy(), 0.1, alpha=0.05, sesoi=0.05, most=12)
    claim = found.claim(ledger, "it is best", BEST, published(Toy()), seeds=1, exploratory=True, override="a toy")
    assert isinstance(claim, PreRegistration)
    assert (claim.care, claim.head, claim.tasks) == ({"plain": 12}, ledger.head, 4)
    assert claim.baselines["plain"] == typed(Toy.space.method(skill=1))
    ledger.write("prereg", "campaign", claim.payload)
    assert registered(ledger, claim.id) == claim
    with pytest.raises(SpecError, match=f"'r0' is not pre-registered; there is: {claim.id}"):
        registered(ledger, "r0")
    ledger.write("prereg", "x", {**claim.payload, "registration": "r0"})
    with pytest.raises(SpecError, match="the pre-registration 'r0' is not what its id says; register it again"):
        registered(ledger, "r0")
