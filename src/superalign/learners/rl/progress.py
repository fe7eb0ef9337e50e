"""Watching a training run: its random streams, its events, its checkpoints, and how it goes on after a stop.

Every draw comes from a stream named by what it is for and by the iteration, so there is no generator whose state a
checkpoint would have to keep, and evaluating more often changes no weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from superalign.core.digest import digest
from superalign.core.errors import SpecError
from superalign.core.ports import Progress, Store, silent
from superalign.core.random import derive
from superalign.core.steps import decode, encode
from superalign.models.hf.ranks import leads

if TYPE_CHECKING:
    from superalign.models.policy import Policy

State = dict[str, Any]
"""Named arrays and JSON values: everything that a run needs to go on."""


def unheard(event: Mapping[str, Any]) -> None:
    """A listener that does not listen."""


@dataclass(slots=True)
class Watching:
    """How one run is seeded, observed and kept.

    With a `store`, events go to the stream `run` and, every `every` iterations, an artifact `run/checkpoint/...`;
    a run of the same name and options then goes on from its last checkpoint and gives the same numbers as a run that
    was never interrupted. `listen` hears every event; `evaluate(policy, iteration)` is called every `each` iterations,
    before the first and after the last, and what it returns is an event.

    Where several processes run together (`torchrun`, `accelerate launch`) the first one alone writes to the store, is
    heard and shows progress; all evaluate, and all remember the events.
    """

    seed: int = 0
    store: Store | None = None
    run: str = "rl"
    every: int = 0
    listen: Callable[[Mapping[str, Any]], None] = unheard
    progress: Progress = silent
    evaluate: Callable[[Policy, int], Mapping[str, Any]] | None = None
    each: int = 5
    events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not leads():
            self.listen, self.progress = unheard, silent

    def generator(self, purpose: str, *inputs: Any) -> torch.Generator:
        """The random stream for one purpose: `rollout`, `data`, `labels`, `evaluation`, at one iteration."""
        return torch.Generator().manual_seed(derive(self.seed, f"rl/{purpose}", *inputs))

    def emit(self, kind: str, iteration: int, **body: Any) -> None:
        """Tell an event to the listener and the store. Numbers that are not finite become None."""
        event = {"kind": kind, "iteration": iteration, **{k: _plain(v) for k, v in body.items()}}
        self.events.append(event)
        if self.store is not None and leads():
            self.store.append(self.run, [event])
        self.listen(event)

    def history(self, kind: str = "iteration") -> list[dict[str, Any]]:
        """The events of one kind, in order; of an iteration that was run twice, the last."""
        return list({e["iteration"]: e for e in self.events if e["kind"] == kind}.values())

    @property
    def stopped(self) -> str | None:
        """Why the run stopped before its last iteration, None where it did not."""
        return next((str(e["reason"]) for e in self.events if e["kind"] == "stopped"), None)

    def look(self, policy: Policy, iteration: int, last: int) -> None:
        """Evaluate if it is time."""
        if self.evaluate is not None and (iteration % self.each == 0 or iteration == last):
            self.emit("evaluation", iteration, **self.evaluate(policy, iteration))

    def due(self, iteration: int, last: int | None = None) -> bool:
        """Whether a checkpoint is to be kept after this many iterations: every `every`, and after the last."""
        return self.store is not None and self.every > 0 and (iteration % self.every == 0 or iteration == last)

    def keep(self, iteration: int, state: Mapping[str, Any]) -> str | None:
        """Keep the state after so many iterations and return its key; None without a store."""
        if self.store is None:
            return None
        data = encode({**state, "iteration": iteration})
        key = f"{self.run}/checkpoint/{iteration}/{digest(data)[:16]}"  # by content: the first writer of a key wins
        if leads():
            self.store.put(key, data, {"run": self.run, "iteration": iteration})
        self.emit("checkpoint", iteration, key=key)
        return key

    def resume(self, identity: Any) -> State | None:
        """The last undamaged checkpoint of this run, None where there is none; reads its earlier events back.

        Raises SpecError where a run of this name was started with another `identity` (options, policy, prompts).
        """
        mine = digest(identity)
        if self.store is None:
            return None
        self.events[:] = [dict(e.body) for e in self.store.read(self.run)]
        other = next((e["identity"] for e in self.events if e["kind"] == "started" and e["identity"] != mine), None)
        if other is not None:
            raise SpecError(
                f"the run {self.run!r} was started with other options or prompts ({other[:12]}, now {mine[:12]}); "
                "use the options it was started with, or give this run another name"
            )
        for event in reversed([e for e in self.events if e["kind"] == "checkpoint"]):
            artifact = self.store.get(event["key"])
            if artifact is not None:
                return decode(artifact.data)
        if not self.events:
            self.emit("started", 0, identity=mine)
        return None


def named(prefix: str, state: Mapping[str, Any]) -> State:
    """The state under a prefix: `policy/` and so on."""
    return {f"{prefix}{k}": v for k, v in state.items()}


def under(prefix: str, state: Mapping[str, Any]) -> State:
    """What stands under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value
