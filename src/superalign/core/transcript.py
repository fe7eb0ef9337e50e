"""Replies by call, kept in the store: what was said once is never asked again.

Each model has a stream of its own under a prefix (say, of the task), shared by every protocol and run, so a
debate can be judged again by another judge without a word from the debaters. Streams are append-only and
never expire.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from superalign.core.digest import digest
from superalign.core.ports import Model, Store
from superalign.core.types import Ask, Cost, Pending, Reply

Arrival = tuple[str, Model, Ask, Reply | Pending]


def key_of(model: str, ask: Ask) -> str:
    """The key of a call: a SHA-256 over the model's name and the ask.

    One pass of the C JSON encoder over plain lists, because the key is most of what an ask costs: 15 us for a
    prompt of 2 kB, against 60 us for the general digest.
    """
    item, s = ask.item, ask.settings
    body = [
        model,
        ask.role,
        [[m.role, m.content] for m in ask.messages],
        ask.choices,
        item and [item.id, item.prompt, item.choices, dict(item.info)],
        ask.sample,
        [s.temperature, s.max_tokens, s.stop],
    ]
    return hashlib.sha256(_ENCODE(body).encode()).hexdigest()


_ENCODE = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), default=lambda value: {"digest": digest(value)}
).encode


class Transcript:
    """Replies by call, in the streams `<prefix>/<model's name>` of a store, or in memory without one.

    Failures are noted but not kept as answers: a later run asks again. For models that are asked from
    threads (endpoints), what is handed over is noted first; what a killed run had handed over without a reply
    is asked again under the same key, and `repeated` counts it.
    """

    def __init__(self, store: Store | None = None, prefix: str = "") -> None:
        self._store, self._prefix = store, prefix
        self._replies: dict[str, dict[str, Reply]] = {}  # by model, by call
        self._open: set[str] = set()  # handed over in an earlier run, and never answered
        self._parked: set[str] = set()
        self.asked = 0
        """Calls that got a reply in this run."""
        self.repeated = 0
        """Calls of this run that an earlier one had sent without living to see the reply."""

    def stream(self, model: Model) -> str:
        """The stream that holds a model's replies."""
        return f"{self._prefix}/{model.name}"

    def find(self, model: Model, call: str) -> Reply | None:
        """The recorded reply of a call."""
        return self._known(model).get(call)

    def sent(self, model: Model, calls: Sequence[str]) -> None:
        """Note that these calls are about to be made."""
        self._known(model)
        self.repeated += sum(call in self._open for call in calls)
        self._append(model, [{"kind": "sent", "calls": list(calls)}])

    def record(self, arrived: Iterable[Arrival]) -> None:
        """Keep what arrived, in one append per model."""
        events: dict[str, tuple[Model, list[dict[str, Any]]]] = {}
        for call, model, request, reply in arrived:
            event = self._event(call, model, request, reply)
            if event is not None:
                events.setdefault(model.name, (model, []))[1].append(event)
        for model, bodies in events.values():
            self._append(model, bodies)

    def _event(self, call: str, model: Model, request: Ask, reply: Reply | Pending) -> dict[str, Any] | None:
        body = {"call": call, "model": model.name, "role": request.role}
        if isinstance(reply, Pending):
            known = call in self._parked
            self._parked.add(call)
            return None if known else {"kind": "parked", **body, "ask": asdict(request), "reason": reply.reason}
        self.asked += 1
        if reply.failure is not None:
            return {"kind": "failure", **body, "failure": reply.failure}
        self._known(model)[call] = reply
        return {"kind": "reply", **body, "reply": plain(reply)}

    def _append(self, model: Model, events: Sequence[Mapping[str, Any]]) -> None:
        if self._store is not None and events:
            self._store.append(self.stream(model), events)

    def _known(self, model: Model) -> dict[str, Reply]:
        if model.name not in self._replies:
            known = self._replies[model.name] = {}
            for event in self._store.read(self.stream(model)) if self._store is not None else ():
                self._read(event.body, known)
        return self._replies[model.name]

    def _read(self, body: Mapping[str, Any], known: dict[str, Reply]) -> None:
        if body["kind"] == "sent":
            self._open.update(body["calls"])
            return
        self._open.discard(body["call"])
        if body["kind"] == "reply":
            known[body["call"]] = reply_of(body["reply"])
        elif body["kind"] == "parked":
            self._parked.add(body["call"])


def plain(reply: Reply) -> dict[str, Any]:
    """A reply as JSON values, without what is at its default."""
    body: dict[str, Any] = {"text": reply.text}
    if reply.probs:
        body["probs"] = list(reply.probs)
    if reply.score is not None:
        body["score"] = reply.score
    if reply.failure is not None:
        body["failure"] = reply.failure
    if reply.cost != _FREE:
        c = reply.cost
        body["cost"] = {"tokens_in": c.tokens_in, "tokens_out": c.tokens_out, "usd": c.usd, "seconds": c.seconds}
    return body


_FREE = Cost()


def reply_of(body: Mapping[str, Any]) -> Reply:
    """A reply from JSON values. Raises KeyError or TypeError for what is not one."""
    cost = Cost(**body["cost"]) if "cost" in body else _FREE
    return Reply(body["text"], tuple(body.get("probs", ())), body.get("score"), body.get("failure"), cost)
