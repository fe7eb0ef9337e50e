"""Conversations as token ids: by the tokenizer's chat template, or as a plain transcript where it has none.

What a speaker wrote cannot end its own turn: control tokens in messages are read as ordinary text, with a space
after their first character where the tokenizer has no other spelling of them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from superalign.core.errors import ModelError
from superalign.core.types import Message

Form = Callable[[Sequence[Message]], list[int]]
"""Messages as the ids of a prompt."""

_CUT = "[...] "


class Prompts:
    """`prompts.ids(messages, room)` gives the token ids up to where the reply begins, at most `room` of them.

    `stops` end a reply that goes on with the transcript, which only plain ones do. `sanitizes` says whether this
    transformers can read control tokens in messages as text; older ones would not notice that they are asked to.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.plain = not tokenizer.chat_template
        self.sanitizes = "sanitize_control_tokens" in inspect.signature(tokenizer.apply_chat_template).parameters
        self.stops = ("\nsystem:", "\nuser:", "\nassistant:") if self.plain else ()

    def ids(self, messages: Sequence[Message], room: int, form: Form | None = None) -> list[int]:
        """The ids of a conversation, by `form` where the tokenizer's own is not wanted. Where it is too long,
        system messages and the end stay: the first message after them loses its beginning, then the next.
        Raises ModelError where not even the end fits."""
        if not messages:
            raise ModelError("an ask without messages was put to a transformer that reads messages")
        form = form or self._rendered
        try:
            return self._fitted(messages, room, form)
        except ValueError:  # transformers refuses a control token that plain text also makes
            return self._fitted(self._spelled(messages), room, form)

    def continuation(self, text: str) -> list[int]:
        """The ids of `text` as a reply: those after the common start with what comes before it."""
        before, glue = (":", " ") if self.plain else ("\n", "")
        left, whole = self._encoded(before), self._encoded(before + glue + text)
        common = next((k for k, (a, b) in enumerate(zip(left, whole, strict=False)) if a != b), len(left))
        return whole[common:] or whole[-1:]

    def _fitted(self, messages: Sequence[Message], room: int, form: Form) -> list[int]:
        kept, tries = list(messages), 0
        while len(ids := form(kept)) > room:
            kept = self._shorter(kept, len(ids) - room + tries)
            tries += 1  # tokens of a cut text may differ from those of the whole one
            if not kept:
                raise ModelError(f"{len(ids)} tokens are left of a prompt and {room} fit; shorten the system message,"
                                 " or lower max_tokens=")  # fmt: skip
        return ids

    def _rendered(self, messages: Sequence[Message]) -> list[int]:
        if self.plain:
            text = "".join(f"{m.role}: {m.content}\n" for m in self._spelled(messages)) + "assistant:"
            return self._encoded(text, start=True)
        from jinja2.exceptions import TemplateError

        try:
            return self._chat(messages)
        except TemplateError:  # many templates take no system message, or only turns that alternate
            try:
                return self._chat(_folded(messages))
            except TemplateError as error:
                roles = ", ".join(m.role for m in messages)
                raise ModelError(f"the chat template takes no conversation of {roles}: {error}") from error

    def _chat(self, messages: Sequence[Message]) -> list[int]:
        safe = messages if self.sanitizes else self._spelled(messages)
        found: list[int] = self.tokenizer.apply_chat_template(
            [{"role": m.role, "content": m.content} for m in safe], add_generation_prompt=True, enable_thinking=False,
            sanitize_control_tokens=True, return_dict=False, tokenizer_kwargs={"verbose": False},
        )  # fmt: skip
        return found

    def _spelled(self, messages: Sequence[Message]) -> Sequence[Message]:
        for token in self.tokenizer.all_special_tokens:
            messages = [replace(m, content=m.content.replace(token, f"{token[0]} {token[1:]}")) for m in messages]
        return messages

    def _shorter(self, messages: list[Message], excess: int) -> list[Message]:
        """The messages with about `excess` tokens less; empty where nothing is left to lose."""
        place = next((k for k, m in enumerate(messages) if m.role != "system"), len(messages))
        if place == len(messages):
            return []
        first = messages[place]
        content = first.content.removeprefix(_CUT)
        cut = math.ceil(len(content) * min(1.0, excess / max(1, len(self._encoded(content)))))
        if cut < len(content):
            return [*messages[:place], replace(first, content=_CUT + content[cut:]), *messages[place + 1 :]]
        return [*messages[:place], *messages[place + 1 :]] if place + 1 < len(messages) else []

    def _encoded(self, text: str, start: bool = False) -> list[int]:
        """The ids of a text, with the tokenizer's own start token or without."""
        found: list[int] = self.tokenizer(text, add_special_tokens=start, split_special_tokens=True,
                                          return_attention_mask=False, verbose=False)["input_ids"]  # fmt: skip
        return found


def _folded(messages: Sequence[Message]) -> list[Message]:
    """System messages as the beginning of what the user says, and neighbours of one role as one message."""
    made: list[Message] = []
    for message in messages:
        role = "user" if message.role == "system" else message.role
        if made and made[-1].role == role:
            made[-1] = Message(role, f"{made[-1].content}\n\n{message.content}")
        else:
            made.append(Message(role, message.content))
    return made
