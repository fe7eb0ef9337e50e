"""What a person is asked: an ask, cut down to what that person may see, and the form to answer it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from superalign.core.digest import digest
from superalign.core.types import Ask, Message
from superalign.protocols.floor import SPEECHES

ROLES = {"labeller": "rank", "critique-rater": "critique", "explanation-rater": "explanation"}
"""Roles with a form of their own. Any other role gets `belief` for the item's own choices, `choice` for others (say,
continue or end), `text` without choices."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "rank": (),
    "critique": ("answer", "critique"),
    "explanation": ("explanation", "excerpts"),
}
"""What a form shows of `Item.info`, by name. Nothing else of it ever reaches a person."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question at a desk. `call` is the key of the call, `thread` the game it belongs to as far as an ask
    tells (item, order of the answers, sample, first speech), `want` how many people are to answer it. `answers` are the item's as
    they are shown; `choices` are what this question is answered with (say, continue or end)."""

    call: str
    form: str
    role: str
    thread: str
    item: str = ""
    prompt: str = ""
    messages: tuple[Message, ...] = ()
    choices: tuple[str, ...] = ()
    parts: Mapping[str, Any] = field(default_factory=dict)
    want: int = 1
    answers: tuple[str, ...] = ()

    @property
    def first_line(self) -> str:
        """What a list shows of it."""
        text = self.prompt or next((m.content for m in self.messages if m.role == "user"), "")
        return text.strip().partition("\n")[0][:200]


def question_of(call: str, ask: Ask, want: int = 1) -> Question:
    """The question that puts an ask to people."""
    item, form = ask.item, form_of(ask)
    parts = {k: item.info[k] for k in PARTS.get(form, ()) if k in item.info} if item is not None else {}
    # every turn of a game has the same ones; other conditions on the item are other games, told by who spoke first
    of = [call] if item is None else [item.id, item.choices, ask.sample, _opening(ask)]
    thread = digest(*of)[:16]
    return Question(
        call, form, ask.role, thread, item.id if item is not None else "", item.prompt if item is not None else "",
        ask.messages, ask.choices, parts, want, item.choices if item is not None else (),
    )  # fmt: skip


def _opening(ask: Ask) -> str:
    """The first speech of a hearing; empty for other games."""
    found = (SPEECHES.search(m.content) for m in ask.messages if m.role == "user")
    return next((match[0] for match in found if match is not None), "")


def form_of(ask: Ask) -> str:
    """The form that an ask is answered on."""
    own = ROLES.get(ask.role.partition("/")[0])
    if own is not None:
        return own
    if not ask.choices:
        return "text"
    return "belief" if ask.item is not None and sorted(ask.choices) == sorted(ask.item.choices) else "choice"


def to_row(question: Question) -> dict[str, Any]:
    """The question as JSON values."""
    return {
        "call": question.call, "form": question.form, "role": question.role, "thread": question.thread,
        "item": question.item, "prompt": question.prompt,
        "messages": [[m.role, m.content] for m in question.messages], "choices": list(question.choices),
        "parts": dict(question.parts), "want": question.want,
        "answers": list(question.answers),
    }  # fmt: skip


def of_row(row: Mapping[str, Any]) -> Question:
    """The inverse of `to_row`; fields that it does not know are left out."""
    return Question(
        row["call"], row["form"], row["role"], row["thread"], row["item"], row["prompt"],
        tuple(Message(role, content) for role, content in row["messages"]), tuple(row["choices"]), row["parts"],
        row["want"], tuple(row["answers"]),
    )  # fmt: skip
