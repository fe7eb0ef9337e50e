"""Swap: every item is judged in both orders at once, and the judgments are averaged in the item's own order.

It takes a judge's preference for a place out of the probabilities (Khan et al. 2024, arXiv 2402.06782).
Where the order decides who moves first, the second game is played anew.
"""

from __future__ import annotations

from dataclasses import replace

from superalign.core.types import Item, Moves, Protocol, Seat, Verdict
from superalign.protocols.compose import together
from superalign.protocols.room import order_of
from superalign.protocols.rules import Rules, rules


def swap(protocol: Protocol) -> Rules:
    """The protocol in the seat's order and in its reverse. Choices without probabilities must agree, else the verdict
    abstains; so it does where either game does."""
    inner = rules(protocol)

    def play(item: Item, seat: Seat) -> Moves:
        order = order_of(item, seat)
        orders = (order, order[::-1])
        verdicts = yield from together([inner(item, replace(seat, order=shown)) for shown in orders])
        return _averaged(*verdicts)

    return inner.wrapped(play)


def _averaged(first: Verdict, second: Verdict) -> Verdict:
    for verdict in (first, second):
        if verdict.abstained is not None:
            return verdict
    if first.probs and second.probs:
        probs = tuple((p + q) / 2 for p, q in zip(first.probs, second.probs, strict=True))
        return Verdict(max(range(len(probs)), key=probs.__getitem__), probs)
    if first.answer == second.answer:
        return Verdict(first.answer)
    return Verdict(None, abstained="the two orders disagree")
