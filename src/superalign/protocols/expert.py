"""Expert: one judge answers the item with its source at hand. The ceiling of an oversight comparison.

The expert judge of Khan et al. (2024), arXiv 2402.06782.
"""

from __future__ import annotations

from superalign.core.driver import seated
from superalign.core.types import Item, Message, Moves, Seat
from superalign.protocols.replies import decide, verdict
from superalign.protocols.room import listed, order_of, source_of
from superalign.protocols.rules import Rules
from superalign.protocols.template import template as read


def expert(*, template: str = "") -> Rules:
    """The protocol. Roles: `judge`, who sees the source."""
    sheet = read("expert", template, {"judge": ("prompt", "choices", "text"), "text": ("source",)})

    def play(item: Item, seat: Seat) -> Moves:
        order = order_of(item, seat)
        shown = seated(item, order)
        source = source_of(item)
        text = sheet.fill("text", source=source) if source else ""
        prompt = sheet.fill("judge", prompt=item.prompt, choices=listed(shown.choices), text=text)
        choice = yield from decide("judge", [Message("user", prompt)], shown.choices, item=shown, sample=seat.seed)
        return verdict(choice, order)

    return Rules(play, template=sheet.digest)
