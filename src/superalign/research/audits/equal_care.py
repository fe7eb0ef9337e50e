"""Equal care: was every baseline of a claim tuned as the ledger says, with at least the effort of the search?

Three questions: is there an entry of care for each baseline of the testbed, made before the registration, whose settings
are those that were registered; did it cost as many evaluations as the search, or the whole grid; and do settings drawn
from the grid beat the tuned ones on problems that nobody has used? The last one cannot be answered by an entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.random import stream
from superalign.research.audits.result import AuditResult
from superalign.research.inference import Paired, paired
from superalign.research.ledger import Entry
from superalign.research.testbed import Baseline, Testbed
from superalign.research.values import PreRegistration, Typed

if TYPE_CHECKING:
    from superalign.core.ports import Floats
    from superalign.research.space import Method

Evaluate = Callable[[Sequence["Method"], slice], "Floats"]
"""`evaluate(methods, part)`: PGR (n, p) on that part of the fresh problems, NaN where a method failed."""

CHOOSE, TRIED = 4, 8
"""Problems on which the best of the settings drawn is chosen, and how many are drawn."""


def equal_care(
    claim: PreRegistration, entries: Sequence[Entry], testbed: Testbed, evaluate: Evaluate, seed: int = 0
) -> AuditResult:
    """`fail` where a baseline is missing, was tuned for other settings than the claim's, with less care than the search
    used, or is beaten by a random setting of its grid: by more (interval) than the smallest effect of interest, and
    than one standard error on the problems of its tuning, which the choice of the simplest setting may cost.

    The statistic is the largest such difference. Fresh problems from the fifth on test what the first four choose.
    """
    before = entries[: _place(claim, entries)]
    search = sum(len(e.payload["problems"]) for e in before if e.type == "run_end")
    fidelity = max((len(e.payload["problems"]) for e in before if e.type == "run_end"), default=1)
    care = {str(e.payload["baseline"]): e for e in before if e.type == "care"}
    faults, tests = [], []
    for baseline in testbed.baselines:
        fault = _told(claim, baseline, care.get(baseline.name), testbed, search, fidelity)
        if fault:
            faults.append(fault)
        method = claim.baselines.get(baseline.name)
        if isinstance(method, Typed):
            test = _beaten(testbed, baseline, method, evaluate, seed)
            tests.append(test)
            if test.low > max(claim.sesoi, test.sd / math.sqrt(fidelity)):
                faults.append(f"{baseline.name}: settings drawn at random beat the tuned ones by {test.estimate:.3f}")
    worst = max(tests, key=lambda t: t.low, default=None)
    said = "; ".join(faults) or f"{len(testbed.baselines)} baselines were tuned with {search} evaluations or their grid"
    return AuditResult(
        "equal-care", "fail" if faults else "pass",
        worst.estimate if worst else None, worst.low if worst else None, worst.high if worst else None, said,
        tuple(f"e{e.number}" for e in care.values()),
    )  # fmt: skip


def _place(claim: PreRegistration, entries: Sequence[Entry]) -> int:
    """How many entries come before the registration."""
    for k, entry in enumerate(entries):
        if entry.type == "prereg" and entry.payload.get("registration") == claim.id:
            return k
    return len(entries)


def _told(
    claim: PreRegistration, baseline: Baseline, entry: Entry | None, testbed: Testbed, search: int, fidelity: int
) -> str:
    """What is wrong with what the ledger says of one baseline; empty where nothing is."""
    registered = claim.baselines.get(baseline.name)
    if registered is None:
        return f"the claim leaves out the baseline {baseline.name}"
    if entry is None:
        return f"{baseline.name} was not tuned before the claim was registered"
    held = entry.payload
    if isinstance(registered, Typed) and dict(held["tuned"]) != dict(registered.values):
        return f"{baseline.name} was registered with other settings than e{entry.number} found"
    grid = sum(1 for _ in testbed.space.grid(baseline.settings, baseline.tuned))
    if held["evaluations"] < min(search, grid * fidelity):
        return f"{baseline.name} was tuned with {held['evaluations']} evaluations, the search used {search}"
    return ""


def _beaten(testbed: Testbed, baseline: Baseline, tuned: Typed, evaluate: Evaluate, seed: int) -> Paired:
    """The best of some settings drawn from the grid, less the tuned ones, on problems that did not choose it."""
    grid = list(testbed.space.grid(baseline.settings, baseline.tuned))
    order = stream(seed, "research/equal-care", baseline.name).permutation(len(grid))[:TRIED]
    drawn = [grid[int(k)] for k in order]
    means = np.nan_to_num(evaluate(drawn, slice(0, CHOOSE)).mean(1), nan=-np.inf)
    table = evaluate([drawn[int(means.argmax())], testbed.space.check(tuned.values)], slice(CHOOSE, None))
    return paired(np.nan_to_num(table[0] - table[1], nan=0.0)[:, None])
