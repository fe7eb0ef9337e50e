"""Recorded: a judge reads a debate that others have held, with no call to any debater.

Offline judging of Michael et al. 2023 (arXiv 2311.08702), section 3: `stepped`, where the judge decides before the
first speech and again after every round, the last decision counting; or timed, where it reads the whole at once.
The speeches are in `item.info["speeches"]`, one mapping each: `round` from 1, `side` (the choice argued for), `text`
with its `<quote>`s, and `alone`: whether it was made before anything else of its round was heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from superalign.core.errors import ProtocolError
from superalign.core.types import Item, Message, Moves, Seat
from superalign.protocols.replies import decide, verdict
from superalign.protocols.room import letter, listed, order_of, public, relabelled, source_of
from superalign.protocols.rules import Rules
from superalign.protocols.speech import hear
from superalign.protocols.template import template as read_template

LONGEST = 20_000
"""Characters of a recorded speech that a judge is shown; recorders had limits of their own."""
SILENCE = "Nothing yet."


def recorded(*, stepped: bool = True, template: str = "") -> Rules:
    """The protocol. Roles: `judge`. The template's section `judge` has {question}, {choices} and {transcript}.

    Raises ProtocolError for an item without speeches, and where a game held in turn is to be shown in another order.
    """
    words = read_template("recorded", template, {"judge": ("question", "choices", "transcript")})

    def play(item: Item, seat: Seat) -> Moves:
        speeches, order = _speeches(item), order_of(item, seat)
        if order != tuple(range(len(order))) and not all(s["alone"] for s in speeches):
            raise ProtocolError(
                f"item {item.id!r} was debated in turn, so it cannot be judged as if the other side had begun; "
                "play it in its own order"
            )
        shown = replace(public(item, order), info={k: v for k, v in public(item).info.items() if k != "speeches"})
        last = max(s["round"] for s in speeches)
        for heard in range(last + 1) if stepped else (last,):
            said = [_line(s, item, order) for s in speeches if s["round"] <= heard]
            text = words.fill(
                "judge", question=item.prompt, choices=listed(shown.choices), transcript="\n\n".join(said) or SILENCE
            )
            choice = yield from decide("judge", (Message("user", text),), shown.choices, item=shown, sample=seat.seed)
        return verdict(choice, order)

    return Rules(play, template=words.digest)


def _speeches(item: Item) -> Sequence[Mapping[str, Any]]:
    speeches: Sequence[Mapping[str, Any]] = item.info.get("speeches", ())
    if not speeches:
        raise ProtocolError(
            f"item {item.id!r} has no recorded speeches; `recorded` is for tasks of recorded debates (nyu:FOLDER)"
        )
    return speeches


def _line(speech: Mapping[str, Any], item: Item, order: Sequence[int]) -> str:
    heard = hear(speech["text"], source_of(item), limit=LONGEST)
    place = letter(order.index(speech["side"]))
    return f"Round {speech['round']}, speaker for answer {place}: {relabelled(heard.text, order)}"
