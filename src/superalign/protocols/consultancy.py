"""Consultancy: a consultant argues for an assigned answer before a judge, round after round, with no rival.

Michael et al. (2023), arXiv 2311.08702; Khan et al. (2024), arXiv 2402.06782. Double consultancy, where consultants
never hear each other, tells what hearing both sides does from what being contradicted does: Arnesen et al. (2024),
arXiv 2409.16636.
"""

from __future__ import annotations

from superalign.core.errors import SpecError, nearest
from superalign.core.types import Item, Moves, Seat
from superalign.protocols.floor import INTERACTIVE, Floor, Hearing
from superalign.protocols.replies import verdict
from superalign.protocols.room import assigned_side
from superalign.protocols.rules import Rules
from superalign.protocols.template import template as read

KINDS = ("single", "double", "interactive")


def consultancy(
    *,
    rounds: int = 3,
    kind: str = "single",
    min_rounds: int = 1,
    words: int = 150,
    quotes: str = "checked",
    template: str = "",
) -> Rules:
    """The protocol. Roles: `consultant`, `judge`, in the interactive kind also `cross-examiner`.

    `single`: a consultant argues for `seat.assigned`. `double`: one for every answer, each by itself.
    `interactive`: as `single`, and after every round the judge says what it believes, may end the hearing from
    round `min_rounds` on, and else asks a question. `words` is the target length of a speech; `quotes="trusted"`
    marks every quote verified unseen. Raises SpecError for an option that does not fit.
    """
    if kind not in KINDS:
        raise SpecError(f"consultancy has no kind {kind!r}; {nearest(kind, KINDS)}")
    sheet = read("consultancy", template, INTERACTIVE)
    least = min_rounds if kind == "interactive" else None
    hearing = Hearing(sheet, "consultant", "Consultant", rounds, words, quotes, least)
    double = kind == "double"

    def play(item: Item, seat: Seat) -> Moves:
        sides = range(len(item.choices)) if double else [assigned_side(item, seat)]
        floor = Floor(hearing, item, seat, sides, apart=double)
        choice = yield from floor.hold(lambda turn: floor.speak(floor.sides, turn))
        return verdict(choice, floor.order)

    return Rules(play, one_sided=not double, replays=least is not None, template=sheet.digest)
