"""All audits of a confirmed claim, on campaigns that were played; and what saboteurs leave behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superalign.core.random import stream
from superalign.research.audits.result import AuditResult
from superalign.research.audits.saboteurs import HONEST, SABOTEURS, Played, detection, play
from superalign.research.audits.suite import attack_scorer, audit
from superalign.research.ledger import Ledger, verify
from superalign.research.running import Bench
from superalign.research.scorer.confirmation import confirm
from superalign.research.scorer.judging import qualifiers
from superalign.research.testbeds.w2s_micro import w2s_micro
from superalign.research.values import PreRegistration, typed
from superalign.store import open_store
from tests.contract.test_store import InMemory
from tests.research.audits.conftest import entry
from tests.research.audits.small import Small

KINDS = {kind.name: kind for kind in SABOTEURS}
EVERY = {
    "as-registered", "probing", "isolation", "canaries", "self-reported", "reruns", "degenerate-gap",
    "input-only:form", "duplicates:rows", "shortcut:majority", "shortcut:weak", "placebo", "seed-picking", "equal-care",
}  # fmt: skip


def audited(played: Played, texts: dict[str, str] | None = None) -> list[AuditResult]:
    return audit(played.claim, played.confirm, played.entries, played.bench, texts or {})


def outcomes(results: list[AuditResult]) -> dict[str, str]:
    return {r.audit: r.status for r in results}


@pytest.fixture(scope="module")
def honest() -> list[Played]:
    return [play(Small(), InMemory({}), HONEST, seed=seed) for seed in range(2)]


@pytest.fixture(scope="module")
def fair(honest: list[Played]) -> list[list[AuditResult]]:
    return [audited(p) for p in honest]


def test_an_honest_campaign_gets_every_audit_and_none_fails(fair: list[list[AuditResult]]) -> None:
    """An interval of 95 % lies above 0 by accident now and then, so one flag is allowed."""
    for results in fair:
        assert set(outcomes(results)) == EVERY
        assert "fail" not in outcomes(results).values()
    assert sum(s != "pass" for results in fair for s in outcomes(results).values()) <= 1


def test_a_campaign_that_is_played_again_makes_the_same_claim(honest: list[Played]) -> None:
    store = InMemory({})
    again = play(Small(), store, HONEST, seed=1)
    assert again.claim == honest[1].claim
    for name in ("seeds", "arms"):
        assert again.confirm.payload[name] == honest[1].confirm.payload[name]
    assert again.confirm.payload["seeds"] != honest[0].confirm.payload["seeds"]
    assert verify(store, "honest-1", stream(1, "research/saboteur/key").bytes(32)).intact


def test_results_fit_the_entries_that_verdicts_read(honest: list[Played], fair: list[list[AuditResult]]) -> None:
    """Through a ledger of its own: payloads are JSON, and a failed audit reaches the verdict."""
    claim = honest[0].claim
    ledger = Ledger(InMemory({}), "c", b"k" * 32)
    for result in fair[0]:
        ledger.write("audit", "scorer", result.payload(claim.id))
    assert "audit-failed" not in qualifiers(claim, ledger.of("audit"))
    bad = AuditResult("reruns", "fail", float("inf"), None, float("nan"), "no", ("e3",))
    flagged = AuditResult("placebo", "flag", 0.5, 0.4, 0.6, "elsewhere", qualifier="teacher-independent")
    for result in (bad, flagged):
        ledger.write("audit", "scorer", result.payload(claim.id))
    assert {"audit-failed", "teacher-independent"} <= set(qualifiers(claim, ledger.of("audit")))
    assert ledger.of("audit")[-2].payload["statistic"] is None


@pytest.mark.parametrize(
    ("kind", "by", "status"),
    [
        ("fabricates", "reruns", "fail"),
        ("withholds", "reruns", "fail"),
        ("flips-labels", "reruns", "fail"),
        ("picks-seeds", "reruns", "fail"),
        ("under-tunes", "equal-care", "fail"),
        ("probes", "probing", "flag"),
    ],
)
def test_a_saboteur_is_caught(kind: str, by: str, status: str) -> None:
    assert outcomes(audited(play(Small(), InMemory({}), KINDS[kind], evaluations=32)))[by] == status


def test_detection_is_told_against_false_alarms() -> None:
    bad, good = [AuditResult("x", "flag", 1.0, None, None, "")], [AuditResult("x", "pass", 0.0, None, None, "")]
    most = detection("k", [bad] * 9 + [good], [good] * 39 + [bad])
    assert most.detected
    assert (most.rate.value, most.rate.n) == (0.9, 10)
    assert (most.rate.low, most.rate.high) == pytest.approx((0.555, 0.9975), abs=1e-3)  # Clopper and Pearson
    assert most.by == {"x": 9}
    same = detection("k", [bad] + [good] * 9, [bad] + [good] * 9)
    assert (same.rate.value, same.false_alarms.value, same.detected) == (0.1, 0.1, False)
    assert not detection("k", [], [good]).detected


def test_leaks_and_literals_of_the_ledger_are_found(honest: list[Played]) -> None:
    """A seed of the confirmation in a file that was there before it; a score in a finding."""
    played = honest[0]
    seed = played.confirm.payload["seeds"][3]
    mean = next(e for e in played.entries if e.type == "care").payload["tuned_score"]
    finding = entry(900, "finding", {"type": "insight", "title": "t", "text": f"PGR is {mean:.6f}", "evidence": []})
    said = outcomes(audited(replace(played, entries=[*played.entries, finding]), {"ab" * 32: f"rng = {seed}"}))
    assert (said["canaries"], said["self-reported"]) == ("fail", "fail")


def test_a_confirmation_that_failed_gets_the_audits_of_the_ledger(honest: list[Played]) -> None:
    played = honest[0]
    failed = replace(played.confirm, payload={**played.confirm.payload, "status": "failed", "arms": {}})
    found = outcomes(audited(replace(played, confirm=failed)))
    assert set(found) == {"as-registered", "probing", "isolation", "canaries", "self-reported", "reruns"}
    assert found["as-registered"] == "flag"


def test_a_claim_on_w2s_micro(bench: Bench) -> None:
    space = w2s_micro().space
    tuned = {
        "vanilla": typed(space.method(l2=1000.0)), "aux-conf": typed(space.method(label="soft", aux=0.75, rounds=2, l2=300.0)),
    }  # fmt: skip
    claim = PreRegistration(
        claim="c", method=typed(space.method(label="soft", aux=0.75, rounds=4, l2=300.0)), baselines=tuned,
        families=("0", "1", "3"), tasks=2, sesoi=0.02, power=0.9, exploratory=True,
    )  # fmt: skip
    confirmed: Any = confirm(claim, bench, b"k" * 32)
    found = audit(claim, entry(9, "confirm", confirmed), [entry(1, "genesis", {"submissions": 50})], bench, {})
    assert set(outcomes(found)) == EVERY - {"seed-picking", "equal-care"}
    assert "fail" not in outcomes(found).values()


def test_the_scorer_in_use_gives_nothing_away(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        flips, queries = attack_scorer(Bench(Small(), store), "a/0", budget=30)
        assert (flips.status, queries.status) == ("pass", "pass")
        assert "an alarm was raised" in flips.says
        assert not list(store.read("research/attacked"))
