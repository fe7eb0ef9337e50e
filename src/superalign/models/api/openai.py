"""Chat completions as OpenAI defined them, and as vLLM, llama.cpp, Ollama and `transformers serve` answer them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from superalign.models.api.wire import Failed, Request, Said, Tops, plain


class OpenAI:
    """The form. `bound` names the field that bounds the reply: newer models of OpenAI refuse `max_tokens`, and other
    servers may not know `max_completion_tokens`."""

    path = "/chat/completions"
    logprobs = True
    seeds = True

    def __init__(self, bound: str = "max_tokens") -> None:
        self.bound = bound

    def headers(self, key: str) -> dict[str, str]:
        """A bearer token, where there is a key."""
        return {"authorization": f"Bearer {key}"} if key else {}

    def body(self, request: Request) -> dict[str, Any]:
        """The request as JSON."""
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            self.bound: request.max_tokens,
            "temperature": request.temperature,
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if request.seed is not None:
            body["seed"] = request.seed
        if request.tops:
            body |= {"logprobs": True, "top_logprobs": request.tops}
        return body

    def read(self, reply: Mapping[str, Any]) -> Said:
        """The first choice. A refusal that has a field of its own is what was said."""
        try:
            choice = reply["choices"][0]
            message, reason = choice["message"], choice.get("finish_reason")
            text = _text(message.get("content")) or _text(message.get("refusal"))
            tops = _tops(choice.get("logprobs"))
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise Failed(f"malformed: no chat completion ({type(error).__name__}: {error})", again=True) from None
        if not text and reason == "content_filter":
            raise Failed("refused: the server's content filter withheld the answer")
        return Said(plain(text), tops, short=not text and reason == "length")


def _text(content: Any) -> str:
    """Content is a string, nothing, or a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.get("text") or "" for part in content)


def _tops(logprobs: Any) -> Tops:
    written = (logprobs or {}).get("content") or []
    return tuple(
        tuple({str(t["token"]): _finite(t["logprob"]) for t in (one, *(one.get("top_logprobs") or []))}.items())
        for one in written
    )


def _finite(value: Any) -> float:
    number = float(value)
    return min(number, 0.0) if math.isfinite(number) else -math.inf
