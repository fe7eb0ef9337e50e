"""Degenerate gap: where the ceiling is no better than the weak supervisor, a share of the gap means nothing.

The noise that counts is that of a problem's test items. Weak and ceiling are right on partly the same items, which the
interval ignores, so it errs on the wide side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from superalign.core.errors import SpecError
from superalign.research.audits.result import AuditResult, named
from superalign.research.testbed import Problem

WIDE = 1.959964


def degenerate_gap(problems: Sequence[Problem]) -> AuditResult:
    """`fail` where some family's mean gap has an interval that reaches 0. The statistic is the gap of the family that
    comes closest. Raises SpecError where there are no problems."""
    if not problems:
        raise SpecError("the gap of no problems cannot be audited; give at least one problem")
    found: dict[str, tuple[float, float]] = {}
    for family in dict.fromkeys(p.family for p in problems):
        keys = [p.key for p in problems if p.family == family]
        gap = float(np.mean([k.ceiling - k.weak for k in keys]))
        noise = sum((k.weak * (1 - k.weak) + k.ceiling * (1 - k.ceiling)) / len(k.truth) for k in keys)
        found[family] = gap, WIDE * float(np.sqrt(noise)) / len(keys)
    worst = min(found, key=lambda f: found[f][0] - found[f][1])
    gap, half = found[worst]
    undefined = [f for f, (g, h) in found.items() if g - h <= 0]
    said = (
        f"PGR is undefined on families {', '.join(undefined)}: the gap of {worst!r} is {gap:.3f} ± {half:.3f}"
        if undefined
        else f"the smallest gap between ceiling and weak supervisor is {gap:.3f} ± {half:.3f}, of family {worst!r}"
    )
    those = [p for p in problems if p.family in undefined]
    return AuditResult(
        "degenerate-gap", "fail" if undefined else "pass", gap, gap - half, gap + half, said, named(those)
    )
