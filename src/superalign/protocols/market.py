"""Market making: an adversary argues until it can no longer move the prediction of what the judge will believe.

Hubinger (2020), "AI safety via market making", generalised from yes-or-no questions to K choices. With Q_0 the
question: p_t = M(Q_t) by `market`, x_t by `adversary` who sees Q_t and p_t, Q_{t+1} = Q_t and x_t. The prediction has
settled where it moves by less than `epsilon` (total variation, which is |p_{t+1} - p_t| for two choices) so many times
running; then `judge` says p* = H(Q_T). At optimum M predicts what the judge would think after every argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from superalign.core.driver import seated
from superalign.core.errors import SpecError
from superalign.core.types import Ask, Item, Judgment, Message, Moves, Seat
from superalign.protocols.compose import once
from superalign.protocols.replies import Choice, choose, decide, verdict
from superalign.protocols.room import briefed, letter, listed, order_of, public, source_of
from superalign.protocols.rules import Rules, Silence
from superalign.protocols.speech import hear
from superalign.protocols.template import template as read

SECTIONS = {
    "market": ("prompt", "choices", "source", "arguments"),
    "adversary": ("prompt", "choices", "source", "arguments", "belief"),
    "judge": ("prompt", "choices", "arguments"),
}

Belief = tuple[float, ...]


def market(*, epsilon: float = 0.05, settle: int = 2, max_turns: int = 6, template: str = "") -> Rules:
    """The protocol. Roles: `market` (predicts), `adversary` (argues), `judge` (decides from the arguments alone).

    It ends after `settle` moves below `epsilon` in a row, or after `max_turns` arguments. A prediction that cannot be
    read counts as a move. The verdict is the judge's; the predictions are read from the calls by `beliefs`. Both
    orders of the choices are separate games, since every prediction is made about one presentation.
    """
    if not (0 <= epsilon <= 1 and settle >= 1 and max_turns >= 1):
        raise SpecError(
            f"market takes epsilon=0..1, settle=1 or more, max_turns=1 or more, got epsilon={epsilon:g}, "
            f"settle={settle}, max_turns={max_turns}"
        )
    text = read("market", template, SECTIONS)

    def play(item: Item, seat: Seat) -> Moves:
        order = order_of(item, seat)
        seen, shown = seated(briefed(item), order), public(item, order)
        question = {"prompt": item.prompt, "choices": listed(shown.choices)}
        source = source_of(item)
        arguments: list[str] = []
        before: Belief = ()
        calm = 0
        while True:
            told = {"source": source, "arguments": _numbered(arguments)}
            asked = (Message("user", text.fill("market", **question, **told)),)
            choice = yield from decide("market", asked, seen.choices, item=seen, sample=seat.seed)
            if choice.fault == "failed":
                raise Silence("market", choice.note)
            belief = believed(choice, len(order))
            still = bool(before and belief) and moved(before, belief) < epsilon
            before, calm = belief, calm + 1 if still else 0
            if calm >= settle or len(arguments) >= max_turns:
                break
            prompt = text.fill("adversary", **question, **told, belief=_priced(belief))
            reply = yield from once(Ask("adversary", (Message("user", prompt),), item=seen, sample=seat.seed))
            if reply.failure is not None:
                raise Silence("adversary", reply.failure)
            arguments.append(hear(reply.text, source).text)
        asked = (Message("user", text.fill("judge", **question, arguments=_numbered(arguments))),)
        final = yield from decide("judge", asked, shown.choices, item=shown, sample=seat.seed)
        return verdict(final, order)

    return Rules(play, replays=True, template=text.digest)


def believed(choice: Choice, count: int) -> Belief:
    """A reply as a belief over `count` choices shown: its probabilities, or certainty in a bare choice; () if neither."""
    if choice.place is None:
        return ()
    return choice.probs or tuple(float(k == choice.place) for k in range(count))


def moved(before: Sequence[float], after: Sequence[float]) -> float:
    """Total variation between two beliefs, 0 to 1: half the summed differences."""
    return sum(abs(b - a) for b, a in zip(before, after, strict=True)) / 2


def beliefs(judgment: Judgment) -> tuple[Belief, ...]:
    """The market's readable predictions p_0, p_1, ... of a game, in the item's own order of choices."""
    found = []
    for ask, reply in judgment.calls:
        if ask.role == "market":
            belief = believed(choose(reply, ask.choices), len(ask.choices))
            order = judgment.seat.order or tuple(range(len(ask.choices)))
            if belief:
                found.append(tuple(belief[order.index(k)] for k in range(len(order))))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Losses:
    """Per step, in order: the market's cross-entropy (nats) and the adversary's loss, minus how far it moved it."""

    market: tuple[float, ...]
    adversary: tuple[float, ...]


def losses(predictions: Sequence[Belief], final: Belief, floor: float = 1e-4) -> Losses:
    """Hubinger's losses: L_M,t = -sum_k p*_k ln p_t,k for every t, and L_Adv,t = -TV(p_{t+1}, p_t).

    `final` is the judge's p*. Predictions are clipped at `floor`, so that certainty in the wrong costs finitely.
    Both are myopic: a step's loss counts for that step alone.
    """
    return Losses(
        tuple(sum(q * -math.log(max(p, floor)) for q, p in zip(final, ps, strict=True)) for ps in predictions),
        tuple(0 - moved(a, b) for a, b in pairwise(predictions)),
    )


def _numbered(arguments: Sequence[str]) -> str:
    return "\n".join(f"{k}. {said}" for k, said in enumerate(arguments, 1)) or "(none yet)"


def _priced(belief: Belief) -> str:
    if not belief:
        return "nothing readable"
    return ", ".join(f"({letter(k)}) {p:.0%}" for k, p in enumerate(belief))
