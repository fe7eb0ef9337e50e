"""Amplification: an overseer answers a question it cannot answer alone by splitting it among copies of itself.

Iterated distillation and amplification (Christiano, Shlegeris, Amodei 2018, arXiv 1810.08575), the amplification
step: whoever answers a part sees that part alone, and whoever composes sees the parts' answers alone. The root's
answer is what a distilled model is trained on. Questions and answers are plain text. About each question the
overseer is asked some of

    decide     choices ("answer", "split")
    answer     the answer alone, in words
    split      lines `sub: QUESTION`
    compose    the answer alone, from lines `sub: QUESTION` and `answer: ANSWER` below each

and about the item at the end `conclude`, its choices. Whoever plays by program finds the question in
`ask.item.prompt`, which of these it is in `ask.item.info["part"]`, and for `compose` the answers, in the order of
the sub-questions, in `ask.item.info["answers"]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from superalign.core.digest import digest
from superalign.core.errors import SpecError
from superalign.core.types import Ask, Item, Message, Moves, Seat, Verdict
from superalign.protocols.compose import Steps, once, together
from superalign.protocols.replies import decide, verdict
from superalign.protocols.room import listed, order_of, public
from superalign.protocols.rules import Rules, Silence
from superalign.protocols.speech import clean
from superalign.protocols.template import Template
from superalign.protocols.template import template as read

WAYS = ("answer", "split")
SECTIONS = {
    "decide": ("question", "choices"),
    "answer": ("question",),
    "split": ("question",),
    "compose": ("question", "answers"),
    "conclude": ("prompt", "choices", "answer"),
}
_SUB = re.compile(r"^[ \t]*sub:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE | re.IGNORECASE)


def amplification(*, depth: int = 6, nodes: int = 128, template: str = "") -> Rules:
    """The protocol. Roles: `overseer`.

    No question is more than `depth` splits below the root and no more than `nodes` are asked in a game; at these
    limits a node answers by itself. A question that was answered before in the game is not asked again. A decision
    that cannot be read, and a split without a line `sub: ...` or with a question that it came from, make the node
    answer by itself. The root's
    answer is matched to the item's choices by its text, else the overseer is asked which it amounts to; an item
    without choices is answered by the text. A failed call ends the game.
    """
    if depth < 0 or nodes < 1:
        raise SpecError(f"amplification takes depth=0 or more and nodes=1 or more, got depth={depth}, nodes={nodes}")
    text = read("amplification", template, SECTIONS)

    def play(item: Item, seat: Seat) -> Moves:
        order = order_of(item, seat)
        shown = public(item, order)
        tree = _Tree(text, item.id, seat.seed, depth, nodes - 1)
        answer = yield from tree.solve(item.prompt)
        if not item.choices:
            return Verdict(answer)
        same = [k for k, choice in enumerate(item.choices) if _plain(choice) == _plain(answer)]
        if len(same) == 1:
            return Verdict(same[0], tuple(float(k == same[0]) for k in range(len(item.choices))))
        prompt = text.fill("conclude", prompt=item.prompt, choices=listed(shown.choices), answer=answer)
        shown = replace(shown, info={**shown.info, "part": "conclude"})
        final = yield from decide("overseer", (Message("user", prompt),), shown.choices, item=shown, sample=seat.seed)
        return verdict(final, order)

    return Rules(play, template=text.digest)


@dataclass(slots=True)
class _Tree:
    """The questions of one game: what was answered, and how many more may be asked."""

    text: Template
    name: str
    seed: int
    depth: int
    left: int
    memo: dict[str, str] = field(default_factory=dict)

    def solve(self, question: str, above: tuple[str, ...] = ()) -> Steps[str]:
        """The answer to a question that came from the questions `above`."""
        key = _plain(question)
        if key in self.memo:
            return self.memo[key]
        path = (*above, key)
        subs = (yield from self._divide(question, path)) if len(above) < self.depth and self.left > 0 else ()
        new = {_plain(sub) for sub in subs} - set(self.memo)
        if subs and len(new) <= self.left:
            self.left -= len(new)
            answers = yield from together([self.solve(sub, path) for sub in subs])
            listing = "\n".join(f"sub: {q}\nanswer: {a}" for q, a in zip(subs, answers, strict=True))
            said = yield from self._say("compose", question, {"answers": answers}, answers=listing)
        else:
            said = yield from self._say("answer", question)
        self.memo[key] = clean(said).text
        return self.memo[key]

    def _divide(self, question: str, path: Sequence[str]) -> Steps[Sequence[str]]:
        """The sub-questions where the overseer wants to split and can; else none."""
        prompt = self.text.fill("decide", question=question, choices=listed(WAYS))
        item = self._item("decide", question, choices=WAYS)
        choice = yield from decide("overseer", (Message("user", prompt),), WAYS, item=item, sample=self.seed)
        if choice.fault == "failed":
            raise Silence("overseer", choice.note)
        if choice.place != WAYS.index("split"):
            return ()
        said = yield from self._say("split", question)
        return sub_questions(said, path)

    def _say(self, part: str, question: str, told: Mapping[str, Any] | None = None, **fields: str) -> Steps[str]:
        prompt = self.text.fill(part, question=question, **fields)
        item = self._item(part, question, told)
        reply = yield from once(Ask("overseer", (Message("user", prompt),), item=item, sample=self.seed))
        if reply.failure is not None:
            raise Silence("overseer", reply.failure)
        return reply.text

    def _item(
        self, part: str, question: str, told: Mapping[str, Any] | None = None, choices: tuple[str, ...] = ()
    ) -> Item:
        name = f"{self.name}/{digest(_plain(question))[:12]}"
        return Item(name, question, choices, {"part": part, **(told or {})})


def sub_questions(said: str, above: Sequence[str] = ()) -> tuple[str, ...]:
    """The sub-questions of a split; none where one of them is a question `above`, which would go round."""
    found = tuple(clean(sub).text for sub in _SUB.findall(said))
    return () if {_plain(sub) for sub in found} & set(above) else found


def _plain(text: str) -> str:
    return " ".join(text.split()).strip(" .").casefold()
