"""What a judge decided: a reply is read by fixed rules (`reading`), asked for once more where it cannot be read,
never guessed, and every fault is counted."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from superalign.core.types import Ask, Item, Judgment, Message, Reply, Settings, Verdict
from superalign.protocols.compose import Steps
from superalign.protocols.reading import bare, named, refuses, visible
from superalign.protocols.room import letter
from superalign.protocols.speech import LIMIT, aloud, clean

FAULTS = ("", "empty", "refusal", "two verdicts", "no verdict", "bad probabilities", "failed")
"""What may be wrong with a decision."""

ROUNDING = 0.02
"""How far probabilities may be from 1 in sum. More is another scale, or a mistake, and is not repaired."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision among choices as they were shown: the place chosen, and probabilities where there were any.

    `place` is None where there is a `fault`; `note` then quotes the reply, or says why the call failed.
    """

    place: int | None
    probs: tuple[float, ...] = ()
    fault: str = ""
    score: float | None = None
    note: str = ""


def choose(reply: Reply, shown: Sequence[str]) -> Choice:
    """Read a reply about choices as they were shown: by its probabilities where there are any, else by its words.

    Words that are JSON are read by their `answer`, or as probabilities by letter.
    """
    if reply.failure is not None:
        return Choice(None, fault="failed", note=reply.failure)
    choice = _weighed(reply.probs, len(shown)) if reply.probs else _said(reply.text, tuple(shown))
    return replace(choice, score=reply.score)


def _weighed(probs: Sequence[float], count: int) -> Choice:
    total = math.fsum(probs)
    if len(probs) != count or not all(p >= 0 for p in probs) or not abs(total - 1) <= ROUNDING:
        return Choice(None, fault="bad probabilities", note=str(list(probs))[:80])
    return Choice(max(range(count), key=probs.__getitem__), tuple(p / total for p in probs))


def _said(text: str, shown: tuple[str, ...]) -> Choice:
    if not text.strip():
        return Choice(None, fault="empty")
    data = _json(visible(text))
    if data is not None:
        return _from_json(data, shown)
    places = named(text, shown)
    if len(places) == 1:
        return Choice(places.pop())
    fault = "two verdicts" if places else "refusal" if refuses(text) else "no verdict"
    return Choice(None, fault=fault, note=text.strip()[:80])


def _json(text: str) -> dict[str, object] | None:
    body = re.sub(r"^\s*```(?:json)?|```\s*$", "", text).strip()
    try:
        data = json.loads(body) if body.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _from_json(data: dict[str, object], shown: tuple[str, ...]) -> Choice:
    for key in ("answer", "verdict", "choice", "probabilities"):
        value = data.get(key)
        if isinstance(value, dict):
            data = value
        elif isinstance(value, str):
            place = bare(value, shown)
            return Choice(place, fault="no verdict" if place is None else "", note=value[:80] if place is None else "")
    weights = [data.get(letter(k), data.get(choice)) for k, choice in enumerate(shown)]
    numbers = [float(w) for w in weights if isinstance(w, int | float)]
    if len(numbers) == len(shown):
        return _weighed(numbers, len(shown))
    return Choice(None, fault="no verdict", note=str(data)[:80])


def decide(
    role: str,
    messages: Sequence[Message],
    choices: Sequence[str],
    *,
    item: Item | None = None,
    sample: int = 0,
    retries: int = 1,
    settings: Settings | None = None,
) -> Steps[Choice]:
    """A decision as a step of a protocol. A reply that cannot be read is asked for again, `retries` times, with a
    correction; a call that failed is not."""
    request = Ask(role, tuple(messages), tuple(choices), item, sample, settings or Settings())
    while True:
        replies = yield (request,)
        choice = choose(replies[0], choices)
        if choice.fault in ("", "failed") or retries <= 0:
            return choice
        retries -= 1
        said = Message("assistant", replies[0].text or str(list(replies[0].probs)))
        again = Message("user", correction(choice.fault, len(choices)))
        request = replace(request, messages=(*request.messages, said, again))


def correction(fault: str, count: int) -> str:
    """What a judge is told whose reply could not be read."""
    letters = " or ".join(letter(k) for k in range(count)) if count < 4 else f"a letter from A to {letter(count - 1)}"
    return f"Your reply cannot be read as a decision ({fault}). Reply with one letter and nothing else: {letters}."


def verdict(choice: Choice, order: Sequence[int]) -> Verdict:
    """A decision as a verdict in the item's own order. A fault is an abstention that names it, never a default."""
    if choice.fault == "failed":
        return Verdict(None, score=choice.score, abstained=f"failed: {choice.note}")
    if choice.place is None:
        return Verdict(None, score=choice.score, abstained=f"unparsed: {choice.fault}")
    if not choice.probs:
        return Verdict(order[choice.place], score=choice.score)
    probs = [0.0] * len(order)
    for place, p in zip(order, choice.probs, strict=True):
        probs[place] = p
    return Verdict(max(range(len(probs)), key=probs.__getitem__), tuple(probs), score=choice.score)


def faults(judgment: Judgment) -> Counter[str]:
    """How often each fault occurs in the replies of a game: of decisions (`FAULTS`), of speeches (see `Heard`), and
    `endless thinking`. Replies that were asked for again, or drawn and not used, count too."""
    found: Counter[str] = Counter()
    for ask, reply in judgment.calls:
        if ask.choices or reply.failure is not None:
            found[choose(reply, ask.choices).fault] += 1
        elif ask.item is not None and "assigned" in ask.item.info:
            found.update(_heard(ask, reply.text))
    del found[""]
    return found


def _heard(ask: Ask, text: str) -> tuple[str, ...]:
    if any("<thinking>" in m.content for m in ask.messages if m.role == "user"):  # where thinking is allowed
        said = aloud(text)
        if said is None:
            return ("endless thinking",)
        text = said
    return clean(text, int(ask.item.info.get("limit", LIMIT)) if ask.item is not None else LIMIT).faults
