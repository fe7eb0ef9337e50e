"""Anthropic's Messages form: system text apart, a bound on the reply in every request, no seed, no log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superalign.models.api.wire import Failed, Request, Said, plain

VERSION = "2023-06-01"


class Anthropic:
    """The form."""

    path = "/messages"
    logprobs = False
    seeds = False

    def headers(self, key: str) -> dict[str, str]:
        """The key and the version of the form."""
        return {"anthropic-version": VERSION} | ({"x-api-key": key} if key else {})

    def body(self, request: Request) -> dict[str, Any]:
        """The request as JSON. A conversation of system messages alone is sent as the user's."""
        system = "\n\n".join(m.content for m in request.messages if m.role == "system")
        said = [{"role": m.role, "content": m.content} for m in request.messages if m.role != "system"]
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.max_tokens,
            "messages": said or [{"role": "user", "content": system}],
            "temperature": request.temperature,
        }
        if system and said:
            body["system"] = system
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        return body

    def read(self, reply: Mapping[str, Any]) -> Said:
        """The text blocks, joined."""
        try:
            blocks = [block["text"] for block in reply["content"] if block["type"] == "text"]
            text, reason = "".join(blocks), reply.get("stop_reason")
        except (KeyError, TypeError) as error:
            raise Failed(f"malformed: no message ({type(error).__name__}: {error})", again=True) from None
        if not text and reason == "refusal":
            raise Failed("refused: the server withheld the answer")
        return Said(plain(text), short=not text and reason == "max_tokens")
