"""Debate: for every answer a debater argues before a judge, round after round.

Irving, Christiano, Amodei (2018), arXiv 1805.00899. At the same time, and with a judge who takes part: Khan et al.
(2024), arXiv 2402.06782. In turn, and with a judge who ends the debate: Michael et al. (2023), arXiv 2311.08702.
"""

from __future__ import annotations

from superalign.core.errors import SpecError, nearest
from superalign.core.types import Item, Moves, Seat
from superalign.protocols.compose import Steps
from superalign.protocols.floor import INTERACTIVE, Floor, Hearing
from superalign.protocols.replies import verdict
from superalign.protocols.rules import Rules
from superalign.protocols.template import template as read

KINDS = ("simultaneous", "sequential", "interactive")


def debate(
    *,
    rounds: int = 2,
    kind: str = "simultaneous",
    min_rounds: int = 1,
    words: int = 150,
    quotes: str = "checked",
    template: str = "",
) -> Rules:
    """The protocol. Roles: `debater/a` for the item's first answer, `debater/b`, ...; `judge`; in the interactive kind
    also `cross-examiner`.

    `simultaneous`: all speak at once in every round. `sequential`: they speak in turn, whose answer is shown first
    begins. `interactive`: as `simultaneous`, and after every round the judge says what it believes, may end the
    debate from round `min_rounds` on, and else asks a question. `words` is the target length of a speech;
    `quotes="trusted"` marks every quote verified unseen. Raises SpecError for an option that does not fit.
    """
    if kind not in KINDS:
        raise SpecError(f"debate has no kind {kind!r}; {nearest(kind, KINDS)}")
    sheet = read("debate", template, INTERACTIVE)
    least = min_rounds if kind == "interactive" else None
    hearing = Hearing(sheet, "debater", "Debater", rounds, words, quotes, least)
    in_turn = kind == "sequential"

    def play(item: Item, seat: Seat) -> Moves:
        floor = Floor(hearing, item, seat, range(len(item.choices)), in_turn=in_turn)

        def speak(turn: int) -> Steps[None]:
            for sides in [[side] for side in floor.order] if in_turn else [floor.sides]:
                yield from floor.speak(sides, turn)

        choice = yield from floor.hold(speak)
        return verdict(choice, floor.order)

    return Rules(play, replays=in_turn or least is not None, template=sheet.digest)
