"""Reads what a language model proposed: one JSON object, wherever in its reply it stands.

A reply is untrusted. What does not fit is told in words that the model can act on; nothing of it is run.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from superalign.core.errors import SpecError
from superalign.protocols.reading import visible
from superalign.research.proposers.propose import Code
from superalign.research.space import Space, Value

LONGEST = 200_000
"""Characters of a reply that are read."""
STARTS = 200
"""Braces of a reply at which an object is looked for: each costs at most one pass over the rest."""


class _Words(BaseModel):
    """What both kinds have. Further fields are words around an idea, and are let go."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    rationale: str = ""
    parent: str | None = None


class TypedIdea(_Words):
    """A point of the space; axes that are left out are neutral."""

    kind: Literal["typed"]
    values: dict[str, str | int | float]


class CodeIdea(_Words):
    """A Python file."""

    kind: Literal["code"]
    code: str = Field(min_length=1, max_length=50_000)
    function: str = Field(default="method", pattern=r"^[A-Za-z_]\w{0,99}$")


_IDEA: TypeAdapter[TypedIdea | CodeIdea] = TypeAdapter(Annotated[TypedIdea | CodeIdea, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True)
class Idea:
    """A method that can be proposed, in the model's own words."""

    method: dict[str, Value] | Code
    rationale: str
    parent: str | None


def read(text: str, space: Space, code: bool = True) -> tuple[list[Idea], list[str]]:
    """The ideas of a reply that can be proposed, and what is wrong with the others, or with the reply."""
    found = _object(visible(text)[:LONGEST])
    if found is None:
        said = text.strip()[:80]
        return [], [f"there is no JSON object with `proposals` in it; the answer began {said!r}"]
    given = found["proposals"]
    if not isinstance(given, list) or not given:
        return [], ["`proposals` must be a list with at least one proposal"]
    ideas, faults = [], []
    for k, one in enumerate(given, 1):
        try:
            ideas.append(_idea(one, space, code))
        except SpecError as error:
            faults.append(f"proposal {k}: {error}")
    return ideas, faults


def _object(text: str) -> Mapping[str, Any] | None:
    """The first object with `proposals`: alone, in a code block, or amid prose."""
    decoder, at = json.JSONDecoder(), -1
    for _ in range(STARTS):
        at = text.find("{", at + 1)
        if at < 0:
            return None
        try:
            value, _ = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and "proposals" in value:
            return value
    return None


def _idea(given: Any, space: Space, code: bool) -> Idea:
    """Raises SpecError for what cannot be proposed."""
    try:
        idea = _IDEA.validate_python(given)
    except ValidationError as error:
        raise SpecError("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:4])) from error
    if isinstance(idea, TypedIdea):
        return Idea(space.check({**space.neutral, **idea.values}), idea.rationale, idea.parent)
    if not code:
        raise SpecError("this campaign takes typed methods alone, no code")
    check_code(idea.code, idea.function)
    return Idea(Code(idea.code, idea.function), idea.rationale, idea.parent)


def check_code(text: str, function: str) -> None:
    """Raises SpecError for a text that is no Python, or that does not define the function. It is parsed, not run."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about the text's own escapes
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SpecError(f"the code is no Python: {type(error).__name__}: {error}") from error
    if not any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body):
        raise SpecError(
            f"the code defines no function {function!r} at its top level; write def {function}(public, seed):"
        )
