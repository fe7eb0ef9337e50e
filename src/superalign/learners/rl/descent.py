"""What SFT, reward models and DPO share: epochs of batches, AdamW, a schedule, checkpoints, and a rule for divergence.

A loss or gradient that is not finite is never applied: the run stops there with the weights of the step before, and
says so in its events.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Literal
from typing import Protocol as Interface

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from superalign.core.digest import digest
from superalign.learners.rl.adam import Adam, Step
from superalign.learners.rl.options import require
from superalign.learners.rl.progress import State, Watching, named, under

Schedule = Literal["constant", "linear", "cosine"]

TOLD = 10
"""Events tell of every tenth step, and of the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """Options of every supervised method.

    `batch` elements a step, in a fresh order each epoch. AdamW with `lr`, `betas`, `adam_eps`, `weight_decay`; the rate is
    constant, goes linearly to 0 or along a cosine to 10 % (`schedule`), after `warm_up` steps from a tenth. The gradient
    is cut to norm `clip_gradient`; 0 leaves it.
    """

    batch: int = 64
    lr: float = 1e-3
    schedule: Schedule = "constant"
    warm_up: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    adam_eps: float = 1e-8
    weight_decay: float = 0.01
    clip_gradient: float = 0.0

    def __post_init__(self) -> None:
        require(self.batch > 0 and self.lr > 0, f"batch={self.batch} and lr={self.lr} must be positive")


class Trained(Interface):
    """What can be trained: a policy, a reward model."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the optimiser changes."""
        ...

    def state(self) -> Mapping[str, Any]:
        """Weights by name."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Take weights."""
        ...


Loss = Callable[[Tensor], tuple[Tensor, Mapping[str, float]]]
"""`lose(elements) -> (the loss, what to report)`; `elements` (B,) index the training data."""


def rate(schedule: Schedule, step: int, steps: int, warm_up: int = 0) -> float:
    """The factor on the learning rate at a step, counted from 0."""
    done = step / steps
    after = {"constant": 1.0, "linear": 1 - done, "cosine": 0.1 + 0.45 * (1 + math.cos(math.pi * done))}[schedule]
    return after * (min(1.0, 0.1 + 0.9 * step / warm_up) if warm_up else 1.0)


def batches(n: int, size: int, watching: Watching, start: int = 0) -> Iterator[Tensor]:
    """Batches of indices without end, from step `start`; each epoch has every index once, in an order of its own."""
    per = -(-n // size)
    for epoch in count(start // per):
        order = pieces(torch.randperm(n, generator=watching.generator("data", epoch)), size)
        yield from order[start % per if epoch == start // per else 0 :]


def pieces(index: Tensor, size: int) -> list[Tensor]:
    """An index tensor cut into pieces of `size`, the last one shorter."""
    return [index[k : k + size] for k in range(0, len(index), size)]


def descend(
    model: Trained,
    options: Descent,
    lose: Loss,
    watching: Watching,
    *,
    elements: int,
    steps: int,
    identity: Mapping[str, Any],
    look: Callable[[int], None] = lambda step: None,
) -> None:
    """Train `model` in place for `steps` steps on batches of `elements`, or go on from the last checkpoint.

    `look(step)` is called before each step and after the last; `identity` is what else the run depends on.
    """
    adam, first = Adam(model.parameters(), Step(options.betas, options.adam_eps, options.weight_decay)), 0
    if watching.store is not None:
        inputs = {"options": asdict(options), "seed": watching.seed, "weights": digest(model.state()), **identity}
        if (kept := watching.resume(inputs)) is not None:
            first = int(kept["iteration"])
            model.load(under("model/", kept))
            adam.load(under("adam/", kept))
    if watching.stopped:
        return

    def state(done: int) -> State:
        return {"iteration": done, **named("model/", model.state()), **named("adam/", adam.state())}

    for step, chosen in zip(range(first, steps), batches(elements, options.batch, watching, first), strict=False):
        look(step)
        loss, told = lose(chosen)
        adam.zero()
        loss.backward()  # type: ignore[no-untyped-call]
        value, norm = float(loss.detach()), float(clip_grad_norm_(adam.parameters, options.clip_gradient or math.inf))
        if not (math.isfinite(value) and math.isfinite(norm)):
            watching.keep(step, state(step))
            watching.emit("stopped", step, reason=f"step {step} has the loss {value} and a gradient of norm {norm}")
            return
        adam.step(options.lr * rate(options.schedule, step, steps, options.warm_up))
        if step % TOLD == 0 or step + 1 == steps:
            watching.emit("iteration", step, loss=value, gradient=norm, **told)
        if watching.due(step + 1):
            watching.keep(step + 1, state(step + 1))
        watching.progress("steps", step + 1, steps)
    look(steps)
