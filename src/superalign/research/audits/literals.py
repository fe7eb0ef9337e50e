"""Self-reported numbers: a result stands in the ledger, and who speaks of it points there.

A finding that repeats a score of the ledger without naming its entry, or a method with a score written into its code,
reports for itself. Numbers also agree by accident, the more easily the more scores there are and the fewer digits they
have; a literal counts only at a precision at which few of the numbers that could be written are scores.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from superalign.research.audits.result import AuditResult
from superalign.research.ledger import Entry

_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d{0,9}\.(?:\d{1,16}\s?%|\d{2,17}(?![\w.]*\d))")
_REFERENCE = re.compile(r"\be(\d{1,9})(?:\.[a-z_]+)*\b")
PROSE, CODE = 0.1, 0.001
"""The share of the numbers of a precision that may be scores: words can point to an entry and code cannot, but code is
full of numbers."""
LONGEST = 1 << 20
"""Characters of a text that are read."""


@dataclass(frozen=True, slots=True)
class Said:
    """A text that someone else wrote: a finding, with the entries it points to, or code."""

    where: str
    text: str
    evidence: frozenset[int] = frozenset()
    code: bool = False


def self_reported(texts: Sequence[Said], entries: Sequence[Entry]) -> AuditResult:
    """`fail` where a literal is a score of the ledger and its entry is not referred to (`e12.best`, or as evidence);
    code cannot refer. The statistic counts such literals."""
    pools = _pools(entries)
    found = []
    for said in texts:
        text = said.text[:LONGEST]
        referred = said.evidence | {int(m[1]) for m in _REFERENCE.finditer(text)}
        for literal in dict.fromkeys(m[0] for m in _NUMBER.finditer(text)):
            held = set().union(*(pool.holds(literal, CODE if said.code else PROSE) for pool in pools))
            if held and (said.code or not held & referred):
                found.append(f"{said.where}: {literal.strip()} = e{min(held)}")
    text = f"{len(found)} scores of the ledger are repeated without their entry" if found else "no score is repeated"
    return AuditResult(
        "self-reported", "fail" if found else "pass", float(len(found)), None, None,
        f"{text}, in {len(texts)} findings and method files", tuple(found[:20]),
    )  # fmt: skip


@dataclass
class _Pool:
    """Scores with the entries that hold them."""

    scores: list[tuple[float, int]]
    _tables: dict[int, dict[int, set[int]]] = field(default_factory=dict)

    def holds(self, literal: str, share: float) -> set[int]:
        """The entries that hold the literal to its last digit; none where so much is held that it says nothing."""
        text = literal.strip()
        percent = text.endswith("%")
        number = Decimal(text.rstrip("% ").replace("−", "-"))
        digits = -int(number.as_tuple().exponent) + 2 * percent
        table = self._table(digits)
        if not table or len(table) > share * max(max(table) - min(table), 10**digits):
            return set()
        return table.get(round(float(number) * 10 ** (digits - 2 * percent)), set())

    def _table(self, digits: int) -> dict[int, set[int]]:
        if digits not in self._tables:
            table = self._tables[digits] = {}
            for score, entry in self.scores:
                table.setdefault(round(score * 10**digits), set()).add(entry)
        return self._tables[digits]


def _pools(entries: Sequence[Entry]) -> list[_Pool]:
    """The scores that are spoken of (means of runs, care, public problems, verdicts), and those of single problems,
    which are so many that only long literals can be told to be theirs."""
    spoken: list[tuple[float, int]] = []
    single: list[tuple[float, int]] = []
    for entry in entries:
        held = entry.payload
        scores = _floats(held.get("scores")) if entry.type == "run_end" else []
        single += [(s, entry.number) for s in scores]
        if scores:
            spoken.append((sum(scores) / len(scores), entry.number))
        fields = {
            "care": ("default_score", "tuned_score"),
            "score": ("best",),
            "verdict": ("estimate", "low", "high"),
        }.get(entry.type, ())
        spoken += [(s, entry.number) for s in _floats([held.get(name) for name in fields])]
    return [_Pool(spoken), _Pool(single)]


def _floats(values: Any) -> list[float]:
    return [v for v in values if isinstance(v, float)] if isinstance(values, list) else []
