"""Direct preference optimisation: learning from comparisons without a reward model.

Sources: Rafailov et al. 2023 (arXiv 2305.18290); conservative DPO: the labels flipped with a chance of `smoothing`
(Mitchell 2023); IPO: Azar et al. 2023 (arXiv 2310.12036). The implicit reward is beta (log pi - log pi_ref).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from superalign.core.errors import Degenerate
from superalign.learners.rl import maths
from superalign.learners.rl.comparisons import Comparisons
from superalign.learners.rl.descent import Descent, descend, pieces
from superalign.learners.rl.options import require
from superalign.learners.rl.preference import Kind, dpo_loss
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rollouts import packed, take
from superalign.models.policy import Policy, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class DPO(Descent):
    """DPO's own options. `steps` of `batch` pairs; `beta`, `kind` and `smoothing` are those of `dpo_loss`. Ties are left
    out or learnt as even odds. `eos`: responses are read with EOS."""

    lr: float = 1e-4
    weight_decay: float = 0.0
    steps: int = 300
    beta: float = 0.1
    kind: Kind = "sigmoid"
    smoothing: float = 0.0
    ties: Literal["drop", "half"] = "drop"
    eos: bool = True

    def __post_init__(self) -> None:
        super(DPO, self).__post_init__()
        require(self.beta > 0, f"beta is {self.beta}; it divides and must be positive")
        require(0 <= self.smoothing < 0.5, f"smoothing is {self.smoothing}; a chance of a flipped label is in [0, 0.5)")


def dpo(
    policy: Policy,
    comparisons: Comparisons,
    options: DPO = DPO(),
    watching: Watching | None = None,
) -> Policy:
    """A copy of the policy, trained on comparisons; the policy given is the reference.

    Events tell the implicit reward's accuracy and margin on the batch. Raises Degenerate without a pair to learn from.
    """
    run, trained = watching or Watching(), policy.copy()
    rows = packed(policy, comparisons.asked, comparisons.answered, options.eos)
    pairs = comparisons.pairs().decided() if options.ties == "drop" else comparisons.pairs()
    if not len(pairs):
        raise Degenerate("no pair has a preferred response, so DPO has nothing to learn")
    with torch.no_grad():  # the reference never changes: once per response, not once per step
        every = pieces(torch.arange(len(rows.tokens)), 256)
        reference = torch.cat([sequence_logprobs(policy, take(rows, index)) for index in every])

    def loss(index: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        chosen = pairs[index]
        both = torch.cat([chosen.left, chosen.right])
        used, place = torch.unique(both, return_inverse=True)  # a response of several pairs runs once
        gained = (sequence_logprobs(trained, take(rows, used)) - reference[used])[place]
        h = gained[: len(chosen)] - gained[len(chosen) :]
        margin = options.beta * h.detach().cpu() * (chosen.p - 0.5).sign()
        told = {"accuracy": float((margin > 0).float().mean()), "margin": float(margin.mean())}
        return dpo_loss(h, chosen.p, options.beta, options.kind, options.smoothing), told

    identity = {"method": "dpo", "comparisons": comparisons.identity}
    descend(
        trained, options, loss, run, elements=len(pairs), steps=options.steps, identity=identity,
        look=lambda step: run.look(trained, step, options.steps),
    )  # fmt: skip
    return trained


def sequence_logprobs(policy: Policy, rows: Rows) -> Tensor:
    """Log-probability of each whole response, (B,), gradients kept."""
    logits = policy.logits(rows)
    each = maths.token_logprobs(logits, rows.response.to(logits.device))
    return torch.where(rows.response_mask.to(logits.device), each, 0.0).sum(1)
