"""Prover-verifier game: a prover writes a solution for one answer, a weaker verifier accepts or rejects it.

Anil et al. (2021), "Learning to give checkable answers with prover-verifier games", arXiv 2108.12099; Kirchner et
al. (2024), "Prover-verifier games improve legibility of LLM outputs", arXiv 2407.13692. The protocol does not know
which answer is right: a study plays every answer with both provers, and once the games are graded, those in which
`helpful` was assigned the right answer measure completeness, those in which `sneaky` was assigned a wrong one measure
soundness.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from superalign.core.errors import Degenerate, SpecError, nearest
from superalign.core.types import Ask, Item, Message, Moves, Seat, Verdict
from superalign.protocols.compose import once
from superalign.protocols.replies import decide, verdict
from superalign.protocols.room import assigned_side, briefed, listed, order_of, public, relabelled, source_of
from superalign.protocols.rules import Rules, Silence
from superalign.protocols.speech import hear
from superalign.protocols.template import template as read

Prover = Literal["helpful", "sneaky"]
PROVERS = ("helpful", "sneaky")
WAYS = ("accept", "reject")
SECTIONS = {
    "helpful": ("prompt", "choices", "source", "claim"),
    "sneaky": ("prompt", "choices", "source", "claim"),
    "verifier": ("prompt", "choices", "claim", "solution", "ways"),
}


def prover_verifier(*, prover: Prover = "helpful", template: str = "") -> Rules:
    """The protocol. Roles: `prover/helpful` or `prover/sneaky`, as `prover` says, and `verifier`.

    The prover is told to show `Seat.assigned`. The verdict's score is the probability that the verifier accepts (1 or
    0 from a bare choice). With two choices what is not accepted counts for the other one; with more, it is shared
    among the others, and a rejection answers nothing. Where the choices are shown in another order, `reject` is
    offered first.
    """
    if prover not in PROVERS:
        raise SpecError(f"prover_verifier has no prover {prover!r}; {nearest(str(prover), PROVERS)}")
    text = read("prover_verifier", template, SECTIONS)

    def play(item: Item, seat: Seat) -> Moves:
        order, side = order_of(item, seat), assigned_side(item, seat)
        shown, source, claim = public(item, order), source_of(item), item.choices[side]
        told = {"prompt": item.prompt, "claim": claim}
        prompt = text.fill(prover, **told, choices=listed(item.choices), source=source)
        role = f"prover/{prover}"
        reply = yield from once(Ask(role, (Message("user", prompt),), item=briefed(item, side), sample=seat.seed))
        if reply.failure is not None:
            raise Silence(role, reply.failure)
        solution = relabelled(hear(reply.text, source).text, order)
        ways = WAYS if list(order) == sorted(order) else WAYS[::-1]
        prompt = text.fill("verifier", **told, choices=listed(shown.choices), solution=solution, ways=listed(ways))
        choice = yield from decide("verifier", (Message("user", prompt),), ways, item=shown, sample=seat.seed)
        if choice.place is None:
            return verdict(choice, order)
        accepted = ways.index("accept")
        return _weighed(choice.probs[accepted] if choice.probs else float(choice.place == accepted), side, item)

    return Rules(play, one_sided=True, template=text.digest)


def _weighed(accept: float, side: int, item: Item) -> Verdict:
    """The verdict of an acceptance of the choice `side`."""
    rest = (1 - accept) / (len(item.choices) - 1)
    probs = tuple(accept if k == side else rest for k in range(len(item.choices)))
    if accept > 0.5:
        return Verdict(side, probs, score=accept)
    return Verdict(1 - side if len(item.choices) == 2 else None, probs, score=accept)


def completeness(accepts: Sequence[float], right: Sequence[bool]) -> float:
    """Mean acceptance of the helpful prover's right solutions. Raises Degenerate where there is none."""
    return _mean([a for a, r in zip(accepts, right, strict=True) if r], "completeness", "right")


def soundness(accepts: Sequence[float], right: Sequence[bool]) -> float:
    """One minus the mean acceptance of the sneaky prover's wrong solutions. Raises Degenerate where there is none."""
    return 1 - _mean([a for a, r in zip(accepts, right, strict=True) if not r], "soundness", "wrong")


def legibility_tax(for_correctness: float, for_legibility: float) -> float:
    """The accuracy that a prover trained to be legible gives up against one trained for correctness alone
    (Kirchner et al. 2024); negative where legibility costs nothing."""
    return for_correctness - for_legibility


def _mean(values: Sequence[float], name: str, kind: str) -> float:
    if not values:
        raise Degenerate(f"{name} is undefined: no game was played for a {kind} answer")
    return sum(values) / len(values)
