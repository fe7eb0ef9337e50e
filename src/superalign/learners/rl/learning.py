"""A run in the making: the trained copy of a policy, its optimisers, its schedule, its last good weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from superalign.learners.rl.adam import Adam, Step
from superalign.learners.rl.descent import rate
from superalign.learners.rl.options import OnPolicy
from superalign.learners.rl.progress import State, named, under
from superalign.models.hf.ranks import ranks
from superalign.models.policy import Policy


class Unsound(Exception):
    """A policy or an update that must not be kept; the loop stops and gives back the last good weights."""


class Learning:
    """What changes during a run. The policy is copied, never changed.

    `parts` are trained beside it (a value network) at `faster` times its learning rate; they have `parameters`, `state`
    and `load`. `group` are the processes of this launch, each of which holds the same and runs its share.
    """

    def __init__(
        self, policy: Policy, options: OnPolicy, parts: Mapping[str, Any] | None = None, faster: float = 1.0
    ) -> None:
        self.options, self.policy, self.parts, self.faster = options, policy.copy(), dict(parts or {}), faster
        self.average = policy.copy() if options.average else None
        self.group = ranks(next(self.policy.parameters()).device)
        self.beta, self.iteration = options.beta, 0
        constants = Step(options.betas, options.adam_eps, options.weight_decay, options.eps_first)
        self.adam = {n: Adam(m.parameters(), constants) for n, m in {"policy": self.policy, **self.parts}.items()}
        self._good = self._copy()

    @property
    def exported(self) -> Policy:
        """The policy to evaluate and return: the average of the weights where one is kept."""
        return self.average or self.policy

    @property
    def lr(self) -> float:
        """The policy's learning rate in this iteration."""
        options = self.options
        return options.lr * rate(options.schedule, self.iteration, options.iterations, options.warm_up)

    def zero(self) -> None:
        """Forget the gradients."""
        for adam in self.adam.values():
            adam.zero()

    def step(self, loss: float) -> float:
        """Apply the gradients, those of all processes, and return the norm of the policy's, which alone is cut.

        Raises Unsound, and changes nothing, where a gradient of it or the loss is not finite.
        """
        self.group.add(p for adam in self.adam.values() for p in adam.parameters)
        norm = float(nn.utils.clip_grad_norm_(self.adam["policy"].parameters, self.options.clip_gradient))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Unsound(f"an update has the loss {loss} and a gradient of norm {norm}")
        for name, adam in self.adam.items():
            adam.step(self.lr if name == "policy" else self.lr * self.faster)
        if self.average is not None:
            averaged(self.average.parameters(), self.policy.parameters(), self.options.average)
        return norm

    def passed(self) -> None:
        """Remember these weights as the last good ones."""
        self._good = self._copy()

    def restore(self) -> None:
        """Go back to the last good weights."""
        with torch.no_grad():
            torch._foreach_copy_(self._tensors(), self._good)

    def state(self) -> State:
        """Everything that the run needs to go on."""
        found: State = {"iteration": self.iteration, "beta": self.beta}
        found |= {f"good/{k}": t.cpu().numpy() for k, t in enumerate(self._good)}
        models = {"policy": self.policy, **self.parts} | ({"average": self.average} if self.average else {})
        for name, model in models.items():
            found |= named(f"{name}/", model.state())
        for name, adam in self.adam.items():
            found |= named(f"adam/{name}/", adam.state())
        return found

    def load(self, state: State) -> None:
        """Take a state back."""
        self.iteration, self.beta = state["iteration"], state["beta"]
        models = {"policy": self.policy, **self.parts} | ({"average": self.average} if self.average else {})
        for name, model in models.items():
            model.load(under(f"{name}/", state))
        for name, adam in self.adam.items():
            adam.load(under(f"adam/{name}/", state))
        for k, t in enumerate(self._good):
            t.copy_(torch.from_numpy(state[f"good/{k}"]).reshape(t.shape))

    def agree(self) -> None:
        """Take everything from the first process of the launch."""
        adams = list(self.adam.values())
        counts = torch.tensor([self.iteration, self.beta, *(adam.steps for adam in adams)], dtype=torch.float64)
        moments = [t for adam in adams for t in (*adam.first, *adam.second)]
        self.group.follow([*self._tensors(), *moments, *self._good, counts])
        iteration, self.beta, *steps = counts.tolist()
        self.iteration = int(iteration)
        for adam, step in zip(adams, steps, strict=True):
            adam.steps = int(step)

    def _tensors(self) -> list[Tensor]:
        weights: list[Tensor] = [p for adam in self.adam.values() for p in adam.parameters]
        return weights if self.average is None else [*weights, *self.average.parameters()]

    def _copy(self) -> list[Tensor]:
        return [t.detach().clone() for t in self._tensors()]


@torch.no_grad()
def averaged(average: Iterable[Tensor], weights: Iterable[Tensor], decay: float) -> None:
    """average <- decay * average + (1 - decay) * weights, in place."""
    torch._foreach_lerp_(list(average), [w.detach() for w in weights], 1 - decay)
