"""Direct: one judge answers the item alone. The floor of every oversight comparison.

With a weak model as the judge this is the supervision of Burns et al. (2023), section 3.
"""

from __future__ import annotations

from pathlib import Path

from superalign.core.driver import ask, seated
from superalign.core.types import Item, Message, Moves, Protocol, Reply, Seat, Verdict

TEMPLATE = Path(__file__).parent / "templates" / "direct.txt"


def direct(*, template: str = "") -> Protocol:
    """The protocol; `template` is a path that replaces the built-in template.

    Roles: `judge`. The template's fields are {prompt} and {choices}.
    """
    text = Path(template or TEMPLATE).read_text(encoding="utf-8").strip()

    def play(item: Item, seat: Seat) -> Moves:
        order = seat.order or tuple(range(len(item.choices)))
        shown = seated(item, order)
        listed = "\n".join(f"({chr(65 + k)}) {choice}" for k, choice in enumerate(shown.choices))
        message = Message("user", text.replace("{choices}", listed).replace("{prompt}", item.prompt))
        reply = yield from ask("judge", (message,), shown.choices, item=shown)
        return verdict(reply, shown.choices, order)

    return play


def verdict(reply: Reply, shown: tuple[str, ...], order: tuple[int, ...]) -> Verdict:
    """A reply about choices as they were shown, as a verdict in the item's own order.

    Probabilities decide where there are any; else the text must be a choice, or its letter.
    """
    if reply.failure is not None:
        return Verdict(None, abstained=f"failed: {reply.failure}")
    if reply.probs:
        probs = [0.0] * len(order)
        for place, p in zip(order, reply.probs, strict=True):
            probs[place] = p
        return Verdict(max(range(len(probs)), key=probs.__getitem__), tuple(probs), score=reply.score)
    said = reply.text.strip()
    for k, choice in enumerate(shown):
        if said.casefold() == choice.casefold() or said.strip("().").upper() == chr(65 + k):
            return Verdict(order[k], score=reply.score)
    return Verdict(None, score=reply.score, abstained=f"no choice in the reply: {said[:80]!r}")
