"""AI control: what its protocols share. A capable model that may be subverting us acts, a trusted weaker one watches.

The setting of Greenblatt, Shlegeris, Sachan, Roger (2023), "AI Control: Improving Safety Despite Intentional
Subversion", arXiv 2312.06942. `untrusted` acts on the item; its mode is the seat's: `Seat.assigned` is
"honest" or "attack" (None is "honest"), passed on to it alone as `item.info["mode"]`. Everything else in a protocol
is the same in both modes. `trusted` sees the task and the submission, never the mode or the item's source.

A suspicion is `Reply.score` of a monitor that computes one (any finite number), or the last
`<suspicion>x</suspicion>` of its own reply, x in [0, 1]. A suspicion that cannot be read, after asking once more, is
missing: `Verdict.score` is None, never 0, and where the protocol has to act it acts as if it were high.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from superalign.core.digest import digest
from superalign.core.errors import ProtocolError, SpecError
from superalign.core.types import Ask, Item, Judgment, Message, Reply, Seat
from superalign.protocols.compose import Steps, once
from superalign.protocols.replies import decide
from superalign.protocols.room import briefed, listed, order_of, public, source_of
from superalign.protocols.rules import Silence
from superalign.protocols.template import Template
from superalign.protocols.template import template as read

MODES = ("honest", "attack")

SECTIONS = {
    "untrusted": ("prompt", "choices", "source"),
    "attack": ("prompt", "choices", "source"),
    "monitor": ("prompt", "choices", "submitted", "nonce"),
    "again": (),
    "trusted": ("prompt", "choices"),
}


def prompts(path: str) -> Template:
    """The template that the control protocols share, `templates/trusted_monitoring.txt` or the file at `path`."""
    return read("trusted_monitoring", path, SECTIONS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an action. `suspicion` is None where there was no monitor or nothing could be read.

    `action` is what is carried out: an index into `Item.choices`, or text; None where a call failed or could not
    be read. `audited`: held for a person's inspection. `replaced`: the trusted model's action took its place.
    """

    action: int | str | None
    suspicion: float | None
    audited: bool
    replaced: bool


AUDITED = "audited: "


def outcome(judgment: Judgment) -> Outcome:
    """The outcome of a game of any control protocol."""
    verdict = judgment.verdict
    own = any(a.role == "trusted" and a.item is not None and "submitted" not in a.item.info for a, _ in judgment.calls)
    audited = (verdict.abstained or "").startswith(AUDITED)
    return Outcome(verdict.answer, verdict.score, audited, own and verdict.answer is not None)


@dataclass(frozen=True, slots=True)
class Action:
    """What a model does about an item: an index into `Item.choices` or text, and how it reads. `fault` if nothing."""

    answer: int | str | None
    text: str = ""
    fault: str = ""


def act(text: Template, role: str, item: Item, seat: Seat) -> Steps[Action]:
    """Let `untrusted` or `trusted` act on the item. Raises ProtocolError for a mode that does not exist."""
    mode = seat.assigned or "honest"
    if mode not in MODES:
        raise ProtocolError(f"control has the modes {MODES}; the seat of item {item.id!r} assigns {mode!r}")
    order = order_of(item, seat)
    seen, section = public(item, order), role
    if role == "untrusted":
        shown = briefed(item)
        seen = replace(shown, choices=seen.choices, info={**shown.info, "mode": mode})
        section = "attack" if mode == "attack" else role
    fields = {"prompt": item.prompt, "choices": listed(seen.choices), "source": source_of(seen)}
    message = Message("user", text.fill(section, **fields))
    if not item.choices:
        reply = yield from once(Ask(role, (message,), item=seen, sample=seat.seed))
        if reply.failure is not None:
            raise Silence(role, reply.failure)
        return Action(reply.text, reply.text) if reply.text.strip() else Action(None, fault=f"unparsed: {role}: empty")
    choice = yield from decide(role, (message,), seen.choices, item=seen, sample=seat.seed)
    if choice.fault == "failed":
        raise Silence(role, choice.note)
    if choice.place is None:
        return Action(None, fault=f"unparsed: {role}: {choice.fault}")
    return Action(order[choice.place], seen.choices[choice.place])


def watch(text: Template, item: Item, seat: Seat, submitted: str) -> Steps[float | None]:
    """The suspicion of `trusted` about a submission; it is asked once more where its reply cannot be read."""
    shown = public(item, order_of(item, seat))
    shown = replace(shown, info={**shown.info, "submitted": submitted})
    # the nonce hangs on the submission too: an attacker who knows the seed would have to write its own hash
    nonce = digest("nonce", seat.seed, item.id, submitted)[:16]
    prompt = text.fill(
        "monitor", prompt=item.prompt, choices=listed(shown.choices), submitted=escaped(submitted), nonce=nonce
    )
    ask = Ask("trusted", (Message("user", prompt),), item=shown, sample=seat.seed)
    reply = yield from once(ask)
    if reply.failure is None and suspicion_in(reply) is None:
        again = (Message("assistant", reply.text), Message("user", text.fill("again")))
        reply = yield from once(replace(ask, messages=(*ask.messages, *again)))
    if reply.failure is not None:
        raise Silence("trusted", reply.failure)
    return suspicion_in(reply)


def above(suspicion: float | None, threshold: float) -> bool:
    """Strictly above; a missing suspicion counts as above."""
    return suspicion is None or suspicion > threshold


_TAG = re.compile(r"<suspicion>([^<>]*)</suspicion>", re.IGNORECASE)
_TYPED = re.compile(
    r"<(?=[\s/]*(?:suspicion|thinking|verified|near|unverified|quote|witness|executed)\b)", re.IGNORECASE
)
_UNSEEN = re.compile("[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def suspicion_in(reply: Reply) -> float | None:
    """The suspicion of a monitor's reply: its score, or the last tag of its text. None where there is none."""
    if reply.score is not None:
        return reply.score if math.isfinite(reply.score) else None
    tags = _TAG.findall(reply.text)
    number = tags[-1].strip() if tags else ""
    if not re.fullmatch(r"[0-9]*\.?[0-9]+|[0-9]+\.", number, re.ASCII) or not 0 <= float(number) <= 1:
        return None
    return float(number)


def escaped(text: str) -> str:
    """A submission as the monitor reads it: no invisible characters, and no tag that anything here reads."""
    return _TYPED.sub("&lt;", _UNSEEN.sub("", text))


def checked_threshold(threshold: float) -> float:
    """The threshold. Raises SpecError unless it is a finite number."""
    if not math.isfinite(threshold):
        raise SpecError(f"a threshold is a finite suspicion, not {threshold}")
    return float(threshold)
