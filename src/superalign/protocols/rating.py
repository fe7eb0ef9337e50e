"""Rating: one reader rates a critique of an answer, or an explanation of a unit, from 1 to 7.

Of a critique it is asked how much it helps, whether it is right, and which flaws the answer has, as spans of the answer
(after Saunders et al. 2022, "Self-critiquing models for assisting human evaluators", arXiv 2206.05802). Of an
explanation, how well it says where the unit fires on text that is shown with its activations (after Bills et al. 2023,
"Language models can explain neurons in language models").

People answer on a form, whose reply is JSON; models answer in lines (`Rating: 5`), read by fixed rules: what cannot be
read is asked for once more and never guessed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from superalign.core.errors import ProtocolError, SpecError, nearest
from superalign.core.types import Ask, Item, Judgment, Message, Moves, Reply, Seat, Verdict
from superalign.protocols.compose import once
from superalign.protocols.reading import refuses, visible
from superalign.protocols.rules import Rules
from superalign.protocols.template import template as read

WORST, BEST = 1, 7
CLAIMS = ("yes", "partly", "no")
SEVERITIES = ("minor", "major", "critical")
PARTS = {"critique": ("answer", "critique"), "explanation": ("explanation", "excerpts")}
"""What of `Item.info` is shown, by what is rated."""
ROLES = {"critique": "critique-rater", "explanation": "explanation-rater"}
STRENGTHS = 10
"""Steps in which activations are shown, as Bills et al. (2023) do."""

_CORRECTION = 'Your reply cannot be read ({fault}). Begin a line with "Rating:" and one whole number from 1 to 7, and nothing else.'


@dataclass(frozen=True, slots=True)
class Flaw:
    """A flaw that a rater marked: characters `start` up to `end` of the answer."""

    start: int
    end: int
    severity: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one rater said. `claims` is whether a critique is right (empty: not said), `flaws` those that the rater
    sees in the answer, `better` an explanation of the rater's own."""

    rating: float
    claims: str = ""
    flaws: tuple[Flaw, ...] = ()
    better: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply as it was read: an opinion for each person behind it; without any there is a `fault`. `lost` counts
    flaws whose words are not in the answer."""

    opinions: tuple[Opinion, ...] = ()
    fault: str = ""
    lost: int = 0

    @property
    def rating(self) -> float:
        """The mean rating."""
        return sum(o.rating for o in self.opinions) / len(self.opinions)


def rating(*, what: str = "critique", template: str = "") -> Rules:
    """The protocol. Role: `critique-rater` or `explanation-rater`, by `what` is rated.

    The verdict has no answer, its score is the mean rating. An item's info holds `answer` and `critique`, or
    `explanation` and `excerpts`, `{"tokens": [...], "values": [...]}` each. Raises SpecError for another `what`.
    """
    if what not in PARTS:
        raise SpecError(f"rating has no form for {what!r}; {nearest(what, PARTS)}")
    fields = {"critique": ("prompt", "answer", "critique"), "explanation": ("explanation", "excerpts")}
    sheet = read("rating", template, fields)

    def play(item: Item, seat: Seat) -> Moves:
        shown = replace(item, info=_shown(item, what))
        told = {"prompt": item.prompt, **{k: _text(v) for k, v in shown.info.items()}}
        prompt = Message("user", sheet.fill(what, **told))
        request = Ask(ROLES[what], (prompt,), item=shown, sample=seat.seed)
        for last in (False, True):
            reply = yield from once(request)
            heard = listen(reply, shown)
            if last or heard.opinions or heard.fault == "failed":
                return _verdict(heard, reply)
            said = Message("assistant", reply.text)
            request = replace(request, messages=(prompt, said, Message("user", _CORRECTION.format(fault=heard.fault))))
        raise AssertionError("the second reply is the last")

    return Rules(play, template=sheet.digest)


def _shown(item: Item, what: str) -> dict[str, Any]:
    missing = [part for part in PARTS[what] if part not in item.info]
    if missing:
        raise ProtocolError(f"the item {item.id!r} has no {missing[0]!r} in its info, so there is nothing to rate")
    return {part: item.info[part] for part in PARTS[what]}


def _text(part: Any) -> str:
    return part if isinstance(part, str) else excerpts(part)


def excerpts(shown: Sequence[Mapping[str, Any]]) -> str:
    """Excerpts as text: `the <<cat 10>> sat`, strengths in tenths of the strongest activation that is shown."""
    peak = max((v for e in shown for v in e["values"]), default=0.0)
    lines = []
    for number, excerpt in enumerate(shown, 1):
        marked = [
            _marked(t.replace("<<", "< <").replace(">>", "> >"), v, peak)
            for t, v in zip(excerpt["tokens"], excerpt["values"], strict=True)
        ]
        lines.append(f"{number}. {' '.join(''.join(marked).split())}")
    return "\n".join(lines)


def _marked(token: str, value: float, peak: float) -> str:
    strength = round(STRENGTHS * value / peak) if peak > 0 else 0
    if strength < 1:
        return token
    bare = token.strip() or ("line break" if "\n" in token else "blank")
    before = token[: len(token) - len(token.lstrip())]
    return f"{before}<<{bare} {strength}>>"


def _verdict(heard: Heard, reply: Reply) -> Verdict:
    if heard.opinions:
        return Verdict(None, score=heard.rating)
    return Verdict(
        None, abstained=f"failed: {reply.failure}" if heard.fault == "failed" else f"unparsed: {heard.fault}"
    )


def opinions(judgment: Judgment) -> tuple[Opinion, ...]:
    """The opinions behind a verdict; none where it abstains."""
    if judgment.verdict.abstained is not None or not judgment.calls:
        return ()
    ask, reply = judgment.calls[-1]
    return listen(reply, ask.item).opinions


def faults(judgment: Judgment) -> Counter[str]:
    """How often each fault occurs in the replies of a game, those that were asked for again included."""
    found: Counter[str] = Counter()
    for ask, reply in judgment.calls:
        heard = listen(reply, ask.item)
        found[heard.fault] += 1
        found["quote not in the answer"] += heard.lost
    del found[""]
    return +found


def listen(reply: Reply, item: Item | None) -> Heard:
    """Read a reply: the JSON of a form, a score by itself, or lines of words."""
    answer = str(item.info.get("answer", "")) if item is not None else ""
    if reply.failure is not None:
        return Heard(fault="failed")
    text = visible(reply.text).strip()
    if not text and reply.score is not None:
        return _scored(reply.score)
    if not text:
        return Heard(fault="empty")
    data = _json(text)
    if data is not None:
        return _from_json(data, len(answer))
    return _from_words(text, answer)


def _scored(score: float) -> Heard:
    return Heard((Opinion(score),)) if WORST <= score <= BEST else Heard(fault="bad rating")


def _json(text: str) -> list[Any] | None:
    body = re.sub(r"^\s*```(?:json)?|```\s*$", "", text).strip()
    try:
        data = json.loads(body) if body[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, list) else [data] if isinstance(data, dict) else None


def _from_json(data: Sequence[Any], length: int) -> Heard:
    try:
        found = tuple(_opinion(row, length) for row in data)
    except (KeyError, TypeError, ValueError):
        return Heard(fault="bad rating")
    return Heard(found) if found else Heard(fault="empty")


def _opinion(row: Mapping[str, Any], length: int) -> Opinion:
    value = row["rating"]
    if isinstance(value, bool) or value not in range(WORST, BEST + 1):
        raise ValueError(value)
    flaws = tuple(
        Flaw(int(f["start"]), int(f["end"]), f["severity"], str(f.get("note", ""))) for f in row.get("flaws", ())
    )
    if row.get("claims", "") not in ("", *CLAIMS) or not all(
        0 <= f.start < f.end <= length and f.severity in SEVERITIES for f in flaws
    ):
        raise ValueError(row)
    return Opinion(float(value), row.get("claims", ""), flaws, str(row.get("better", "")))


_DRESS = r"[ \t*_#>-]*"
_NUMBER = re.compile(r"([1-7])(?:\.0)?(?: ?(?:/|out of) ?7)?\.?")
_FLAW = re.compile(rf'^{_DRESS}flaw \((\w+)\){_DRESS}:{_DRESS}["“](.+?)["”](?:\s*[-–—:]+\s*(.*))?$', re.I | re.M)


def _lines(name: str, text: str) -> list[str]:
    """What stands after `Name:` on lines that begin with it, without markdown."""
    found = re.findall(rf"^{_DRESS}{name}{_DRESS}[:=][ \t*_]*(.*?)[ \t*_]*$", text, re.I | re.M)
    return [str(f) for f in found]


def _from_words(text: str, answer: str) -> Heard:
    said = _lines("rating", text) or ([bare] if _NUMBER.fullmatch(bare := text.strip("*_ ")) else [])
    values = {m[1] if (m := _NUMBER.fullmatch(s)) else "" for s in said}
    if len(values) != 1 or "" in values:
        none = "refusal" if refuses(text) else "no rating"
        return Heard(fault="bad rating" if "" in values else "two ratings" if values else none)
    claims = {s.rstrip(".").lower() for s in _lines("right", text)}
    if len(claims) > 1 or not claims <= set(CLAIMS):
        return Heard(fault="bad claims")
    flaws = [_found(m, answer) for m in _FLAW.finditer(text)]
    kept = tuple(f for f in flaws if f is not None)
    better = next(iter(_lines("better", text)), "")[:500]
    return Heard((Opinion(float(values.pop()), next(iter(claims), ""), kept, better),), lost=len(flaws) - len(kept))


def _found(match: re.Match[str], answer: str) -> Flaw | None:
    """A quoted flaw at its place in the answer, the first where its words stand there twice."""
    start, severity = answer.find(match[2]), match[1].lower()
    if start < 0 or severity not in SEVERITIES:
        return None
    return Flaw(start, start + len(match[2]), severity, (match[3] or "").strip())
