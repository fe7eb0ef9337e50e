"""Losses on preferences, pure functions of rewards or log-probabilities.

Rewards are (M,), one for each response of a batch; `Pairs` index them. One prompt is one element, whatever its number
of pairs, as in InstructGPT (arXiv 2203.02155, section 3.5): K responses cost K forward passes, not K (K - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Kind = Literal["sigmoid", "ipo"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs of responses. `left`, `right` (P,) index responses, `p` (P,) is the probability that left is the better
    one (0.5: a tie), `prompt` (P,) tells whose pair it is."""

    left: Tensor
    right: Tensor
    p: Tensor
    prompt: Tensor

    def __len__(self) -> int:
        return len(self.p)

    def __getitem__(self, chosen: Tensor) -> Pairs:
        """Some of the pairs, by index or mask."""
        return Pairs(self.left[chosen], self.right[chosen], self.p[chosen], self.prompt[chosen])

    def decided(self) -> Pairs:
        """Without ties."""
        return self[self.p != 0.5]


def pair_loss(rewards: Tensor, pairs: Pairs, margin: float = 0.0, centring: float = 0.0) -> Tensor:
    """Mean over prompts of the mean over a prompt's pairs of

        -p log sigmoid(r_l - r_r - margin) - (1 - p) log sigmoid(r_r - r_l - margin) + centring (r_l + r_r)^2.

    With p of 0 and 1 that is -log sigmoid(r_w - r_l - margin). Prompts without pairs do not count; 0 where none has any.
    """
    left, right = rewards[pairs.left], rewards[pairs.right]
    apart, p = left - right, pairs.p.to(rewards)
    each = -p * logsigmoid(apart - margin) - (1 - p) * logsigmoid(-apart - margin)
    if centring:
        each = each + centring * (left + right) ** 2
    count = torch.bincount(pairs.prompt) if len(pairs) else torch.zeros(0, dtype=torch.long)
    return (each / count[pairs.prompt].to(each)).sum() / max(int((count > 0).sum()), 1)


def best_of_k_loss(rewards: Tensor, best: Tensor) -> Tensor:
    """-log softmax(rewards)[best], the mean over prompts (Ziegler et al. 2019, arXiv 1909.08593, equation 1).

    `rewards` (N, K), -inf where a prompt has fewer responses; `best` (N,).
    """
    return -torch.log_softmax(rewards, 1).gather(1, best[:, None].to(rewards.device)).mean()


def dpo_loss(h: Tensor, p: Tensor, beta: float = 0.1, kind: Kind = "sigmoid", smoothing: float = 0.0) -> Tensor:
    """The mean over pairs, (P,), of a loss on h = (l_left - l_left^ref) - (l_right - l_right^ref).

    `p` (P,) is the probability that left is better. `sigmoid`: -p log sigmoid(beta h) - (1 - p) log sigmoid(-beta h),
    which is DPO (arXiv 2305.18290) at p = 1. `smoothing` e flips each label with that chance: conservative DPO.
    `ipo` (arXiv 2310.12036): (h - 1 / (2 beta))^2, averaged over the two orders by p.
    """
    q = (p * (1 - smoothing) + (1 - p) * smoothing).to(h)
    if kind == "sigmoid":
        return (-q * logsigmoid(beta * h) - (1 - q) * logsigmoid(-beta * h)).mean()
    if kind == "ipo":
        aim = 1 / (2 * beta)
        return (q * (h - aim) ** 2 + (1 - q) * (h + aim) ** 2).mean()
    raise ValueError(f"no DPO loss {kind!r}; there is: sigmoid, ipo")
