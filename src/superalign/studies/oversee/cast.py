"""Who sits where: models by reference, the judge's and the agent's chairs, protocols put together from their parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from superalign.core import registry
from superalign.core.errors import PluginError, SpecError
from superalign.core.ports import Model
from superalign.core.registry import Ref
from superalign.core.types import Protocol
from superalign.protocols.rules import Rules, rules

JUDGES = ("judge", "verifier", "overseer", "cross-examiner", "preference", "referee", "trusted")
"""Chairs on the judge's side. Every other chair is the agent's, unless it is cast."""

_PLUS = re.compile(r"\+(?=[A-Za-z./])")


class Chairs(Mapping[str, Model]):
    """A cast in which every role has a model: the one named for it, else the judge or the agent."""

    def __init__(self, judge: Model, agent: Model, named: Mapping[str, Model]) -> None:
        self.judge, self.agent, self.named = judge, agent, dict(named)

    def __getitem__(self, role: str) -> Model:
        for name in (role, role.partition("/")[0]):
            if name in self.named:
                return self.named[name]
        return self.judge if is_judge(role) else self.agent

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(("judge", "agent", *self.named)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def names(self) -> dict[str, str]:
        """Model names by role; `judge` and `agent` stand for all their chairs."""
        return {role: self[role].name for role in self}


def is_judge(role: str) -> bool:
    """Whether a chair is on the judge's side."""
    return role.partition("/")[0] in JUDGES


def speaker(text: str) -> Ref:
    """A model's reference. A bare `hf:FOLDER` speaks as it is, untrained and without a head."""
    ref = registry.parse(text)
    if ref.name == "hf" and "tune" not in ref.options:
        return replace(ref, options={**ref.options, "tune": "none"})
    return ref


def takes(kind: str, ref: Ref, option: str) -> bool:
    """Whether the plug-in has an option of this name."""
    return option in (registry.options_of(registry.find(kind, ref.name)) or ())


def stronger(ref: Ref, strength: int) -> Ref:
    """The reference with its option `strength` set, where its model has one. SpecError where it says another."""
    if not takes("models", ref, "strength"):
        return ref
    if "strength" in ref.options:
        raise SpecError(f"{str(ref)!r} names its strength itself; leave it out and write --strength {strength}")
    return replace(ref, options={**ref.options, "strength": strength})


def parts_of(text: str) -> tuple[Ref, ...]:
    """A protocol and its wrappers, from the inside out. Raises PluginError for an empty part."""
    parts = [part.strip() for part in _PLUS.split(text)]
    if not all(parts):
        raise PluginError(
            f"empty part in the protocol {text!r}; wrappers are joined by +, for example debate+majority:k=5"
        )
    return tuple(registry.parse(part) for part in parts)


def written(parts: tuple[Ref, ...]) -> str:
    """The inverse of `parts_of`."""
    return "+".join(map(str, parts))


def assemble(text: str) -> Rules:
    """The protocol with its wrappers around it. Raises PluginError with near names for an unknown part or option."""
    first, *wrappers = parts_of(text)
    made = rules(registry.build("protocols", first))
    for ref in wrappers:
        wrapped: Protocol = registry.build("wrapped", ref, made)
        made = rules(wrapped)
    return made
