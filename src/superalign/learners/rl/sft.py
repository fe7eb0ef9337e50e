"""Supervised fine-tuning: the likelihood of demonstrations; the stage before rewards (InstructGPT, appendix C.1).

Its checkpoint is chosen by a score, not by validation loss: InstructGPT overfits the loss after one epoch, and yet
more epochs gave better reward-model scores and human preferences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superalign.core.digest import digest
from superalign.core.errors import Degenerate
from superalign.learners.rl import maths
from superalign.learners.rl.descent import Descent, descend, pieces
from superalign.learners.rl.options import require
from superalign.learners.rl.progress import Watching, named, under
from superalign.learners.rl.rollouts import ALONE, shared, take
from superalign.models.hf.ranks import Ranks
from superalign.models.policy import Policy, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class SFT(Descent):
    """SFT's own options. `steps` optimiser steps; the loss is that of responses, or of `prompts_too`. With a score to
    choose by, the weights are scored every `choose` steps and after the last."""

    lr: float = 2e-3
    steps: int = 300
    prompts_too: bool = False
    choose: int = 50

    def __post_init__(self) -> None:
        super(SFT, self).__post_init__()
        require(
            self.choose > 0 and self.steps >= 0,
            f"steps={self.steps} is negative, or choose={self.choose} is not positive",
        )


def sft(
    policy: Policy,
    rows: Rows,
    options: SFT = SFT(),
    watching: Watching | None = None,
    score: Callable[[Policy], float] | None = None,
) -> Policy:
    """A copy of the policy, trained on the rows; with a `score`, the checkpoint that has the highest one.

    Raises Degenerate where no row has a token to learn from.
    """
    run, kept = watching or Watching(), _Best(policy.copy())
    rows = whole(rows) if options.prompts_too else rows
    if not bool(_predicted(rows).any()):
        raise Degenerate("no row has a token to learn from; give rows with responses")

    def loss(index: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        return language_loss(kept.policy, take(rows, index)), {}

    def look(step: int) -> None:
        run.look(kept.policy, step, options.steps)
        if score is not None and step and (step % options.choose == 0 or step == options.steps):
            run.emit("choice", step, score=kept.see(score(kept.policy)))

    identity = {"method": "sft", "rows": digest(rows.tokens.numpy(), rows.mask.numpy(), rows.start)}
    descend(kept, options, loss, run, elements=len(rows.tokens), steps=options.steps, identity=identity, look=look)
    return kept.chosen()


def whole(rows: Rows) -> Rows:
    """The rows with their prompts counted as responses."""
    return Rows(rows.tokens, rows.mask, 1)


def language_loss(policy: Policy, rows: Rows, group: Ranks = ALONE) -> Tensor:
    """Mean of -log pi over response tokens that have a real token before them: nats per token, gradients kept."""

    def told(part: Rows) -> tuple[Tensor, ...]:
        logits = policy.logits(part)
        return (maths.token_logprobs(logits, part.response.to(logits.device)),)

    (logp,) = shared(group, rows, told)
    return -maths.masked_mean(logp, _predicted(rows).to(logp.device))


@torch.no_grad()
def held_out_loss(policy: Policy, rows: Rows, batch: int = 256) -> float:
    """The same over many rows, each token with the same weight."""
    parts = [take(rows, index) for index in pieces(torch.arange(len(rows.tokens)), batch)]
    counts = [int(_predicted(part).sum()) for part in parts]
    losses = [float(language_loss(policy, part)) * n for part, n in zip(parts, counts, strict=True) if n]
    return sum(losses) / sum(counts)


def _predicted(rows: Rows) -> Tensor:
    """Which response tokens can be predicted, (B, R): not the first token of a padded row of which all is response."""
    return rows.response_mask & rows.mask[:, rows.start - 1 : -1]


class _Best:
    """A policy in training, and the weights of its best checkpoint so far."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.score = policy, -float("inf")
        self.weights: Mapping[str, np.ndarray] = {}

    def see(self, score: float) -> float:
        """Keep the present weights if this score is the highest; returns it."""
        if score > self.score:
            self.score, self.weights = score, self.policy.state()
        return score

    def chosen(self) -> Policy:
        """The policy with its best weights, the last ones where nothing was scored."""
        if self.weights:
            self.policy.load(self.weights)
        return self.policy

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.policy.parameters()

    def state(self) -> dict[str, Any]:
        best = {"best": self.score, **named("best/", self.weights)} if self.weights else {}
        return {**named("policy/", self.policy.state()), **best}

    def load(self, state: Mapping[str, Any]) -> None:
        self.policy.load(under("policy/", state))
        self.score, self.weights = state.get("best", self.score), under("best/", state)
