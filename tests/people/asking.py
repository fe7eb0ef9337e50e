"""What tests of the desk share: a store in memory, a clock that is set by hand, questions, and answers to them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from superalign.core.errors import Conflict
from superalign.core.ports import Artifact, Event
from superalign.core.types import Ask, Item, Message
from superalign.people.forms import Answer
from superalign.people.questions import Question, question_of


class Memory:
    """A store in memory."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}
        self.artifacts: dict[str, Artifact] = {}
        self._lock = threading.Lock()

    def append(self, stream: str, events: Sequence[Mapping[str, Any]], expect: str | None = None) -> str:
        with self._lock:
            there = self.events.setdefault(stream, [])
            head = there[-1].hash if there else ""
            if expect not in (None, head):
                raise Conflict(f"{stream}: not {expect}")
            for body in events:
                head = hashlib.sha256(f"{head}{body}".encode()).hexdigest()
                there.append(Event(len(there) + 1, body, head))
            return head

    def read(self, stream: str, after: int = 0) -> Iterator[Event]:
        with self._lock:
            there = list(self.events.get(stream, ())[after:])
        yield from there

    def put(self, key: str, data: bytes, meta: Mapping[str, Any] | None = None) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        return self.artifacts.setdefault(key, Artifact(data, sha256, dict(meta or {}))).sha256

    def get(self, key: str) -> Artifact | None:
        return self.artifacts.get(key)

    def streams(self, prefix: str = "") -> list[str]:
        return sorted(name for name in self.events if name.startswith(prefix))


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def belief(item: str, turn: int = 0, *, flipped: bool = False, condition: str = "debate", want: int = 1) -> Question:
    """A judge's question in a turn of a game."""
    choices = ("yes", "no") if flipped else ("no", "yes")
    said = "".join(f'\n<speech by="Debater A" round="{k}">\nof {condition}\n</speech>' for k in range(1, turn + 1))
    ask = Ask(
        "judge", (Message("user", f"{condition} {item}: {turn}{said}"),), choices, Item(item, f"Is {item}?", choices)
    )
    return question_of(hashlib.sha256(repr(ask).encode()).hexdigest(), ask, want)


def ranking(item: str, count: int = 3, want: int = 1) -> Question:
    """A labeller's question."""
    choices = tuple(f"response {k} to {item}" for k in range(count))
    ask = Ask("labeller", (Message("user", f"Rank {item}"),), choices, Item(item, item, choices))
    return question_of(hashlib.sha256(repr(ask).encode()).hexdigest(), ask, want)


def says(question: Question, place: int, sure: float = 0.75) -> Answer:
    """An answer on the question's form that prefers one choice."""
    if question.form == "rank":
        return {"ranks": [1 if k == place else 2 for k in range(len(question.choices))]}
    if question.form == "text":
        return {"text": f"text {place}"}
    if question.form == "choice":
        return {"choice": place}
    rest = (1 - sure) / (len(question.choices) - 1)
    return {"choice": place, "probs": [sure if k == place else rest for k in range(len(question.choices))]}
