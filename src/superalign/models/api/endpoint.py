"""A Model behind an address: every ask becomes one or a few requests and ends in one reply or one recorded failure."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from superalign.core.random import derive
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Cost, Reply
from superalign.models.api import letters, typed
from superalign.models.api.client import Client
from superalign.models.api.prices import Price, tokens_in
from superalign.models.api.service import Service
from superalign.models.api.wire import Failed, Request, Said, plain, same_model, tokens

PROBS = ("auto", "logprobs", "sample", "typed", "none")
"""How probabilities over choices are obtained."""

_TOPS, _OPENING = 20, 4  # alternatives to each token; tokens, of which the first may be a bracket
_LONGEST = 800  # characters of a failure
_OPTIONAL = ("temperature", "seed")  # some models refuse these


@dataclass(slots=True)
class _Call:
    """One ask on its way: its key and what its requests used so far."""

    ask: Ask
    key: str
    used: list[tuple[int, int]] = field(default_factory=list)


class Endpoint:
    """A model of a service.

    `probs` is one of PROBS; `draws` replies make a sampled estimate; `max_tokens` bounds replies whose ask sets no
    bound; `price` is None where it is not known, and `unpriced` says so. `left_out` names the parameters that the
    model has refused and that are left at its own defaults since.
    """

    serial = False

    def __init__(
        self,
        service: Service,
        model: str,
        client: Client,
        *,
        name: str,
        probs: str = "auto",
        draws: int = 8,
        max_tokens: int = 1024,
        price: Price | None = None,
    ) -> None:
        self.service, self.model, self.client, self.name = service, model, client, name
        self.probs, self.draws, self.max_tokens = probs, draws, max_tokens
        self.concurrency = client.limit.most
        self.price = Price() if price is None and service.local else price
        self.unpriced = "" if self.price is not None else _unpriced(model)
        self.left_out: frozenset[str] = frozenset()
        self._tops = service.form.logprobs  # until the server shows that it has none

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """One reply per ask, as they come in, from up to `concurrency` threads. Raises ModelError without a key."""
        self.service.key()
        if len(asks) == 1:
            yield 0, self._reply(asks[0])
        else:
            yield from _spread(self._reply, asks, self.concurrency)

    def worst(self, ask: Ask) -> Cost:
        """The most that an ask uses when nothing is sent twice; the tokens read are an estimate."""
        bound = self._bound(ask)
        written = {
            "none": [bound],
            "typed": [0],
            "logprobs": [_OPENING, bound],
            "sample": [bound] * self.draws,
            "auto": [_OPENING] * self._tops + [bound] * self.draws,
        }[self.probs if self._chooses(ask) else "none"]
        read = len(written) * tokens_in(ask.messages)
        return Cost(read, sum(written), (self.price or Price()).usd(read, sum(written)))

    def _reply(self, ask: Ask) -> Reply:
        start = time.perf_counter()
        call = _Call(ask, key_of(self.name, ask))
        text, probs, failure = "", tuple[float, ...](), None
        try:
            text, probs = self._decide(call) if self._chooses(ask) else (self._text(call), ())
        except Failed as failed:
            failure = self.service.shown(plain(failed.why), _LONGEST)
        read, written = (sum(counts) for counts in zip((0, 0), *call.used, strict=True))
        usd = (self.price or Price()).usd(read, written)
        cost = Cost(read, written, usd, time.perf_counter() - start)
        return Reply(self.service.redacted(text), probs, failure=failure, cost=cost)

    def _chooses(self, ask: Ask) -> bool:
        return self.probs != "none" and 0 < len(ask.choices) <= letters.MOST

    def _decide(self, call: _Call) -> tuple[str, tuple[float, ...]]:
        """A choice, with probabilities where the reply has any."""
        if self.probs == "typed":
            return self._typed(call)
        if self.probs == "sample" or not self._tops:
            return self._sampled(call)
        try:
            said = self._say(call, max_tokens=_OPENING, tops=_TOPS)
        except Failed as failed:
            if self.probs == "logprobs" or failed.status not in (400, 422):
                raise
            decided = self._sampled(call)  # it fails as well where log-probabilities were not the trouble
            self._tops = False
            return decided
        if not said.tops:
            if self.probs == "logprobs":
                raise Failed("refused: the server gives no log-probabilities; write probs=sample or probs=auto")
            self._tops = False
            return self._sampled(call)
        probs = letters.from_tops(said.tops, len(call.ask.choices))
        return (_likeliest(probs), probs) if probs else (self._text(call, "-text"), ())

    def _sampled(self, call: _Call) -> tuple[str, tuple[float, ...]]:
        warm = call.ask.settings.temperature or 1.0  # without temperature all draws are the same
        texts = [
            self._say(call, f"-{k}", temperature=warm, seed=derive(call.ask.sample, "draw", call.key, k) % 2**31).text
            for k in range(self.draws)
        ]
        return letters.from_draws(texts, len(call.ask.choices))

    def _typed(self, call: _Call) -> tuple[str, tuple[float, ...]]:
        body = typed.body(self.model, call.ask.messages, call.ask.choices)
        probs = self._send(call, typed.PATH, body, "", lambda reply: typed.read(reply, call.ask.choices))
        return _likeliest(probs), probs

    def _text(self, call: _Call, draw: str = "") -> str:
        ask = call.ask
        drawn = ask.sample > 0 or ask.settings.temperature > 0
        return self._say(call, draw, seed=derive(ask.sample, "draw", call.key) % 2**31 if drawn else None).text

    def _say(self, call: _Call, draw: str = "", **wish: Any) -> Said:
        """One request for text; `draw` tells the requests of a call apart."""
        ask, form = call.ask, self.service.form
        settings = {"max_tokens": self._bound(ask), "temperature": ask.settings.temperature, **wish}
        if not form.seeds:
            settings.pop("seed", None)
        body = form.body(Request(self.model, ask.messages, stop=ask.settings.stop, **settings))
        while True:
            for name in self.left_out:
                body.pop(name, None)
            try:
                said = self._send(call, form.path, body, draw, form.read)
                if said.short and "tops" not in wish:
                    raise Failed("cut off: all tokens went before the answer began; write a larger max_tokens")
                return said
            except Failed as failed:
                named = {p for p in _OPTIONAL if p in body and p in failed.why and failed.status in (400, 422)}
                if not named:
                    raise
                self.left_out |= named

    def _send(
        self, call: _Call, path: str, body: Mapping[str, Any], draw: str, read: Callable[[Mapping[str, Any]], _Read]
    ) -> _Read:
        def counted(reply: Mapping[str, Any]) -> _Read:
            call.used.append(tokens(reply))  # before anything can be wrong with it: it is paid for
            said = reply.get("model")
            if isinstance(said, str) and said and not same_model(self.model, said):
                raise Failed(f"wrong model: asked {self.model!r}, {said!r} answered; write model={said} if it is meant")
            return read(reply)

        headers = {**self.service.headers(), "idempotency-key": call.key + draw}
        try:
            return self.client.send(path, body, headers, counted)
        except Failed as failed:
            advice = f" (set {self.service.variable})" if failed.why.startswith("key:") else ""
            raise Failed(failed.why + advice, status=failed.status) from None

    def _bound(self, ask: Ask) -> int:
        return self.max_tokens if ask.settings.max_tokens is None else ask.settings.max_tokens

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"


_Read = TypeVar("_Read")


def _likeliest(probs: Sequence[float]) -> str:
    return letters.letter(max(range(len(probs)), key=probs.__getitem__))


def _unpriced(model: str) -> str:
    return (
        f"no price is known for {model!r}, so its calls count as 0 USD; write prices=FILE, a TOML file with"
        f' [models."{model}"], input = and output = in USD per million tokens'
    )


def _spread(work: Callable[[Ask], Reply], asks: Sequence[Ask], most: int) -> Iterator[tuple[int, Reply]]:
    """`(index, work(ask))` as they are ready, from up to `most` threads; when it is closed no further ask is begun."""
    ready: queue.SimpleQueue[tuple[int, Reply] | BaseException] = queue.SimpleQueue()
    left = iter(enumerate(asks))
    lock, over = threading.Lock(), threading.Event()

    def draw() -> None:
        try:
            while not over.is_set():
                with lock:
                    index, ask = next(left, (-1, None))
                if ask is None:
                    return
                ready.put((index, work(ask)))
        except BaseException as error:  # handed to the thread that iterates, which raises it
            ready.put(error)

    for _ in range(min(most, len(asks))):
        threading.Thread(target=draw, daemon=True, name="asks to an endpoint").start()
    try:
        for _ in range(len(asks)):
            arrived = ready.get()
            if isinstance(arrived, BaseException):
                raise arrived
            yield arrived
    finally:
        over.set()
