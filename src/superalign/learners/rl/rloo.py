"""RLOO: REINFORCE with the mean score of the prompt's other responses as the baseline.

Sources: Ahmadian et al. 2024 (arXiv 2402.14740, section 3.2), Kool et al. 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from superalign.core.types import Overseer
from superalign.learners.rl import maths
from superalign.learners.rl.grpo import grouped
from superalign.learners.rl.learning import Learning
from superalign.learners.rl.loop import step_through, train
from superalign.learners.rl.options import OnPolicy
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rollouts import ALONE, Rollouts, logprobs
from superalign.models.hf.ranks import Ranks
from superalign.models.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RLOO(OnPolicy):
    """RLOO's own options.

    A batch is `batch` / `group` prompts with `group` responses each. The KL to the reference is paid in the reward. Each
    batch is passed `epochs` times in `minibatches`; `loss` is the log-probability of the response (`reinforce`) or its
    ratio to the one when it was sampled, clipped to [1 - `clip`, 1 + `clip`] (`ratio`): the same gradient at first.
    """

    group: int = 8
    lr: float = 3e-4
    epochs: int = 1
    minibatches: int = 1
    loss: Literal["reinforce", "ratio"] = "reinforce"
    clip: float = 0.2

    def __post_init__(self) -> None:
        super(RLOO, self).__post_init__()
        grouped(self.batch, self.group)


def rloo(
    policy: Policy,
    reference: Policy,
    prompts: Sequence[str],
    overseer: Overseer,
    options: RLOO,
    watching: Watching,
) -> Policy:
    """Train a copy of `policy` by leave-one-out REINFORCE on the overseer's scores less beta times the KL."""

    once = options.epochs * options.minibatches == 1  # the samples' own log-probabilities serve

    def update(learning: Learning, batch: Rollouts, watching: Watching) -> dict[str, float]:
        kl = maths.real(maths.kl_estimate(batch.old, batch.reference, options.kl), batch.mask).sum(1)
        advantages = maths.leave_one_out(batch.scores - learning.beta * kl, options.group)

        def slopes(rows: Rollouts, weights: Tensor) -> dict[str, float]:
            return backward(learning.policy, rows, weights, options, learning.group)

        return step_through(learning, watching, batch, advantages, (options.epochs, options.minibatches), slopes)

    return train(Learning(policy, options), reference, prompts, overseer, watching, update, options.group, once)


def backward(
    policy: Policy, batch: Rollouts, advantages: Tensor, options: RLOO, group: Ranks = ALONE
) -> dict[str, float]:
    """Add the gradients of -A log pi(y), or of its clipped ratio; returns what to report."""
    logp = batch.logp if batch.logp.requires_grad else logprobs(policy, batch.rows, options.sampling, group)
    if options.loss == "reinforce":
        loss = -(advantages * maths.real(logp, batch.mask).sum(1)).mean()
    else:
        ratio = maths.log_ratio(logp, batch.old, batch.mask).sum(1).exp()
        clipped = ratio.clamp(1 - options.clip, 1 + options.clip)
        loss = torch.maximum(-advantages * ratio, -advantages * clipped).mean()
    torch.autograd.backward(loss)
    return maths.plain({"loss": loss} | maths.ratio_report(logp, batch.old, batch.mask, options.clip, options.clip))
