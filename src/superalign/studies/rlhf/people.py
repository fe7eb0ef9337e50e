"""Labels by ranking: all responses to a prompt are put in order at once, by people or by a model cast as `labeller`.

Ouyang et al. (2022, arXiv 2203.02155, section 3.4) ask for one ranking of K responses in place of K(K-1)/2 comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from superalign.core.digest import digest
from superalign.core.driver import oversee
from superalign.core.errors import Degenerate, SpecError
from superalign.core.ports import Model
from superalign.core.random import stream
from superalign.core.transcript import Transcript
from superalign.core.types import Item, Judgment, Overseer, Seat, Verdict
from superalign.people.files import SURE
from superalign.protocols.rank import MOST, ROLE, preferred, rank, ranks

Pair = tuple[str, str, str]
"""A prompt and two responses."""


def by_ranking(model: Model, seed: int, transcript: Transcript | None = None) -> Overseer:
    """An overseer that compares pairs; what it is asked about one prompt is one ranking of the responses that differ.

    Responses are shown in an order drawn by hash. The probability that a response is better is the share of the people
    who put it first, kept in [1 - SURE, SURE]; ties count half. Raises Degenerate while a ranking waits for people, so
    that nothing half-labelled is kept.
    """
    plays = oversee(rank(), {ROLE: model}, transcript, lambda item: Seat(order=shuffled(item, seed)))

    def compares(items: Sequence[Item]) -> list[Judgment]:
        found = settled(plays(rankings(items)))
        by_pair: dict[Pair, Judgment] = {}
        for item, judgment in zip(rankings(items), found, strict=True):
            for a, b in permutations(range(len(item.choices)), 2):
                pair = (item.prompt, item.choices[a], item.choices[b])
                by_pair[pair] = Judgment(item.id, judgment.seat, _verdict(judgment, a, b), judgment.calls)
        return [_of(item, by_pair) for item in items]

    return compares


def settled(judgments: list[Judgment]) -> list[Judgment]:
    """Judgments, none of which waits. Raises Degenerate where some do."""
    waiting = [j.verdict.abstained for j in judgments if (j.verdict.abstained or "").startswith("waiting")]
    if waiting:
        raise Degenerate(
            f"{len(waiting)} of {len(judgments)} labels are {waiting[0]}; the same command goes on from here"
        )
    return judgments


def shuffled(item: Item, seed: int) -> tuple[int, ...]:
    """The order in which the responses of an item are shown."""
    return tuple(stream(seed, "rlhf/order of responses", item.id).permutation(len(item.choices)).tolist())


def rankings(pairs: Sequence[Item]) -> list[Item]:
    """Pairs as items to be ranked: for each prompt the responses that are to be compared, each text once.

    Raises SpecError for more than can be ranked at once.
    """
    found: dict[str, list[set[str]]] = {}
    for pair in pairs:
        if pair.choices[0] != pair.choices[1]:
            groups = found.setdefault(pair.prompt, [])
            touched = [group for group in groups if not group.isdisjoint(pair.choices)]
            joined = set(pair.choices).union(*touched)
            groups[:] = [*(group for group in groups if group not in touched), joined]
    items = []
    for prompt, groups in found.items():
        for responses in sorted(map(sorted, groups)):
            if len(responses) > MOST:
                raise SpecError(
                    f"{len(responses)} responses to one prompt, of which {MOST} can be ranked; type --set labels.samples=4"
                )
            items.append(Item(f"ranking-{digest(prompt, responses)[:24]}", prompt, tuple(responses)))
    return items


def _verdict(ranking: Judgment, a: int, b: int) -> Verdict:
    opinions = ranks(ranking)
    if not opinions:
        return Verdict(None, abstained=ranking.verdict.abstained)
    p = min(max(preferred(opinions, a, b), 1 - SURE), SURE)
    return Verdict(int(p < 0.5), (p, 1 - p))


def _of(item: Item, by_pair: dict[Pair, Judgment]) -> Judgment:
    if item.choices[0] == item.choices[1]:
        return Judgment(item.id, Seat(), Verdict(0, (0.5, 0.5)))
    found = by_pair[item.prompt, item.choices[0], item.choices[1]]
    return Judgment(item.id, found.seat, found.verdict, found.calls)
