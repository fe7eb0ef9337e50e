"""Games that wait for people, from one run of a study to the next: what is over, and what nothing was answered about.

A study that waits is run again after each answer. Without this, 3,000 games that wait are replayed each time: 1.5 s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from superalign.core.types import Judgment
from superalign.people.desk import Desk, awaiting

Judgments = dict[int, Judgment]
"""Judgments of a condition's games by their place."""


def waits(judgment: Judgment) -> bool:
    """Whether a game waits for a reply."""
    return (judgment.verdict.abstained or "").startswith("waiting")


def decided(judgment: Judgment) -> bool:
    """Whether no later run asks anything in this game: it does not wait, and no call failed."""
    return not waits(judgment) and all(reply.failure is None for _, reply in judgment.calls)


@dataclass
class Held:
    """The games of a condition as they were when last played: those decided for good, and those that wait."""

    over: Judgments = field(default_factory=dict)
    waiting: Judgments = field(default_factory=dict)

    def known(self, idle: Collection[str]) -> Judgments:
        """The games that need not be played now: the decided ones, and those that wait about an idle item."""
        return self.over | {k: judgment for k, judgment in self.waiting.items() if judgment.item in idle}

    def keep(self, judgments: Mapping[int, Judgment]) -> None:
        """Remember how far all games have come."""
        self.over = {k: judgment for k, judgment in judgments.items() if decided(judgment)}
        self.waiting = {k: judgment for k, judgment in judgments.items() if waits(judgment)}


class Parked:
    """What a study waits for. An item is `idle` where people were asked about it and nothing of that was answered since
    the last run: none of its games can move."""

    def __init__(self, items: Collection[str]) -> None:
        self.idle: frozenset[str] = frozenset()
        self.waiting = False
        """Whether people at a desk were asked in the last run and have not answered."""
        self._items = frozenset(items)
        self._asked: dict[Desk, dict[str, str]] = {}  # by call, the item

    @contextmanager
    def run(self) -> Iterator[None]:
        """One run of the study; what it waits for is what was asked in it, and before it about idle items."""
        moved = {items[call] for desk, items in self._asked.items() for call in desk.ready(items)}
        self.idle = frozenset(item for items in self._asked.values() for item in items.values()) - moved
        with awaiting() as awaited:
            yield
            for desk, items in self._asked.items():
                if idle := {call for call, item in items.items() if item in self.idle}:
                    awaited.setdefault(desk, set()).update(idle)
        self.waiting = bool(awaited)
        self._asked = {desk: desk.items(calls) for desk, calls in awaited.items()}
        if not all(self._items.issuperset(items.values()) for items in self._asked.values()):
            self._asked = {}  # a protocol asked about questions of its own: no telling whose games they are
