"""Models behind an address: any OpenAI-compatible server, OpenAI, Anthropic, typed-decision servers."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING

from superalign.core.errors import ModelError, nearest
from superalign.core.ports import Inputs

if TYPE_CHECKING:
    from superalign.core.steps import Steps
    from superalign.models.api.endpoint import Endpoint
    from superalign.models.api.service import Service


def api(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    model: str = "",
    probs: str = "auto",
    draws: int = 8,
    max_tokens: int = 1024,
    concurrency: int = 32,
    timeout: float = 60.0,
    retries: int = 6,
    backoff: float = 0.5,
    prices: str = "",
) -> Endpoint:
    """A model that is asked over HTTP.

    `api:http://127.0.0.1:8000/v1:model=NAME` (any OpenAI-compatible server), `api:openai:model=gpt-...`,
    `api:anthropic:model=claude-...`, or `api:gpt-...` and `api:claude-...` for short. A colon within a model's name is
    written %3A. Keys come from OPENAI_API_KEY, ANTHROPIC_API_KEY, or SUPERALIGN_API_KEY for other addresses.

    `probs` says how probabilities over choices are obtained: `logprobs` of the letters, `sample` (the letters of
    `draws` replies), `typed` (the server's /v1/systemone), `none`, or `auto`: log-probabilities where the server gives
    them, else samples. `max_tokens` bounds a reply. At most `concurrency` requests are under way, fewer while the
    server is busy; `timeout` in seconds; `retries` with random waits of `backoff` seconds, doubled each time. `prices`
    is a TOML file (see superalign.models.api.prices). Raises ModelError for what does not fit.
    """
    from superalign.models.api.client import Client
    from superalign.models.api.endpoint import PROBS, Endpoint
    from superalign.models.api.prices import find_price, read_prices

    service, label, model = _service(argument, urllib.parse.unquote(str(model)))
    if probs not in PROBS:
        raise ModelError(f"probs={probs} is not known; {nearest(str(probs), PROBS)}")
    if (probs == "typed" and label in _BY_NAME) or (probs == "logprobs" and not service.form.logprobs):
        raise ModelError(f"{label} has no probs={probs}; write probs=auto")
    for option, value, least in (("draws", draws, 1), ("max_tokens", max_tokens, 1), ("retries", retries, 0)):
        if not isinstance(value, int) or value < least:
            raise ModelError(f"{option}={value} does not fit; write a whole number of {least} or more")
    if not timeout > 0 or backoff < 0:
        raise ModelError(f"timeout={timeout} and backoff={backoff} do not fit; write seconds, such as timeout=60")
    options = {"probs": (probs, "auto"), "draws": (draws, 8), "max_tokens": (max_tokens, 1024)}
    chosen = [f"{option}={value}" for option, (value, default) in options.items() if value != default]
    client = Client(service, most=concurrency, timeout=timeout, retries=retries, backoff=backoff)
    price = find_price(read_prices(str(prices)), model) if prices else None
    name = ":".join(["api", label, f"model={model}", *chosen])
    return Endpoint(service, model, client, name=name, probs=probs, draws=draws, max_tokens=max_tokens, price=price)


_BY_NAME = ("openai", "anthropic")


def _service(argument: str, model: str) -> tuple[Service, str, str]:
    """The service that an argument names, how a model's name calls it, and the model."""
    from superalign.models.api.anthropic import Anthropic
    from superalign.models.api.openai import OpenAI
    from superalign.models.api.service import Service

    if not model:
        short = {"claude": "anthropic", "gpt": "openai", "chatgpt": "openai", "o": "openai"}
        family = argument.partition("-")[0].rstrip("0123456789")
        if family in short and argument not in _BY_NAME:
            argument, model = short[family], argument
    address = argument.rstrip("/")
    if address not in _BY_NAME and not address.startswith(("http://", "https://")):
        raise ModelError(
            f"{argument!r} is no endpoint; write api:http://127.0.0.1:8000/v1:model=NAME, api:openai:model=NAME or"
            " api:anthropic:model=NAME"
        )
    if not model:
        raise ModelError(f"api:{argument} does not say which model; write api:{argument}:model=NAME")
    known = {
        "openai": Service(OpenAI("max_completion_tokens"), "https://api.openai.com/v1", "OPENAI_API_KEY", True),
        "anthropic": Service(Anthropic(), "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", True),
    }
    for label, service in known.items():
        if address in (label, service.base):
            return service, label, model
    _checked(address)
    return Service(OpenAI(), address, "SUPERALIGN_API_KEY", False), address, model


def _checked(address: str) -> None:
    """Raises ModelError for an address that is none, or that holds what belongs elsewhere."""
    try:
        parts = urllib.parse.urlsplit(address)
        named, _ = bool(parts.hostname), parts.port
    except ValueError as error:
        raise ModelError(f"the address of the endpoint is malformed ({error}); write http://HOST:PORT/v1") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ModelError(
            f"the address of {parts.hostname} holds a user, a query or a fragment; keys come from SUPERALIGN_API_KEY"
        )
    if not named:
        raise ModelError(f"{address!r} names no host; write http://HOST:PORT/v1")
