"""What speakers quote: how much of it is in the story, how much of the story it covers, and by which side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from superalign.core.ports import Progress, silent
from superalign.protocols.quotes import check
from superalign.tasks.debates import Debate, Speech


@dataclass(frozen=True, slots=True)
class Quoting:
    """The quotes of one side of one debate: how many there are of each status, and the tokens that they cover."""

    debate: str
    setting: str
    story: str
    side: int
    speeches: int
    statuses: Counter[str]
    in_range: int
    covered: frozenset[int]
    tokens: int

    @property
    def quotes(self) -> int:
        return sum(self.statuses.values())


def quoting(debates: Sequence[Debate], progress: Progress = silent) -> list[Quoting]:
    """Check every quote as text against its story, the way a debater's quote is checked, and by its span."""
    found = []
    ordered = sorted(debates, key=lambda d: (d.story.title, d.story.text))  # what is known of a story is used at once
    for done, debate in enumerate(ordered):
        progress("quotes", done, len(ordered))
        for side in debate.sides:
            found.append(_quoting(debate, side, [s for s in debate.speeches if s.side == side]))
    progress("quotes", len(ordered), len(ordered))
    return found


def _quoting(debate: Debate, side: int, speeches: Sequence[Speech]) -> Quoting:
    statuses: Counter[str] = Counter()
    covered: set[int] = set()
    in_range = 0
    for quote in (q for s in speeches for q in s.quotes):
        statuses[check(quote.text, debate.story.text).status] += 1
        in_range += quote.raw is None
        covered |= set(range(*quote.quote)) if quote.quote else set()
    where = (debate.id, debate.setting, debate.story.title, side)
    return Quoting(*where, len(speeches), statuses, in_range, frozenset(covered), len(debate.story.tokens))


def coverage(found: Iterable[Quoting]) -> dict[str, float]:
    """Share of the story's tokens that a debate's quotes cover together, for every debate with a speech."""
    by_debate = groupby(sorted(found, key=lambda q: q.debate), key=lambda q: q.debate)
    sides = {name: [q for q in group if q.speeches] for name, group in by_debate}
    return {n: len(frozenset().union(*(q.covered for q in qs))) / qs[0].tokens for n, qs in sides.items() if qs}


def overlap(found: Iterable[Quoting]) -> list[float]:
    """Of the tokens that a debate's two sides quote, the share that both quote."""
    by_debate = groupby(sorted(found, key=lambda q: q.debate), key=lambda q: q.debate)
    pairs = [list(group) for _, group in by_debate]
    both = [(a.covered, b.covered) for a, b in (p for p in pairs if len(p) == 2) if a.covered and b.covered]
    return [len(a & b) / len(a | b) for a, b in both]


def row(name: str, found: Sequence[Quoting]) -> tuple[object, ...]:
    """A row of the table of quotes."""
    total: Counter[str] = sum((q.statuses for q in found), Counter())
    count, speeches = sum(total.values()), sum(q.speeches for q in found)
    spans = sum(q.in_range for q in found)
    shares = [round(total[s] / count, 4) if count else None for s in ("verified", "near", "unverified")]
    covered, shared = list(coverage(found).values()), overlap(found)
    return (
        name,
        len({q.debate for q in found if q.speeches}),
        count,
        round(count / speeches, 2) if speeches else None,
        *shares,
        round(spans / count, 4) if count else None,
        round(float(np.mean(covered)), 4) if covered else None,
        round(float(np.mean(shared)), 4) if shared else None,
    )


COLUMNS = (
    "who", "games", "quotes", "quotes per speech", "verified as text", "near", "unverified", "span in range",
    "coverage of the story", "overlap of both sides",
)  # fmt: skip
