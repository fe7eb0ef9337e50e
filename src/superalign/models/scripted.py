"""Scripted: a Model that says what it was told to say. For tests, demos and trying out protocols.

Replies come from a function of the ask, from a mapping, or from a sequence in the order of the asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from superalign.core.errors import ModelError, nearest
from superalign.core.ports import Inputs
from superalign.core.random import stream
from superalign.core.types import Ask, Pending, Reply

if TYPE_CHECKING:
    from superalign.core.steps import Steps

Said = Reply | Pending | str
"""A reply; plain text stands for `Reply(text=...)`."""

Script = Callable[[Ask], Said] | Mapping[str, Said] | Sequence[Said]


class Scripted:
    """A Model with a script.

    `replies` is a function of the ask; or a mapping that is looked up by item id, then by the last message,
    then by role; or a sequence that is used up in the order in which asks come. `serial=False` makes the
    driver ask from several threads. With `shuffle`, each batch is answered in an order drawn from that seed
    and from the batch's size, to show that a caller does not count on order. Raises ModelError where the
    script has nothing to say.
    """

    def __init__(self, name: str, replies: Script, *, serial: bool = True, shuffle: int | None = None) -> None:
        self.name, self.serial = name, serial
        self._replies, self._shuffle = replies, shuffle
        self._used = 0
        self._lock = threading.Lock()

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        """One reply per ask. A sequence is dealt out in the order of the asks, whatever the order of delivery."""
        said = [self._say(ask) for ask in asks]
        order = range(len(asks))
        if self._shuffle is not None:
            order = stream(self._shuffle, "scripted", len(asks)).permutation(len(asks)).tolist()
        for i in order:
            reply = said[i]
            yield i, Reply(text=reply) if isinstance(reply, str) else reply

    def _say(self, ask: Ask) -> Said:
        if callable(self._replies):
            return self._replies(ask)
        if isinstance(self._replies, Mapping):
            keys = [ask.item.id] if ask.item is not None else []
            keys += [*(m.content for m in ask.messages[-1:]), ask.role]
            found = [key for key in keys if key in self._replies]
            if not found:
                there = nearest(keys[0], self._replies)
                raise ModelError(f"{self.name} has no reply to {' or '.join(repr(k[:60]) for k in keys)}; {there}")
            return self._replies[found[0]]
        with self._lock:
            if self._used >= len(self._replies):
                raise ModelError(
                    f"{self.name} has said all of its {len(self._replies)} replies, and {ask.role!r} asks again"
                )
            self._used += 1
            return self._replies[self._used - 1]


def scripted(argument: str = "", *, inputs: Inputs | None, steps: Steps, choices: tuple[str, ...]) -> Scripted:
    """A model that always says `argument` (`scripted:yes`), with certainty where that is one of the choices."""
    if not argument:
        raise ModelError("scripted needs something to say; write scripted:yes (in Python: Scripted(name, replies))")

    def say(ask: Ask) -> Reply:
        certain = tuple(float(choice == argument) for choice in ask.choices) if argument in ask.choices else ()
        return Reply(text=argument, probs=certain)

    return Scripted(f"scripted:{argument}", say)
