"""Who sees what: the views of a game that protocols show to its roles, and how choices and speakers are named.

The source of an item (`info["source"]`, a story or an image) is shown to speakers and to an expert judge, never to
a judge otherwise. Sides are kept by choice (`debater/a` argues for the item's first choice, whatever is shown
first); letters belong to a presentation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from superalign.core.driver import seated
from superalign.core.errors import ProtocolError
from superalign.core.types import Item, Seat

PRIVATE = ("source",)
"""What of `Item.info` a judge does not see."""

JUDGES = frozenset({"judge", "verifier", "overseer", "cross-examiner", "preference", "referee", "trusted"})
"""Roles on the judge's side; all others are the agent's."""


def judging(role: str) -> bool:
    """Whether a role (`judge/2` as `judge`) is on the judge's side."""
    return role.partition("/")[0] in JUDGES


@dataclass(frozen=True, slots=True)
class Speech:
    """What a speaker said, as others hear it, in round `turn`. `side` is the choice it argues for in the item's own
    order, None for whoever takes no side."""

    speaker: str
    side: int | None
    text: str
    turn: int = 0


def letter(place: int) -> str:
    """`A`, `B`, ... for a place in a presentation."""
    return chr(65 + place)


def listed(choices: Sequence[str]) -> str:
    """Choices as `(A) first`, one per line."""
    return "\n".join(f"({letter(k)}) {choice}" for k, choice in enumerate(choices))


def order_of(item: Item, seat: Seat) -> tuple[int, ...]:
    """The order in which the choices are shown. Raises ProtocolError where the seat's is not a permutation."""
    order = seat.order or tuple(range(len(item.choices)))
    if sorted(order) != list(range(len(item.choices))):
        raise ProtocolError(f"the order {order} does not fit the {len(item.choices)} choices of item {item.id!r}")
    return order


def public(item: Item, order: Sequence[int] | None = None) -> Item:
    """The item as a judge sees it: without its source, its choices in this order."""
    shown = seated(item, order) if order is not None else item
    return replace(shown, info={k: v for k, v in item.info.items() if k not in PRIVATE})


def briefed(item: Item, side: int | None = None) -> Item:
    """The item as a speaker sees it: with its source, and in `info["assigned"]` the choice to argue for."""
    return item if side is None else replace(item, info={**item.info, "assigned": item.choices[side]})


def assigned_side(item: Item, seat: Seat) -> int:
    """The choice that the seat assigns. Raises ProtocolError where there is none."""
    if seat.assigned not in item.choices:
        raise ProtocolError(
            f"the seat of item {item.id!r} assigns {seat.assigned!r}; a one-sided protocol needs one of its choices"
        )
    return item.choices.index(seat.assigned)


def source_of(item: Item) -> str:
    """The source that speakers may quote; empty where there is none."""
    return str(item.info.get("source", ""))


_QUOTED = r"<(verified|near|unverified)>.*?</\1>"
_NAMED = r"\b(?i:debater|consultant|speaker|answer|choice|option)(?i:'?s)? [*_(\"']*[A-Z]\b(?:(?:,? (?:and|or) |, |/)[A-Z]\b)*"
_LABEL = re.compile(rf"{_QUOTED}|{_NAMED}|\([A-Z]\)", re.DOTALL)


def relabelled(text: str, order: Sequence[int]) -> str:
    """A speech made under the item's own order, as it reads when choices are shown in `order`.

    `Debater A`, `answers A and B`, `(A)` change, nothing else does, and nothing inside quotes. Only for speeches made at
    the same time or alone: what was said in turn cannot be shown as if the other had begun.
    """
    place = {chr(65 + side): letter(k) for k, side in enumerate(order)}

    def renamed(match: re.Match[str]) -> str:
        if match[1]:
            return match[0]
        return re.sub(r"\b[A-Z]\b", lambda m: place.get(m[0], m[0]), match[0])

    return _LABEL.sub(renamed, text)
