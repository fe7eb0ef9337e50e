"""A state that follows a stream of the store, and decisions that many processes take on it one after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from typing import Protocol as Interface

from superalign.core.errors import Conflict, SpecError, StoreError
from superalign.core.ports import Store

Row = Mapping[str, Any]


class State(Interface):
    """What the rows of a stream add up to."""

    def apply(self, row: Row) -> None:
        """Take in the next row, as a whole or not at all. Raises KeyError, TypeError, ValueError or SpecError for one
        that cannot follow those before it."""
        ...


S = TypeVar("S", bound=State)
T = TypeVar("T")


class Replica(Generic[S]):
    """A copy of the state of `stream`, brought up to date before anything is asked of it. Threads may share one."""

    def __init__(self, store: Store, stream: str, state: S) -> None:
        self.store, self.stream = store, stream
        self._state = state
        self._position, self._head = 0, ""
        self._lock = threading.Lock()

    def ask(self, question: Callable[[S], T]) -> T:
        """What the newest state says. `question` must not change it, nor keep it."""
        with self._lock:
            self._catch_up()
            return question(self._state)

    def decide(self, choose: Callable[[S], Sequence[Row]]) -> Sequence[Row]:
        """Append the rows that `choose` wants on the newest state, in one piece, and return them.

        `choose` is asked again where another process appended first, so it must not act.
        """
        with self._lock:
            rows, _ = decide(self.store, self.stream, self._catch_up, lambda _: choose(self._state))
            self._catch_up()
            return rows

    def _catch_up(self) -> str:
        for event in self.store.read(self.stream, self._position):
            try:
                self._state.apply(event.body)
            except (KeyError, TypeError, ValueError, SpecError) as error:
                said = f"lacks {error}" if isinstance(error, KeyError) else str(error)
                raise StoreError(
                    f"row {event.position} of the stream {self.stream!r} does not fit the rows before it: {said}; "
                    "the stream is not to be believed: restore a copy of the store, or use another --store"
                ) from error
            self._position, self._head = event.position, event.hash
        return self._head


def decide(
    store: Store, stream: str, catch_up: Callable[[], str], choose: Callable[[str], Sequence[Row]]
) -> tuple[Sequence[Row], str]:
    """Append the rows that `choose` wants at the newest head, in one piece; return them and the head that they make.

    `catch_up` reads what is new and returns the head; `choose` is told it, and asked again where another process appended
    first. One of those who append at the same time always gets through, so no number of them stands still. (To wait a
    little before the next attempt made fifty of them on one SQLite file no faster: they wait for its lock already.)
    """
    while True:
        head = catch_up()
        rows = choose(head)
        try:
            return rows, store.append(stream, rows, expect=head)
        except Conflict:
            continue
