"""GRPO: advantages from a group of responses to one prompt, no value network; with the repairs of Dr. GRPO and DAPO.

Sources: Shao et al. 2024 (arXiv 2402.03300, section 4), Liu et al. 2025 (Dr. GRPO, arXiv 2503.20783), Yu et al. 2025
(DAPO, arXiv 2503.14476).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from superalign.core.types import Overseer
from superalign.learners.rl import maths
from superalign.learners.rl.learning import Learning
from superalign.learners.rl.loop import step_through, train
from superalign.learners.rl.options import OnPolicy, require
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rollouts import ALONE, Rollouts, logprobs
from superalign.models.hf.ranks import Ranks
from superalign.models.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPO(OnPolicy):
    """GRPO's own options.

    A batch is `batch` / `group` prompts with `group` responses each. Advantages are divided by the group's standard
    deviation if `scale`. Each batch is passed `epochs` times in `minibatches`; ratios are clipped to
    [1 - `low`, 1 + `high`]. `normaliser` averages token losses per `sequence` (GRPO), over a `constant` length of
    `tokens` (Dr. GRPO) or over all `tokens` of the minibatch (DAPO). The KL to the reference, weighed by `beta`, is paid
    in the `reward` or in the `loss` (`kl_in`); there the estimator must be k2 or k3.
    """

    group: int = 8
    lr: float = 3e-4
    scale: bool = True
    epochs: int = 1
    minibatches: int = 1
    low: float = 0.2
    high: float = 0.2
    normaliser: maths.Normaliser = "sequence"
    kl: maths.KL = "k3"
    kl_in: Literal["reward", "loss"] = "loss"

    def __post_init__(self) -> None:
        super(GRPO, self).__post_init__()
        grouped(self.batch, self.group)
        require(
            self.kl_in == "reward" or self.kl != "k1" or self.beta == 0,
            "k1 in the loss has a gradient of mean zero and penalises nothing; use kl='k3', or kl_in='reward'",
        )


PRESETS: dict[str, dict[str, Any]] = {
    "grpo": {},
    "dr-grpo": {"scale": False, "normaliser": "constant"},
    "dapo": {"normaliser": "tokens", "high": 0.28, "beta": 0.0},
}
"""Options by name, for `GRPO(**PRESETS[name])`."""


def grouped(batch: int, group: int) -> None:
    """Raise SpecError unless a batch divides into groups of two or more."""
    require(
        group >= 2 and batch % group == 0,
        f"batch={batch} does not divide into groups of {group}; 2 or more of equal size",
    )


def grpo(
    policy: Policy,
    reference: Policy,
    prompts: Sequence[str],
    overseer: Overseer,
    options: GRPO,
    watching: Watching,
) -> Policy:
    """Train a copy of `policy` to do better than its own other responses to the same prompt, in the overseer's eyes."""

    once = options.epochs * options.minibatches == 1  # the samples' own log-probabilities serve

    def update(learning: Learning, batch: Rollouts, watching: Watching) -> dict[str, float]:
        advantages = maths.group_advantages(rewards(batch, learning, options), options.group, options.scale)

        def slopes(rows: Rollouts, weights: Tensor) -> dict[str, float]:
            return backward(learning.policy, rows, weights, options, learning.group)

        return step_through(learning, watching, batch, advantages, (options.epochs, options.minibatches), slopes)

    return train(Learning(policy, options), reference, prompts, overseer, watching, update, options.group, once)


def rewards(batch: Rollouts, learning: Learning, options: GRPO) -> Tensor:
    """Scores, less what the KL costs where it is paid in the reward, (B,)."""
    if options.kl_in == "loss":
        return batch.scores
    kl = maths.kl_estimate(batch.old, batch.reference, options.kl)
    return batch.scores - learning.beta * maths.real(kl, batch.mask).sum(1)


def backward(
    policy: Policy, batch: Rollouts, advantages: Tensor, options: GRPO, group: Ranks = ALONE
) -> dict[str, float]:
    """Add the gradients of GRPO's loss on one minibatch; returns what to report."""
    logp = batch.logp if batch.logp.requires_grad else logprobs(policy, batch.rows, options.sampling, group)
    losses = maths.policy_loss(logp, batch.old, advantages[:, None], batch.mask, options.low, options.high)
    if options.kl_in == "loss" and options.beta:
        losses = losses + options.beta * maths.kl_loss(
            maths.real(logp, batch.mask), maths.real(batch.reference, batch.mask), options.kl
        )
    loss = maths.normalise(losses, batch.mask, options.normaliser, options.tokens)
    torch.autograd.backward(loss)
    told = {"loss": loss} | maths.ratio_report(logp, batch.old, batch.mask, options.low, options.high)
    return maths.plain(told)
