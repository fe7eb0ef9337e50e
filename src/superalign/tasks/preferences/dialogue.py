"""Conversations as text and back: the transcripts of hh-rlhf, and lists of messages with roles.

A prompt that is one message of a user is that message; any other is a transcript, each turn begun by a blank line
and its speaker, up to the name of the one who speaks next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from superalign.core.errors import TaskError

NAMES = {"system": "System", "user": "Human", "assistant": "Assistant"}
_ROLES = {name: role for role, name in NAMES.items()}
_TURN = re.compile(r"(?:^|\n\n)(System|Human|Assistant):")
_REPLY = "\n\nAssistant:"

Messages = list[dict[str, str]]


def as_text(messages: Sequence[Mapping[str, Any]], where: str) -> str:
    """A conversation up to where the assistant speaks. Raises TaskError for what is no message with a known role."""
    turns = []
    for message in messages:
        role, content = (message.get(k) for k in ("role", "content")) if isinstance(message, Mapping) else (None, None)
        if role not in NAMES or not isinstance(content, str):
            raise TaskError(
                f"{where}: {str(message)[:60]!r} is no message; write {{'role': 'user', 'content': '...'}}, with a role"
                f" of {', '.join(NAMES)}"
            )
        turns.append((role, content))
    if len(turns) == 1 and turns[0][0] == "user" and not _TURN.search(turns[0][1]):
        return turns[0][1]
    return "".join(f"\n\n{NAMES[role]}: {content}" for role, content in turns).lstrip("\n") + _REPLY


def as_messages(prompt: str) -> Messages:
    """The messages of a prompt: those of a transcript, else one message of a user."""
    found = list(_TURN.finditer(prompt))
    if not found or prompt[: found[0].start()].strip():
        return [{"role": "user", "content": prompt}]
    ends = [*(m.start() for m in found[1:]), len(prompt)]
    turns = [(_ROLES[m[1]], prompt[m.end() : end].removeprefix(" ")) for m, end in zip(found, ends, strict=True)]
    if turns[-1] == ("assistant", ""):
        turns.pop()
    return [{"role": role, "content": content} for role, content in turns]


def divided(chosen: str, rejected: str, where: str) -> tuple[str, str, str]:
    """Two transcripts as their prompt and the two replies: what both share up to the last turn of the assistant there.

    Nearly always the reply is the last turn; where the transcripts part earlier it holds the turns after that.
    Raises TaskError where no turn of the assistant is shared.
    """
    cut = shared(chosen, rejected).rfind(_REPLY)
    if cut < 0:
        raise TaskError(f"{where}: chosen and rejected share no turn of the assistant ({_REPLY.strip()!r}); check that"
                        " both begin with the same dialogue, or read them as form='pairs'")  # fmt: skip
    cut += len(_REPLY)
    return chosen[:cut].strip(), chosen[cut:].strip(), rejected[cut:].strip()


def shared(one: str, other: str) -> str:
    """What two texts begin with in common."""
    apart = next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:apart]
