"""From confirmations to verdicts: the payloads of `verdict` entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from superalign.research.inference import Paired, paired
from superalign.research.ledger import Entry
from superalign.research.values import PreRegistration
from superalign.research.verdicts import Confirmed, Qualifier, Verdict, verdicts

FAMILIES = 3
"""A claim about fewer families than this is about those alone."""


def judge(confirmed: Sequence[tuple[PreRegistration, Entry]], audits: Sequence[Entry]) -> list[dict[str, Any]]:
    """A payload per confirmation, Holm's correction over all of them, audits that failed blocking a good word."""
    claims = [
        Confirmed(claim.id, comparisons(entry), claim.sesoi, claim.alpha, qualifiers(claim, audits))
        for claim, entry in confirmed
    ]
    judged = zip(confirmed, claims, verdicts(claims), strict=True)
    return [_payload(claim, entry, found.comparisons, verdict) for (claim, entry), found, verdict in judged]


def comparisons(entry: Entry) -> dict[str, Paired]:
    """The method against each baseline over the problems of a confirmation; none where it failed."""
    arms = {name: np.asarray(rows, np.float64) for name, rows in entry.payload["arms"].items()}
    return {n: paired(arms["method"] - arm) for n, arm in arms.items() if n != "method"} if arms else {}


def qualifiers(claim: PreRegistration, audits: Sequence[Entry]) -> tuple[Qualifier, ...]:
    """What must be said beside the word."""
    found: list[Qualifier] = ["exploratory"] if claim.exploratory else []
    mine = [a.payload for a in audits if a.payload.get("registration") in (claim.id, None)]
    if any(a["status"] == "fail" for a in mine):
        found.append("audit-failed")
    for name in ("testbed-shortcut", "teacher-independent", "unhardened"):
        if any(a["status"] != "pass" and a.get("qualifier") == name for a in mine):
            found.append(name)
    if len(claim.families) < FAMILIES:
        found.append("single-family")
    return tuple(found)


def _payload(
    claim: PreRegistration, entry: Entry, by_baseline: Mapping[str, Paired], verdict: Verdict
) -> dict[str, Any]:
    comparison = verdict.comparison
    word = "no evidence" if "audit-failed" in verdict.qualifiers and verdict.word == "improves" else verdict.word
    numbers = asdict(comparison) if comparison is not None else {"estimate": None, "low": None, "high": None}
    adjusted = verdict.p_adjusted if verdict.word == "improves" else verdict.adjusted.get(verdict.deciding, 1.0)
    per_baseline = {
        name: {**asdict(found), "word": verdict.words[name], "p_adjusted": verdict.adjusted[name]}
        for name, found in by_baseline.items()
    }
    return {
        "registration": claim.id, "claim": claim.claim, "word": word, "qualifiers": list(verdict.qualifiers),
        "deciding": verdict.deciding, **numbers, "p_adjusted": adjusted, "confirm": entry.number,
        "per_baseline": per_baseline, "families": by_family(entry), "exploratory": claim.exploratory, "sesoi": claim.sesoi,
        "alpha": claim.alpha,
    }  # fmt: skip


def by_family(entry: Entry) -> dict[str, dict[str, float]]:
    """The mean PGR of every arm in each family."""
    names = [str(family) for family, _ in entry.payload["problems"]]
    return {
        family: {
            arm: float(np.mean([np.mean(row) for row, name in zip(rows, names, strict=True) if name == family]))
            for arm, rows in entry.payload["arms"].items()
        }
        for family in dict.fromkeys(names)
        if entry.payload["arms"]
    }
