"""Replay: a Model that gives recorded replies again, call by call, and refuses what was never asked.

Records are the driver's transcripts (a stream of the store, or the same events as JSON lines), or pairs
of ask and reply such as `Judgment.calls` holds. A call is known by `key_of(model, ask)`, with an empty name
where no model is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.core.digest import digest
from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.transcript import key_of, plain, reply_of
from superalign.core.types import Ask, Reply

if TYPE_CHECKING:
    from superalign.core.steps import Steps


class Replay:
    """A Model that answers from `replies`, a mapping from call to reply.

    A call is `key_of("", ask)`, or `key_of(model, ask)` for a name in `models`. Raises ModelError, with the role
    and the ask, for a call that is not recorded.
    """

    serial = True

    def __init__(self, name: str, replies: Mapping[str, Reply], models: Sequence[str] = ()) -> None:
        self.name = name
        self._replies, self._models = dict(replies), tuple(models)

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Each ask in turn."""
        for i, ask in enumerate(asks):
            calls = [key_of(model, ask) for model in ("", *self._models)]
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
    return {"kind": "reply", "call": key_of("", ask), "role": ask.role, "reply": plain(reply)}


def replay(argument: str = "", *, inputs: Inputs | None, steps: Steps, choices: tuple[str, ...]) -> Replay:
    """Replies from a file (`replay:calls.jsonl`) or from a stream of the store (`replay:PREFIX/MODEL`).

    Raises ModelError where
    nothing is recorded, or a file's line is not an event.
    """
    if not argument:
        raise ModelError("replay needs a file or a stream; write replay:calls.jsonl or replay:PREFIX/MODEL")
    path = Path(argument)
    if path.is_file():
        events: Iterable[Mapping[str, Any]] = _lines(path)
    elif steps.store is not None and path.suffix != ".jsonl":
        events = (entry.body for entry in steps.store.read(argument))
    else:
        raise ModelError(
            f"no file {argument!r} to replay" + ("" if steps.store is not None else ", and no store is open")
        )
    kept = [e for e in events if e.get("kind") == "reply"]
    if not kept:
        raise ModelError(f"{argument!r} holds no recorded replies; a stream is named as in the record of its run")
    names = sorted({e["model"] for e in kept if "model" in e})
    replies = {e["call"]: reply_of(e["reply"]) for e in kept}
    return Replay(f"replay:{argument}:{digest(sorted(replies))[:8]}", replies, names)


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                body = json.loads(line)
                if body["kind"] == "reply":
                    reply_of(body["reply"]), body["call"]
            except (ValueError, KeyError, TypeError) as error:
                raise ModelError(
                    f"{path}, line {number}: not a recorded call ({type(error).__name__}: {error})"
                ) from error
            yield body
