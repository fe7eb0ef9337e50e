"""Typed decisions: the `/v1/systemone` endpoint of `transformers serve` and of decision models.

A question of type `choice` about a `state` is answered with a probability for every option, read from the model in one
pass; no text is written. The form is that of https://api.typesafe.ai/openapi.json.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from superalign.core.types import Message
from superalign.models.api.wire import Failed

PATH = "/systemone"
_QUESTION = "answer"


def body(model: str, messages: Sequence[Message], choices: Sequence[str]) -> dict[str, Any]:
    """The request: the conversation is the state, the choices are the options."""
    roles = {m.role for m in messages}
    state = "\n\n".join(f"{m.role}: {m.content}" if "assistant" in roles else m.content for m in messages)
    question = {"type": "choice", "instructions": "Which choice is right?", "criteria": _criteria(choices)}
    return {"model": model, "state": state, "questions": {_QUESTION: question}}


def read(reply: Mapping[str, Any], choices: Sequence[str]) -> tuple[float, ...]:
    """The probabilities in the order of `choices`, with sum 1. Raises Failed where the reply is of another form."""
    try:
        found = reply["answers"][_QUESTION]["probabilities"]
        options = _criteria(choices)
        if len(found) != len(options):
            raise ValueError(f"{len(found)} probabilities for {len(options)} choices")
        # a server may clean control tokens out of the options, but it keeps their order
        by_name = found.keys() == options.keys()
        probs = [float(found[option]) for option in options] if by_name else [float(p) for p in found.values()]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Failed(f"malformed: no typed answer ({type(error).__name__}: {error})", again=True) from None
    total = sum(probs)
    if not (math.isfinite(total) and total > 0 and min(probs) >= 0):
        raise Failed(f"malformed: probabilities {probs}", again=True)
    return tuple(p / total for p in probs)


def _criteria(choices: Sequence[str]) -> dict[str, str | None]:
    """Options by name. Names must differ, so choices that are empty or alike go by letter."""
    if all(choices) and len(set(choices)) == len(choices):
        return dict.fromkeys(choices)
    return {chr(65 + k): choice for k, choice in enumerate(choices)}
