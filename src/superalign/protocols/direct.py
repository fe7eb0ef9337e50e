"""Direct: one judge answers the item alone. The floor of every oversight comparison.

With a weak model as the judge this is the supervision of Burns et al. (2023), section 3.
"""

from __future__ import annotations

from superalign.core.types import Item, Message, Moves, Seat
from superalign.protocols.replies import decide, verdict
from superalign.protocols.room import listed, order_of, public
from superalign.protocols.rules import Rules
from superalign.protocols.template import template as read


def direct(*, template: str = "") -> Rules:
    """The protocol. Roles: `judge`, who never sees the source."""
    sheet = read("direct", template, {"judge": ("prompt", "choices")})

    def play(item: Item, seat: Seat) -> Moves:
        order = order_of(item, seat)
        shown = public(item, order)
        prompt = sheet.fill("judge", prompt=item.prompt, choices=listed(shown.choices))
        choice = yield from decide("judge", [Message("user", prompt)], shown.choices, item=shown, sample=seat.seed)
        return verdict(choice, order)

    return Rules(play, template=sheet.digest)
