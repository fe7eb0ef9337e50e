"""The driver plays many games at once.

A protocol is a generator that yields the asks of one turn and is sent their replies; it does no I/O.
The driver advances all games together. A serial (local) model gets one batch with every ask that is
waiting for it, so thousands of debates cost a handful of forward passes; other models get asks as soon
as they arise, and their games move on as replies come. A reply that is `Pending` parks its game: what
was said so far is in the transcript, and the next run goes on from there. Recorded replies are never
asked for again, so replay is exact and a killed run resumes at the turn.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from superalign.core.digest import digest
from superalign.core.errors import ModelError, ProtocolError, nearest
from superalign.core.ports import Model, Progress, Store, silent
from superalign.core.types import (
    Ask,
    Cost,
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


class Transcript:
    """Replies by call, kept in a stream of the store (or in memory without one).

    Failures are noted but not kept as answers: a later run asks again.
    """

    def __init__(self, store: Store | None = None, stream: str = "") -> None:
        self._store, self._stream = store, stream
        self._replies: dict[str, Reply] = {}
        self._parked: set[str] = set()
        for event in store.read(stream) if store is not None else ():
            if event.body["kind"] == "reply":
                self._replies[event.body["call"]] = _reply(event.body["reply"])
            elif event.body["kind"] == "parked":
                self._parked.add(event.body["call"])

    @staticmethod
    def call(model: Model, request: Ask) -> str:
        """The key of a call: the model's name and the ask."""
        return digest(model.name, request)

    def find(self, call: str) -> Reply | None:
        """The recorded reply of a call."""
        return self._replies.get(call)

    def record(self, arrived: Iterable[tuple[str, Model, Ask, Reply | Pending]]) -> None:
        """Keep what arrived, in one append."""
        events: list[dict[str, Any]] = []
        for call, model, request, reply in arrived:
            body = {"call": call, "model": model.name, "role": request.role}
            if isinstance(reply, Pending):
                if call not in self._parked:
                    events.append({"kind": "parked", **body, "ask": asdict(request), "reason": reply.reason})
                    self._parked.add(call)
            elif reply.failure is not None:
                events.append({"kind": "failure", **body, "failure": reply.failure})
            else:
                self._replies[call] = reply
                events.append({"kind": "reply", **body, "reply": asdict(reply)})
        if events and self._store is not None:
            self._store.append(self._stream, events)


def _reply(body: Mapping[str, Any]) -> Reply:
    return Reply(
        body["text"],
        tuple(body["probs"]),
        body["score"],
        body["failure"],
        Cost(**body["cost"]),
    )


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
        self.flying = 0
        self.arrivals: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.finished = 0

    def run(self, progress: Progress) -> list[Judgment]:
        try:
            for game in self.games:
                self._advance(game, None)
            while self._step():
                progress("games", self.finished, len(self.games))
        finally:
            for game in self.games:
                game.moves.close()
        progress("games", self.finished, len(self.games))
        return [Judgment(g.item.id, g.seat, g.verdict or _waiting(), tuple(g.calls)) for g in self.games]

    def _step(self) -> bool:
        """Send what may be sent, take in what has arrived; False when nothing is left to wait for."""
        for key in [k for k, calls in self.queued.items() if calls and not self.models[k].serial]:
            self._launch(self.models[key], self.queued.pop(key))
        if self.flying and (not self._serial_queue() or not self.arrivals.empty()):
            self._take(self.arrivals.get())
            return True
        serial = self._serial_queue()
        if serial:
            # the longest queue first: the others grow meanwhile, so batches stay large
            key = max(serial, key=lambda k: (len(self.queued[k]), self.models[k].name))
            self._batch(self.models[key], self.queued.pop(key))
            return True
        return False

    def _serial_queue(self) -> list[int]:
        return [k for k, calls in self.queued.items() if calls and self.models[k].serial]

    def _batch(self, model: Model, calls: dict[str, Ask]) -> None:
        arrived: list[tuple[str, Model, Ask, Reply | Pending]] = []
        keys, asks = list(calls), list(calls.values())
        try:
            for index, reply in _each_once(model, asks):
                arrived.append((keys[index], model, asks[index], reply))
        finally:
            self.transcript.record(arrived)
        for call, _, _, reply in arrived:
            self._deliver(call, reply)

    def _launch(self, model: Model, calls: dict[str, Ask]) -> None:
        keys, asks = list(calls), list(calls.values())

        def work() -> None:
            try:
                for index, reply in _each_once(model, asks):
                    self.arrivals.put((keys[index], model, asks[index], reply))
            except BaseException as error:  # handed to the main thread, which raises it
                self.arrivals.put(error)
            self.arrivals.put(None)

        self.flying += 1
        threading.Thread(target=work, daemon=True, name=f"asks to {model.name}").start()

    def _take(self, first: Any) -> None:
        """Take in everything that is there, record it in one append, then let the games move."""
        arrived, error, item = [], None, first
        while True:
            if item is None:
                self.flying -= 1
            elif isinstance(item, BaseException):
                error = error or item
            else:
                arrived.append(item)
            if self.arrivals.empty():
                break
            item = self.arrivals.get()
        self.transcript.record(arrived)
        if error is not None:
            raise error
        for call, _, _, reply in arrived:
            self._deliver(call, reply)

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
        call = self.transcript.call(model, request)
        reply = self.transcript.find(call)
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
