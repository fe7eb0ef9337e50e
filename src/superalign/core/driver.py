"""The driver plays many games at once.

A protocol is a generator that yields the asks of one turn and is sent their replies; it does no I/O.
The driver advances all games together. A serial (local) model gets one batch with every ask that is
waiting for it, so thousands of debates cost a handful of forward passes; other models get asks as soon
as they arise, from as many threads as their `concurrency` says, and games move on as replies come. A reply that is `Pending` parks its game: what
was said so far is in the transcript, and the next run goes on from there. Recorded replies are never
asked for again, so replay is exact and a killed run resumes at the turn.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from superalign.core.errors import ModelError, ProtocolError, nearest
from superalign.core.ports import Model, Progress, silent
from superalign.core.transcript import Arrival, key_of
from superalign.core.transcript import Transcript as Transcript
from superalign.core.types import (
    Ask,
    Item,
    Judgment,
    Message,
    Moves,
    Overseer,
    Pending,
    Protocol,
    Reply,
    Seat,
    Settings,
    Verdict,
)

WIDTH = 16
"""Threads for a model that is not serial and does not say its `concurrency`."""

Cast = Mapping[str, Model]
"""Which model plays which role. A panel is cast as `judge/1`, `judge/2`; `judge` serves all that are not named."""


def ask(
    role: str,
    messages: Sequence[Message],
    choices: Sequence[str] = (),
    *,
    item: Item | None = None,
    sample: int = 0,
    settings: Settings | None = None,
) -> Generator[Sequence[Ask], Sequence[Reply], Reply]:
    """One ask as a step of a protocol: `reply = yield from ask("judge", messages, choices)`."""
    replies = yield (Ask(role, tuple(messages), tuple(choices), item, sample, settings or Settings()),)
    return replies[0]


@dataclass(slots=True)
class _Game:
    item: Item
    seat: Seat
    moves: Moves
    asks: tuple[Ask, ...] = ()
    replies: list[Reply | None] = field(default_factory=list)
    calls: list[tuple[Ask, Reply]] = field(default_factory=list)
    verdict: Verdict | None = None


def play(
    protocol: Protocol,
    cast: Cast,
    games: Sequence[tuple[Item, Seat]],
    transcript: Transcript | None = None,
    progress: Progress = silent,
) -> list[Judgment]:
    """Play all games and return their judgments, in order.

    A game that waits for a reply has a verdict that abstains with `waiting: ...`. Raises ProtocolError
    where the protocol breaks the rules, ModelError where a role is not cast or a model does not answer
    every ask exactly once. Whatever arrived before an error is in the transcript.
    """
    table = _Table(cast, transcript or Transcript(), [_Game(i, s, protocol(i, s)) for i, s in games])
    return table.run(progress)


def oversee(
    protocol: Protocol,
    cast: Cast,
    transcript: Transcript | None = None,
    seat: Callable[[Item], Seat] = lambda item: Seat(),
    progress: Progress = silent,
) -> Overseer:
    """An overseer: the protocol with its cast, one game per item."""

    def overseer(items: Sequence[Item]) -> list[Judgment]:
        return play(protocol, cast, [(item, seat(item)) for item in items], transcript, progress)

    return overseer


class _Table:
    """The games in progress, the asks that wait for each model, and the replies on their way."""

    def __init__(self, cast: Cast, transcript: Transcript, games: list[_Game]) -> None:
        self.cast, self.transcript, self.games = cast, transcript, games
        self.waiting: dict[str, list[tuple[_Game, int]]] = {}  # by call: every game that wants this reply
        self.queued: dict[int, dict[str, Ask]] = {}  # by model: calls not yet sent
        self.models = {id(m): m for m in cast.values()}
        self.arrivals: queue.SimpleQueue[_Landed] = queue.SimpleQueue()
        self.lanes = {k: _Lane(m, self.arrivals) for k, m in self.models.items() if not m.serial}
        self.finished = 0

    def run(self, progress: Progress) -> list[Judgment]:
        try:
            for game in self.games:
                self._advance(game, None)
            while self._step():
                progress("games", self.finished, len(self.games))
        finally:
            for lane in self.lanes.values():
                lane.close()
            for game in self.games:
                game.moves.close()
        progress("games", self.finished, len(self.games))
        return [Judgment(g.item.id, g.seat, g.verdict or _waiting(), tuple(g.calls)) for g in self.games]

    def _step(self) -> bool:
        """Send what may be sent, take in what has arrived; False when nothing is left to wait for."""
        for key, lane in self.lanes.items():
            if self.queued.get(key) and lane.free:
                self._launch(lane, self.queued[key])
        serial = self._serial_queue()
        if any(lane.flying for lane in self.lanes.values()) and (not serial or not self.arrivals.empty()):
            self._take(self.arrivals.get())
            return True
        if serial:
            # the longest queue first: the others grow meanwhile, so batches stay large
            key = max(serial, key=lambda k: (len(self.queued[k]), self.models[k].name))
            self._batch(self.models[key], self.queued.pop(key))
            return True
        return False

    def _serial_queue(self) -> list[int]:
        return [k for k, calls in self.queued.items() if calls and self.models[k].serial]

    def _batch(self, model: Model, calls: dict[str, Ask]) -> None:
        arrived: list[Arrival] = []
        keys, asks = list(calls), list(calls.values())
        try:
            for index, reply in _each_once(model, asks):
                arrived.append((keys[index], model, asks[index], reply))
        finally:
            self.transcript.record(arrived)
        for call, _, _, reply in arrived:
            self._deliver(call, reply)

    def _launch(self, lane: _Lane, calls: dict[str, Ask]) -> None:
        """Hand over as many asks as the model has hands free; the rest stays queued."""
        free = [(call, calls.pop(call)) for call in list(calls)[: lane.free]]
        self.transcript.sent(lane.model, [call for call, _ in free])
        lane.start(free)

    def _take(self, first: _Landed) -> None:
        """Take in everything that is there, record it in one append, then let the games move.

        After an error nothing more is sent, and what is still under way is waited for and kept: it was paid for.
        """
        landed = [first]
        while not self.arrivals.empty():
            landed.append(self.arrivals.get())
        error = self._keep(landed)
        if error is not None:
            while any(lane.flying for lane in self.lanes.values()):
                self._keep([self.arrivals.get()])
            raise error
        for item in landed:
            for reply in item.replies:
                self._deliver(item.call, reply)

    def _keep(self, landed: Sequence[_Landed]) -> BaseException | None:
        for item in landed:
            item.lane.flying -= 1
        self.transcript.record([(i.call, i.lane.model, i.ask, r) for i in landed for r in i.replies])
        return next((i.error for i in landed if i.error is not None), None)

    def _deliver(self, call: str, reply: Reply | Pending) -> None:
        for game, place in self.waiting.pop(call):
            if isinstance(reply, Pending):
                game.verdict = game.verdict or _waiting(reply.reason)
                game.moves.close()
            else:
                self._fill(game, place, reply)

    def _fill(self, game: _Game, place: int, reply: Reply) -> None:
        game.replies[place] = reply
        if game.verdict is None and all(r is not None for r in game.replies):
            self._advance(game, [r for r in game.replies if r is not None])

    def _advance(self, game: _Game, replies: list[Reply] | None) -> None:
        """Send replies to the game until it needs one that is not recorded."""
        while True:
            if replies is not None:
                game.calls.extend(zip(game.asks, replies, strict=True))
            try:
                asks = next(game.moves) if replies is None else game.moves.send(replies)
            except StopIteration as end:
                game.verdict = _checked(end.value, game.item)
                self.finished += 1
                return
            game.asks = _asks(asks, game.item)
            game.replies = [self._find_or_queue(game, place, a) for place, a in enumerate(game.asks)]
            if any(r is None for r in game.replies):
                return
            replies = [r for r in game.replies if r is not None]

    def _find_or_queue(self, game: _Game, place: int, request: Ask) -> Reply | None:
        model = self._cast(request.role)
        call = key_of(model.name, request)
        reply = self.transcript.find(model, call)
        if reply is None:
            if call not in self.waiting:  # the same request from two games is one call
                self.queued.setdefault(id(model), {})[call] = request
            self.waiting.setdefault(call, []).append((game, place))
        return reply

    def _cast(self, role: str) -> Model:
        model = self.cast.get(role) or self.cast.get(role.partition("/")[0])
        if model is None:
            raise ModelError(f"no model is cast as {role!r}; {nearest(role, self.cast)}")
        return model


@dataclass(slots=True)
class _Landed:
    """What came of one ask: its reply, or the error that the model raised."""

    lane: _Lane
    call: str
    ask: Ask
    replies: tuple[Reply | Pending, ...] = ()
    error: BaseException | None = None


class _Lane:
    """The threads that ask one model which is not serial, one ask each."""

    def __init__(self, model: Model, arrivals: queue.SimpleQueue[_Landed]) -> None:
        self.model, self.arrivals = model, arrivals
        self.width = max(1, int(getattr(model, "concurrency", WIDTH)))
        self.flying = 0
        self._asks: queue.SimpleQueue[tuple[str, Ask] | None] = queue.SimpleQueue()
        self._threads = 0

    @property
    def free(self) -> int:
        return self.width - self.flying

    def start(self, calls: Sequence[tuple[str, Ask]]) -> None:
        self.flying += len(calls)
        for call in calls:
            self._asks.put(call)
        while self._threads < min(self.width, self.flying):
            self._threads += 1
            threading.Thread(target=self._work, daemon=True, name=f"asks to {self.model.name}").start()

    def close(self) -> None:
        for _ in range(self._threads):
            self._asks.put(None)

    def _work(self) -> None:
        while (call := self._asks.get()) is not None:
            landed = _Landed(self, *call)
            try:
                landed.replies = tuple(reply for _, reply in _each_once(self.model, (landed.ask,)))
            except BaseException as error:  # handed to the main thread, which raises it
                landed.error = error
            self.arrivals.put(landed)


def _each_once(model: Model, asks: Sequence[Ask]) -> Generator[tuple[int, Reply | Pending], None, None]:
    seen: set[int] = set()
    for index, reply in model.answer(asks):
        if index in seen or not 0 <= index < len(asks):
            raise ModelError(f"{model.name} answered ask {index} of {len(asks)} twice or out of range")
        seen.add(index)
        yield index, reply
    if len(seen) < len(asks):
        raise ModelError(f"{model.name} answered {len(seen)} of {len(asks)} asks; every ask needs one reply")


def _asks(asks: Any, item: Item) -> tuple[Ask, ...]:
    if not isinstance(asks, Sequence) or not asks or not all(isinstance(a, Ask) for a in asks):
        raise ProtocolError(f"on item {item.id!r} the protocol yielded {asks!r}; yield a non-empty sequence of Ask")
    return tuple(asks)


def _checked(verdict: Any, item: Item) -> Verdict:
    if not isinstance(verdict, Verdict):
        raise ProtocolError(f"on item {item.id!r} the protocol returned {verdict!r}; return a Verdict")
    if isinstance(verdict.answer, int) and not 0 <= verdict.answer < len(item.choices):
        raise ProtocolError(f"on item {item.id!r} the verdict chose {verdict.answer} of {len(item.choices)} choices")
    return verdict


def _waiting(reason: str = "") -> Verdict:
    return Verdict(None, abstained=f"waiting: {reason}".removesuffix(": "))


def seated(item: Item, order: Sequence[int]) -> Item:
    """The item with its choices shown in this order."""
    return replace(item, choices=tuple(item.choices[k] for k in order))
