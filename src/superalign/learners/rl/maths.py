"""The formulas of reinforcement learning from human feedback, on tensors and masks; no model in sight.

Shapes: per-token tensors are (B, R), `mask` (B, R) is true on the tokens of a response up to and including EOS; scores
are (B,). Whatever stands under a false mask, NaN included, changes no result and gets a gradient of exactly zero.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

KL = Literal["k1", "k2", "k3"]
Normaliser = Literal["sequence", "constant", "tokens"]


def real(x: Tensor, mask: Tensor) -> Tensor:
    """0 under a false mask. Taken before anything is computed: a gradient of 0 times one of infinity is NaN."""
    return torch.where(mask, x, 0.0)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the true entries of `mask`."""
    return real(x, mask).sum() / mask.sum()


def masked_variance(x: Tensor, mask: Tensor) -> Tensor:
    """Variance (of the population) over the true entries."""
    return masked_mean((x - masked_mean(x, mask)) ** 2, mask)


def whiten(x: Tensor, mask: Tensor, shift: bool = True) -> Tensor:
    """Unit variance over the true entries; with `shift` also mean zero, else the mean stays. Pads become 0."""
    mean = masked_mean(x, mask)
    white = (x - mean) / (masked_variance(x, mask) + 1e-8).sqrt()
    return real(white if shift else white + mean, mask)


def per_token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, beta: float, after: bool = False) -> Tensor:
    """-beta * kl at every token, and the score at the last real token, (B, R). Rows sum to score - beta * sum(kl).

    With `after` the score stands one place later where there is room (the convention of TRL and of Huang et al. 2024).
    """
    last = mask.sum(1) - 1
    if after:
        last = (last + 1).clamp(max=mask.shape[1] - 1)
    rewards = real(-beta * kl, mask)
    return rewards.scatter_add(1, last.clamp(min=0)[:, None], scores[:, None].to(rewards.dtype))


def reach(mask: Tensor) -> Tensor:
    """The mask with one more place per row, where there is room: where values count when scores stand `after` EOS."""
    return mask | torch.cat([mask[:, :1], mask[:, :-1]], 1)


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, discount: float = 1.0, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, (B, R) each (Schulman et al. 2016). The value after the last token is 0.

    lam = 1 gives the Monte-Carlo return minus the value, lam = 0 the one-step temporal difference.
    """
    values, rewards = real(values, mask), real(rewards, mask)
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
    delta = rewards + discount * following - values
    advantages = torch.empty_like(delta)
    running = torch.zeros_like(delta[:, 0])
    for t in range(delta.shape[1] - 1, -1, -1):
        running = delta[:, t] + discount * lam * running
        advantages[:, t] = running
    advantages = real(advantages, mask)
    return advantages, advantages + values


def log_ratio(logp: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    """logp - old, exactly 0 on pads, so that the ratio there is 1."""
    return real(logp, mask) - real(old, mask)


def policy_loss(
    logp: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, low: float = 0.2, high: float = 0.2
) -> Tensor:
    """The clipped surrogate per token, (B, R), 0 on pads: max(-A rho, -A clip(rho, 1 - low, 1 + high))."""
    ratio, losses = log_ratio(logp, old, mask).exp(), -real(advantages, mask)
    return torch.maximum(losses * ratio, losses * ratio.clamp(1 - low, 1 + high))


def value_loss(values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float | None = 0.2) -> Tensor:
    """Half the masked mean of the squared error, the larger of the plain and the clipped one; `clip` None is plain."""
    values, old, returns = real(values, mask), real(old, mask), real(returns, mask)
    error = (values - returns) ** 2
    if clip is not None:
        held = old + (values - old).clamp(-clip, clip)
        error = torch.maximum(error, (held - returns) ** 2)
    return 0.5 * masked_mean(error, mask)


def kl_estimate(logp: Tensor, reference: Tensor, kind: KL = "k1") -> Tensor:
    """Per-token estimate of KL(pi || reference) from samples of pi (Schulman 2020), with d = logp - reference:
    k1 = d, k2 = d^2 / 2, k3 = exp(-d) - 1 + d."""
    d = logp - reference
    if kind == "k1":
        return d
    if kind == "k2":
        return d**2 / 2
    if kind == "k3":
        return torch.expm1(-d) + d
    raise ValueError(f"no KL estimator {kind!r}; there is: k1, k2, k3")


def kl_loss(logp: Tensor, reference: Tensor, kind: KL = "k3") -> Tensor:
    """The estimate as a term of a loss. k1 is refused: the expectation of its gradient is zero."""
    if kind == "k1":
        raise ValueError(
            "k1 in the loss has a gradient of mean zero and penalises nothing; use k3, or k1 in the reward"
        )
    return kl_estimate(logp, reference, kind)


def adaptive_beta(beta: float, kl: float, target: float, episodes: int, horizon: float = 10_000) -> float:
    """The KL weight after a batch of `episodes` whose mean summed KL was `kl` (Ziegler et al. 2019, section 2.2)."""
    error = min(max(kl / target - 1, -0.2), 0.2)
    return beta * (1 + error * episodes / horizon)


def token_logprobs(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability of each token, (B, R), from logits (B, R, V) divided by the temperature."""
    scaled = logits if temperature == 1.0 else logits / temperature
    return torch.log_softmax(scaled, -1).gather(-1, tokens[..., None])[..., 0]


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Entropy in nats of each token's distribution, (B, R), from logits (B, R, V)."""
    logp = torch.log_softmax(logits if temperature == 1.0 else logits / temperature, -1)
    return -(logp.exp() * logp).sum(-1)


