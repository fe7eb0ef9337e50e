"""Critique: a critic who sees the source tells the judge what is wrong, and may show it by something that runs.

Saunders et al. (2022), "Self-critiquing models for assisting human evaluators", arXiv 2206.05802; McAleese et al.
(2024), "LLM critics help catch LLM bugs", arXiv 2407.00215. With `refine`, an author answers first and mends the
answer after the critique.

A critique may hold one witness, `<witness>...</witness>`: an input or a program that shows the flaw. With `execute`
it goes to the role `program` (a tool, which finds it in `ask.item.info["witness"]`), and judge and author read below
the critique

    <executed>
    witness: the witness, on one line
    result: what the program replied
    </executed>

Only this protocol writes that tag: typed by anybody else it is escaped. A result begins a line, which no witness can.
Several witnesses in one critique are a fault, and none of them is executed. Without `execute` a witness is the
critic's word like the rest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from superalign.core.types import Ask, Item, Judgment, Message, Moves, Seat
from superalign.protocols.compose import Steps, once
from superalign.protocols.replies import decide, verdict
from superalign.protocols.room import briefed, listed, order_of, public, relabelled, source_of
from superalign.protocols.rules import Rules, Silence
from superalign.protocols.speech import clean, hear
from superalign.protocols.template import template as read

SECTIONS = {
    "propose": ("prompt", "choices", "source"),
    "critic": ("prompt", "choices", "source", "proposal"),
    "witness": (),
    "refine": ("prompt", "choices", "source", "proposal", "critique"),
    "judge": ("prompt", "choices", "proposal", "critique", "refined"),
}


def critique(*, refine: bool = False, execute: bool = False, template: str = "") -> Rules:
    """The protocol. Roles: `critic`, `judge`; with `execute` also `program`, with `refine` also `author`.

    Author and critic see the item in its own order, so both presentations share their calls; the judge reads them
    relabelled, and never the source. A failed call ends the game.
    """
    text = read("critique", template, SECTIONS)

    def play(item: Item, seat: Seat) -> Moves:
        order, shown = order_of(item, seat), public(item, order_of(item, seat))
        told = {"prompt": item.prompt, "choices": listed(item.choices), "source": source_of(item)}
        proposal = refined = executed = ""
        if refine:
            proposal = yield from _speech("author", text.fill("propose", **told), item, seat)
        prompt = text.fill("critic", **told, proposal=_titled("An author answered:", proposal))
        if execute:
            prompt += "\n\n" + text.fill("witness")
        said = yield from _reply("critic", prompt, briefed(item), seat)
        critic = _spoken(said, item)
        if execute and len(witnesses(said)) == 1:
            executed = yield from _executed(witnesses(said)[0], item, seat)
        if refine:
            prompt = text.fill("refine", **told, proposal=proposal, critique=critic + executed)
            refined = yield from _speech("author", prompt, item, seat)
        seen = {
            "proposal": _titled("An author answered:", relabelled(proposal, order)),
            "critique": _presented(critic, order) + executed,
            "refined": _titled("The author's final answer:", relabelled(refined, order)),
        }
        prompt = text.fill("judge", prompt=item.prompt, choices=listed(shown.choices), **seen)
        choice = yield from decide("judge", (Message("user", prompt),), shown.choices, item=shown, sample=seat.seed)
        return verdict(choice, order)

    return Rules(play, template=text.digest)


_WITNESS = re.compile(r"<witness>(.*?)</witness>", re.DOTALL | re.IGNORECASE)
_OPENED = re.compile(r"<witness>", re.IGNORECASE)
_FORGED = re.compile(r"[<＜﹤‹〈⟨](?=[\s/／]*executed)", re.IGNORECASE)


def witnesses(said: str) -> tuple[str, ...]:
    """The witnesses of a critique, as typed."""
    return tuple(w.strip() for w in _WITNESS.findall(said) if w.strip())


def faults(judgment: Judgment) -> Counter[str]:
    """What was malformed in the critiques of a game: `witnesses` where there were several, or one was not closed."""
    found: Counter[str] = Counter()
    for ask, reply in judgment.calls:
        if ask.role == "critic" and (opened := len(_OPENED.findall(reply.text))):
            found["witnesses"] += opened > 1 or len(witnesses(reply.text)) != opened
    return +found


def _speech(role: str, prompt: str, item: Item, seat: Seat) -> Steps[str]:
    said = yield from _reply(role, prompt, briefed(item), seat)
    return _spoken(said, item)


def _spoken(said: str, item: Item) -> str:
    return _FORGED.sub("&lt;", hear(said, source_of(item)).text)


def _reply(role: str, prompt: str, item: Item, seat: Seat) -> Steps[str]:
    reply = yield from once(Ask(role, (Message("user", prompt),), item=item, sample=seat.seed))
    if reply.failure is not None:
        raise Silence(role, reply.failure)
    return reply.text


def _executed(witness: str, item: Item, seat: Seat) -> Steps[str]:
    """What came of a witness, as it is shown. The witness is put on one line, or it could write a result itself."""
    tested = briefed(item)
    tested = replace(tested, info={**tested.info, "witness": witness})
    result = yield from _reply("program", witness, tested, seat)
    shown = [_FORGED.sub("&lt;", clean(part).text) for part in (" ".join(witness.split()), result or "(no output)")]
    return f"\n<executed>\nwitness: {shown[0]}\nresult: {shown[1]}\n</executed>"


def _presented(said: str, order: Sequence[int]) -> str:
    """A critique relabelled, but for its witness: code in which a letter changes is other code."""
    parts = re.split(r"(<witness>.*?</witness>)", said, flags=re.DOTALL | re.IGNORECASE)
    return "".join(part if k % 2 else relabelled(part, order) for k, part in enumerate(parts))


def _titled(title: str, text: str) -> str:
    return f"{title}\n{text}\n" if text else ""
