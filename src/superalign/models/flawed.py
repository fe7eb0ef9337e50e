"""A judge with a flaw that can be dialled: noise in its belief, a bias for what is shown first, a limited attention.

How much a protocol depends on its judge is measured by making the judge worse, one known way at a time. The flaws
act on decisions (asks with choices); what the model says in free text stays as it is.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from superalign.core.errors import SpecError, nearest
from superalign.core.ports import Model
from superalign.core.registry import parse
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Message, Pending, Reply

FLOOR = 1e-4
"""Certainty is read as odds of 1 to 9,999, so that a flaw can move it."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """How a judge is flawed.

    `noise`: standard deviation, in nats, of a normal draw added to the log-odds of every choice, the same each time
    the same ask is put. `bias`: nats added to the choice that is shown first. `budget`: words of a message that are
    read, half from its beginning and half from its end.
    """

    noise: float = 0.0
    bias: float = 0.0
    budget: int | None = None

    def __str__(self) -> str:
        parts = [f"{name}={getattr(self, name):g}" for name in ("noise", "bias", "budget") if getattr(self, name)]
        return ":".join(parts)


def flaw(text: str) -> Flaw:
    """`noise=1`, `bias=.5`, `budget=200`, or several joined by a colon. Raises SpecError for anything else."""
    options = parse(f"flaw:{text}").options if text and text[0] != ":" else {}
    for name, value in options.items():
        if name not in ("noise", "bias", "budget"):
            raise SpecError(f"no flaw is named {name!r}; {nearest(name, ('noise', 'bias', 'budget'))}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise SpecError(f"the flaw {text!r} needs a number; write {name}=1")
    made = Flaw(**options)
    if not options or made.noise < 0 or (made.budget is not None and made.budget < 1) or isinstance(made.budget, float):
        raise SpecError(f"a flaw is noise=1 (nats), bias=.5 (nats) or budget=200 (words), got {text!r}")
    return made


class Flawed:
    """A model whose decisions are flawed."""

    def __init__(self, model: Model, flaw: Flaw) -> None:
        self.model, self.flaw = model, flaw
        self.name = f"{model.name}/{flaw}"
        self.serial = model.serial
        self.concurrency = getattr(model, "concurrency", 16)

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        """The model's own replies, with beliefs moved."""
        read = [self._read(ask) for ask in asks]
        for index, reply in self.model.answer(read):
            moved = reply if isinstance(reply, Pending) else self._moved(asks[index], reply)
            yield index, moved

    def _read(self, ask: Ask) -> Ask:
        if self.flaw.budget is None or not ask.choices:
            return ask
        messages = tuple(Message(m.role, skimmed(m.content, self.flaw.budget)) for m in ask.messages)
        return replace(ask, messages=messages)

    def _moved(self, ask: Ask, reply: Reply) -> Reply:
        if not ask.choices or reply.failure is not None or not (self.flaw.noise or self.flaw.bias):
            return reply
        probs = reply.probs or tuple(float(said(reply.text, ask.choices) == k) for k in range(len(ask.choices)))
        if sum(probs) <= 0 or len(probs) != len(ask.choices):
            return reply  # nothing that could be read as a belief: whoever asked will see the same
        odds = [math.log(min(max(p, FLOOR), 1 - FLOOR)) for p in probs]
        if self.flaw.noise:
            key = key_of("noise", ask)
            odds = [x + self.flaw.noise * _normal(key, k) for k, x in enumerate(odds)]
        odds[0] += self.flaw.bias
        weights = [math.exp(x - max(odds)) for x in odds]
        moved = tuple(w / sum(weights) for w in weights)
        return replace(reply, text=ask.choices[moved.index(max(moved))], probs=moved)


def said(text: str, choices: Sequence[str]) -> int | None:
    """Which choice a bare reply names, by its text or its letter."""
    bare = text.strip().strip("().").casefold()
    for k, choice in enumerate(choices):
        if bare in (choice.casefold(), chr(97 + k)):
            return k
    return None


def skimmed(text: str, words: int) -> str:
    """The first and the last half of `words` words of a text, with a mark where words were passed over."""
    parts = text.split(" ")
    if len(parts) <= words:
        return text
    head, tail = (words + 1) // 2, words // 2
    return " ".join([*parts[:head], "[...]", *(parts[-tail:] if tail else [])])


def _normal(key: str, place: int) -> float:
    drawn = hashlib.blake2b(f"{key} {place}".encode(), digest_size=8).digest()
    return NormalDist().inv_cdf((int.from_bytes(drawn, "big") + 0.5) / 2**64)
