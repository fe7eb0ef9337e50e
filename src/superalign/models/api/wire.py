"""What goes over the wire, whoever serves: a request, what was said, what it used, and how a call fails."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from superalign.core.types import Message

KINDS = (
    "rate limit", "server error", "timeout", "no connection", "cut off", "not JSON", "malformed",
    "wrong model", "refused", "key",
)  # fmt: skip
"""The first words of a failure: `rate limit: ...`, `server error 500: ...`, `timeout: ...` and so on."""


class Failed(Exception):
    """A call that brought no answer.

    `why` begins with one of KINDS. `again` says that another try may succeed, `crowded` that the server has too
    much to do; `status` is the HTTP status of a refusal.
    """

    def __init__(self, why: str, *, again: bool = False, crowded: bool = False, status: int = 0) -> None:
        super().__init__(why)
        self.why, self.again, self.crowded, self.status = why, again, crowded, status


@dataclass(frozen=True, slots=True)
class Request:
    """A request for text. `tops` asks for the log-probabilities of that many alternatives to each token."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tops: int = 0


Tops = tuple[tuple[tuple[str, float], ...], ...]
"""For each token that was written: the alternatives (token, log-probability), the written one first."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a server said. `tops` is empty where it gives no log-probabilities; `short` says that the tokens were used
    up before an answer began."""

    text: str
    tops: Tops = ()
    short: bool = False


class Form(Protocol):
    """How one family of servers is asked, and how its replies are read."""

    path: str
    logprobs: bool
    seeds: bool

    def headers(self, key: str) -> dict[str, str]: ...

    def body(self, request: Request) -> dict[str, Any]: ...

    def read(self, reply: Mapping[str, Any]) -> Said:
        """Raises Failed where the reply is not of this form."""
        ...


def complaint(body: bytes) -> str:
    """What a server says is wrong."""
    said: Any = body.decode("utf-8", "replace")
    try:
        found = json.loads(said)
        for name in ("error", "detail", "message"):
            if isinstance(found, dict) and found.get(name):
                found = found[name]
        said = found if isinstance(found, str) else json.dumps(found)
    except (ValueError, RecursionError):
        pass
    return said if said.strip() else "no explanation"


def tokens(reply: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens read and written that a reply reports; 0 where it reports none."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return 0, 0

    def count(*names: str) -> int:
        values = [usage.get(name) for name in names]
        known = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]
        return sum(max(0, int(v)) for v in known)

    cached = count("cache_creation_input_tokens", "cache_read_input_tokens")
    return count("prompt_tokens", "input_tokens") + cached, count("completion_tokens", "output_tokens")


_SUFFIX = re.compile(r"[-@](\d{4}-?\d{2}-?\d{2}|\d{4}|\d{3})|@[\w.-]+|:latest")


def same_model(asked: str, said: str) -> bool:
    """Whether a reply by `said` answers a request to `asked`.

    A date or revision may follow the name (`gpt-4o` is served as `gpt-4o-2024-08-06`, `org/model` as
    `org/model@main`), also where the name asked for is an alias that ends in `-latest` or `-0`.
    """
    names = {asked, asked.removesuffix("-latest"), asked.removesuffix("-0"), re.sub(r":[^:/]+\.gguf$", "", asked)}
    return any(
        said == name or (said.startswith(name) and _SUFFIX.fullmatch(said[len(name) :]) is not None) for name in names
    )


def plain(text: str) -> str:
    """Text that can be stored: lone surrogates, which JSON can carry and UTF-8 cannot, become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
