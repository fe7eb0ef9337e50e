"""Rank: one labeller puts all responses to a prompt in order at once, ties allowed.

Ouyang et al. (2022), "Training language models to follow instructions with human feedback", arXiv 2203.02155, section
3.4: K responses are ranked in one task, and all K(K-1)/2 comparisons come from it, which is quicker than to ask for each
pair and never contradicts itself.

People answer on a form, whose reply is JSON (`{"ranks": [2, 1, 2]}`, from 1, the best; `each` where several people
answered). Models write a line, `B > A = C`, read by a fixed grammar: what does not fit is asked for once more and never
guessed. A model that gives probabilities instead is taken to rank by them.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from superalign.core.driver import seated
from superalign.core.errors import ProtocolError
from superalign.core.types import Ask, Item, Judgment, Message, Moves, Reply, Seat, Verdict
from superalign.protocols.compose import once
from superalign.protocols.reading import refuses, visible
from superalign.protocols.room import letter, order_of, public
from superalign.protocols.rules import Rules
from superalign.protocols.template import template as read

ROLE = "labeller"
MOST = 26
"""Responses that letters suffice for."""

_CORRECTION = (
    "Your reply cannot be read as a ranking ({fault}). Reply with one line and nothing else: the letters {letters}, each"
    " once, with > where one is better and = where two are equally good."
)

Ranks = tuple[float, ...]
"""A rank for each response, the best lowest, equal ranks where they tie."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply as it was read: ranks for each person behind it, in the order of the responses as they were shown;
    without any there is a `fault` (`empty`, `refusal`, `no ranking`, `bad ranks`, `failed`)."""

    opinions: tuple[Ranks, ...] = ()
    fault: str = ""


def rank(*, template: str = "") -> Rules:
    """The protocol. Role: `labeller`, who never sees the source.

    The verdict's `ranking` has the best first. Responses that tie stand in it in the item's own order, and `ranks` tells
    them apart from those that do not; its `answer` is the first of them. `probs` are the labeller's where it gives any,
    and even where two responses tie. Raises ProtocolError for fewer than 2 responses or more than 26.
    """
    sheet = read("rank", template, {"labeller": ("prompt", "count", "responses")})

    def play(item: Item, seat: Seat) -> Moves:
        count, order = len(item.choices), order_of(item, seat)
        if not 2 <= count <= MOST:
            raise ProtocolError(f"item {item.id!r} has {count} responses; 2 to {MOST} can be ranked")
        shown = seated(public(item), order)
        fields = {"prompt": item.prompt, "count": str(count), "responses": _listed(shown.choices)}
        prompt = Message("user", sheet.fill("labeller", **fields))
        request = Ask(ROLE, (prompt,), shown.choices, shown, seat.seed)
        for last in (False, True):
            reply = yield from once(request)
            heard = listen(reply, count)
            if last or heard.opinions or heard.fault == "failed":
                return _verdict(heard, reply, order)
            letters = ", ".join(map(letter, range(count)))
            again = Message("user", _CORRECTION.format(fault=heard.fault, letters=letters))
            said = Message("assistant", reply.text or str(list(reply.probs)))
            request = replace(request, messages=(prompt, said, again))
        raise AssertionError("the second reply is the last")

    return Rules(play, template=sheet.digest)


def _listed(responses: Sequence[str]) -> str:
    return "\n\n".join(f"Response {letter(k)}:\n{text}" for k, text in enumerate(responses))


def ranks(judgment: Judgment) -> tuple[Ranks, ...]:
    """The ranks (K,) that each person behind a verdict gave, in the item's own order; none where it abstains."""
    if judgment.verdict.abstained is not None or not judgment.calls:
        return ()
    ask, reply = judgment.calls[-1]
    order = judgment.seat.order or tuple(range(len(ask.choices)))
    return tuple(_own(opinion, order) for opinion in listen(reply, len(ask.choices)).opinions)


