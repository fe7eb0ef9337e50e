"""Replay: a Model that gives recorded replies again, call by call, and refuses what was never asked.

Records are the driver's transcripts (a stream of the store, or the same events as JSON lines), or pairs
of ask and reply such as `Judgment.calls` holds. A call is known by the digest of its ask, in a transcript
together with the name of the model that answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.core.digest import digest
from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.types import Ask, Cost, Reply

if TYPE_CHECKING:
    from superalign.core.steps import Steps


class Replay:
    """A Model that answers from `replies`, a mapping from call to reply.

    A call is `digest(ask)`, or `digest(model, ask)` for a name in `models`. Raises ModelError, with the role
    and the ask, for a call that is not recorded.
    """

    serial = True

    def __init__(self, name: str, replies: Mapping[str, Reply], models: Sequence[str] = ()) -> None:
        self.name = name
        self._replies, self._models = dict(replies), tuple(models)

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Each ask in turn."""
        for i, ask in enumerate(asks):
            calls = [digest(ask), *(digest(model, ask) for model in self._models)]
            found = [call for call in calls if call in self._replies]
            if not found:
                about = f"item {ask.item.id!r}" if ask.item is not None else "no item"
                said = ask.messages[-1].content if ask.messages else ""
                raise ModelError(
                    f"{self.name} has {len(self._replies)} recorded replies and none to this ask for {ask.role!r}"
                    f" about {about}, sample {ask.sample}: {said[:120]!r} (call {calls[0][:12]});"
                    " it was recorded with other settings, or never"
                )
            yield i, self._replies[found[0]]


def event(ask: Ask, reply: Reply) -> dict[str, Any]:
    """A pair as one recorded event, to be written as a JSON line or appended to a stream."""
    return {"kind": "reply", "call": digest(ask), "role": ask.role, "reply": asdict(reply)}


def replay(
    argument: str = "", *, inputs: Inputs | None, steps: Steps, choices: tuple[str, ...], model: str = ""
) -> Replay:
    """Replies from a file (`replay:calls.jsonl`) or from a stream of the store (`replay:NAME`).

    `model` keeps the calls of one model of a transcript; without it all are known. Raises ModelError where
    nothing is recorded, or a file's line is not an event.
    """
    if not argument:
        raise ModelError("replay needs a file or a stream; write replay:calls.jsonl or replay:NAME")
    path = Path(argument)
    if path.is_file():
        events: Iterable[Mapping[str, Any]] = _lines(path)
    elif steps.store is not None and path.suffix != ".jsonl":
        events = (entry.body for entry in steps.store.read(argument))
    else:
        raise ModelError(
            f"no file {argument!r} to replay" + ("" if steps.store is not None else ", and no store is open")
        )
    kept = [e for e in events if e.get("kind") == "reply" and (not model or e.get("model") == model)]
    if not kept:
        only = f" by {model!r}" if model else ""
        raise ModelError(f"{argument!r} holds no recorded replies{only}; a stream is named as in the record of its run")
    names = sorted({e["model"] for e in kept if "model" in e})
    replies = {e["call"]: _reply(e["reply"]) for e in kept}
    return Replay(f"replay:{argument}:{digest(sorted(replies))[:8]}", replies, names)


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                body = json.loads(line)
                if body["kind"] == "reply":
                    _reply(body["reply"]), body["call"]
            except (ValueError, KeyError, TypeError) as error:
                raise ModelError(
                    f"{path}, line {number}: not a recorded call ({type(error).__name__}: {error})"
                ) from error
            yield body


def _reply(body: Mapping[str, Any]) -> Reply:
    return Reply(body["text"], tuple(body["probs"]), body["score"], body["failure"], Cost(**body["cost"]))
