"""Isolation: did code that nobody had read run behind walls, and did it try them?"""

from __future__ import annotations

from collections.abc import Sequence

from superalign.research.audits.result import AuditResult, Status
from superalign.research.ledger import Entry


def isolation(entries: Sequence[Entry]) -> AuditResult:
    """`flag` with `unhardened` where an entry says that it ran without a sandbox (`hardened` false), `flag` where one
    lists attempts that were denied. The statistic counts these entries."""
    open_runs = [e.number for e in entries if e.payload.get("hardened") is False]
    tried = [e.number for e in entries if e.payload.get("denials")]
    status: Status = "flag" if open_runs or tried else "pass"
    said = "no run without walls, no attempt on them"
    if status == "flag":
        said = f"{len(open_runs)} entries without a sandbox, {len(tried)} with attempts to reach what is not theirs"
    evidence = tuple(f"e{n}" for n in (*open_runs, *tried))[:20]
    return AuditResult(
        "isolation", status, float(len(open_runs) + len(tried)), None, None, said, evidence,
        "unhardened" if open_runs else None,
    )  # fmt: skip
