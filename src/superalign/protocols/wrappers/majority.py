"""Majority: every decision of a judge is drawn k times.

Probabilities are averaged. Where a model gives only its choice, the share of a choice is (count + 1) / (n + K), the
rule of succession over K choices (Laplace). With a temperature of 0 all draws of a model are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from superalign.core.errors import SpecError
from superalign.core.types import Ask, Item, Moves, Protocol, Reply, Seat
from superalign.protocols.compose import Said, Steps, draws, intercept, once
from superalign.protocols.replies import choose
from superalign.protocols.room import judging
from superalign.protocols.rules import Rules, rules


def majority(protocol: Protocol, *, k: int = 5, temperature: float = 0.8) -> Rules:
    """The protocol, its judges' decisions drawn `k` times at `temperature`. Raises SpecError for k below 1."""
    if k < 1:
        raise SpecError(f"majority draws k=1 times or more, got k={k}")
    inner = rules(protocol)

    def serve(ask: Ask, said: Said) -> Steps[Reply]:
        if not ask.choices or not judging(ask.role):
            return (yield from once(ask))
        replies = yield draws(ask, k, temperature)
        return pooled(replies, ask.choices)

    def play(item: Item, seat: Seat) -> Moves:
        return intercept(inner(item, seat), serve)

    return inner.wrapped(play)


def pooled(replies: Sequence[Reply], shown: Sequence[str]) -> Reply:
    """Several replies to one request as one. Replies that cannot be read do not count; where none can, the first
    stands, so that the fault is seen."""
    read = [choice for reply in replies if not (choice := choose(reply, shown)).fault]
    if not read:
        return replies[0]
    if all(choice.probs for choice in read):
        shares = [sum(c.probs[k] for c in read) / len(read) for k in range(len(shown))]
    else:
        places = [choice.place for choice in read]
        shares = [(places.count(k) + 1) / (len(read) + len(shown)) for k in range(len(shown))]
    return Reply(shown[max(range(len(shown)), key=shares.__getitem__)], tuple(shares))
