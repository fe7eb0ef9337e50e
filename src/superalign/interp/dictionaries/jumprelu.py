"""JumpReLU: each latent fires above a threshold of its own, which is learnt (Rajamanoharan et al. 2024,
arXiv 2407.14435).

The activation jumps, so its derivative with respect to the threshold is 0 or undefined. What is wanted is the derivative
of the expected loss, and it is estimated from pre-activations within half a bandwidth of the threshold: a rectangle
kernel in the backward pass alone. The pre-activation itself gets the gradient of what fires, and no estimate.

The number of latents that fire is led to k, by (L0 / k - 1)^2; the paper weighs L0 against the error, by a factor that
has to be searched for each site. All kinds then spend the same k, and can be compared.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from superalign.interp.dictionaries.activity import Activity, Weights
from superalign.interp.dictionaries.sparse import encode

WEIGHT = 10.0
"""Of the penalty. 450 steps on a small language model's residual stream, k = 32: 1 ended at 24 latents a row, 10 at 31."""


class JumpReLU:
    """A Rule. Thresholds are exp of what is trained, so they stay positive; all start where k latents a row fire in
    the first batch, `pre` (n, F). (Started near 0 they have hundreds to silence first, and the step of a logarithm is
    small there.)"""

    def __init__(self, k: int, bandwidth: float, pre: Tensor) -> None:
        self.k, self.bandwidth = k, bandwidth
        start = pre.flatten().topk(len(pre) * k).values[-1].clamp(min=bandwidth)
        self.tensors = [start.log().expand(pre.shape[1]).clone().requires_grad_()]

    def activate(self, x: Tensor, weights: Weights) -> Activity:
        """Everything above its threshold; entries within the kernel below it count for the gradient alone."""
        theta = self.tensors[0].exp()
        with torch.no_grad():
            pre = torch.addmm(weights.b_enc, x, weights.W_enc.T)
            rows, latents = (pre > theta - self.bandwidth / 2).nonzero(as_tuple=True)
            values = pre[rows, latents]
        at, level = encode(x, weights.W_enc, weights.b_enc, (rows, latents, values)), theta[latents]
        l0 = step(at, level, self.bandwidth).sum() / len(x)
        return Activity(jump(at, level, self.bandwidth), rows, latents, WEIGHT * (l0 / self.k - 1).square())

    def threshold(self) -> Tensor:
        """(F,)."""
        return self.tensors[0].detach().exp()


def jump(pre: Tensor, theta: Tensor, bandwidth: float) -> Tensor:
    """pre where pre > theta, else 0. Backward: 1[pre > theta] to pre, -(theta / bandwidth) K to theta, where K is 1
    within half a bandwidth of the threshold."""
    return _Jump.apply(pre, theta, bandwidth)  # type: ignore[no-any-return, no-untyped-call]


def step(pre: Tensor, theta: Tensor, bandwidth: float) -> Tensor:
    """1 where pre > theta, else 0. Backward: nothing to pre, -(1 / bandwidth) K to theta."""
    return _Step.apply(pre, theta, bandwidth)  # type: ignore[no-any-return, no-untyped-call]


def _kernel(ctx: Any) -> tuple[Tensor, Tensor, Tensor]:
    """pre, theta and K / bandwidth."""
    pre, theta = ctx.saved_tensors
    return pre, theta, ((pre - theta).abs() < ctx.bandwidth / 2) / ctx.bandwidth


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, theta: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, theta)
        ctx.bandwidth = bandwidth
        return pre * (pre > theta)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        pre, theta, kernel = _kernel(ctx)
        return slope * (pre > theta), -theta * kernel * slope, None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, theta: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, theta)
        ctx.bandwidth = bandwidth
        return (pre > theta).to(pre)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor, None]:
        _, _, kernel = _kernel(ctx)
        return None, -kernel * slope, None
