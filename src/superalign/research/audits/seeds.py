"""Seed picking: is what is claimed better than what fresh seeds give, and was everything run that was registered?

The best of n runs lies best_of(n) standard deviations above their mean: 1.16 for 5. At the spread of the released
results on dialogue (.10 of PGR) one pick of five adds .12, more than any published method added there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from superalign.core.errors import SpecError
from superalign.research.audits.result import AuditResult, Status
from superalign.research.inference import best_of
from superalign.research.ledger import Entry
from superalign.research.values import PreRegistration

FLAG, FAIL = 2.0, 4.0
"""Standard errors above the mean of fresh seeds: 2 is to be looked at, 4 is no accident (3 in 100,000)."""
EXACT = 0.005
"""PGR by which a method without chance may differ from itself on another machine."""


def seed_picking(claimed: ArrayLike, fresh: ArrayLike, runs: int = 1, evidence: tuple[str, ...] = ()) -> AuditResult:
    """Claimed scores (p,), each said to be the mean of `runs` runs, against fresh runs (p, s) on the same problems.

    The statistic is the claimed mean less that of the fresh seeds. Raises SpecError for shapes that do not fit.
    """
    said, again = np.asarray(claimed, np.float64), np.asarray(fresh, np.float64)
    if again.ndim != 2 or said.shape != again.shape[:1] or again.shape[1] < 2:
        raise SpecError(
            f"{said.shape} claimed scores and {again.shape} fresh ones; give (p,) and (p, seeds), seeds >= 2"
        )
    above = float((said - again.mean(1)).mean())
    spread = math.sqrt(float(again.var(1, ddof=1).mean())) if np.ptp(again, axis=1).any() else 0.0
    error = spread * math.sqrt((1 / runs + 1 / again.shape[1]) / len(said))
    status: Status = "pass"
    if above > max(FLAG * error, EXACT):
        status = "fail" if above > max(FAIL * error, EXACT) else "flag"
    text = f"claimed {said.mean():.3f}, fresh seeds give {again.mean():.3f} on the same {len(said)} problems"
    if status != "pass" and spread > 0:
        text += f": {above / spread:.2f} standard deviations more, {_like(above / spread)}"
    elif status != "pass":
        text += ", and the method does not depend on its seed"
    return AuditResult("seed-picking", status, above, above - FLAG * error, above + FLAG * error, text, evidence)


def _like(deviations: float) -> str:
    """How many runs the best must be taken of to come out so far above the mean."""
    count = next((n for n in range(2, 21) if best_of(n) >= deviations), None)
    return f"as the best of {count} runs" if count else "more than the best of 20 runs"


def as_registered(claim: PreRegistration, confirm: Entry) -> AuditResult:
    """Whether a confirmation ran every problem, arm and training seed of its registration; `fail` where it ran fewer.

    The statistic is the share of the registered runs that were made. A confirmation that failed says so itself.
    """
    held = confirm.payload
    problems = claim.tasks * len(claim.families)
    arms = {"method", *claim.baselines}
    due = problems * claim.seeds * len(arms)
    counts = {name: sum(len(row) for row in rows) for name, rows in held["arms"].items() if name in arms}
    made = sum(min(count, problems * claim.seeds) for count in counts.values())
    families = [family for family, _ in held["problems"]]
    faults = []
    if len(held["problems"]) != problems or any(families.count(f) != claim.tasks for f in claim.families):
        faults.append(f"{len(held['problems'])} problems of {problems} registered")
    if len(held["training"]) != claim.seeds:
        faults.append(f"{len(held['training'])} training seeds of {claim.seeds} registered")
    if held["status"] == "ok" and made < due:
        faults.append(f"{made} runs of {due} registered")
    share = made / due
    text = (
        "; ".join(faults) or f"all {problems} problems and {claim.seeds} training seeds that were registered were run"
    )
    if held["status"] != "ok" and not faults:
        text = f"the confirmation did not run: {str(held.get('said', ''))[:200]}"
    status: Status = "fail" if faults else "pass" if held["status"] == "ok" else "flag"
    return AuditResult("as-registered", status, share, None, None, text, (f"e{confirm.number}",))