def group_advantages(scores: Tensor, size: int, scale: bool = True) -> Tensor:
    """(r - mean) / (std + 1e-4) within each group of `size` neighbouring rows, (B,) (GRPO, Shao et al. 2024).

    Without `scale` only the mean is taken off (Dr. GRPO, Liu et al. 2025). A group with no spread gets zeros. Rows
    whose score is NaN count for nothing and get 0.
    """
    groups, known = _grouped(scores, size)
    count = known.sum(1, keepdim=True).clamp(min=1)
    centred = torch.where(known, groups - torch.where(known, groups, 0.0).sum(1, keepdim=True) / count, 0.0)
    if scale:
        spread = (centred**2).sum(1, keepdim=True) / (count - 1).clamp(min=1)
        centred = centred / (spread.sqrt() + 1e-4)
    return centred.reshape(-1)


def leave_one_out(scores: Tensor, size: int) -> Tensor:
    """Each score minus the mean of the others of its group, (B,) (RLOO, Ahmadian et al. 2024).

    Equals G / (G - 1) (r - mean). Rows whose score is NaN count for nothing and get 0, and so does a row left alone.
    """
    groups, known = _grouped(scores, size)
    count = known.sum(1, keepdim=True)
    total = torch.where(known, groups, 0.0).sum(1, keepdim=True)
    others = (total - groups) / (count - 1).clamp(min=1)
    return torch.where(known & (count > 1), groups - others, 0.0).reshape(-1)


def _grouped(scores: Tensor, size: int) -> tuple[Tensor, Tensor]:
    if size < 2 or len(scores) % size:
        raise ValueError(f"{len(scores)} scores do not make groups of {size}; groups have equal sizes of 2 or more")
    groups = scores.reshape(-1, size)
    return groups, ~groups.isnan()


def normalise(losses: Tensor, mask: Tensor, how: Normaliser = "tokens", length: int | None = None) -> Tensor:
    """One number from losses per token: the mean over sequences of each one's token mean (`sequence`, GRPO), the sum
    over B * length (`constant`, Dr. GRPO; `length` is R unless given), or one mean over all tokens (`tokens`, DAPO)."""
    if how == "tokens":
        return masked_mean(losses, mask)
    sums = real(losses, mask).sum(1)
    if how == "sequence":
        return (sums / mask.sum(1).clamp(min=1)).mean()
    if how == "constant":
        return sums.mean() / (length or mask.shape[1])
    raise ValueError(f"no normaliser {how!r}; there is: sequence, constant, tokens")


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 - var(returns - values) / var(returns) over real tokens; NaN where returns do not vary."""
    spread = masked_variance(returns, mask)
    return float(1 - masked_variance(returns - values, mask) / spread) if spread > 0 else float("nan")


@torch.no_grad()
def ratio_report(logp: Tensor, old: Tensor, mask: Tensor, low: float = 0.2, high: float = 0.2) -> dict[str, Tensor]:
    """How far an update has moved: approximate KL 0.5 mm((l - l_old)^2), share of clipped ratios, their mean and
    variance; scalar tensors."""
    moved = log_ratio(logp, old, mask)
    ratio = moved.exp()
    return {
        "approx_kl": 0.5 * masked_mean(moved**2, mask),
        "clip_fraction": masked_mean(((ratio > 1 + high) | (ratio < 1 - low)).to(ratio.dtype), mask),
        "ratio_mean": masked_mean(ratio, mask),
        "ratio_variance": masked_variance(ratio, mask),
    }


def plain(scalars: dict[str, Tensor]) -> dict[str, float]:
    """Scalar tensors as numbers, read in one go."""
    return dict(zip(scalars, torch.stack([v.detach() for v in scalars.values()]).tolist(), strict=True))
