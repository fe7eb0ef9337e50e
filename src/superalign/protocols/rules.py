"""Rules: a protocol with what a study wants to know about it before it plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from superalign.core.types import Item, Moves, Protocol, Seat, Verdict


class Silence(Exception):
    """A player whose call failed: a protocol raises it, and its Rules end the game without a verdict."""

    def __init__(self, role: str, why: str) -> None:
        super().__init__(f"failed: {role}: {why}")


@dataclass(frozen=True, slots=True)
class Rules:
    """A protocol. Plain functions `(item, seat) -> Moves` are protocols too; this adds three facts.

    `one_sided`: somebody argues for `seat.assigned` alone, so a study plays the game once per choice.
    `replays`: the order of the choices decides who moves first, so the other order is another game.
    `template`: the digest of the prompt template, kept in the record.
    A game in which `Silence` is raised ends with a verdict that abstains with its words.
    """

    play: Callable[[Item, Seat], Moves]
    one_sided: bool = False
    replays: bool = False
    template: str = ""

    def __call__(self, item: Item, seat: Seat) -> Moves:
        try:
            return (yield from self.play(item, seat))
        except Silence as silence:
            return Verdict(None, abstained=str(silence))

    def wrapped(self, play: Callable[[Item, Seat], Moves]) -> Rules:
        """The rules of a wrapper around this protocol."""
        return replace(self, play=play)


def rules(protocol: Protocol | Any) -> Rules:
    """Any protocol as Rules."""
    return protocol if isinstance(protocol, Rules) else Rules(protocol)
