"""Asks, an endpoint on a loopback server, and one reply of it."""

from __future__ import annotations

import math
from typing import Any

from superalign.core.ports import Model
from superalign.core.types import Ask, Message, Reply
from superalign.models.api import api
from superalign.models.api.endpoint import Endpoint
from tests.models.api.server import Heard, Script, Server

AB = ("Paris", "Rome")
QUESTION = "Which?\n(A) Paris\n(B) Rome"


def ask(text: str = QUESTION, choices: tuple[str, ...] = (), **rest: Any) -> Ask:
    return Ask("judge", (Message("user", text),), choices, **rest)


def endpoint(server: Server, **options: Any) -> Endpoint:
    return api(server.url, **{"model": "m", "backoff": 0.001, "retries": 2, "timeout": 5.0, **options})


def reply(model: Model, request: Ask) -> Reply:
    [(index, said)] = model.answer([request])
    assert index == 0
    assert isinstance(said, Reply)
    return said


def one(script: Script, request: Ask, **options: Any) -> tuple[Reply, list[Heard]]:
    with Server(script) as server:
        return reply(endpoint(server, **options), request), server.requests


def logs(**mass: float) -> dict[str, float]:
    return {token: math.log(p) for token, p in mass.items()}