def preferred(opinions: Sequence[Ranks], first: int, second: int) -> float:
    """The share of the opinions that put response `first` before `second`; a tie counts half."""
    apart = [(o[first] < o[second]) + (o[first] == o[second]) / 2 for o in opinions]
    return sum(apart) / len(apart)


def faults(judgment: Judgment) -> Counter[str]:
    """How often each fault occurs in the replies of a game, those that were asked for again included."""
    found = Counter(listen(reply, len(ask.choices)).fault for ask, reply in judgment.calls)
    del found[""]
    return found


def listen(reply: Reply, count: int) -> Heard:
    """Read a reply about `count` responses: the JSON of a form, probabilities, or a line of letters."""
    if reply.failure is not None:
        return Heard(fault="failed")
    text = visible(reply.text).strip()
    data = _json(text)
    if data is not None:
        return _from_json(data, count)
    if reply.probs:
        return _checked([tuple(-p for p in reply.probs)], count)
    if not text:
        return Heard(fault="empty")
    return _from_words(text, count)


def _own(shown: Ranks, order: Sequence[int]) -> Ranks:
    """Ranks in the item's own order, from those of its choices as they were shown."""
    found = [0.0] * len(order)
    for place, value in zip(order, shown, strict=True):
        found[place] = value
    return tuple(found)


def _verdict(heard: Heard, reply: Reply, order: Sequence[int]) -> Verdict:
    if not heard.opinions:
        why = f"failed: {reply.failure}" if heard.fault == "failed" else f"unparsed: {heard.fault}"
        return Verdict(None, abstained=why)
    columns = zip(*(_own(opinion, order) for opinion in heard.opinions), strict=True)
    means = [math.fsum(column) / len(heard.opinions) for column in columns]
    ranking = tuple(sorted(range(len(order)), key=means.__getitem__))
    probs = _own(reply.probs, order) if len(reply.probs) == len(order) else ()
    if not probs and means[0] == means[-1] and len(means) == 2:
        probs = (0.5, 0.5)
    return Verdict(ranking[0], probs, ranking)


def _json(text: str) -> dict[str, Any] | None:
    body = re.sub(r"^\s*```(?:json)?|```\s*$", "", text).strip()
    try:
        data = json.loads(body) if body[:1] == "{" else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _from_json(data: dict[str, Any], count: int) -> Heard:
    each = data.get("each", [data.get("ranks")])
    return _checked(each, count) if isinstance(each, list) and each else Heard(fault="bad ranks")


def _checked(opinions: Sequence[Any], count: int) -> Heard:
    for opinion in opinions:
        fine = isinstance(opinion, list | tuple) and len(opinion) == count
        if not fine or not all(isinstance(r, int | float) and math.isfinite(r) for r in opinion):
            return Heard(fault="bad ranks")
    return Heard(tuple(tuple(map(float, opinion)) for opinion in opinions))


_DRESS = str.maketrans("", "", "*_`()[]")
_LEAD = re.compile(r"^(?:(?:the|my|final)\s+)*ranking\s*[:：]\s*", re.IGNORECASE)
_LINE = re.compile(r"[A-Z](?:[>=][A-Z])*")


def _from_words(text: str, count: int) -> Heard:
    """`B > A = C`, in whatever typography, and nothing else; every letter once."""
    said = re.sub(r"\s+", "", _LEAD.sub("", text.translate(_DRESS).strip())).removesuffix(".")
    if not _LINE.fullmatch(said):
        return Heard(fault="refusal" if refuses(text) else "no ranking")
    letters = re.split("[>=]", said)
    if sorted(letters) != [letter(k) for k in range(count)]:
        return Heard(fault="bad ranks")
    place, found = 1, {letters[0]: 1}
    for mark, name in zip(said[1::2], letters[1:], strict=True):
        place += mark == ">"
        found[name] = place
    return Heard((tuple(float(found[letter(k)]) for k in range(count)),))
