"""Open role: the speaker chooses which answer to argue for; debate or consultancy follows.

Open debate and open consultancy of Kenton et al. (2024), arXiv 2407.04622. What counts is how often the
judge is led to a wrong answer that the speaker chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from superalign.core.digest import digest
from superalign.core.errors import SpecError, nearest
from superalign.core.types import Item, Message, Moves, Seat
from superalign.protocols.compose import Steps
from superalign.protocols.consultancy import consultancy
from superalign.protocols.debate import debate
from superalign.protocols.replies import Choice, decide
from superalign.protocols.room import briefed, listed, order_of, source_of
from superalign.protocols.rules import Rules, Silence
from superalign.protocols.template import Template
from superalign.protocols.template import template as read

SECTIONS = {"proposer": ("prompt", "choices", "text"), "text": ("source",)}


def open_role(
    *,
    protocol: str = "debate",
    rounds: int = 2,
    kind: str = "",
    words: int = 150,
    quotes: str = "checked",
    template: str = "",
) -> Rules:
    """The protocol. Roles: `proposer`, and those of the protocol that follows (`debate` or `consultancy`).

    The proposer sees the source and chooses. In a consultancy that answer is then argued for. In a debate a rival
    argues for the best of the other answers (the proposer's second, by its probabilities or asked for), and the
    judge decides between these two. `kind` is the protocol's. Raises SpecError for
    an option that does not fit.
    """
    if protocol not in ("debate", "consultancy"):
        raise SpecError(f"open has no protocol {protocol!r}; {nearest(protocol, ('debate', 'consultancy'))}")
    if kind == "double":
        raise SpecError("in open consultancy one answer is argued for; kind is single or interactive")
    sheet = read("open", template, SECTIONS)
    make, usual = (debate, "simultaneous") if protocol == "debate" else (consultancy, "single")
    inner = make(rounds=rounds, kind=kind or usual, words=words, quotes=quotes)

    def play(item: Item, seat: Seat) -> Moves:
        order = order_of(item, seat)
        every = range(len(item.choices))
        pick = yield from _proposed(sheet, item, seat, every)
        picked = pick.place or 0
        if protocol == "consultancy":
            return (yield from inner(item, replace(seat, assigned=item.choices[picked])))
        others = [k for k in every if k != picked]
        rival = others[0]
        if len(others) > 1 and pick.probs:
            rival = max(others, key=pick.probs.__getitem__)
        elif len(others) > 1:
            second = yield from _proposed(sheet, item, seat, others)
            rival = others[second.place or 0]
        return (yield from _between(sorted((picked, rival)), inner, item, replace(seat, order=order)))

    return Rules(play, replays=inner.replays, template=digest(sheet.digest, inner.template))


def _proposed(sheet: Template, item: Item, seat: Seat, places: Sequence[int]) -> Steps[Choice]:
    """The answer that the proposer chooses among these, in the item's own order. Raises Silence where it chooses none."""
    source = source_of(item)
    choices = tuple(item.choices[k] for k in places)
    text = sheet.fill("text", source=source) if source else ""
    prompt = Message("user", sheet.fill("proposer", prompt=item.prompt, choices=listed(choices), text=text))
    seen = replace(briefed(item), choices=choices)
    choice = yield from decide("proposer", [prompt], choices, item=seen, sample=seat.seed)
    if choice.place is None:
        raise Silence("proposer", choice.note if choice.fault == "failed" else choice.fault)
    return choice


def _between(places: Sequence[int], inner: Rules, item: Item, seat: Seat) -> Moves:
    """The debate about two of the item's choices, and its verdict on the item."""
    two = replace(item, choices=tuple(item.choices[k] for k in places))
    shown = tuple(places.index(k) for k in seat.order if k in places)
    verdict = yield from inner(two, replace(seat, order=shown))
    probs = [0.0] * len(item.choices)
    for place, p in zip(places, verdict.probs, strict=False):
        probs[place] = p
    answer = places[verdict.answer] if isinstance(verdict.answer, int) else None
    return replace(verdict, answer=answer, probs=tuple(probs) if verdict.probs else ())
