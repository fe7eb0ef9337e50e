"""AdamW (Loshchilov and Hutter 2019), with epsilon before or after the bias correction.

Ziegler et al. 2019 trained with TensorFlow 1, which adds epsilon to the uncorrected root of the second moment; torch
adds it to the corrected one, so that early steps are larger (Huang et al. 2023, detail 18). Written out, both are one
line, moments are plain tensors to checkpoint, and the 1.5 s that torch's optimisers take to import are saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superalign.core.errors import StoreError


@dataclass(frozen=True, slots=True)
class Step:
    """The constants of an update."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decay: float = 0.0
    eps_first: bool = False


class Adam:
    """Moments of some parameters. Parameters without a gradient are left as they are."""

    def __init__(self, parameters: Iterable[nn.Parameter], constants: Step) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.constants, self.steps = constants, 0
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]

    def zero(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update at this learning rate."""
        (b1, b2), eps = self.constants.betas, self.constants.eps
        moving = [k for k, p in enumerate(self.parameters) if p.grad is not None]
        if not moving:
            return
        self.steps += 1
        weights: list[Tensor] = [self.parameters[k] for k in moving]
        gradients = [g for k in moving if (g := self.parameters[k].grad) is not None]
        first, second = [self.first[k] for k in moving], [self.second[k] for k in moving]
        if self.constants.eps_first:
            eps /= (1 - b2**self.steps) ** 0.5  # the kernel adds it to the corrected root
        done = [torch.tensor(float(self.steps))] * len(moving)
        torch._fused_adamw_(
            weights, gradients, first, second, [], done, lr=rate, beta1=b1, beta2=b2, eps=eps,
            weight_decay=self.constants.decay, amsgrad=False, maximize=False,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Moments as named arrays."""
        moments = {"first": self.first, "second": self.second}
        arrays = {f"{name}/{k}": t.cpu().numpy().copy() for name, many in moments.items() for k, t in enumerate(many)}
        return {"steps": self.steps, **arrays}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take moments back. Raises StoreError where they belong to other parameters."""
        self.steps = int(state["steps"])
        for name, many in {"first": self.first, "second": self.second}.items():
            for k, tensor in enumerate(many):
                kept = state.get(f"{name}/{k}")
                if kept is None or kept.shape != tuple(tensor.shape):
                    raise StoreError(
                        f"the checkpoint's optimiser has {getattr(kept, 'shape', 'nothing')} for a parameter of shape "
                        f"{tuple(tensor.shape)}: it belongs to another model; start the run under another name"
                    )
                tensor.copy_(torch.from_numpy(np.array(kept)))
