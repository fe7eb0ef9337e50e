"""Propaganda: the judge reads one message that argues for an assigned answer, and decides.

Persuasion with no rival and no second word. Played once for every answer, it shows how far a speaker can lead the
judge, and is what longer hearings are compared with.
"""

from __future__ import annotations

from superalign.core.types import Item, Moves, Seat
from superalign.protocols.floor import HEARING, Floor, Hearing
from superalign.protocols.replies import verdict
from superalign.protocols.room import assigned_side
from superalign.protocols.rules import Rules
from superalign.protocols.template import template as read


def propaganda(*, words: int = 150, quotes: str = "checked", template: str = "") -> Rules:
    """The protocol. Roles: `consultant`, who argues for `seat.assigned` in about `words` words; `judge`.

    `quotes="trusted"` marks every quote verified unseen. Raises SpecError for an option that does not fit.
    """
    hearing = Hearing(read("propaganda", template, HEARING), "consultant", "Writer", 1, words, quotes)

    def play(item: Item, seat: Seat) -> Moves:
        floor = Floor(hearing, item, seat, [assigned_side(item, seat)])
        choice = yield from floor.hold(lambda turn: floor.speak(floor.sides, turn))
        return verdict(choice, floor.order)

    return Rules(play, one_sided=True, template=hearing.sheet.digest)
