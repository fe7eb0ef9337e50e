"""Referee: did a speaker argue for the answer that was assigned, or concede?

A debater told to argue for a wrong answer may argue for the right one. The referee reads one speech and says which
answer it argues for; the share that do not argue for their own is the concession rate. It judges speeches, not
answers: it sees no source and no key.
"""

from __future__ import annotations

from dataclasses import replace

from superalign.core.types import Item, Judgment, Message, Moves, Seat
from superalign.protocols.floor import MODERATOR, SPEECHES
from superalign.protocols.replies import decide, verdict
from superalign.protocols.room import letter, listed, order_of
from superalign.protocols.rules import Rules
from superalign.protocols.template import template as read

CLAIMS = ("argues for the assigned answer", "argues for another answer", "argues for no answer")
FIELDS = ("prompt", "answers", "assigned", "speech", "choices")


def speeches(judgment: Judgment) -> list[Item]:
    """Every speech that the judge of a hearing heard before the verdict, as an item of its own with `CLAIMS` to
    choose from. Its prompt is the question, its `info` what the referee needs besides."""
    asks = [ask for ask, _ in judgment.calls]
    final = [a for a in asks if a.role == "judge" and a.item is not None and a.choices == a.item.choices]
    if not final or final[-1].item is None:
        return []
    argued = {str(a.item.info["assigned"]) for a in asks if a.item is not None and "assigned" in a.item.info}
    answers = {f"({letter(k)})": choice for k, choice in enumerate(final[-1].choices)}
    found: list[Item] = []
    for speaker, turn, text in SPEECHES.findall(final[-1].messages[0].content):
        own = answers.get(f"({speaker[-1]})") if speaker[-2] == " " else min(argued)
        if speaker == MODERATOR or own is None:
            continue
        info = {
            "answers": "\n".join(f"{at} {choice}" for at, choice in answers.items()),
            "assigned": next(f"{at} {choice}" for at, choice in answers.items() if choice == own),
            "speech": text,
            "speaker": speaker,
            "round": int(turn),
            "group": judgment.item,
        }
        name = f"{judgment.item} {judgment.seat} {len(found) + 1}"
        found.append(Item(name, final[-1].item.prompt, CLAIMS, info))
    return found


def referee(*, template: str = "") -> Rules:
    """The protocol, for the items of `speeches`. Roles: `referee`, who says which answer a speech argues for."""
    sheet = read("referee", template, {"referee": FIELDS})

    def play(item: Item, seat: Seat) -> Moves:
        order = order_of(item, seat)
        claims = tuple(item.choices[k] for k in order)
        told = {name: str(item.info.get(name, "")) for name in ("answers", "assigned", "speech")}
        prompt = sheet.fill("referee", prompt=item.prompt, choices=listed(claims), **told)
        seen = replace(item, choices=claims)
        choice = yield from decide("referee", [Message("user", prompt)], claims, item=seen, sample=seat.seed)
        return verdict(choice, order)

    return Rules(play, template=sheet.digest)
