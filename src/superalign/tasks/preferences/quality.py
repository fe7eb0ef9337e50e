"""What is wrong with preference data, in counts: copies, contradictions, favoured positions and lengths, disagreement."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from superalign.core.digest import digest
from superalign.tasks.preferences import Comparison


@dataclass(frozen=True, slots=True)
class Quality:
    """Counts over all pairs (K responses make K(K-1)/2). Shares and intervals are for whoever shows them."""

    comparisons: int
    groups: int
    pairs: int
    ties: int
    empty: int
    """Pairs with a response that says nothing."""
    equal: int
    """Pairs of the same response twice."""
    copies: int
    """Pairs that repeat an earlier one, in either order, and agree with it or tie."""
    contradictions: int
    """Distinct pairs that were decided both ways."""
    first: int
    """Decided pairs won by the response that is listed first. In data written as chosen and rejected it says nothing."""
    second: int
    longer: int
    """Decided pairs won by the response with more characters; "always the longer" is right in longer / (longer + shorter)."""
    shorter: int
    agreeing: int
    """Of all two verdicts on one pair, those that are the same: won by the same response, or tied."""
    repeated: int
    """All two verdicts on one pair."""


def quality(comparisons: Iterable[Comparison]) -> Quality:
    """Count. An agreement corrected for chance is Krippendorff's alpha of `ratings`."""
    whole = list(comparisons)
    pairs = [pair for comparison in whole for pair in comparison.pairs(ties=True)]
    decided = [(pair, pair.preferred) for pair in pairs if pair.preferred is not None]
    lengths = [len(p.responses[won]) - len(p.responses[1 - won]) for p, won in decided]
    verdicts: dict[str, list[float]] = defaultdict(list)
    for unit, rating in ratings(pairs):
        verdicts[unit].append((rating > 0.5) + (rating >= 0.5))
    counts = [Counter(v) for v in verdicts.values()]
    agreeing = sum(n * (n - 1) // 2 for c in counts for n in c.values())
    repeated = sum(len(v) * (len(v) - 1) // 2 for v in verdicts.values())
    opposed = sum(0 in c and 2 in c for c in counts)
    return Quality(
        comparisons=len(whole),
        groups=len({c.group for c in whole}),
        pairs=len(pairs),
        ties=len(pairs) - len(decided),
        empty=sum(not all(r.strip() for r in p.responses) for p in pairs),
        equal=sum(p.responses[0] == p.responses[1] for p in pairs),
        copies=sum(len(v) - 1 for v, c in zip(verdicts.values(), counts, strict=True) if not (0 in c and 2 in c)),
        contradictions=opposed,
        first=sum(won == 0 for _, won in decided),
        second=sum(won == 1 for _, won in decided),
        longer=sum(d > 0 for d in lengths),
        shorter=sum(d < 0 for d in lengths),
        agreeing=agreeing,
        repeated=repeated,
    )


def ratings(comparisons: Iterable[Comparison]) -> list[tuple[str, float]]:
    """(pair, rating) for each verdict on a pair, as Krippendorff's alpha takes them: the rating is the probability that
    the response that comes first in the alphabet is better, whatever the order they were shown in."""
    found = []
    for comparison in comparisons:
        for pair in comparison.pairs(ties=True):
            ordered = sorted(pair.responses)
            p = pair.p
            if p is None:
                p = {0: 1.0, 1: 0.0, None: 0.5}[pair.preferred]
            found.append((digest(pair.prompt, ordered)[:16], p if pair.responses[0] == ordered[0] else 1 - p))
    return found
